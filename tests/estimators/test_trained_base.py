"""A fitted estimator as the `model` of another one: its trained network is the base."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from ensembles import cheap_ensemble
from estimator_data import classifier, given_net, regressor, same, table
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score

import frozenfit
from frozenfit import ELMClassifier
from frozenfit.training.base import Base

X, y = table()


@pytest.fixture(params=["mlp", "given"])
def first(request):
    model = "mlp" if request.param == "mlp" else given_net()
    return classifier(model=model, epochs=4).fit(X, y)


def on(model, **params):
    """An estimator that starts from the network of another and hardly moves."""
    return classifier(
        **{"model": model, "model_params": None, "trainable": "head()", "learning_rate": 1e-12}
        | params
    )


def test_training_starts_from_the_trained_network(first):
    second = on(first).fit(X, y)
    np.testing.assert_allclose(second.predict_proba(X), first.predict_proba(X), atol=1e-6)
    assert second.base_.trained and second.base_.fingerprint != first.base_.fingerprint


def test_all_estimators_on_one_share_its_base(first):
    bases = {id(on(first, random_state=seed).fit(X, y).base_) for seed in (1, 2)}
    bases.add(id(on(FrozenEstimator(first)).fit(X, y).base_))
    assert len(bases) == 1


def test_clones_and_folds_keep_it_fitted(first):
    assert clone(on(first)).model is first
    assert cross_val_score(on(first), X, y, cv=2, error_score="raise").shape == (2,)
    ensemble = cheap_ensemble(n_estimators=2, base="frozen", **on(first).get_params(deep=False))
    assert clone(ensemble).fit(X, y).estimators_[0].base_ is first.part_.trained_base


def test_a_grid_needs_a_frozen_estimator(first):
    grid = GridSearchCV(on("mlp"), {"model": [FrozenEstimator(first)]}, cv=2, error_score="raise")
    assert isinstance(grid.fit(X, y).best_estimator_.base_, Base)
    with pytest.raises(ValueError, match="not fitted. Fit it first.*FrozenEstimator"):
        on(clone(first)).fit(X, y)


def test_other_kinds_of_estimators_are_refused():
    with pytest.raises(ValueError, match="or a fitted PartialNetClassifier .* got ELMClassifier"):
        on(ELMClassifier(5).fit(X, y)).fit(X, y)


def test_the_network_of_a_classifier_can_become_that_of_a_regressor():
    first = classifier(epochs=4).fit(X, y)
    second = regressor(model=first, model_params=None, trainable="head()").fit(X, X[:, 0])
    trained = dict(first.model_.assembled())
    for path, value in second.model_.assembled():
        if not path.startswith("head/"):
            np.testing.assert_array_equal(value, trained[path])


def test_a_pickle_contains_both_trained_parts_and_not_the_network():
    wide = {"hidden_layer_sizes": (3000,)}
    first = classifier(model="mlp", model_params=wide, trainable="head()").fit(X, y)
    second = on(first).fit(X, y)
    assert len(pickle.dumps(second)) < 2.5 * len(pickle.dumps(first))
    assert same(pickle.loads(pickle.dumps(second)), second)


def test_a_file_contains_the_trained_network(first, tmp_path):
    second = on(first).fit(X, y)
    with pytest.raises(ValueError, match="include_frozen=True"):
        frozenfit.save(second, tmp_path / "one")
    frozenfit.save(second, tmp_path / "one", include_frozen=True)
    again = frozenfit.load(tmp_path / "one")
    np.testing.assert_array_equal(again.predict_proba(X), second.predict_proba(X))
    assert isinstance(again.model, Base) and again.model.trained
