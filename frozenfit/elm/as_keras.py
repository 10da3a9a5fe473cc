"""An ELM as a plain Keras model, of Keras's own layers and operations."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from frozenfit.elm import calibration, images
from frozenfit.elm.head import Head
from frozenfit.elm.hidden import Frozen
from frozenfit.isolation import isolated

__all__ = ["build", "features"]

ops: Any = keras.ops


def build(frozen: Frozen, head: Head) -> keras.Model:
    """Build the model.

    Parameters
    ----------
    frozen : Frozen
        The frozen part.
    head : Head
        What was learned.

    Returns
    -------
    keras.Model
        Takes float32 samples of the shape of those fitted on.

    Raises
    ------
    ValueError
        If a scikit-learn transformer comes first.
    """
    with isolated(0):
        inputs, groups = _frozen_part(frozen)
        scores = [
            _dense(group, coef, intercept, name=f"head_{i + 1}")
            for i, (group, coef, intercept) in enumerate(
                zip(groups, head.coefs, head.intercepts, strict=True)
            )
        ]
        total = scores[0] if len(scores) == 1 else ops.mean(ops.stack(scores), axis=0)
        return keras.Model(inputs, _finished(frozen.config, head, total), name="elm")


def features(frozen: Frozen) -> keras.Model:
    """Build a model of the frozen part alone, which gives the features of each ridge."""
    with isolated(0):
        return keras.Model(*_frozen_part(frozen), name="elm_features")


def _frozen_part(frozen: Frozen) -> tuple[Any, list[Any]]:
    inputs = keras.Input(frozen.config.input_shape, dtype="float32")
    x = _scaled(frozen, _flat(_first(frozen, inputs)))
    outputs = _hidden(frozen, x)
    return inputs, _groups(frozen, outputs, x)


def _flat(x: Any) -> Any:
    return x if len(x.shape) == 2 else keras.layers.Flatten()(x)


def _scaled(frozen: Frozen, x: Any) -> Any:
    scaler = frozen.scaler
    x = (x - scaler.mean.astype("f4")) * scaler.factor.astype("f4")
    return x if scaler.clip is None else ops.clip(x, -scaler.clip, scaler.clip)


def _dense(x: Any, kernel: Any, bias: Any, name: str, frozen: bool = False) -> Any:
    layer = keras.layers.Dense(kernel.shape[1], name=name, trainable=not frozen)
    out = layer(x)
    layer.set_weights([np.asarray(kernel, "f4"), np.asarray(bias, "f4")])
    return out


def _first(frozen: Frozen, x: Any) -> Any:
    stage = frozen.stage
    if stage is None:
        return x
    if isinstance(stage, keras.Model):
        return stage(x, training=False)
    if isinstance(stage, images.Patches):
        pixels = ops.reshape(x, (-1, *stage.shape)) / stage.unit
        parts = [_flat(_patches(stage, bank, pixels)) for bank in stage.banks]
        return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=1)
    raise ValueError(
        f"features={type(stage).__name__} is a scikit-learn transformer, which no Keras layer "
        "stands for; put it before the estimator in a Pipeline"
    )


def _patches(stage: images.Patches, bank: images.Bank, x: Any) -> Any:
    p, channels = stage.params, stage.shape[2]
    kernel = bank.kernel.reshape(bank.size, bank.size, channels, -1)
    responses = ops.conv(x, kernel, padding="valid", data_format="channels_last")
    if p.whiten:
        box = np.full((bank.size, bank.size, channels, 1), 1 / kernel[..., 0].size, "f4")
        mean = ops.conv(x, box, padding="valid", data_format="channels_last")
        square = ops.conv(x * x, box, padding="valid", data_format="channels_last")
        spread = ops.maximum(square - mean * mean, 0.0)
        responses = responses / ops.sqrt(spread + images.CONTRAST) - bank.shift
    if p.rectifier == "two-sided":
        sides = [ops.relu(responses - p.threshold), ops.relu(-responses - p.threshold)]
        responses = ops.concatenate(sides, axis=-1)
    else:
        responses = ops.abs(responses) if p.rectifier == "abs" else responses
        if p.threshold or p.rectifier == "relu":
            responses = ops.relu(responses - p.threshold)
    pooled = ops.einsum("ai,bj,nijk->nabk", bank.rows, bank.columns, responses)
    return ops.sqrt(ops.maximum(pooled, 0.0)) if p.root else pooled


def _hidden(frozen: Frozen, x: Any) -> list[Any]:
    outputs: list[Any] = []
    for i, layer in enumerate(frozen.layers):
        if outputs:
            before = frozen.layers[i - 1]
            scaled = (outputs[-1] - before.shift) * before.factor
            inputs = ops.concatenate([scaled, x], axis=1) if frozen.direct else scaled
        else:
            inputs = x
        reached = _dense(inputs, layer.kernel, layer.bias, f"hidden_{i + 1}", frozen=True)
        kind = frozen.config.activation
        square = isinstance(kind, str) and kind == "square"
        outputs.append(ops.square(reached) if square else keras.layers.Activation(kind)(reached))
    return outputs


def _groups(frozen: Frozen, outputs: list[Any], x: Any) -> list[Any]:
    if not outputs:
        return [x]
    extra = [x] if frozen.direct else []
    if frozen.config.readout == "each":
        groups = [[output, *extra] for output in outputs]
    else:
        groups = [[*(outputs if frozen.config.readout == "all" else outputs[-1:]), *extra]]
    return [g[0] if len(g) == 1 else ops.concatenate(g, axis=1) for g in groups]


def _finished(config: Any, head: Head, scores: Any) -> Any:
    if not config.classifies:
        low, high = np.asarray(head.low, "f4"), np.asarray(head.high, "f4")
        return ops.minimum(ops.maximum(scores, low), high)
    if head.gamma == 0:
        return head.beta * scores
    share = ops.log(ops.maximum((1.0 + scores) / 2.0, calibration.FLOOR))
    return head.beta * scores + head.gamma * share
