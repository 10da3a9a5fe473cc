"""Gradients of the trainable slices of kernels alone.

A layer that is a linear product of its input and its kernel computes, in the backward pass, a
gradient of the size of the kernel. Where only some outputs or inputs of the kernel are trainable,
their gradient needs only these channels of the gradient of the output, or of the input.

`sliced` replaces the products of such layers during a call: the kernel as a whole is a constant of
the product, and the gradient of the slice is computed beside it. Outputs and all other gradients
are unchanged. For slices of inputs, only their channels of the activations are kept for the
backward pass, as in PaCA (Woo et al., ICLR 2025).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers as kl
from keras import ops

from frozenfit.convolutions import Convolution
from frozenfit.delta import vectorized_as
from frozenfit.gradients import kernel_gradient, not_saved, with_gradient
from frozenfit.layout import Survey
from frozenfit.low_rank_products import LowRankProduct, factor_equations, times_channels
from frozenfit.scaled_products import ScaledProduct, einsum_shapes
from frozenfit.selectors import forms

# Up to these shares of a kernel, the gradient of a slice was measured to cost at most as much as
# that of the whole (docs/performance.md). Torch is quick at whole depthwise kernels.
_LARGEST_SHARE = 0.7
_LARGEST_DEPTHWISE_SHARE = {"jax": 0.7, "torch": 0.1}


@dataclass(frozen=True, eq=False)
class SlicedProduct:
    """The product of a layer with a kernel of which a slice is trainable.

    Attributes
    ----------
    kind : type
        The Keras class whose computation the layer has.
    compute : callable
        The product of an input and a kernel, or of slices of them.
    form : Leading or Indices
        The trainable slice.
    input_axis : int or None
        Axis of the input that the slice is taken along; None for a slice of outputs.
    output_axis : int or None
        Axis of the output that the slice is taken along; None for a slice of inputs. Both are
        given where each channel is convolved by itself.
    differentiate : callable
        The gradient of the product: a function of input, kernel and gradient of the output.
    """

    kind: type
    compute: Callable[[Any, Any], Any]
    form: forms.Leading | forms.Indices
    input_axis: int | None
    output_axis: int | None
    differentiate: Callable[[Any, Any, Any], Any]

    def __call__(self, x: Any, kernel: Any, trained: Any, index: Any) -> Any:
        """Compute the product so that only the slice gets a gradient.

        Parameters
        ----------
        x : tensor
            The input.
        kernel : tensor
            The assembled kernel.
        trained : tensor
            The trainable slice, in compact shape.
        index : tensor or None
            Positions of the slice, where they are not the first ones.

        Returns
        -------
        tensor
            The output.
        """
        kept = self._part(ops.stop_gradient(x), self.input_axis, index)
        if self.input_axis is None:
            y = self.compute(x, ops.stop_gradient(kernel))
        else:
            # A copy: a view would keep the whole input in memory.
            kept = ops.copy(kept)
            with not_saved(x):
                y = self.compute(x, ops.stop_gradient(kernel))
        # The layer casts its kernel under mixed precision; the gradient is cast back.
        trained = ops.cast(trained, kernel.dtype)
        saved = (kept,) if index is None else (kept, index)
        return with_gradient(y, trained, saved, self._gradient)

    def in_parts(self, x: Any, frozen: Any, trained: Any, index: Any) -> Any:
        """Compute the product as one with the frozen kernel and one with the slice.

        In a function that is vectorized over members, the frozen kernel has no axis of members, so
        that its product is computed for the samples of all members as one. Where the slice is not
        the first part of the kernel, the product with the whole frozen kernel is corrected.

        Parameters
        ----------
        x : tensor
            The input.
        frozen : tensor
            The kernel before the slice is written into it.
        trained, index : tensor
            As for a call.

        Returns
        -------
        tensor
            The output, of which the slice gets a gradient by itself.
        """
        trained = ops.cast(trained, frozen.dtype)
        axis = self.form.axis
        if isinstance(self.form, forms.Leading):
            others = [slice(None)] * len(frozen.shape)
            others[axis] = slice(self.form.count, None)
            frozen, first, rest = frozen[tuple(others)], x, x
            if self.input_axis is not None:
                place, channels = self.input_axis % len(x.shape), [slice(None)] * len(x.shape)
                channels[place] = slice(self.form.count, None)
                first, rest = self._part(x, self.input_axis), x[tuple(channels)]
            parts = [self.compute(first, trained), self.compute(rest, frozen)]
            if self.output_axis is None:
                return parts[0] + parts[1]
            return ops.concatenate(parts, axis=self.output_axis)
        change = trained - ops.take(frozen, index, axis=axis)
        change = self.compute(self._part(x, self.input_axis, index), change)
        y = self.compute(x, frozen)
        if self.output_axis is None:
            return y + change
        return _added_at(y, change, index, self.output_axis)

    def _gradient(self, upstream: Any, trained: Any, kept: Any, *positions: Any) -> Any:
        """Return the gradient of the slice."""
        part = self._part(upstream, self.output_axis, *positions)
        return self.differentiate(kept, trained, part)

    def _part(self, tensor: Any, axis: int | None, index: Any = None) -> Any:
        """Return the channels of the slice; all of them if the slice is not along these."""
        if axis is None:
            return tensor
        if isinstance(self.form, forms.Indices):
            return ops.take(tensor, index, axis=axis)
        chosen = [slice(None)] * len(tensor.shape)
        chosen[axis] = slice(self.form.count)
        return tensor[tuple(chosen)]


class Slice(NamedTuple):
    """A trainable slice of the kernel of a layer, or its adapter, in one call of the network.

    Attributes
    ----------
    layer : keras.Layer
        The layer.
    product : SlicedProduct, ScaledProduct or LowRankProduct
        Its product.
    trained : tensor
        The trainable parameters, in compact shape.
    index : tensor or None
        Their positions, where they are not the first ones.
    frozen : tensor or None, default=None
        The kernel before the slice is written into it, where the product is computed in parts, or
        before it is scaled or the factors are added.
    vectorized : bool, default=False
        Whether the call is that of several members with the same frozen kernel.
    """

    layer: keras.Layer
    product: SlicedProduct | ScaledProduct | LowRankProduct
    trained: Any
    index: Any
    frozen: Any = None
    vectorized: bool = False

    def compute(self, x: Any, kernel: Any) -> Any:
        """Compute the product of an input and the assembled kernel."""
        kernel = ops.convert_to_tensor(kernel)
        if self.frozen is None:
            assert isinstance(self.product, SlicedProduct)  # adapters have a frozen kernel
            return self.product(x, kernel, self.trained, self.index)
        # The layer casts its kernel under mixed precision.
        frozen = ops.cast(self.frozen, kernel.dtype)
        if isinstance(self.product, ScaledProduct):
            return self.product.in_parts(x, frozen, self.trained, None, self.vectorized)
        return self.product.in_parts(x, frozen, self.trained, self.index)


@contextmanager
def sliced(slices: Iterable[Slice]) -> Iterator[None]:
    """Compute only the gradients of trainable slices in the calls of a block.

    As in `isolation.inference_mode`, attributes of the instances are replaced for the duration of
    the block; the network is unchanged after it.

    Parameters
    ----------
    slices : iterable of Slice
        The slices.

    Yields
    ------
    None
        Until the block ends.
    """
    saved = []
    try:
        for each in slices:
            name, make = _HOOKS[each.product.kind]
            saved.append((each.layer, name, each.layer.__dict__.get(name)))
            each.layer.__dict__[name] = make(each)
        yield
    finally:
        for layer, name, own in reversed(saved):
            del layer.__dict__[name]
            if own is not None:
                layer.__dict__[name] = own


def sliced_products(
    survey: Survey, computed: Mapping[str, forms.Form]
) -> dict[str, tuple[keras.Layer, SlicedProduct | ScaledProduct | LowRankProduct]]:
    """Find the kernels of which a slice is trainable that is cheaper than the whole, or an adapter.

    Parameters
    ----------
    survey : Survey
        Survey of the network.
    computed : mapping of str to Form
        The form of each weight.

    Returns
    -------
    dict of str to (Layer, SlicedProduct, ScaledProduct or LowRankProduct)
        By path of the kernel.
    """
    owners = {}
    for layer in survey.layers.values():
        if (kind := _kind(layer)) is not None:
            owners[id(_kernel(layer, kind))] = layer
    found = {}
    for path, form in computed.items():
        variable = survey.trainable[path]
        layer = owners.get(id(variable))
        if layer is not None and isinstance(form, forms.Scales | forms.LowRank):
            make: Callable[..., Any] = _scaled if isinstance(form, forms.Scales) else _low_rank
            if (adapted := make(layer, form)) is not None:
                found[path] = (layer, adapted)
            continue
        if layer is None or not isinstance(form, forms.Leading | forms.Indices):
            continue
        share = forms.size(form, variable.shape) / max(1, int(np.prod(variable.shape)))
        product = _product(layer, form)
        if product is not None and is_cheaper(product, share):
            found[path] = (layer, product)
    return found


def is_cheaper(product: SlicedProduct, share: float) -> bool:
    """Return whether the gradient of a slice costs no more than that of its whole kernel.

    Parameters
    ----------
    product : SlicedProduct
        The product with the slice.
    share : float
        Share of the kernel that is trainable.

    Returns
    -------
    bool
        By shares that were measured on each backend.
    """
    if product.kind is kl.DepthwiseConv2D:
        # On TensorFlow the copies of the channels cost as much as is saved.
        return share <= _LARGEST_DEPTHWISE_SHARE.get(keras.config.backend(), 0)
    return share <= _LARGEST_SHARE


def _added_at(y: Any, change: Any, index: Any, axis: int) -> Any:
    """Add channels to those of a tensor at some positions."""
    rows = ops.moveaxis(vectorized_as(y, change), axis, 0)
    # Positions are distinct, so that the sum of the selected channels is that of one each.
    chosen = ops.add(ops.take(rows, index, axis=0), ops.moveaxis(change, axis, 0))
    return ops.moveaxis(ops.scatter_update(rows, ops.expand_dims(index, -1), chosen), 0, axis)


def _kind(layer: Any) -> type | None:
    """Return the Keras class whose computation a layer has, where it has a product to replace."""
    if getattr(layer, "lora_enabled", False) or getattr(layer, "quantization_mode", None):
        return None
    if "call" in layer.__dict__ or "convolution_op" in layer.__dict__:
        return None
    # A subclass may compute another kernel there, as weight standardization does.
    operation = getattr(type(layer), "convolution_op", None)
    if operation not in (None, kl.Conv2D.convolution_op):
        return None
    return next((kind for kind in _HOOKS if type(layer).call is kind.call), None)


def _kernel(layer: Any, kind: type) -> keras.Variable:
    """Return the kernel of a layer, without an adapter."""
    return layer.kernel if kind is kl.DepthwiseConv2D else layer._kernel


def _product(layer: Any, form: forms.Leading | forms.Indices) -> SlicedProduct | None:
    kind = _kind(layer)
    assert kind is not None
    rank = len(_kernel(layer, kind).shape)
    if kind is kl.Dense:
        axes = (-1, None) if form.axis == 0 else (None, -1)
        return SlicedProduct(kind, ops.matmul, form, *axes, _matrix_gradient)
    if kind is kl.EinsumDense:
        axes = _einsum_axes(layer.equation, form.axis)
        compute = partial(ops.einsum, layer.equation)
        return axes and SlicedProduct(kind, compute, form, *axes, partial(kernel_gradient, compute))
    channels = -1 if layer.data_format == "channels_last" else 1
    if kind is kl.DepthwiseConv2D:
        if layer.depth_multiplier != 1 or form.axis != rank - 2:
            return None
        compute = partial(ops.depthwise_conv, **_settings(layer))
        differentiate = partial(kernel_gradient, compute)
        return SlicedProduct(kind, compute, form, channels, channels, differentiate)
    if layer.groups != 1 or form.axis < rank - 2:
        return None
    axes = (channels, None) if form.axis == rank - 2 else (None, channels)
    convolution = Convolution.of(layer)
    return SlicedProduct(kind, convolution, form, *axes, convolution.kernel_gradient)


def _settings(layer: Any) -> dict[str, Any]:
    """Return the arguments of Keras's operation for a depthwise convolution."""
    return {
        "strides": layer.strides,
        "padding": layer.padding,
        "dilation_rate": layer.dilation_rate,
        "data_format": layer.data_format,
    }


