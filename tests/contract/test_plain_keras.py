"""With everything trained a partial model trains as the plain one; our loop as Keras's own."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from contract_networks import (
    BATCH,
    STEPS,
    array,
    batches,
    build,
    data,
    keras_fit,
    loss,
    run,
)  # fmt: skip

from frozenfit import PartialModel
from frozenfit.layout import Survey
from frozenfit.training.backends import Trainer
from frozenfit.training.objective import Objective

PLAIN = ["dense", "conv_norm", "nested", "lstm", "attention"]


def adam():
    return keras.optimizers.Adam(0.01)


def momentum():
    # Adam would blow up the rounding of gradients that are zero, as of a bias before a softmax.
    return keras.optimizers.SGD(0.01, momentum=0.9)


def expect_equal(model: PartialModel, plain: keras.Model, atol: float) -> None:
    # By order, for a clone of a nested model has other paths.
    survey = Survey(plain)
    expected = [*survey.trainable.values(), *survey.states.values()]
    for (path, value), variable in zip(model.assembled(), expected, strict=True):
        np.testing.assert_allclose(value, array(variable), atol=atol, err_msg=path)


@pytest.mark.parametrize("kind", PLAIN)
def test_everything_trained_by_our_loop_equals_plain_keras(kind):
    model = PartialModel(build(kind), "everything()")
    plain = model.to_keras()
    run(model, momentum(), kind)
    keras_fit(plain, momentum(), kind)
    expect_equal(model, plain, 2e-5)


@pytest.mark.parametrize("kind", ["conv_norm", "nested"])
def test_everything_trained_by_keras_fit_equals_plain_keras(kind):
    model = PartialModel(build(kind), "everything()")
    plain = model.to_keras()
    histories = []
    for network in (model, plain):
        network.compile(adam(), loss(), metrics=["accuracy"])
        x, y = batches(kind)
        fitted = network.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, epochs=2)
        histories.append(fitted.history)
    expect_equal(model, plain, 2e-5)
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose(histories[0][name], histories[1][name], atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "trainable"),
    [
        ("conv_norm", "filters(0.5) | head()"),
        ("nested", "random(0.3, seed=1)"),
        ("gru", "filters(0.5) | head()"),
        ("subclassed", "random(0.3, seed=1)"),
    ],
)
def test_our_loop_and_keras_fit_agree_if_a_part_is_trained(kind, trainable):
    base = build(kind)
    ours, theirs = (PartialModel(base, trainable) for _ in range(2))
    run(ours, adam(), kind)
    keras_fit(theirs, adam(), kind)
    for (path, a), (_, b) in zip(ours.assembled(), theirs.assembled(), strict=True):
        # The gradient of a bias before batch norm is zero but for rounding, which Adam enlarges.
        np.testing.assert_allclose(a, b, atol=2e-4, err_msg=path)


def test_regularizers_of_the_base_are_part_of_the_loss():
    base = build("conv_norm")
    model = PartialModel(base, "head()", freeze_statistics=False)
    model.compile("sgd", loss(), run_eagerly=True)
    plain = model.to_keras()
    plain.compile("sgd", loss(), run_eagerly=True)
    x, y = batches("conv_norm")
    ours, theirs = (m.evaluate(x, y, verbose=0, batch_size=BATCH) for m in (model, plain))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_a_row_of_weight_zero_takes_no_part():
    results = []
    for junk in (0.0, 7.0):
        model = PartialModel(build("dense"), "head()")
        x, y, weight = data("dense")
        x[:, -2:], weight[:, -2:] = junk, 0
        trainer = Trainer(model, adam(), Objective("classification"))
        totals, _ = trainer.run(x, y, weight, np.full(STEPS, 0.01, "float32"))
        assert totals.weight == (BATCH - 2) * STEPS
        results.append(dict(model.assembled())["out/kernel"])
    np.testing.assert_array_equal(*results)


def test_the_rate_of_each_step_is_the_one_given():
    model = PartialModel(build("dense"), "head()")
    x, y, weight = data("dense")
    trainer = Trainer(model, keras.optimizers.SGD(1.0), Objective("classification"))
    before = dict(model.assembled())["out/kernel"]
    trainer.run(x, y, weight, np.zeros(STEPS, "float32"))
    np.testing.assert_array_equal(before, dict(model.assembled())["out/kernel"])
    gradient = trainer.gradients(x[0], y[0], weight[0])[0]
    trainer.run(x[:1], y[:1], weight[:1], np.full(1, 0.25, "float32"))
    after = dict(model.assembled())["out/kernel"]
    np.testing.assert_allclose(before - after, 0.25 * gradient, atol=1e-6)


def test_resetting_the_trainer_repeats_the_training():
    model = PartialModel(build("nested"), "random(0.3, seed=1)")
    start = model.delta()
    trainer = run(model, adam(), "nested")
    first = model.delta()
    model.load_delta(start)
    trainer.reset()
    x, y, weight = data("nested")
    trainer.run(x, y, weight, np.full(STEPS, 0.01, "float32"))
    for path, value in model.delta().trained.items():
        np.testing.assert_array_equal(value, first.trained[path])
