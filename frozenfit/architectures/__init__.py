"""Network families: functions ``(input_shape, n_outputs, **params) -> keras.Model`` of logits.

One file per family, plain Keras layers with names given by hand, found by name in a registry.
Users add their own with ``@register("name")``.
"""

from __future__ import annotations

from frozenfit.architectures import (
    alexnet,
    application,
    densenet,
    fixed_head,
    gru_encoder,
    lenet5,
    mlp,
    resnet,
    series_cnn,
    text_cnn,
    vgg19,
    wide_resnet,
)
from frozenfit.architectures.registry import build, find, names, parameters, register

__all__ = ["build", "find", "names", "parameters", "register"]

# Importing a family registers it.
_FAMILIES = (
    *(alexnet, application, densenet, fixed_head, gru_encoder, lenet5, mlp),
    *(resnet, series_cnn, text_cnn, vgg19, wide_resnet),
)
