"""Networks that are trained in a random subspace."""

from __future__ import annotations

import copy

import keras
import numpy as np
import pytest
from copies import assert_copies_predict_the_same
from keras import layers as kl
from projection_reference import matrix
from sklearn.datasets import load_iris

import frozenfit
from frozenfit import CheapEnsembleClassifier, FreezeOut, PartialModel, PartialNetClassifier
from frozenfit.analysis.fitted import initial_values
from frozenfit.layers import Partial
from frozenfit.search import FreezeSearchCV

KINDS = ("dense", "sparse", "fastfood")
X, Y = load_iris(return_X_y=True)
X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype("float32")
LAYERS = {"hidden_layer_sizes": (16,)}
TOTAL = 4 * 16 + 16 + 16 * 3 + 3
D = 20


def made(trainable, **settings):
    settings = {"epochs": 15, "learning_rate": 0.05, "random_state": 0} | settings
    return PartialNetClassifier("mlp", model_params=LAYERS, trainable=trainable, **settings)


@pytest.fixture(scope="module", params=KINDS)
def fitted(request):
    return made(f"subspace({D}, projection={request.param!r}, seed=4)").fit(X, Y)


def flat(values, layout):
    return np.concatenate([np.ravel(values[info.path]) for info in layout.weights])


def test_weights_move_in_the_span_of_the_projection(fitted):
    layout = fitted.part_.selection.layout
    kind = fitted.part_.selection["dense1/kernel"].projection
    change = flat(dict(fitted.model_.assembled()), layout)
    change = change - flat(initial_values(fitted.part_), layout)
    (coordinates,) = fitted.part_.delta.trained.values()
    assert coordinates.shape == (D,) and np.linalg.norm(coordinates) > 0.5
    expected = matrix(kind, D, TOTAL, 4) @ coordinates
    np.testing.assert_allclose(change, expected, rtol=1e-4, atol=1e-5)
    assert fitted.score(X, Y) > 0.8


def test_coordinates_are_counted_once(fitted):
    assert fitted.freeze_fraction_ == pytest.approx(1 - D / TOTAL)
    rows = {row.path: row.form for row in fitted.parameter_table()}
    assert rows["dense1/kernel"] == f"{D} coordinates for {TOTAL} parameters"
    assert rows["head/bias"] == f"shares {D} coordinates"


def test_copies_files_and_exports_predict_the_same(fitted, tmp_path):
    assert_copies_predict_the_same(fitted, X, Y, tmp_path)


def test_a_file_has_the_coordinates_alone(tmp_path):
    sizes = []
    for units in (16, 512):
        model = made(f"subspace({D})", epochs=1).set_params(
            model_params={"hidden_layer_sizes": (units,)}
        )
        frozenfit.save(model.fit(X, Y), tmp_path / "model.frozenfit")
        sizes.append((tmp_path / "model.frozenfit").stat().st_size)
        again = frozenfit.load(tmp_path / "model.frozenfit")
        np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert abs(sizes[1] - sizes[0]) < 200


def test_a_file_cannot_ask_for_a_large_matrix(tmp_path):
    model = made("subspace(100, projection='dense')", epochs=1)
    model.set_params(model_params={"hidden_layer_sizes": (512,)}).fit(X, Y)
    frozenfit.save(model, tmp_path / "model.frozenfit")
    with pytest.raises(frozenfit.StorageError, match="projection of a subspace of 100 dimensions"):
        frozenfit.load(tmp_path / "model.frozenfit", max_bytes=2**20)


def test_training_goes_on_from_the_coordinates(fitted):
    longer = copy.deepcopy(fitted).set_params(warm_start=True, epochs=2).fit(X, Y)
    (before,), (after,) = (e.part_.delta.trained.values() for e in (fitted, longer))
    assert 0 < np.abs(before - after).max() < 0.5
    # Another part starts from the weights that were reached, and leaves those outside it.
    other = copy.deepcopy(fitted).set_params(warm_start=True, epochs=1, trainable="head()")
    other.fit(X, Y)
    kernels = [dict(each.model_.assembled())["dense1/kernel"] for each in (fitted, other)]
    np.testing.assert_array_equal(*kernels)


def test_the_seed_of_a_fit_determines_the_projection():
    first, second = (made("subspace(5)", epochs=1, random_state=s).fit(X, Y) for s in (0, 1))
    again = made("subspace(5)", epochs=1).fit(X, Y)
    np.testing.assert_array_equal(again.predict_proba(X), first.predict_proba(X))
    seeds = {each.part_.selection["head/bias"].seed for each in (first, second)}
    assert len(seeds) == 2


def test_the_dimension_is_a_parameter_of_a_search():
    def dimension(trial):
        return f"subspace({trial.suggest_int('d', 2, 40, log=True)})"

    space = {"trainable": dimension, "frozen": "random"}
    search = FreezeSearchCV(made(1.0, epochs=2), space=space, n_trials=2, cv=2, random_state=0)
    search.fit(X, Y)
    n_trainable = search.best_estimator_.part_.selection.n_trainable
    assert search.best_params_["trainable"] == f"subspace({n_trainable})"


