"""Batch statistics are the delta's, frozen by a switch, and exact under every precision policy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from contract_networks import (
    CLASSES,
    array,
    build,
    chain,
    data,
    keras_fit,
    run,
    same_bits,
    values,
)  # fmt: skip
from keras import layers as kl

from frozenfit import PartialModel
from frozenfit.isolation import isolated
from frozenfit.training.objective import Objective


def sgd():
    return keras.optimizers.SGD(0.01)


def moved(model: PartialModel, start) -> set[str]:
    """Paths of the statistics that differ from a delta taken before."""
    states = model.delta().states
    return {path.split("/")[0] for path in states if (states[path] != start.states[path]).any()}


@pytest.mark.parametrize(
    ("setting", "trainable", "expected"),
    [
        (False, "head()", {"block1_norm", "block2_norm"}),
        (True, "head()", set()),
        ("auto", "head()", set()),
        (True, "batch_norm()", {"block1_norm", "block2_norm"}),
        ("auto", "layers('block1_conv/*')", {"block1_norm", "block2_norm"}),
        (True, "layers('block1_conv/*')", set()),
        ("auto", "layers('block2_conv/*')", {"block2_norm"}),
        ("auto", "layers('block1_norm/*')", {"block1_norm", "block2_norm"}),
    ],
)
@pytest.mark.parametrize("loop", ["ours", "keras"])
def test_which_statistics_move(setting, trainable, expected, loop):
    model = PartialModel(build("conv_norm"), trainable, freeze_statistics=setting)
    start = model.delta()
    if loop == "ours":
        run(model, sgd(), "conv_norm")
    else:
        keras_fit(model, sgd(), "conv_norm", run_eagerly=True)
    assert moved(model, start) == expected
    assert {p.split("/")[0] for p in model.stored_statistics} == {
        "block1_norm",
        "block2_norm",
    } - expected


def test_auto_updates_statistics_if_the_frozen_values_are_not_pretrained():
    model = PartialModel(build("conv_norm"), "head()", frozen="random", seed=1)
    assert model.stored_statistics == ()


def test_stored_statistics_make_training_outputs_those_of_inference():
    model = PartialModel(build("conv_norm"), "head()", freeze_statistics=True)
    x, _, _ = data("conv_norm")
    np.testing.assert_allclose(
        array(model(x[0], training=True)), array(model(x[0], training=False)), atol=1e-6
    )


def test_statistics_go_to_the_delta_and_not_to_the_base():
    base = build("conv_norm")
    before = values(base)
    model = PartialModel(base, "head()", freeze_statistics=False)
    start = model.delta()
    run(model, sgd(), "conv_norm")
    assert moved(model, start) == {"block1_norm", "block2_norm"}
    assert same_bits(before, values(base))


def test_a_layer_frozen_by_the_user_keeps_its_statistics_outside_the_delta():
    base = build("conv_norm")
    base.get_layer("block1_norm").trainable = False
    model = PartialModel(base, "everything()", freeze_statistics=False)
    assert "block1_norm/gamma" not in model.selection.forms
    start = model.delta()
    run(model, sgd(), "conv_norm")
    assert moved(model, start) == {"block2_norm"}
    assert base.get_layer("block1_norm").trainable is False


def normed(policy):
    with isolated(0):
        return chain(
            (6,),
            kl.Dense(8, name="a", dtype=policy),
            kl.BatchNormalization(momentum=0.5, name="norm", dtype=policy),
            kl.Dense(CLASSES, name="out", dtype=policy),
        )


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("loop", ["ours", "keras"])
def test_mixed_precision_keeps_statistics_and_trained_parameters_in_full_precision(policy, loop):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        exact, mixed = normed("float32"), normed(policy)
        models = [PartialModel(b, "filters(0.5) | head() | batch_norm()") for b in (exact, mixed)]
        for model in models:
            if loop == "ours":
                run(model, sgd(), "dense")
            else:
                keras_fit(model, sgd(), "dense", run_eagerly=True)
        start = PartialModel(mixed, "filters(0.5) | head() | batch_norm()").delta()
    finally:
        keras.config.set_dtype_policy(before)
    full, half = (m.delta() for m in models)
    for path, value in half.states.items():
        assert value.dtype == np.float32
        assert (value != start.states[path]).any()
        np.testing.assert_allclose(value, full.states[path], atol=0.02)
    for path, value in half.trained.items():
        assert value.dtype == np.float32
        if not path.startswith("a/bias"):  # the normalization takes its gradient away
            assert (value != start.trained[path]).any(), path
        np.testing.assert_allclose(value, full.trained[path], atol=0.02)
        # More digits than half precision has: the values were never rounded to it.
    whole = half.trained["out/kernel"]
    assert (whole != whole.astype(np.float16).astype(np.float32)).any()


def test_a_loss_scale_is_used_in_half_precision_and_an_overflow_is_skipped():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = PartialModel(normed("mixed_float16"), "head()")
        trainer = run(model, sgd(), "dense")
        assert isinstance(trainer.optimizer, keras.optimizers.LossScaleOptimizer)
        start, scale = model.delta(), float(array(trainer.optimizer.dynamic_scale))
        x, y, weight = data("dense", steps=1)
        trainer.run(x * 1e6, y, weight, np.full(1, 0.01, "float32"))
    finally:
        keras.config.set_dtype_policy(before)
    for path, value in model.delta().trained.items():
        np.testing.assert_array_equal(value, start.trained[path])
    assert float(array(trainer.optimizer.dynamic_scale)) == scale / 2


def test_in_double_precision_everything_stays_double():
    if keras.config.backend() == "jax":
        pytest.skip("JAX computes in double precision only with jax_enable_x64")
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        model = PartialModel(normed("float64"), "filters(0.5) | head() | batch_norm()")
        x, y, weight = data("dense")
        from frozenfit.training.backends import Trainer

        trainer = Trainer(model, sgd(), Objective("classification"))
        trainer.run(x.astype("float64"), y, weight, np.full(len(x), 0.01, "float32"))
    finally:
        keras.config.set_floatx(before)
        keras.config.set_dtype_policy(before)
    delta = model.delta()
    assert {v.dtype.name for v in (*delta.trained.values(), *delta.states.values())} == {"float64"}
