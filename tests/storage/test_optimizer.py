"""Files with the state of the optimizer: training goes on after `load` as without it."""

from __future__ import annotations

import copy

import keras
import numpy as np
import pytest
from estimator_data import classifier, given_net, images, regressor, same, small_cnn, table, targets

import frozenfit
from frozenfit import StorageError
from frozenfit.utils import container

decay = keras.optimizers.schedules.ExponentialDecay(0.05, 4, 0.7)
# Settings of an estimator, and its data.
ESTIMATORS = {
    "classifier": lambda: (classifier(), table()),
    "regressor": lambda: (regressor(optimizer="rmsprop"), targets(n_targets=2)),
    "random": lambda: (
        classifier(model=given_net(), frozen="random", trainable="random(0.3)"),
        table(),
    ),
    "dropout": lambda: (
        classifier(model=small_cnn((8, 8, 1), 2, dropout=0.3), trainable=0.5),
        images(),
    ),
    "schedule": lambda: (
        classifier(optimizer=keras.optimizers.SGD(decay, momentum=0.9), learning_rate="auto"),
        table(),
    ),
    "averaged": lambda: (classifier(optimizer=keras.optimizers.Adam(use_ema=True)), table()),
    "ensemble": lambda: (
        frozenfit.CheapEnsembleClassifier(classifier(), n_estimators=2, random_state=0),
        table(),
    ),
}


def begun(name):
    """An estimator after two calls of `partial_fit`."""
    estimator, (X, y) = ESTIMATORS[name]()
    classes = {"classes": np.unique(y)} if hasattr(estimator, "predict_proba") else {}
    return estimator.partial_fit(X, y, **classes).partial_fit(X, y), X, y


def saved(estimator, path, **options):
    frozenfit.save(estimator, path, **options)
    frozenfit.clear_workspace()
    given = getattr(estimator, "model", None)
    return frozenfit.load(path, base=given if isinstance(given, keras.Model) else None)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_partial_fit_goes_on_as_without_a_file(name, tmp_path):
    estimator, X, y = begun(name)
    loaded = saved(estimator, tmp_path / "file", include_optimizer=True)
    without = saved(estimator, tmp_path / "without")
    for each in (estimator, loaded, without):
        each.partial_fit(X, y).partial_fit(X, y)
    assert same(estimator, loaded)
    assert not same(estimator, without)  # so that the optimizer matters


@pytest.mark.parametrize("trainable", [0.1, "head()"])
def test_a_warm_start_goes_on_as_without_a_file(trainable, tmp_path):
    X, y = table()
    settings = {"warm_start": True, "freeze_schedule": "LayerwiseRates(0.5)"}
    estimator = classifier(**settings).fit(X, y)
    loaded = saved(estimator, tmp_path / "file", include_optimizer=True)
    for each in (estimator, loaded):
        each.set_params(trainable=trainable).fit(X, y).partial_fit(X, y)
    assert same(estimator, loaded) and loaded.history_["loss"] == estimator.history_["loss"]


def test_an_optimizer_of_some_layers_is_restored(tmp_path):
    X, y = table()
    settings = {"model_params": {"hidden_layer_sizes": (8, 8)}, "trainable": 1.0, "epochs": 8}
    estimator = classifier(freeze_schedule="FreezeOut(0.3)", warm_start=True, **settings).fit(X, y)
    loaded = saved(estimator, tmp_path / "file", include_optimizer=True)
    paths = estimator._optimizer_state.paths
    assert 0 < len(paths) < len(estimator.part_.delta.trained)
    assert loaded._optimizer_state.paths == paths
    for each in (estimator, loaded):
        each.set_params(freeze_schedule=None).partial_fit(X, y)
    assert same(estimator, loaded)


def test_fit_then_partial_fit_needs_no_optimizer(tmp_path):
    X, y = table()
    estimator = classifier().fit(X, y)
    loaded = saved(estimator, tmp_path / "file", include_optimizer=True)
    assert not any("optimizer" in name for name in container.from_file(tmp_path / "file").arrays)
    assert same(estimator.partial_fit(X, y), loaded.partial_fit(X, y))


def test_the_state_of_another_optimizer_is_not_stored(tmp_path):
    estimator, _, _ = begun("classifier")
    estimator.set_params(optimizer="sgd")
    saved(estimator, tmp_path / "file", include_optimizer=True)
    ensemble, X, y = begun("ensemble")
    ensemble.set_params(estimator__optimizer="sgd")
    loaded = saved(ensemble, tmp_path / "file", include_optimizer=True)
    assert same(ensemble.partial_fit(X, y), loaded.partial_fit(X, y))


def test_several_estimators_and_an_elm_are_stored_together(tmp_path):
    estimator, X, y = begun("classifier")
    several = {"net": estimator, "elm": frozenfit.ELMClassifier(4, random_state=0).fit(X, y)}
    loaded = saved(several, tmp_path / "file", include_optimizer=True)
    assert same(estimator.partial_fit(X, y), loaded["net"].partial_fit(X, y))


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    path = tmp_path_factory.mktemp("optimizer") / "file"
    frozenfit.save(begun("classifier")[0], path, include_optimizer=True)
    return container.from_file(path)


FIRST = "optimizer/000002"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda r: r.arrays.pop(FIRST), "variables are not those of the network"),
        (
            lambda r: r.arrays.update({FIRST: r.arrays[FIRST][:1]}),
            "variables of '000002'",
        ),
        (
            lambda r: r.arrays.update({"optimizer/x": r.arrays[FIRST]}),
            "optimizer variables are not",
        ),
        (lambda r: r.arrays.update({FIRST: r.arrays[FIRST].astype("f8")}), "other types"),
        (lambda r: r.fitted.pop("optimizer"), "nothing about them"),
        (lambda r: r.fitted["optimizer"].pop("steps"), "an invalid 'optimizer'"),
        (lambda r: r.fitted["optimizer"].update(steps=-1), "an invalid 'optimizer'"),
        (lambda r: r.fitted["optimizer"].update(steps=10**30), "an invalid 'optimizer'"),
        (lambda r: r.fitted["optimizer"].update(paths=[1]), "an invalid 'optimizer'"),
        (lambda r: r.fitted["optimizer"]["paths"].reverse(), "updates other parameters"),
        (lambda r: r.fitted["optimizer"].update(paths=["x"]), "updates other parameters"),
        (lambda r: r.parameters.update(optimizer="sgd"), "variables are not"),
        (lambda r: r.parameters.update(checkpoint="/tmp/a"), "the parameter 'checkpoint'"),
    ],
)
def test_a_forged_optimizer_is_refused(record, change, text, tmp_path):
    forged = copy.deepcopy(record)
    change(forged)
    (tmp_path / "forged").write_bytes(container.to_bytes(forged))
    with pytest.raises(StorageError, match=text):
        frozenfit.load(tmp_path / "forged")
