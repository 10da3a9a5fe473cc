"""Gradients that the backends do not derive by themselves."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import keras


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

        return attach_in_graph(y, trained)
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
    import torch

    return torch._C._functorch.is_batchedtensor(tensor)
