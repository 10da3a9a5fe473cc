"""Which networks and settings members can be trained with in one compiled pass."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers as kl

from frozenfit.selectors import forms
from frozenfit.training.loop import Plan
from frozenfit.training.network import CompiledModel
from frozenfit.training.prefix import is_plain, operations

# Layers that compute products of matrices, or act on each number, row or channel by itself.
_LAYERS = (
    *(kl.InputLayer, kl.Dense, kl.EinsumDense, kl.BatchNormalization, kl.LayerNormalization),
    *(kl.Activation, kl.ReLU, kl.LeakyReLU, kl.PReLU, kl.ELU, kl.Softmax, kl.Identity),
    *(kl.Flatten, kl.Reshape, kl.Rescaling, kl.Normalization),
    *(kl.Add, kl.Subtract, kl.Multiply, kl.Average, kl.Maximum, kl.Minimum, kl.Concatenate),
)
_LAYERS += (
    *(kl.MaxPooling1D, kl.MaxPooling2D, kl.AveragePooling1D, kl.AveragePooling2D),
    *(kl.GlobalMaxPooling1D, kl.GlobalMaxPooling2D),
    *(kl.GlobalAveragePooling1D, kl.GlobalAveragePooling2D, kl.ZeroPadding1D, kl.ZeroPadding2D),
)
# A kernel that all members share makes one convolution of the samples of all. With a kernel for
# each member it is slower than one convolution after the other.
_CONVOLUTIONS = (kl.Conv1D, kl.Conv2D)
# Optimizers that treat every number by itself.
_OPTIMIZERS = ("SGD", "Adam", "AdamW", "Adamax", "Nadam", "RMSprop", "Adagrad", "Adadelta", "Lion")


def unsuitable_settings(plan: Plan) -> str | None:
    """Return what prevents that members with these settings are trained together.

    Parameters
    ----------
    plan : Plan
        Settings of the run of one member.

    Returns
    -------
    str or None
        What is required and what was received, as a part of a sentence; None where nothing is.
    """
    if plan.checkpoint is not None:
        return "no checkpoint, got one"
    if plan.callbacks.copies:
        return "no callbacks, which follow one member"
    if plan.freeze_schedule is not None:
        return f"freeze_schedule=None, got {plan.freeze_schedule!r}"
    if plan.augment is not None:
        return "augment=None, got an augmentation"
    if plan.metrics:
        return "metrics=None, got metrics"
    optimizer: Any = plan.optimizer()
    name = type(optimizer).__name__
    if name not in _OPTIMIZERS or not type(optimizer).__module__.startswith("keras."):
        return f"an optimizer that treats every number by itself, got {name}"
    clips = optimizer.clipnorm or optimizer.global_clipnorm
    if clips or optimizer.use_ema or optimizer.gradient_accumulation_steps:
        return (
            "an optimizer without clipping by norm, averaged weights and collected gradients, got "
            f"{name} with one of them"
        )
    return None


def is_cheaper(compiled: CompiledModel) -> bool:
    """Return whether members of a suitable network cost less together than one after the other.

    Parameters
    ----------
    compiled : CompiledModel
        The model of one member.

    Returns
    -------
    bool
        False for convolutions on JAX and torch. Eight members of a ResNet-8 with frozen kernels
        took 1.2 times as long together there, and 0.9 times on TensorFlow.
    """
    if keras.config.backend() == "tensorflow":
        return True
    return not any(isinstance(part, _CONVOLUTIONS) for part in operations(compiled.network.model))


def depends_on_past_rates(optimizer: keras.optimizers.Optimizer) -> bool:
    """Return whether the state of an optimizer contains learning rates.

    A fraction of its step is then not a step at this fraction of the rate.

    Parameters
    ----------
    optimizer : keras.optimizers.Optimizer
        One of those that are suitable.

    Returns
    -------
    bool
        True with momentum as in SGD.
    """
    return bool(getattr(optimizer, "momentum", 0))


def unsuitable_network(compiled: CompiledModel, joint: bool = False) -> str | None:
    """Return what prevents that members of a model are trained together.

    Parameters
    ----------
    compiled : CompiledModel
        The model of one member.
    joint : bool, default=False
        Whether the kernels that members share are trained with them.

    Returns
    -------
    str or None
        What is required and what was received, as a part of a sentence; None where nothing is.
    """
    network = compiled.network
    for part in operations(network.model):
        if not is_plain(part) or type(part) not in (*_LAYERS, *_CONVOLUTIONS):
            return (
                "a network of dense layers, convolutions, normalizations, pooling, activations and "
                f"merging layers, got {part.name!r}, a layer of class {type(part).__name__}"
            )
        if isinstance(part, _CONVOLUTIONS) and not _shares_kernel(compiled, part):
            return (
                "convolutions whose kernel all members share, as with members='adapters', got "
                f"{part.name!r} with a kernel for each member"
            )
    for path, variable in network.survey.trainable.items():
        if variable.constraint is not None and (joint or path in compiled.weights.compact):
            return f"weights without a constraint, got one of {path!r}"
    if compiled.weights.projections.variables:
        return "members outside a subspace, got `subspace`"
    if any(isinstance(form, forms.Supermask) for form in compiled.weights.computed.values()):
        return "members without masks, got `supermask`"
    if compiled.model.compute_dtype == "float16":
        return "a dtype policy without loss scaling, got float16"
    if keras.distribution.distribution() is not None:
        return "no keras.distribution, got one"
    return None


def _shares_kernel(compiled: CompiledModel, layer: Any) -> bool:
    """Return whether members train at most the scales of the kernel of a convolution."""
    weights = compiled.weights
    for path, variable in weights.survey.trainable.items():
        if variable is layer._kernel:
            form = weights.computed[path]
            scaled = isinstance(form, forms.Scales) and path in weights.products
            return scaled or isinstance(form, forms.Nothing)
    return True
