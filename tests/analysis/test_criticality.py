"""Layers put back to other values, compared with plain Keras networks."""

from __future__ import annotations

import numpy as np
import pytest
from estimator_data import classifier, images, regressor, small_cnn, table, targets
from sklearn.exceptions import NotFittedError

from frozenfit import CheapEnsembleClassifier, analysis
from frozenfit.layout import Survey
from frozenfit.utils.arrays import to_numpy

DEEP = {"model_params": {"hidden_layer_sizes": (8, 8)}, "trainable": 1.0, "epochs": 20}


def weights(model):
    return {path: to_numpy(value) for path, value in Survey(model).weights.items()}


def keras_score(estimator, X, y, changes):
    """Accuracy of the exported network after some of its weights are replaced."""
    model = estimator.to_keras()
    survey = Survey(model)
    for path, value in changes.items():
        (survey.weights | survey.states)[path].assign(value)
    return float(np.mean(estimator.classes_[np.argmax(model.predict(X, verbose=0), 1)] == y))


@pytest.mark.parametrize("trainable", [1.0, "filters(0.5) | head()"], ids=["all", "half"])
def test_reinitialized_layers_equal_a_keras_network_with_the_initial_values(trainable):
    X, y = table()
    fitted = classifier(**DEEP | {"trainable": trainable}).fit(X, y)
    initial = weights(fitted.base_.to_keras())
    found = analysis.layer_criticality(fitted, X, y)
    assert [row.layer for row in found] == ["dense1", "dense2", "head"]
    assert found.score == fitted.score(X, y)
    for row in found:
        changes = {p: v for p, v in initial.items() if p.startswith(row.layer)}
        assert row.score == keras_score(fitted, X, y, changes)
        assert row.drop == found.score - row.score
    assert max(row.drop for row in found) > 0.1


def test_moving_statistics_are_put_back_with_their_layer():
    X, y = images()
    fitted = classifier(model=small_cnn, trainable=1.0, epochs=3).fit(X, y)
    found = {row.layer: row.score for row in analysis.layer_criticality(fitted, X, y)}
    norm = {"norm/gamma": 1.0, "norm/beta": 0.0}
    norm |= {"norm/moving_mean": 0.0, "norm/moving_variance": 1.0}
    changes = {path: np.full(4, value, "float32") for path, value in norm.items()}
    assert found["norm"] == keras_score(fitted, X, y, changes)


def test_random_frozen_values_are_the_initial_ones():
    X, y = table()
    pretrained = classifier(**DEEP).fit(X, y)
    fitted = classifier(model=pretrained, trainable="head()", frozen="random", epochs=1).fit(X, y)
    rows = analysis.layer_criticality(fitted, X, y)
    assert rows[0].drop == rows[1].drop == 0
    assert [row.part for row in analysis.weight_magnitudes(fitted)] == ["frozen"] * 4 + [
        "trained"
    ] * 2


def test_given_values_and_draws():
    X, y = table()
    fitted = classifier(**DEEP).fit(X, y)
    same = analysis.layer_criticality(fitted, X, y, values=weights(fitted.to_keras()))
    assert all(row.drop == 0 for row in same)
    draws = [
        analysis.layer_criticality(fitted, X, y, how="rerandomize", n_repeats=3, random_state=seed)
        for seed in (0, 0, 1)
    ]
    assert draws[0] == draws[1] != draws[2]
    assert any(row.std > 0 for row in draws[0])


def test_the_estimator_does_not_change_and_a_regressor_is_scored():
    X, y = targets()
    fitted = regressor(**DEEP).fit(X, y)
    before = fitted.predict(X)
    scoring = "neg_root_mean_squared_error"
    found = analysis.layer_criticality(fitted, X, y, scoring=scoring)
    assert found.score < 0 and found[0].drop > 0
    np.testing.assert_array_equal(fitted.predict(X), before)


def test_the_most_critical_layers_as_a_selector():
    X, y = table()
    fitted = classifier(**DEEP).fit(X, y)
    found = analysis.layer_criticality(fitted, X, y)
    first = max(found, key=lambda row: row.drop).layer
    again = classifier(**DEEP | {"trainable": found.most_critical(1)}).fit(X, y)
    trained = {row.path for row in again.parameter_table() if row.trainable}
    assert trained == {f"{first}/kernel", f"{first}/bias"}
    assert list(found.to_frame().index) == [row.layer for row in found]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"how": "reset"}, "`how` must be one of 'reinitialize', 'rerandomize', got 'reset'"),
        ({"n_repeats": 0}, r"`n_repeats` must be an int in \[1, inf\), got 0"),
        ({"how": "rerandomize", "values": {}}, "`values` has no effect"),
        ({"values": {}}, "must have the value of every trainable weight"),
        ({"values": {"head/bias": np.zeros(9)}}, r"of 'head/bias' in `values` must have shape"),
    ],
    ids=["how", "repeats", "both", "missing", "shape"],
)
def test_bad_arguments(change, error):
    X, y = table()
    fitted = classifier().fit(X, y)
    with pytest.raises(ValueError, match=error):
        analysis.layer_criticality(fitted, X, y, **change)
    with pytest.raises(ValueError, match=r"`n` must be an int in \[1, 2\], got 3"):
        analysis.layer_criticality(fitted, X, y).most_critical(3)


@pytest.mark.parametrize("function", ["layer_criticality", "weight_magnitudes"])
def test_other_estimators(function):
    X, y = table()
    arguments = (X, y) if function == "layer_criticality" else ()
    with pytest.raises(TypeError, match=f"`estimator` of `{function}` must be a PartialNet"):
        getattr(analysis, function)(CheapEnsembleClassifier(), *arguments)
    with pytest.raises(NotFittedError):
        getattr(analysis, function)(classifier(), *arguments)


def test_magnitudes_are_those_of_the_exported_network():
    X, y = table()
    fitted = classifier(**DEEP | {"trainable": "filters(0.5)"}).fit(X, y)
    before = weights(fitted.base_.to_keras())["dense2/kernel"]
    after = weights(fitted.to_keras())["dense2/kernel"]
    rows = {(row.path, row.part): row for row in analysis.weight_magnitudes(fitted)}
    trained, frozen = rows["dense2/kernel", "trained"], rows["dense2/kernel", "frozen"]
    assert trained.n == frozen.n == 32
    np.testing.assert_allclose(trained.initial, np.abs(before[:, :4]).mean(), rtol=1e-6)
    np.testing.assert_allclose(trained.final, np.abs(after[:, :4]).mean(), rtol=1e-6)
    np.testing.assert_allclose(trained.variance, after[:, :4].var(), rtol=1e-5)
    moved = np.sqrt(np.mean((after - before)[:, :4] ** 2))
    np.testing.assert_allclose(trained.distance, moved, rtol=1e-5)
    assert moved > 0 and frozen.distance == 0