def test_random_values_under_a_given_network_are_moved():
    # Keras alone draws this initializer, so that the values become those of another base.
    own = {"kernel_initializer": keras.initializers.Identity(), "name": "hidden"}
    given = keras.Sequential([keras.Input((4,)), kl.Dense(8, "relu", **own), kl.Dense(3)])
    given.layers[0].set_weights([np.full((4, 8), 0.5), np.zeros(8)])
    settings = {"trainable": "subspace(9)", "frozen": "random", "epochs": 1, "random_state": 0}
    fitted = PartialNetClassifier(given, **settings).fit(X, Y)
    start = initial_values(fitted.part_)["hidden/kernel"]
    np.testing.assert_array_equal(start, np.eye(4, 8))
    assert np.abs(dict(fitted.model_.assembled())["hidden/kernel"] - start).max() > 1e-4


def test_members_of_an_ensemble_have_different_subspaces():
    members = [f"subspace({D}, seed={seed})" for seed in (1, 2)]
    settings = {"n_estimators": 2, "base": "frozen", "members": members, "random_state": 0}
    ensemble = CheapEnsembleClassifier(made(1.0, epochs=2), **settings).fit(X, Y)
    for member, seed in zip(ensemble.estimators_, (1, 2), strict=True):
        layout = member.part_.selection.layout
        change = flat(dict(member.model_.assembled()), layout)
        change = change - flat(initial_values(member.part_), layout)
        (coordinates,) = member.part_.delta.trained.values()
        expected = matrix("fastfood", D, TOTAL, seed) @ coordinates
        np.testing.assert_allclose(change, expected, rtol=1e-4, atol=1e-5)
        # The members have one compiled network, which loads the matrix of each.
        exported = member.to_keras().predict(X, verbose=0)
        np.testing.assert_allclose(exported, member.part_.outputs(X), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="outside a subspace"):
        CheapEnsembleClassifier(made(1.0), vectorize=True, **settings).fit(X, Y)


def convolutional():
    inputs = keras.Input((6, 6, 1))
    x = kl.Conv2D(4, 3, name="conv", kernel_regularizer="l2")(inputs)
    x = kl.Activation("relu")(kl.BatchNormalization(name="norm")(x))
    return keras.Model(inputs, kl.Dense(2, name="head")(kl.Flatten()(x)))


def test_the_gradient_is_the_projection_of_the_whole_gradient():
    keras.utils.set_random_seed(0)
    base = convolutional()
    rng = np.random.default_rng(0)
    images, targets = rng.normal(size=(8, 6, 6, 1)), rng.normal(size=(8, 2))

    def stepped(part):
        # One step of gradient descent of rate 1 subtracts the gradient.
        model = PartialModel(base, part)
        before = dict(model.assembled())
        model.compile(keras.optimizers.SGD(1.0), "mse")
        model.train_on_batch(images, targets)
        after = dict(model.assembled())
        return model, {path: before[path] - after[path] for path in before}

    model, gradients = stepped("everything()")
    paths = [info.path for info in model.selection.layout.weights if info.layer != "norm"]
    whole = np.concatenate([np.ravel(gradients[path]) for path in paths])
    for kind in KINDS:
        model, own = stepped(f"subspace(9, {kind!r}, seed=2) | layers('norm')")
        expected = matrix(kind, 9, whole.size, 2).T @ whole
        assert np.abs(expected).max() > 1e-3
        found = -model.delta().trained[paths[0]]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(own["norm/gamma"], gradients["norm/gamma"], rtol=1e-4, atol=1e-6)


def test_a_saved_keras_model_has_the_same_outputs(tmp_path):
    keras.utils.set_random_seed(0)
    base = convolutional()
    # A selection has no text, so that the configuration has to contain its seed.
    selection = PartialModel(base, "subspace(9, 'sparse', seed=3)").selection
    model = PartialModel(base, selection, seed=5)
    model.compile("adam", "mse")
    images = np.random.default_rng(0).normal(size=(8, 6, 6, 1))
    model.fit(images, np.ones((8, 2)), epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.selection == model.selection
    outputs = [each.predict(images, verbose=0) for each in (again, model)]
    np.testing.assert_allclose(*outputs, rtol=1e-5, atol=1e-6)


def test_what_a_subspace_cannot_keep_is_refused():
    cases = [
        (made(f"subspace({D})", frozen="zero"), "which frozen='zero' replaces"),
        (made(f"subspace({D})", freeze_schedule=FreezeOut()), "have their coordinates in common"),
        (made(f"subspace({TOTAL + 1})"), f"at most {TOTAL}"),
        (made("subspace(5) | filters(0.1)"), "a part or scales of the same weight"),
    ]
    for model, message in cases:
        with pytest.raises(ValueError, match=message):
            model.fit(X, Y)
    kernel = {"kernel_constraint": "non_neg", "name": "hidden"}
    bounded = keras.Sequential([keras.Input((4,)), kl.Dense(2, **kernel)])
    with pytest.raises(ValueError, match="without a constraint, got NonNeg"):
        PartialModel(bounded, "subspace(2)")
    with pytest.raises(ValueError, match="`trainable_part` of `Partial` cannot be a subspace"):
        Partial(kl.Dense(2), "subspace(2)").build((None, 4))
