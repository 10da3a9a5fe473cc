"""Convolutions of inputs and kernels, and the gradients of kernels with few outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import keras
from keras import ops

from frozenfit.gradients import kernel_gradient, torch_convolution, torch_convolution_gradient


@dataclass(frozen=True)
class Convolution:
    """A convolution without groups, as the layers of Keras compute it.

    Attributes
    ----------
    strides, dilation_rate : tuple of int
        One number per spatial axis.
    padding : {"valid", "same"}
        Padding of the input.
    data_format : {"channels_first", "channels_last"}
        Position of the channels.
    """

    strides: tuple[int, ...]
    dilation_rate: tuple[int, ...]
    padding: str
    data_format: str

    @classmethod
    def of(cls, layer: Any) -> Convolution:
        """Return the convolution of a layer; causal padding is added to the input before it.

        Parameters
        ----------
        layer : keras.layers.Conv1D, Conv2D or Conv3D
            The layer.

        Returns
        -------
        Convolution
        """
        padding = "valid" if layer.padding == "causal" else layer.padding
        return cls(tuple(layer.strides), tuple(layer.dilation_rate), padding, layer.data_format)

    def __call__(self, x: Any, kernel: Any) -> Any:
        """Compute the convolution.

        Parameters
        ----------
        x : tensor
            The input.
        kernel : tensor of shape (..., inputs, outputs)
            The kernel.

        Returns
        -------
        tensor
            The output.
        """
        if keras.config.backend() == "torch":
            return self._on_torch(torch_convolution, x, kernel)
        settings: dict[str, Any] = asdict(self)
        return ops.conv(x, kernel, **settings)

    def kernel_gradient(self, x: Any, kernel: Any, upstream: Any) -> Any:
        """Return the gradient of the convolution with respect to its kernel.

        Parameters
        ----------
        x, kernel : tensor
            The arguments of the convolution. The values of the kernel are not read.
        upstream : tensor
            Gradient of the output.

        Returns
        -------
        tensor
            Of the shape of `kernel`.
        """
        inputs, outputs = kernel.shape[-2:]
        # All backends are slow at kernels with few outputs, and fast at those with few inputs.
        if outputs < inputs and all(stride == 1 for stride in self.strides):
            return self._exchanged_gradient(x, kernel, upstream)
        return self._plain_gradient(x, kernel, upstream)

    def _exchanged_gradient(self, x: Any, kernel: Any, upstream: Any) -> Any:
        """Return the gradient as that of a kernel which takes the output to the input.

        With a stride of 1, the gradient at position i is the sum over p of ``x[p + i - before]
        * upstream[p]``. With ``q = p + i - before`` this is the sum over q of ``upstream[q - i +
        before] * x[q]``: the gradient of a kernel that is applied to `upstream`, at the opposite
        position.
        """
        pads = [_exchanged_padding(n, d, self.padding) for n, d in self._extents(kernel)]
        padding = "same" if self.padding == "same" and all(b == a for b, a in pads) else "valid"
        if padding == "valid":
            ends = [(0, 0), (0, 0)]
            place = 1 if self.data_format == "channels_last" else 2
            upstream = ops.pad(upstream, [*ends[:place], *pads, *ends[place:]])
        opposite = replace(self, padding=padding)
        exchanged = opposite._plain_gradient(upstream, ops.swapaxes(kernel, -1, -2), x)
        return ops.swapaxes(ops.flip(exchanged, tuple(range(len(pads)))), -1, -2)

    def _plain_gradient(self, x: Any, kernel: Any, upstream: Any) -> Any:
        if keras.config.backend() == "torch":
            return self._on_torch(torch_convolution_gradient, x, kernel, upstream)
        return kernel_gradient(self, x, kernel, upstream)

    def _on_torch(self, function: Callable, x: Any, kernel: Any, *upstream: Any) -> Any:
        """Call a function of tensors whose channels come first, in views of the arguments.

        Keras copies the input of each convolution to channels that come first and back.
        """
        is_last = self.data_format == "channels_last"
        given = x, *upstream
        # Axes in an order, because torch cannot vectorize the move of an axis over members.
        rank = len(self.strides)
        first, last = (0, rank + 1, *range(1, rank + 1)), (0, *range(2, rank + 2), 1)
        x, *others = [ops.transpose(t, first) if is_last else t for t in given]
        shape: Any = x.shape
        pads = [(0, 0)] * len(self.strides)
        if self.padding == "same":
            sizes = zip(shape[2:], self.strides, self._extents(kernel), strict=True)
            pads = [_same_padding(n, stride, *extent) for n, stride, extent in sizes]
        y = function(x, kernel, *others, self.strides, pads, self.dilation_rate)
        # The gradient of a kernel has its axes; an output those of the input.
        return y if others or not is_last else ops.transpose(y, last)

    def _extents(self, kernel: Any) -> list[tuple[int, int]]:
        """Return size and dilation of the kernel along each spatial axis."""
        return list(zip(kernel.shape[:-2], self.dilation_rate, strict=True))


def _same_padding(length: int, stride: int, size: int, dilation: int) -> tuple[int, int]:
    """Return the zeros before and after an axis with padding "same"."""
    last = (-(-length // stride) - 1) * stride
    total = max(0, last + dilation * (size - 1) + 1 - length)
    return total // 2, total - total // 2


def _exchanged_padding(size: int, dilation: int, padding: str) -> tuple[int, int]:
    """Return the zeros around the output of a convolution of stride 1 to get back its input."""
    reach = dilation * (size - 1)
    if padding == "valid":
        return reach, reach
    return reach - reach // 2, reach // 2