def _matrix_gradient(x: Any, kernel: Any, upstream: Any) -> Any:
    """Return the gradient of ``x @ kernel`` with respect to the kernel."""
    x, upstream = (ops.reshape(t, (-1, t.shape[-1])) for t in (x, upstream))
    return ops.matmul(ops.transpose(x), upstream)


def _scaled(layer: Any, form: forms.Scales) -> ScaledProduct | None:
    kind = _kind(layer)
    assert kind is not None
    shape = tuple(_kernel(layer, kind).shape)
    if kind is kl.Dense:
        return ScaledProduct(kind, ops.matmul, form, shape, (-1,), (-1,))
    if kind is kl.EinsumDense:
        aligned = einsum_shapes(layer.equation, form, shape)
        compute = partial(ops.einsum, layer.equation)
        return aligned and ScaledProduct(kind, compute, form, shape, *aligned)
    if kind is kl.DepthwiseConv2D or layer.groups != 1:
        return None
    last = layer.data_format == "channels_last"
    channels = (-1,) if last else (-1, *[1] * (len(shape) - 2))
    return ScaledProduct(kind, Convolution.of(layer), form, shape, channels, channels)


def _low_rank(layer: Any, form: forms.LowRank) -> LowRankProduct | None:
    kind = _kind(layer)
    assert kind is not None
    shape = tuple(_kernel(layer, kind).shape)
    if kind is kl.Dense:
        return LowRankProduct(kind, ops.matmul, ops.matmul, ops.matmul, form, shape)
    if kind is kl.EinsumDense:
        equations = factor_equations(layer.equation, form)
        if equations is None:
            return None
        whole, first, second = (partial(ops.einsum, e) for e in (layer.equation, *equations))
        return LowRankProduct(kind, whole, first, second, form, shape)
    if kind is kl.DepthwiseConv2D or layer.groups != 1:
        return None
    convolve = Convolution.of(layer)
    second = times_channels(layer.data_format)
    return LowRankProduct(kind, convolve, convolve, second, form, shape)


