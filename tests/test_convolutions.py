"""Gradients of the kernels of convolutions equal sums over all positions."""

import itertools

import numpy as np
import pytest
from keras import ops

from frozenfit.convolutions import Convolution


def by_sums(convolution, x, kernel_shape, upstream):
    """Return the gradient position by position, for channels that come last."""
    sizes, rates = kernel_shape[:-2], convolution.dilation_rate
    pads = [(0, 0)] * len(sizes)
    if convolution.padding == "same":
        needed = [
            max(0, (out - 1) * stride + rate * (size - 1) + 1 - length)
            for out, stride, rate, size, length in zip(
                upstream.shape[1:], convolution.strides, rates, sizes, x.shape[1:], strict=False
            )
        ]
        pads = [(total // 2, total - total // 2) for total in needed]
    x = np.pad(x, [(0, 0), *pads, (0, 0)])
    gradient = np.zeros(kernel_shape)
    for position in itertools.product(*map(range, sizes)):
        seen = tuple(
            slice(i * rate, i * rate + (out - 1) * stride + 1, stride)
            for i, rate, out, stride in zip(
                position, rates, upstream.shape[1:], convolution.strides, strict=False
            )
        )
        gradient[position] = np.tensordot(x[:, *seen], upstream, [range(len(sizes) + 1)] * 2)
    return gradient


@pytest.mark.parametrize("outputs", [1, 5], ids="{} outputs".format)
@pytest.mark.parametrize("rate", [1, 2], ids="rate {}".format)
@pytest.mark.parametrize("stride", [1, 2], ids="stride {}".format)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("sizes", [(3,), (4,), (3, 3), (1, 1), (2, 5), (2, 3, 1)], ids=str)
def test_gradients_are_sums_over_positions(sizes, padding, stride, rate, outputs):
    if stride > 1 and rate > 1:
        pytest.skip("Keras has no convolution with both.")
    rank = len(sizes)
    convolution = Convolution((stride,) * rank, (rate,) * rank, padding, "channels_last")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *(9, 10, 8)[:rank], 3)).astype("float32")
    kernel = ops.zeros((*sizes, 3, outputs))
    upstream = rng.normal(size=convolution(ops.convert_to_tensor(x), kernel).shape)
    upstream = upstream.astype("float32")
    found = convolution.kernel_gradient(ops.array(x), kernel, ops.array(upstream))
    expected = by_sums(convolution, x, tuple(kernel.shape), upstream)
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-4, atol=1e-4)
