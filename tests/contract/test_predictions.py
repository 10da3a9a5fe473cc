"""Predictions in batches of fixed sizes: a row has the same outputs in each of them."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from contract_networks import NETWORKS, SHAPES, array, build, same_bits

from frozenfit import PartialModel
from frozenfit.training.backends import Predictor

BACKEND = keras.config.backend()
on_torch = pytest.mark.skipif(BACKEND != "torch", reason="predictions are recorded on torch")
ROWS = 700


def samples(kind: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    size = (ROWS, *SHAPES[kind])
    return (rng.integers(0, 7, size) if kind == "embedding" else rng.normal(size=size)).astype("f4")


def partial(kind: str) -> PartialModel:
    return PartialModel(build(kind), 0.5, frozen="random", seed=5, rebuild=NETWORKS[kind])


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_row_does_not_depend_on_the_number_of_rows(kind):
    X, predict = samples(kind), Predictor(partial(kind))
    few = predict(X[:64])
    for n in (1, 2, 3, 8, 9, 17, 33):
        assert same_bits([predict(X[:n])], [few[:n]]), n
    many = predict(X)
    for n in (64, 65, 129, 257, 511):  # backends multiply tiny matrices by several kernels
        np.testing.assert_allclose(predict(X[:n]), many[:n], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("n_rows", "sizes"),
    [(1, [8]), (8, [8]), (9, [16]), (64, [64]), (65, [128]), (300, [512]), (700, [512, 256])],
    ids=str,
)
def test_few_rows_do_not_pay_for_many(monkeypatch, n_rows, sizes):
    predict, seen = Predictor(partial("conv_norm")), []
    compute = predict._batch_outputs
    monkeypatch.setattr(predict, "_batch_outputs", lambda x: seen.append(len(x)) or compute(x))
    assert len(predict(samples("conv_norm")[:n_rows])) == n_rows
    smallest = 64 if BACKEND == "jax" else 8
    assert seen == [max(size, smallest) for size in sizes]


@pytest.mark.skipif(BACKEND == "jax", reason="JAX has no smaller batches")
def test_a_small_batch_that_changes_bits_is_not_used(monkeypatch):
    predict, X = Predictor(partial("conv_norm")), samples("conv_norm")
    expected, compute = predict(X), predict._compute

    def other_in_its_last_row(x):
        outputs = array(compute(x))
        outputs[-1] += 1e-6 * (len(x) < 64)
        return outputs

    monkeypatch.setattr(predict, "_compute", other_in_its_last_row)
    for n in (1, 8, 20):
        assert same_bits([predict(X[:n])], [expected[:n]])


@pytest.mark.skipif(BACKEND == "jax", reason="JAX has no smaller batches")
def test_rows_with_equal_outputs_show_nothing_about_bits():
    predict, X = Predictor(partial("dense")), samples("dense")
    predict(np.zeros_like(X[:3]))
    assert predict._exact == {}
    predict(X[:3])
    assert list(predict._exact) == [8]


@on_torch
@pytest.mark.parametrize("kind", ["dense", "conv_norm", "nested", "gru", "embedding"])
def test_recorded_predictions_are_those_of_the_network(monkeypatch, kind):
    monkeypatch.setattr("frozenfit.training.backends.torch_recorder.PATIENCE", 2)
    model, X = partial(kind), samples(kind)[:5]
    predict = Predictor(model)
    for _ in range(2):
        before = [array(v) for v in model.variables]
        found = [predict(X) for _ in range(6)]
        assert [shape.proved for shape in predict._recorder._shapes.values()] == [True]
        assert same_bits([array(v) for v in model.variables], before)
        plain = Predictor(model)(X)
        assert all(same_bits([each], [plain]) for each in found)
        # Another fit loads other values into the variables.
        for variable in model.trainable_variables:
            variable.assign(array(variable) + 0.1)
        assert (Predictor(model)(X) != plain).any()


@on_torch
def test_a_network_that_is_not_keras_alone_is_not_recorded():
    assert Predictor(partial("subclassed"))._recorder is None
