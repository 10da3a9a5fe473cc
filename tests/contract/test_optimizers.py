"""No optimizer, decay, clipping or constraint of Keras moves a frozen entry; slots stay small."""

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
    masks,
    run,
    same_bits,
    values,
)  # fmt: skip
from keras import constraints
from keras import layers as kl

from frozenfit import PartialModel
from frozenfit.isolation import isolated

MASKED = "random(0.4, seed=2) | head()"
o = keras.optimizers
OPTIMIZERS = {
    "adam": lambda: o.Adam(0.01, weight_decay=0.1, clipnorm=0.5),
    "adamw": lambda: o.AdamW(0.01, weight_decay=0.1, global_clipnorm=0.5, amsgrad=True),
    "sgd": lambda: o.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=0.1, clipvalue=0.1),
    "rmsprop": lambda: o.RMSprop(0.01, momentum=0.5, centered=True, weight_decay=0.1),
    "adagrad": lambda: o.Adagrad(0.01, weight_decay=0.1),
    "adadelta": lambda: o.Adadelta(0.01, weight_decay=0.1),
    "adamax": lambda: o.Adamax(0.01, weight_decay=0.1),
    "nadam": lambda: o.Nadam(0.01, weight_decay=0.1),
    "ftrl": lambda: o.Ftrl(0.01, weight_decay=0.1),
    "lion": lambda: o.Lion(0.01, weight_decay=0.1),
    "lamb": lambda: o.Lamb(0.01, weight_decay=0.1),
    "adafactor": lambda: o.Adafactor(0.01, weight_decay=0.1),
    "muon": lambda: o.Muon(0.01, weight_decay=0.1),
    "averaged": lambda: o.Adam(0.01, use_ema=True, ema_momentum=0.5, weight_decay=0.1),
    "overwritten": lambda: o.SGD(0.01, use_ema=True, ema_overwrite_frequency=2),
    "accumulated": lambda: o.SGD(0.01, momentum=0.5, gradient_accumulation_steps=3),
    "scaled": lambda: o.LossScaleOptimizer(o.SGD(0.01, weight_decay=0.1)),
}
CONSTRAINTS = {
    "maxnorm": lambda: constraints.MaxNorm(0.5),
    "nonneg": constraints.NonNeg,
    "unitnorm": constraints.UnitNorm,
}


def constrained(make):
    with isolated(0):
        return chain(
            (6,),
            kl.Dense(8, "tanh", kernel_constraint=make(), bias_constraint=make(), name="a"),
            kl.Dense(CLASSES, kernel_constraint=make(), name="out"),
        )


def frozen_part(model):
    after = dict(model.assembled())
    return [after[path][~trainable] for path, trainable in masks(model)]


def learned_part(model):
    return [array(v) for v in model.trainable_variables]


@pytest.fixture(scope="module", params=OPTIMIZERS)
def by_both_loops(request):
    """The same training by our loop and by Keras's."""
    make = OPTIMIZERS[request.param]
    ours, theirs = (PartialModel(build("dense"), MASKED) for _ in range(2))
    before = frozen_part(ours), learned_part(ours), values(ours.base)
    trainer = run(ours, make(), "dense")
    keras_fit(theirs, make(), "dense", run_eagerly=True)
    return request.param, ours, theirs, before, trainer


def test_our_loop_changes_trainable_parameters_only(by_both_loops):
    _, ours, _, (frozen, trainable, base), _ = by_both_loops
    assert same_bits(frozen, frozen_part(ours))
    assert same_bits(base, values(ours.base))
    assert all((a != b).any() for a, b in zip(trainable, learned_part(ours), strict=True))


def test_keras_fit_changes_trainable_parameters_only(by_both_loops):
    _, _, theirs, (frozen, trainable, base), _ = by_both_loops
    assert same_bits(frozen, frozen_part(theirs))
    assert same_bits(base, values(theirs.base))
    assert all((a != b).any() for a, b in zip(trainable, learned_part(theirs), strict=True))


def test_both_loops_learn_the_same(by_both_loops):
    _, ours, theirs, _, _ = by_both_loops
    for a, b in zip(learned_part(ours), learned_part(theirs), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_optimizer_state_is_allocated_for_trainable_parameters_only(by_both_loops):
    name, ours, theirs, _, trainer = by_both_loops
    copies = {"adafactor": 2, "muon": 4}.get(name, 5)
    for optimizer in (trainer.optimizer, theirs.optimizer):
        sizes = sum(int(np.prod(v.shape)) for v in optimizer.variables)
        assert sizes <= copies * ours.selection.n_trainable + 60


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_a_constraint_of_the_base_sees_the_whole_weight_and_changes_trainable_parameters_only(name):
    base = constrained(CONSTRAINTS[name])
    ours, theirs = (PartialModel(base, MASKED) for _ in range(2))
    frozen, start = frozen_part(ours), values(base)
    run(ours, keras.optimizers.SGD(0.01), "dense")
    keras_fit(theirs, keras.optimizers.SGD(0.01), "dense")
    for model in (ours, theirs):
        assert same_bits(frozen, frozen_part(model))
    assert same_bits(start, values(base))
    for a, b in zip(learned_part(ours), learned_part(theirs), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_with_everything_trainable_a_constraint_acts_as_in_plain_keras(name):
    base = constrained(CONSTRAINTS[name])
    model = PartialModel(base, "everything()")
    plain = model.to_keras()
    run(model, keras.optimizers.SGD(0.01), "dense")
    keras_fit(plain, keras.optimizers.SGD(0.01), "dense", run_eagerly=True)
    for a, b in zip(learned_part(model), plain.trainable_variables, strict=True):
        np.testing.assert_allclose(a, array(b), atol=1e-6)


def test_a_trained_step_obeys_the_constraint():
    model = PartialModel(constrained(constraints.NonNeg), MASKED)
    trainer = run(model, keras.optimizers.SGD(0.5), "dense", rate=0.5)
    trainable = [array(v) for v in model.trainable_variables if v.constraint is not None]
    assert len(trainable) == 3 and all((v >= 0).all() for v in trainable)
    x, y, weight = data("dense")
    assert np.isfinite(trainer.gradients(x[0], y[0], weight[0])[0]).all()
