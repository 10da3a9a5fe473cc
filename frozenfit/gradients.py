"""Gradients that the backends do not derive by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import keras
from keras import ops


def with_gradient(y: Any, trained: Any, saved: tuple, gradient: Callable[..., Any]) -> Any:
    """Return a tensor unchanged, and give another one a gradient of our own.

    Parameters
    ----------
    y : tensor
        The tensor that is returned; its gradient passes through.
    trained : tensor
        The tensor that gets a gradient.
    saved : tuple of tensor
        What the gradient depends on besides.
    gradient : callable
        ``gradient(gradient of y, trained, *saved)`` is the gradient of `trained`.

    Returns
    -------
    tensor
        Equal to `y`.
    """
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        @jax.custom_vjp
        def attach(y, trained, *saved):
            return y

        def backward(residuals, upstream):
            return (upstream, gradient(upstream, *residuals), *[None] * len(saved))

        attach.defvjp(lambda y, *others: (y, others), backward)
        return attach(y, trained, *saved)
    if backend == "tensorflow":
        import tensorflow as tf

        @tf.custom_gradient
        def attach_in_graph(y, trained):
            return tf.identity(y), lambda up: (up, gradient(up, trained, *saved))

        # In eager execution TensorFlow would hand the variable itself to the gradient.
        return attach_in_graph(y, tf.convert_to_tensor(trained))
    return _torch_function().apply(y, trained, gradient, *saved)


@cache
def _torch_function() -> Any:
    import torch

    class Attach(torch.autograd.Function):
        @staticmethod
        def forward(ctx, y, trained, gradient, *saved):
            ctx.gradient = gradient
            ctx.save_for_backward(trained, *saved)
            return y.view_as(y)

        @staticmethod
        def backward(ctx, *upstream):
            own = ctx.gradient(*upstream, *ctx.saved_tensors)
            return (*upstream, own, *[None] * (len(ctx.saved_tensors)))

    return Attach


@contextmanager
def not_saved(x: Any) -> Iterator[None]:
    """Let torch drop the input of a product whose kernel is a constant.

    The gradient of the input does not depend on the input, but torch saves it with every
    convolution. JAX and TensorFlow do not.

    Parameters
    ----------
    x : tensor
        The input.

    Yields
    ------
    None
        Until the product is computed.
    """
    if keras.config.backend() != "torch":
        yield
        return
    import torch

    place = x.untyped_storage().data_ptr()

    def pack(tensor):
        if tensor.untyped_storage().data_ptr() != place:
            return tensor
        return tensor.shape, tensor.stride(), tensor.dtype, tensor.device

    def unpack(saved):
        if isinstance(saved, torch.Tensor):
            return saved
        shape, strides, dtype, device = saved
        return torch.empty_strided(shape, strides, dtype=dtype, device=device)

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        yield


def shared_product(x: Any, kernel: Any) -> Any:
    """Return ``x @ kernel`` in a function that is vectorized over members with a common kernel.

    Parameters
    ----------
    x : tensor of shape (..., n_inputs)
        The input of a member.
    kernel : tensor of shape (n_inputs, n_outputs)
        The kernel of all members.

    Returns
    -------
    tensor of shape (..., n_outputs)
        The product. On JAX its inputs are those of all members in one matrix: the gradient of the
        kernel would else be a sum over two axes, for which XLA copies the transposed factors.
    """
    if keras.config.backend() == "jax":
        return _jax_shared_product()(x, kernel)
    return keras.ops.matmul(x, kernel)


@cache
def _jax_shared_product() -> Any:
    import jax

    product = jax.custom_batching.custom_vmap(jax.numpy.matmul)

    @product.def_vmap
    def of_all(size: int, has_axis: Sequence[bool], x: Any, kernel: Any) -> tuple[Any, bool]:
        assert not has_axis[1]  # the kernel is that of all members
        rows = x.reshape(-1, x.shape[-1])
        return (rows @ kernel).reshape(*x.shape[:-1], -1), True

    return product


def kernel_gradient(compute: Callable, x: Any, kernel: Any, upstream: Any) -> Any:
    """Return the gradient of a product with respect to its kernel.

    The product is linear in the kernel, so that its value is not needed; in compiled functions and
    in recorded steps it is not computed.

    Parameters
    ----------
    compute : callable
        The product of an input and a kernel.
    x, kernel : tensor
        Its arguments.
    upstream : tensor
        Gradient of the product.

    Returns
    -------
    tensor
        Of the shape of `kernel`.
    """
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        (gradient,) = jax.linear_transpose(partial(compute, x), kernel)(upstream)
        return gradient
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(kernel)
            y = compute(x, kernel)
        return tape.gradient(y, kernel, output_gradients=upstream)
    import torch

    with torch.enable_grad():
        kernel = kernel.detach().requires_grad_()
        y = compute(x.detach(), kernel)
    return torch.autograd.grad(y, kernel, upstream)[0]


def torch_convolution(
    x: Any,
    kernel: Any,
    strides: tuple[int, ...],
    pads: Sequence[tuple[int, int]],
    dilation_rate: tuple[int, ...],
) -> Any:
    """Return a convolution on torch.

    Parameters
    ----------
    x : tensor of shape (samples, inputs, ...)
        The input, which may be a view of one whose channels come last.
    kernel : tensor of shape (..., inputs, outputs)
        The kernel in Keras's order.
    strides, dilation_rate : tuple of int
        One number per spatial axis.
    pads : sequence of (int, int)
        Zeros before and after each spatial axis.

    Returns
    -------
    tensor of shape (samples, outputs, ...)
    """
    import torch

    rank = len(strides)
    x, padding = _torch_padding(x, pads)
    kernel = kernel.permute(rank + 1, rank, *range(rank))
    layout = {2: torch.channels_last, 3: torch.channels_last_3d}.get(rank)
    if layout is not None:
        kernel = kernel.contiguous(memory_format=layout)
    convolve = getattr(torch, f"conv{rank}d")
    return convolve(x, kernel, None, list(strides), padding, list(dilation_rate))


def torch_convolution_gradient(
    x: Any,
    kernel: Any,
    upstream: Any,
    strides: tuple[int, ...],
    pads: Sequence[tuple[int, int]],
    dilation_rate: tuple[int, ...],
) -> Any:
    """Return the gradient of a convolution with respect to its kernel on torch.

    It is the operation that automatic differentiation runs, without the convolution before it.

    Parameters
    ----------
    x : tensor of shape (samples, inputs, ...)
        The input.
    kernel : tensor of shape (..., inputs, outputs)
        A tensor of the shape of the kernel in Keras's order.
    upstream : tensor of shape (samples, outputs, ...)
        Gradient of the output.
    strides, dilation_rate : tuple of int
        One number per spatial axis.
    pads : sequence of (int, int)
        Zeros before and after each spatial axis.

    Returns
    -------
    tensor
        Of the shape of `kernel`.
    """
    import torch

    rank, shape = len(strides), kernel.shape
    x, padding = _torch_padding(x, pads)
    # Only the shape of the kernel is read.
    whole = x.new_empty(1).expand(shape[-1], shape[-2], *shape[:-2])
    settings = [list(strides), padding, list(dilation_rate), False, [0] * rank, 1]
    gradients = torch.ops.aten.convolution_backward(
        upstream, x, whole, None, *settings, [False, True, False]
    )
    return gradients[1].permute(*range(2, rank + 2), 1, 0)


def _torch_padding(x: Any, pads: Sequence[tuple[int, int]]) -> tuple[Any, list[int]]:
    """Return the input and its symmetric padding; the input is padded where it has none."""
    import torch

    if all(before == after for before, after in pads):
        return x, [before for before, _ in pads]
    ends = [end for before_after in reversed(pads) for end in before_after]
    return torch.nn.functional.pad(x, ends), [0] * len(pads)


def smallest_of_largest(values: Any, count: int) -> Any:
    """Return the smallest one of the largest values of a vector, in less time than sorting takes.

    Parameters
    ----------
    values : tensor of shape (n,)
        The values.
    count : int
        How many of them are the largest, from 1 to n.

    Returns
    -------
    tensor
        A scalar that is equal to one of the values.
    """
    if keras.config.backend() == "torch":
        import torch

        return torch.kthvalue(values, len(values) - count + 1).values
    if keras.backend.standardize_dtype(values.dtype) != "float32":
        return ops.sort(values)[values.shape[0] - count]
    keys = _keys(values)

    def with_bit(step: Any, found: Any) -> Any:
        # From the sign downwards, the largest key that `count` keys reach.
        other = ops.bitwise_xor(found, ops.left_shift(ops.cast(1, "int32"), 31 - step))
        reached: Any = ops.sum(ops.cast(keys >= other, "int32"))
        return ops.where(reached >= count, other, found)

    least = ops.convert_to_tensor(-(2**31), dtype="int32")
    return _values(ops.fori_loop(0, 32, with_bit, least))


def _keys(values: Any) -> Any:
    """Return integers in the order of numbers of float32."""
    bits = _bitcast(values, "int32")
    return ops.where(bits < 0, ops.bitwise_xor(bits, 0x7FFFFFFF), bits)


def _values(keys: Any) -> Any:
    """Return the numbers of keys."""
    return _bitcast(ops.where(keys < 0, ops.bitwise_xor(keys, 0x7FFFFFFF), keys), "float32")


def _bitcast(tensor: Any, dtype: str) -> Any:
    if keras.config.backend() == "jax":
        import jax

        return jax.lax.bitcast_convert_type(tensor, dtype)
    import tensorflow as tf

    return tf.bitcast(tensor, dtype)


def is_vectorized(tensor: Any) -> bool:
    """Return whether a tensor has a hidden axis of `keras.ops.vectorized_map`, on torch.

    Parameters
    ----------
    tensor : tensor
        A tensor.

    Returns
    -------
    bool
        False on other backends, whose functions do not write in place.
    """
    if keras.config.backend() != "torch":
        return False
    from torch._C import _functorch  # pyright: ignore

    return _functorch.is_batchedtensor(tensor)
