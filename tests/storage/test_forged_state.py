"""Forged parameters and fitted values: invalid ones raise in `load` rather than in `predict`."""

from __future__ import annotations

import pytest
from estimator_data import classifier, regressor, table, targets

import frozenfit
from frozenfit import StorageError
from frozenfit.utils import container

NAN = {"$": "float", "value": "nan"}
KINDS = {
    "net": lambda: classifier(epochs=1).fit(*table()),
    "regressor": lambda: regressor(epochs=1).fit(*targets()),
    "ensemble": lambda: frozenfit.CheapEnsembleClassifier(
        classifier(epochs=1), 2, random_state=0
    ).fit(*table()),
    "elm": lambda: frozenfit.ELMClassifier(5, random_state=0).fit(*table()),
}


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Return the records of one file of each kind."""
    found = {}
    for kind, fitted in KINDS.items():
        path = tmp_path_factory.mktemp("records") / "file"
        frozenfit.save(fitted(), path)
        found[kind] = path.read_bytes(), path
    return found


def refused(records, kind, change, match):
    data, path = records[kind]
    path.write_bytes(data)
    record = container.from_file(path)
    change(record)
    path.write_bytes(container.to_bytes(record))
    with pytest.raises(StorageError, match=match):
        frozenfit.load(path)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("net", "epochs", 0),
        ("net", "frozen", "half"),
        ("net", "optimizer", 3),
        ("net", "learning_rate", NAN),
        ("net", "lr_schedule", "never"),
        ("net", "image_shape", "large"),
        ("net", "random_state", "seed"),
        ("ensemble", "n_estimators", 0),
        ("ensemble", "estimator", "mlp"),
        ("elm", "clip", -1),
        ("elm", "activation", {"$": "architecture", "name": "resnet"}),
        ("elm", "hidden_layer_sizes", [0]),
    ],
)
def test_parameters_are_validated_as_in_fit(records, kind, name, value):
    def change(record):
        record.parameters[name] = value

    refused(records, kind, change, "must be|must not be|without|invalid|Error")


def test_parameters_of_the_estimator_of_an_ensemble_are_validated(records):
    def change(record):
        record.parameters["estimator"]["batch_size"] = -1

    refused(records, "ensemble", change, "'batch_size'")


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("net", "n_features_in", 5),
        ("net", "n_outputs", 2),
        ("net", "classes", {"$": "array", "dtype": "<i8", "shape": [1], "value": "AAAAAAAAAAA="}),
        ("net", "classes", None),
        ("net", "feature_names_in", "abcd"),
        ("net", "history", {"loss": "low"}),
        ("net", "seeds", {"base": -1}),
        ("net", "statistics", "sometimes"),
        ("regressor", "targets", None),
        ("ensemble", "temperature", 0.0),
        ("ensemble", "temperature", NAN),
        ("ensemble", "temperature", None),
        ("ensemble", "made", 10**12),
        ("ensemble", "numbers", [0, 10**12]),
        ("ensemble", "members", []),
        ("elm", "calibration", [NAN, 0.0]),
        ("elm", "dtype", "float16"),
        ("elm", "clip", 0.0),
    ],
)
def test_fitted_values_are_validated(records, kind, name, value):
    def change(record):
        record.fitted[name] = value

    refused(records, kind, change, "invalid")


@pytest.mark.parametrize(
    "history",
    [["loss"], ["loss", "loss"], ["loss", 3], {"loss": "low"}],
    ids=["fewer_names", "twice", "number", "text"],
)
def test_the_history_of_a_member_is_validated(records, history):
    def change(record):
        record.fitted["members"][1]["history"] = history

    refused(records, "ensemble", change, "history")
