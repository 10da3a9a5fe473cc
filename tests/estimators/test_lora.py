"""Estimators that train low-rank factors of frozen kernels."""

from __future__ import annotations

import copy

import keras
import numpy as np
import pytest
from copies import assert_copies_predict_the_same
from keras import layers as kl
from sklearn.datasets import load_iris

import frozenfit
from frozenfit import CheapEnsembleClassifier, PartialNetClassifier
from frozenfit.analysis.fitted import initial_values
from frozenfit.search import FreezeSearchCV

X, Y = load_iris(return_X_y=True)
X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype("float32")
LAYERS = {"hidden_layer_sizes": (16, 16)}
PART = "lora(1, alpha=2.0) | head()"


def made(trainable=PART, **settings):
    settings = {"epochs": 15, "learning_rate": 0.02, "random_state": 0} | settings
    return PartialNetClassifier("mlp", model_params=LAYERS, trainable=trainable, **settings)


@pytest.fixture(scope="module")
def fitted():
    return made().fit(X, Y)


def test_factors_are_counted_and_trained(fitted):
    assert fitted.score(X, Y) > 0.85
    rows = {row.path: row for row in fitted.parameter_table()}
    assert rows["dense1/kernel"][2:4] == ("factors of rank 1", 4 + 16)
    trained, values = fitted.part_.delta.trained, dict(fitted.model_.assembled())
    for path, n in (("dense1/kernel", 4), ("dense2/kernel", 16)):
        a, b = np.split(trained[path], [n])
        expected = initial_values(fitted.part_)[path] + 2 * np.outer(a, b)
        np.testing.assert_allclose(values[path], expected, rtol=1e-5, atol=1e-6)
        assert np.abs(b).max() > 0.01


def test_copies_files_and_exports_predict_the_same(fitted, tmp_path):
    assert_copies_predict_the_same(fitted, X, Y, tmp_path)


def test_a_file_has_the_factors_of_a_selector_that_depends_on_the_data(tmp_path):
    model = made("lora(1) & layers('dense2') | fisher(5, within=biases())", epochs=1).fit(X, Y)
    frozenfit.save(model, tmp_path / "model.frozenfit")
    again = frozenfit.load(tmp_path / "model.frozenfit")
    assert again.part_.selection == model.part_.selection
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_training_goes_on_from_the_factors(fitted):
    longer = copy.deepcopy(fitted).set_params(warm_start=True, epochs=2).fit(X, Y)
    before, after = (each.part_.delta.trained["dense2/kernel"] for each in (fitted, longer))
    assert 0 < np.abs(before - after).max() < 0.5
    # Another part continues from the kernels with their factors, to which new ones are added.
    still = {"learning_rate": 1e-7, "optimizer": "sgd", "lr_schedule": None, "epochs": 1}
    for part in ("head()", "lora(2) | head()"):
        other = copy.deepcopy(fitted).set_params(warm_start=True, trainable=part, **still)
        other.fit(X, Y)
        np.testing.assert_allclose(other.predict_proba(X), fitted.predict_proba(X), atol=1e-4)


def test_the_rank_is_a_parameter_of_a_search():
    def rank(trial):
        return f"lora({trial.suggest_int('r', 1, 3)}) | head()"

    space = {"trainable": rank, "frozen": "random"}
    search = FreezeSearchCV(made(epochs=1), space=space, n_trials=2, cv=2, random_state=0)
    search.fit(X, Y)
    assert search.best_params_["trainable"].startswith("lora(")


def test_random_kernels_under_a_given_network_get_factors():
    # Keras alone draws this initializer, so that the values become those of another base.
    own = {"kernel_initializer": keras.initializers.Identity(), "name": "hidden"}
    given = keras.Sequential([keras.Input((4,)), kl.Dense(8, "relu", **own), kl.Dense(3)])
    given.layers[0].set_weights([np.full((4, 8), 0.5), np.zeros(8)])
    settings = {"trainable": "lora(1)", "frozen": "random", "epochs": 1, "random_state": 0}
    model = PartialNetClassifier(given, **settings).fit(X, Y)
    change = dict(model.model_.assembled())["hidden/kernel"] - np.eye(4, 8)
    assert np.linalg.matrix_rank(change, tol=1e-4) == 1


def test_members_are_trained_together_as_one_after_the_other():
    members = [f"lora(1, seed={seed}) | biases() | head()" for seed in (1, 2)]
    settings = {"n_estimators": 2, "base": "frozen", "members": members, "random_state": 0}
    together, alone = (
        CheapEnsembleClassifier(made(epochs=2), vectorize=vectorize, **settings).fit(X, Y)
        for vectorize in (True, False)
    )
    forms = [member.part_.selection["dense1/kernel"] for member in together.estimators_]
    assert forms[0].seed != forms[1].seed
    probabilities = [each.predict_proba(X) for each in (together, alone)]
    np.testing.assert_allclose(*probabilities, rtol=1e-3, atol=1e-4)
    for member in together.estimators_:
        exported = member.to_keras().predict(X, verbose=0)
        np.testing.assert_allclose(exported, member.part_.outputs(X), rtol=1e-4, atol=1e-5)


def test_what_factors_cannot_be_combined_with_is_refused():
    cases = [
        (made(frozen="zero"), "`lora` requires frozen kernels that are not zero"),
        (made("lora(1) | filters(0.1)"), "cannot be combined with another selection"),
        (made("lora(1) | scales()"), "cannot be combined with a part"),
    ]
    for model, message in cases:
        with pytest.raises(ValueError, match=message):
            model.fit(X, Y)
