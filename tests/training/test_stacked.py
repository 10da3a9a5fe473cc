"""A stack of members computes what its members compute one by one."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers as kl

from frozenfit.delta import Delta
from frozenfit.isolation import isolated
from frozenfit.selectors import Context, as_selector
from frozenfit.training.backends import Trainer
from frozenfit.training.base import Base
from frozenfit.training.network import CompiledModel, Network
from frozenfit.training.objective import Objective

COUNT, STEPS, ROWS = 3, 4, 8
SELECTORS = {
    "first units": ["filters(0.25) | head()"] * COUNT,
    "first inputs": ["inputs(0.5) | head()"] * COUNT,
    "scattered": [f"random(0.3, seed={i})" for i in range(COUNT)],
    "other units": [f"disjoint(0.25, {i}, 4, seed=0)" for i in range(COUNT)],
    "everything": ["everything()"] * COUNT,
    "scales": [f"scales(signs={i}) | biases() | batch_norm() | head()" for i in range(COUNT)],
}
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(),
    # The steps of Adam have the same size for gradients that are rounding errors alone.
    "adam": lambda: keras.optimizers.Adam(epsilon=0.001),
}


def network() -> keras.Model:
    inputs = keras.Input((6,))
    x = kl.Dense(8, activation="relu")(inputs)
    # Without a bias, whose gradient before a normalization is rounding errors alone.
    x = kl.BatchNormalization()(kl.Dense(8, use_bias=False, kernel_regularizer="l2")(x))
    return keras.Model(inputs, kl.Dense(3)(kl.ReLU()(x)))


def batches() -> tuple[np.ndarray, ...]:
    """Return batches of each member, of shape (steps, members, rows, ...)."""
    rng = np.random.default_rng(0)
    shape = STEPS, COUNT, ROWS
    x = rng.normal(size=(*shape, 6)).astype("float32")
    weight = rng.uniform(0.5, 2, shape).astype("float32")
    return x, rng.integers(0, 3, shape), weight, np.full(STEPS, 0.02, np.float32)


class Members:
    """Members with different parameters on one network."""

    def __init__(self, kind: str):
        with isolated(0):
            self.base = Base(network(), seed=0)
        self.network = Network(self.base, 2)
        values = self.network.values(self.base)
        context = Context(seed=0, values=values)
        self.selections = [
            as_selector(text).resolve(self.network.layout, context) for text in SELECTORS[kind]
        ]
        self.compiled: CompiledModel = self.network.compiled(self.base, self.selections[0])
        rng = np.random.default_rng(1)
        states = self.network.initial_states(self.base, 0)
        self.deltas = []
        for selection in self.selections:
            delta = self.compiled.weights.initial_delta(selection, values, states)
            moved = {
                path: (value + 0.1 * rng.normal(size=value.shape)).astype(value.dtype)
                for path, value in delta.trained.items()
            }
            self.deltas.append(Delta(moved, states))
        self.own_positions = kind in ("scattered", "other units")

    def load(self, i: int) -> CompiledModel:
        self.compiled.load(self.base, self.selections[i], self.deltas[i])
        return self.compiled

    def stack(self):
        self.load(0)
        stack = self.compiled.stack(COUNT, self.own_positions)
        stack.stack.load(self.selections, self.deltas)
        return stack


def assert_close(mine: Delta, its: Delta) -> None:
    for a, b in ((mine.trained, its.trained), (mine.states, its.states)):
        for path, value in b.items():
            np.testing.assert_allclose(a[path], value, rtol=1e-4, atol=1e-5, err_msg=path)


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
@pytest.mark.parametrize("kind", list(SELECTORS))
def test_steps_and_sums_are_those_of_each_member(kind, optimizer):
    members, objective = Members(kind), Objective("classification")
    x, y, weight, rates = batches()
    make = OPTIMIZERS[optimizer]
    stack = members.stack()
    totals, _ = stack.trainer(make(), objective).run(x, y, weight, rates)
    deltas = stack.stack.deltas()
    for i in range(COUNT):
        alone = members.load(i).trainer(make(), objective)
        sums, _ = alone.run(x[:, i], y[:, i], weight[:, i], rates)
        np.testing.assert_allclose([part[i] for part in totals], sums, rtol=1e-5)
        assert_close(deltas[i], members.compiled.weights.delta())


@pytest.mark.parametrize("kind", list(SELECTORS))
def test_gradients_are_those_of_each_member(kind):
    members, objective = Members(kind), Objective("classification")
    x, y, weight, _ = (array[0] for array in batches())
    together = members.stack().trainer(keras.optimizers.SGD(), objective).gradients(x, y, weight)
    for i in range(COUNT):
        alone = members.load(i).trainer(keras.optimizers.SGD(), objective)
        for ours, its in zip(together, alone.gradients(x[i], y[i], weight[i]), strict=True):
            np.testing.assert_allclose(ours[i], its, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("own_samples", [False, True])
@pytest.mark.parametrize("kind", list(SELECTORS))
def test_outputs_are_those_of_each_member(kind, own_samples):
    members = Members(kind)
    x = np.random.default_rng(2).normal(size=(70, COUNT, 6)).astype("float32")
    given = x if own_samples else x[:, 0]
    outputs = members.stack().predictor(own_samples)(given)
    assert outputs.shape == (70, COUNT, 3)
    for i in range(COUNT):
        its = members.load(i).predictor(x[:, i if own_samples else 0])
        np.testing.assert_allclose(outputs[:, i], its, rtol=1e-4, atol=1e-5)


def test_members_have_rates_of_their_own():
    members, objective = Members("first units"), Objective("classification")
    x, y, weight, rates = batches()
    multiples = np.asarray([1.0, 0.5, 0.0], np.float32)
    stack = members.stack()
    trainer = stack.trainer(OPTIMIZERS["adam"](), objective, own_rates=True)
    every = np.broadcast_to(multiples, (STEPS, len(trainer.variables), COUNT))
    trainer.run(x, y, weight, rates, np.array(every))
    deltas = stack.stack.deltas()
    for i, multiple in enumerate(multiples):
        alone = members.load(i).trainer(OPTIMIZERS["adam"](), objective)
        alone.run(x[:, i], y[:, i], weight[:, i], multiple * rates)
        assert_close(deltas[i], members.compiled.weights.delta())


def test_the_state_of_the_optimizer_can_be_divided_and_joined():
    members, objective = Members("first units"), Objective("classification")
    x, y, weight, rates = batches()
    stack = members.stack()
    trainer = stack.trainer(OPTIMIZERS["adam"](), objective)
    trainer.run(x, y, weight, rates)
    states = trainer.optimizer_states()
    alone = members.load(1).trainer(OPTIMIZERS["adam"](), objective)
    alone.run(x[:, 1], y[:, 1], weight[:, 1], rates)
    for ours, its in zip(states[1], alone.optimizer_state(), strict=True):
        np.testing.assert_allclose(ours, its, rtol=1e-4, atol=1e-6)
    trainer.reset()
    trainer.load_optimizer_states(states)
    for again, before in zip(trainer.optimizer_states(), states, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(again, before, strict=True))


def test_a_joint_stack_adds_the_gradients_of_the_kernels_that_members_scale():
    members, objective = Members("scales"), Objective("classification")
    x, y, weight, _ = (array[0] for array in batches())
    stack = members.load(0).stack(COUNT, False, joint=True)
    values = members.network.values(members.base)
    stack.load(members.selections, members.deltas, values)
    trainer = stack.trainer(keras.optimizers.SGD(), objective)
    paths = [*stack.stack.compact, *stack.stack.shared]
    assert len(stack.stack.shared) == 2
    together = list(zip(paths, trainer.gradients(x, y, weight), strict=True))
    shared = dict(together[len(stack.stack.compact) :])
    # The gradient of a scaled kernel, by the chain rule, is that of a trained kernel times scales.
    whole = Members("everything")
    totals = {path: np.zeros_like(values[path]) for path in shared}
    for i, (selection, delta) in enumerate(zip(members.selections, members.deltas, strict=True)):
        scaled, products = dict(delta.trained), {}
        for path in shared:
            sides = selection[path].factors(delta.trained[path], values[path].shape)
            products[path] = np.multiply(*sides)
            scaled[path] = values[path] * products[path]
        # Weights that all members share as they are.
        scaled |= {path: values[path] for path in whole.deltas[i].trained if path not in scaled}
        whole.deltas[i] = Delta(scaled, delta.states)
        alone: Trainer = whole.load(i).trainer(keras.optimizers.SGD(), objective)
        gradients = alone.gradients(x[i], y[i], weight[i])
        for path, gradient in zip(whole.compiled.weights.compact, gradients, strict=True):
            if path in totals:
                totals[path] += gradient * products[path]
    for path, total in totals.items():
        np.testing.assert_allclose(shared[path], total, rtol=1e-4, atol=1e-6, err_msg=path)
        np.testing.assert_array_equal(stack.stack.shared_values()[path], values[path])