def _einsum_axes(equation: str, axis: int) -> tuple[int | None, int | None] | None:
    """Return the axes of input and output with the letter of an axis of the kernel.

    They are counted from the end where an ellipsis stands at the beginning.
    """
    inputs, kernel, outputs = equation.replace("->", ",").replace(" ", "").split(",")
    letter = kernel[axis]

    def place(term: str) -> int | None:
        if letter not in term:
            return None
        position = term.index(letter)
        return position - len(term) if term.startswith("...") else position

    places = place(inputs), place(outputs)
    # A letter in both is not a slice of one product: each position has a separate product.
    return places if None in places else None


def _dense_call(of: Slice) -> Callable:
    layer: Any = of.layer

    def call(inputs: Any, training: bool | None = None) -> Any:
        x = of.compute(inputs, layer.kernel)
        if layer.bias is not None:
            x = ops.add(x, layer.bias)
        return x if layer.activation is None else layer.activation(x)

    return call


def _conv1d_call(of: Slice) -> Callable:
    layer: Any = of.layer

    def call(inputs: Any) -> Any:
        if layer.padding == "causal":
            inputs = ops.pad(inputs, layer._compute_causal_padding())
        x = of.compute(inputs, layer.kernel)
        if layer.use_bias:
            last = layer.data_format == "channels_last"
            x = ops.add(x, ops.reshape(layer.bias, (1, 1, -1) if last else (1, -1, 1)))
        return x if layer.activation is None else layer.activation(x)

    return call


def _depthwise_call(of: Slice) -> Callable:
    layer: Any = of.layer

    def call(inputs: Any) -> Any:
        x = of.compute(inputs, layer.kernel)
        if layer.use_bias:
            last = layer.data_format == "channels_last"
            ones = (1,) * layer.rank
            x = ops.add(x, ops.reshape(layer.bias, (1, *ones, -1) if last else (1, -1, *ones)))
        return x if layer.activation is None else layer.activation(x)

    return call


def _convolution(of: Slice) -> Callable:
    def convolution_op(inputs: Any, kernel: Any) -> Any:
        return of.compute(inputs, kernel)

    return convolution_op


# Method that is replaced, by the class whose `call` the layer has.
_HOOKS: dict[type, tuple[str, Callable]] = {
    kl.Dense: ("call", _dense_call),
    kl.EinsumDense: ("call", _dense_call),
    kl.Conv1D: ("call", _conv1d_call),
    kl.Conv2D: ("convolution_op", _convolution),  # and Conv3D, which has the same `call`
    kl.DepthwiseConv2D: ("call", _depthwise_call),  # and DepthwiseConv1D
}
