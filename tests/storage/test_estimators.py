"""Fitted estimators in files: every kind comes back exactly, and nothing false comes back."""

from __future__ import annotations

import pickle
import warnings

import keras
import numpy as np
import pytest
from estimator_data import (
    classifier,
    given_net,
    images,
    raw,
    regressor,
    same,
    small_cnn,
    table,
    targets,
    whole,
)
from keras import layers

import frozenfit
from frozenfit import CheapEnsembleClassifier, StorageError, architectures, draws

NAMES = np.array(["ant", "bee", "cat"])


@architectures.register("registered_cnn")
def registered_cnn(input_shape, n_outputs, *, dropout=0.0):
    return small_cnn(input_shape, n_outputs, dropout=dropout)


@architectures.register("registered_lstm")
def registered_lstm(input_shape, n_outputs):
    inputs = keras.Input(input_shape)
    x = layers.LSTM(4, name="lstm")(inputs)
    return keras.Model(inputs, layers.Dense(n_outputs, name="head")(x))


def series(n=24):
    rng = np.random.default_rng(4)
    y = np.arange(n) % 2
    return (rng.normal(size=(n, 5, 2)) + y[:, None, None]).astype("float32"), y


def frame():
    import pandas as pd

    X, y = table()
    return pd.DataFrame(X, columns=list("abcd")), NAMES[y]


def lr_schedule():
    return keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 9), momentum=0.5)


KINDS = {
    "mlp": lambda: classifier().fit(*table()),
    "everything": lambda: classifier(trainable=1.0).fit(*table()),
    "dropout": lambda: classifier(model_params={"dropout": 0.5}).fit(*table()),
    "convolutions with batch norm": lambda: classifier(
        model=registered_cnn, model_params={"dropout": 0.3}
    ).fit(*images()),
    "by its registered name": lambda: classifier(model="registered_cnn").fit(*images()),
    "zero fill": lambda: classifier(frozen="zero").fit(*table()),
    "another initial distribution": lambda: classifier(
        weight_init=keras.initializers.HeNormal()
    ).fit(*table()),
    "entries at random": lambda: classifier(trainable="random(0.3) | head()").fit(*table()),
    "fisher": lambda: classifier(trainable="fisher(0.2)").fit(*table()),
    "magnitude": lambda: classifier(trainable="magnitude(0.2)").fit(*table()),
    "strings and names": lambda: classifier().fit(*frame()),
    "booleans": lambda: classifier().fit(table()[0], table()[1] > 0),
    "optimizer object": lambda: classifier(optimizer=lr_schedule()).fit(*table()),
    "augmentation layers": lambda: classifier(
        model=registered_cnn, augment=[keras.layers.RandomFlip("horizontal")], epochs=1
    ).fit(*images()),
    "one target": lambda: regressor().fit(*targets()),
    "several targets": lambda: regressor().fit(*targets(n_targets=2)),
    "lstm": lambda: classifier(model=registered_lstm, trainable="filters(2) | head()").fit(
        *series()
    ),
    "early stopping": lambda: classifier(early_stopping=True).fit(*table()),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.frozenfit"


def there_and_back(estimator, path, *, base=None, **options):
    frozenfit.save(estimator, path, **options)
    frozenfit.clear_workspace()
    return frozenfit.load(path, base=base)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_comes_back_exactly(kind, path):
    estimator = KINDS[kind]()
    again = there_and_back(estimator, path)
    assert same(again, estimator)
    assert again.history_ == estimator.history_ and again.n_iter_ == estimator.n_iter_
    assert again.parameter_table() == estimator.parameter_table()
    assert again.n_features_in_ == estimator.n_features_in_
    if hasattr(estimator, "classes_"):
        assert again.classes_.tolist() == estimator.classes_.tolist()


def test_settings_come_back(path):
    estimator = classifier(
        optimizer=lr_schedule(), class_weight={"ant": 2.0}, trainable="filters(2)"
    )
    again = there_and_back(estimator.fit(*frame()), path)
    given, found = estimator.get_params(), again.get_params()
    assert found.pop("optimizer").get_config() == given.pop("optimizer").get_config()
    assert found == given


def test_feature_names_come_back_and_are_held(path):
    X, y = frame()
    again = there_and_back(classifier().fit(X, y), path)
    with pytest.raises(ValueError, match="feature names"):
        again.predict(X.rename(columns={"a": "z"}))


@pytest.mark.parametrize("frozen", ["keep", "zero", "random"])
def test_a_given_network_is_given_again(frozen, path):
    X, y = table()
    estimator = classifier(model=given_net(), trainable="filters(2) | head()", frozen=frozen).fit(
        X, y
    )
    assert same(there_and_back(estimator, path, base=given_net()), estimator)


@pytest.mark.parametrize("frozen", ["keep", "zero", "random"])
def test_a_given_network_may_be_in_the_file(frozen, path):
    X, y = table()
    network = given_net()
    network.get_layer("hidden").trainable = False
    estimator = classifier(model=network, trainable="filters(2) | head()", frozen=frozen).fit(X, y)
    assert same(there_and_back(estimator, path, include_frozen=True), estimator)


@pytest.mark.parametrize("include_frozen", [False, True])
def test_a_sequential_network_is_the_same_after_keras_has_stored_it(include_frozen, path, tmp_path):
    X, y = table()
    network = given_net(sequential=True)
    network.save(tmp_path / "network.keras")
    estimator = classifier(model=network, trainable="head()").fit(X, y)
    read = None if include_frozen else keras.saving.load_model(tmp_path / "network.keras")
    assert same(
        there_and_back(estimator, path, include_frozen=include_frozen, base=read), estimator
    )


def test_batch_statistics_of_a_given_network_come_back(path):
    X, y = images()
    network = small_cnn((8, 8, 1), 2)
    classifier(model=network).fit(X, y)
    estimator = classifier(model=network, trainable="head()").fit(X, y)
    assert same(there_and_back(estimator, path, include_frozen=True), estimator)


def test_a_network_given_for_a_whole_file_is_never_written_to(path):
    X, y = table()
    estimator = classifier(model=given_net(seed=1), trainable="head()").fit(X, y)
    frozenfit.save(estimator, path, include_frozen=True)
    other = given_net(seed=2)
    before = [w.copy() for w in other.get_weights()]
    with pytest.raises(StorageError, match="fingerprint"):
        frozenfit.load(path, base=other)
    assert all(np.array_equal(a, b) for a, b in zip(other.get_weights(), before, strict=True))


def test_a_network_that_is_not_given_again_is_asked_for(path):
    estimator = classifier(model=given_net(), trainable="head()").fit(*table())
    frozenfit.save(estimator, path)
    with pytest.raises(StorageError, match="base=network.*include_frozen=True"):
        frozenfit.load(path)


def _messages(save, *args, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        save(*args, **options)
    return [str(w.message) for w in caught if w.category is UserWarning]


def test_saving_without_the_given_network_gives_one_warning(path):
    model, data = given_net(), table()
    estimator = classifier(model=model, trainable="head()").fit(*data)
    ensemble = CheapEnsembleClassifier(
        classifier(model=model, trainable="head()"), 2, base="frozen", random_state=0
    ).fit(*data)
    second = classifier(model=estimator.base_, trainable="biases()").fit(*data)
    for given in (estimator, ensemble, {"one": estimator, "two": second, "many": ensemble}):
        (message,) = _messages(frozenfit.save, given, path)
        assert "neither the network" in message
        assert "load(path, base=network)" in message and "include_frozen=True" in message
        assert not _messages(frozenfit.save, given, path, include_frozen=True)
    assert not _messages(pickle.dumps, estimator)
    assert not _messages(frozenfit.save, classifier().fit(*data), path)


def test_a_wrong_network_is_refused_with_both_fingerprints(path):
    estimator = classifier(model=given_net(), trainable="head()").fit(*table())
    frozenfit.save(estimator, path)
    with pytest.raises(StorageError, match="fingerprint [0-9a-f]{16},.* with [0-9a-f]{16}"):
        frozenfit.load(path, base=given_net(seed=3))


def test_a_network_of_another_shape_is_refused(path):
    estimator = classifier(model=given_net(), trainable="head()").fit(*table())
    frozenfit.save(estimator, path)
    with pytest.raises(StorageError, match="cannot be loaded"):
        frozenfit.load(path, base=given_net(n_features=5))


def test_a_network_that_changed_since_the_fit_is_refused_when_saving(path):
    network = given_net()
    estimator = classifier(model=network, trainable="head()").fit(*table())
    network.set_weights([w + 1 for w in network.get_weights()])
    with pytest.raises(ValueError, match="include_frozen=True"):
        frozenfit.save(estimator, path)
    assert same(there_and_back(estimator, path, include_frozen=True), estimator)


@pytest.mark.parametrize("given", [False, True])
def test_what_came_from_an_earlier_fit_needs_include_frozen(given, path):
    X, y = table()
    start = {"model": given_net(), "trainable": "head()"} if given else {"trainable": 0.5}
    estimator = classifier(warm_start=True, **start).fit(X, y)
    estimator.set_params(trainable="filters(1) | head()").fit(X, y)
    with pytest.raises(ValueError, match="include_frozen=True"):
        frozenfit.save(estimator, path)
    assert not path.exists()
    assert same(there_and_back(estimator, path, include_frozen=True), estimator)


def test_kept_values_of_a_callable_needs_include_frozen(path):
    estimator = classifier(model=registered_cnn, frozen="keep").fit(*images())
    with pytest.raises(ValueError, match="include_frozen=True"):
        frozenfit.save(estimator, path)
    assert same(there_and_back(estimator, path, include_frozen=True), estimator)


def test_learning_goes_on_after_loading(path):
    X, y = table()
    estimator = classifier().fit(X, y)
    again = there_and_back(estimator, path).partial_fit(X, y)
    assert again.n_iter_ == 3
    assert same(again, estimator.partial_fit(X, y))


def test_another_subset_goes_on_after_loading(path):
    X, y = table()
    again = there_and_back(classifier(warm_start=True).fit(X, y), path)
    before = whole(again)
    again.set_params(trainable=1.0, learning_rate=1e-30).fit(X, y)
    assert all(np.abs(v - before[p]).max() < 1e-20 for p, v in whole(again).items())


@pytest.mark.parametrize("model", ["mlp", "given"])
def test_a_changed_stream_is_a_clear_error(model, path, monkeypatch):
    X, y = table()
    params = {"model": given_net(), "frozen": "random"} if model == "given" else {}
    estimator = classifier(trainable="filters(2) | head()", **params).fit(X, y)
    frozenfit.save(estimator, path)
    frozenfit.clear_workspace()
    real = draws.stream_digest
    monkeypatch.setattr(draws, "stream_digest", lambda seed, paths: real(seed + 1, paths))
    with pytest.raises(StorageError, match="random stream differs .*include_frozen=True"):
        frozenfit.load(path, base=given_net() if model == "given" else None)


def test_values_drawn_in_another_way_are_a_clear_error(path, monkeypatch):
    estimator = classifier().fit(*table())
    frozenfit.save(estimator, path)
    frozenfit.clear_workspace()
    real = draws.draw
    monkeypatch.setattr(draws, "draw", lambda *args: real(*args) * np.float32(1.01))
    with pytest.raises(StorageError, match="drawn again.*include_frozen=True"):
        frozenfit.load(path)


def forbid_draws_of_weights(monkeypatch):
    """Fail where a weight of the network is drawn; what it is built with has a number, no path."""
    real = draws.draw

    def draw(initializer, shape, seed, path):
        assert path.isdecimal()
        return real(initializer, shape, seed, path)

    monkeypatch.setattr(draws, "draw", draw)


def test_with_everything_in_it_a_file_needs_no_stream(path, monkeypatch):
    estimator = classifier().fit(*table())
    frozenfit.save(estimator, path, include_frozen=True)
    frozenfit.clear_workspace()
    real = draws.stream_digest
    forbid_draws_of_weights(monkeypatch)
    monkeypatch.setattr(
        draws, "stream_digest", lambda seed, p: real(seed + 1, p) if p else real(seed, p)
    )
    assert same(frozenfit.load(path), estimator)


def test_with_everything_in_it_random_frozen_values_need_no_draw(path, monkeypatch):
    X, y = table()
    estimator = classifier(model=given_net(), trainable="filters(2) | head()", frozen="random")
    estimator.set_params(warm_start=True).fit(X, y)
    frozenfit.save(estimator, path, include_frozen=True)
    frozenfit.clear_workspace()
    with monkeypatch.context() as patch:  # the first estimator may draw again
        forbid_draws_of_weights(patch)
        again = frozenfit.load(path)
        again.predict_proba(X)
    assert same(again, estimator)
    assert again.parameter_table() == estimator.parameter_table()


@pytest.mark.parametrize("include_frozen", [False, True])
def test_loaded_random_frozen_values_are_saved_and_trained_as_the_first(
    include_frozen, path, tmp_path
):
    X, y = table()
    estimator = classifier(model=given_net(), trainable="magnitude(0.3)", frozen="random").fit(X, y)
    given = None if include_frozen else given_net()
    again = there_and_back(estimator, path, base=given, include_frozen=include_frozen)
    other = tmp_path / "other"
    assert same(there_and_back(again, other, base=given, include_frozen=include_frozen), estimator)
    assert same(again.partial_fit(X, y), estimator.partial_fit(X, y))


def test_estimators_on_one_base_keep_their_frozen_values_apart(path):
    X, y = table()
    first = classifier(model=given_net(), trainable="head()").fit(X, y)
    params = {"model": first.base_, "trainable": "filters(2) | head()", "frozen": "random"}
    both = {"random": classifier(**params).fit(X, y), "kept": first}
    again = there_and_back(both, path, include_frozen=True)
    assert all(same(again[name], both[name]) for name in both)


REFUSED = {
    "callable": ({"model": small_cnn}, "small_cnn.*register"),
    "random state": ({"random_state": np.random.RandomState(0)}, "random_state.*pass an int"),
    "callbacks": ({"callbacks": [keras.callbacks.EarlyStopping("loss")]}, "callbacks=None"),
    "where": ({"trainable": frozenfit.selectors.where(lambda info: "all")}, "trainable"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_file_cannot_store_trains_and_is_refused_with_a_message(name, path):
    params, message = REFUSED[name]
    estimator = classifier(**params).fit(*(images() if name == "callable" else table()))
    with pytest.raises(ValueError, match=message):
        frozenfit.save(estimator, path)
    assert not path.exists()


def test_an_unfitted_estimator_is_refused(path):
    with pytest.raises(ValueError, match="not fitted"):
        frozenfit.save(classifier(), path)


def test_a_failed_save_leaves_the_older_file(path):
    first = classifier().fit(*table())
    frozenfit.save(first, path)
    data = path.read_bytes()
    with pytest.raises(ValueError):
        frozenfit.save(classifier(model=small_cnn).fit(*images()), path)
    assert path.read_bytes() == data and list(path.parent.iterdir()) == [path]


def test_a_file_contains_the_trained_parameters_and_little_else(path, tmp_path):
    """The bound of two hundredths above the trained fraction, on a network of 1.2 million."""
    rng = np.random.default_rng(0)
    X, y = rng.random((8, 32, 32, 3), "float32"), np.arange(8) % 2
    estimator = classifier(
        model="wide_resnet", model_params={"depth": 10, "width": 4}, epochs=1, batch_size=8
    ).fit(X, y)
    frozenfit.save(estimator, path)
    estimator.to_keras().save(tmp_path / "full.keras")
    trainable = 1 - estimator.freeze_fraction_
    full = (tmp_path / "full.keras").stat().st_size
    assert 0.05 < trainable < 0.2
    assert path.stat().st_size <= (trainable + 0.02) * full


@pytest.fixture(scope="module")
def small_file(tmp_path_factory):
    """A real file of a few kilobytes, its estimator, and what it predicts."""
    X, y = frame()
    estimator = classifier(trainable="random(0.2) | head()", epochs=1).fit(X, y)
    path = tmp_path_factory.mktemp("damage") / "small.frozenfit"
    frozenfit.save(estimator, path)
    return path, estimator


def exact_or_refused(path, estimator):
    try:
        found = frozenfit.load(path)
    except StorageError as error:
        assert "\n" not in str(error)
        return False
    assert same(found, estimator) and found.classes_.tolist() == estimator.classes_.tolist()
    return True


def test_a_flipped_bit_gives_the_exact_model_or_an_error(small_file, tmp_path):
    path, estimator = small_file
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    places = rng.choice(8 * len(data), 400, replace=False)
    loaded = 0
    for place in places:
        spoiled = bytearray(data)
        spoiled[place // 8] ^= 1 << (place % 8)
        (tmp_path / "flipped").write_bytes(spoiled)
        loaded += exact_or_refused(tmp_path / "flipped", estimator)
    assert loaded < 20


def test_a_truncated_file_is_an_error(small_file, tmp_path):
    path, estimator = small_file
    data = path.read_bytes()
    for length in np.random.default_rng(1).choice(len(data), 100, replace=False):
        (tmp_path / "short").write_bytes(data[:length])
        assert not exact_or_refused(tmp_path / "short", estimator)


def test_predictions_of_the_file_are_those_of_a_pickle(small_file):
    import pickle

    path, estimator = small_file
    X, _ = frame()
    pickled = pickle.loads(pickle.dumps(estimator))
    assert np.array_equal(raw(frozenfit.load(path), X), raw(pickled, X))
