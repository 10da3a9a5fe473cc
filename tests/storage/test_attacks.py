"""Files written to attack: nothing that a file names is run, read, changed or downloaded."""

from __future__ import annotations

import inspect
import os

import keras
import numpy as np
import pytest
from estimator_data import classifier, table

import frozenfit
from frozenfit import StorageError
from frozenfit.storage import allow_list, keras_config
from frozenfit.utils import container

TENSOR = {
    "class_name": "__keras_tensor__",
    "config": {"shape": [None, 4], "dtype": "float32", "keras_history": ["input", 0, 0]},
}


def described(class_name, module="keras.layers", config=None, **more):
    return {"module": module, "class_name": class_name, "config": config or {}, **more}


def function(name, module):
    return described("function", module, name, registered_name=name)


def network_with(layer, args=(), kwargs=None):
    """Describe a network of an input, a layer that is called with `args`, and a head."""
    node = {"args": [TENSOR, *args], "kwargs": kwargs or {}}
    given = {"batch_shape": [None, 4], "dtype": "float32", "name": "input"}
    layers = [
        described("InputLayer", config=given, name="input", inbound_nodes=[]),
        {**layer, "name": "attack", "inbound_nodes": [node]},
    ]
    config = {
        "name": "net",
        "trainable": True,
        "layers": layers,
        "input_layers": [["input", 0, 0]],
        "output_layers": [["attack", 0, 0]],
    }
    return described("Functional", "keras.src.models.functional", config)


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    path = tmp_path_factory.mktemp("attacks") / "honest.frozenfit"
    frozenfit.save(classifier(epochs=1).fit(*table()), path)
    return container.from_file(path)


@pytest.fixture
def forged(honest, tmp_path):
    """Return a function that writes an honest file with other parameters."""

    def write(**parameters):
        changed = {**honest.parameters, **parameters}
        record = container.Record(honest.class_name, changed, honest.fitted, honest.arrays)
        path = tmp_path / "forged.frozenfit"
        path.write_bytes(container.to_bytes(record))
        return path

    return write


def refused(path, match):
    with pytest.raises(StorageError, match=match):
        frozenfit.load(path)


def test_a_saved_model_is_not_read(forged, tmp_path, monkeypatch):
    read = []
    original = keras.layers.TFSMLayer.__init__

    def noted(self, filepath, *args, **kwargs):
        read.append(filepath)
        original(self, filepath, *args, **kwargs)

    monkeypatch.setattr(keras.layers.TFSMLayer, "__init__", noted)
    path = str(tmp_path / "saved_model")
    layer = described("Lambda", config={"function": function("TFSMLayer", "keras.layers")})
    by_name = network_with(layer)
    # The Lambda is called with the path alone, which calls TFSMLayer(path).
    by_name["config"]["layers"][1]["inbound_nodes"] = [{"args": [], "kwargs": {"inputs": path}}]
    direct = described("TFSMLayer", config={"filepath": path})
    for config in (by_name, network_with(direct), direct):
        refused(forged(model={"$": "network", "config": config}), "must not")
    assert read == []


@pytest.mark.parametrize("name", ["TFSMLayer", "Lambda", "Dense", "get", "deserialize"])
@pytest.mark.parametrize("module", ["keras.layers", "keras.activations", "keras", "builtins"])
def test_a_function_is_never_a_class_or_a_lookup(forged, name, module):
    layer = described("Activation", config={"activation": function(name, module)})
    refused(forged(model={"$": "network", "config": network_with(layer)}), f"must not name {name}")


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("config.set_floatx", {"value": "float16"}),
        ("config.set_max_epochs", {"value": 1}),
        ("config.disable_traceback_filtering", {}),
        ("callbacks.CSVLogger", {"filename": "exploded"}),
        ("utils.get_file", {"fname": "a", "origin": "http://localhost"}),
        ("applications.ResNet50", {}),
        ("layers.Dense", {"units": 3}),
        ("Variable", {"initializer": 1.0}),
        ("Function", {}),
    ],
)
@pytest.mark.parametrize("kind", ["class", "function"])
def test_the_module_keras_gives_no_access_to_its_submodules(
    forged, tmp_path, monkeypatch, name, config, kind
):
    monkeypatch.chdir(tmp_path)
    node = function(name, "keras") if kind == "function" else described(name, "keras", config)
    floatx = keras.config.floatx()
    try:
        for optimizer in (node, described("SGD", "keras.optimizers", {"learning_rate": node})):
            refused(forged(optimizer={"$": "keras", "config": optimizer}), "must not name")
    finally:
        found = keras.config.floatx()
        keras.config.set_floatx(floatx)
    assert found == floatx
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("argument", ["path", ["path"], {"key": "path"}, function("relu", "keras")])
def test_arguments_of_inbound_nodes_are_tensors_and_numbers(forged, argument):
    for args in ({"args": [argument]}, {"kwargs": {"mask": argument}}):
        config = network_with(described("Flatten"), **args)
        refused(forged(model={"$": "network", "config": config}), "argument of an inbound node")


@pytest.mark.parametrize(
    ("config", "match"),
    [
        (described("Dense", None, {"units": 2}), "no module"),
        ({"class_name": "Dense", "config": {"units": 2}}, "no module"),
        ({"class_name": "Dense", "module": "keras.layers"}, "name and a configuration"),
        (described("StringLookup", config={"vocabulary": "/etc/passwd"}), "read other files"),
        (described("TorchModuleWrapper", config={"module": {}}), "read other files"),
        (described("Dense", config={"units": 2, "dtype": "int8_from_float32"}), "data type"),
        (described("Dense", config={"units": 2, "dtype": described("DTypePolicy")}), "data type"),
        (described("DTypePolicyMap", "keras", {}), "must not name DTypePolicyMap"),
        (described("DTypePolicyMap", "keras.dtype_policies", {}), "must not name DTypePolicyMap"),
        (described("Sequential", "keras", {"name": "s", "layers": ["Lambda"]}), "Keras objects"),
        (described("Dense", "keras.layers.core.dense", {"units": 2}), "must not name Dense"),
        (described("Dense", "keras.src.layers", {"units": 2}), "must not name Dense"),
        (described("Operation", "keras.src.ops.operation.x", {}), "must not name Operation"),
        (described("Add", "keras.src.ops.nn", {}), "must not name Add"),
        (described("Adam", "keras.layers", {}), "must not name Adam"),
        (
            described("Dense", config={"units": 2}, compile_config={"optimizer": "adam"}),
            "how a Keras model was compiled",
        ),
        (described("__lambda__", None, {"value": "x"}), "__lambda__"),
        (described("__typespec__", None, {}), "__typespec__"),
        (
            described("__numpy__", None, {"value": ["a"], "dtype": "S999999999"}),
            "data type",
        ),
    ],
)
def test_objects_that_are_not_on_the_list_are_refused(config, match):
    with pytest.raises(ValueError, match=match):
        keras_config.build(config)


def test_objects_are_not_nested_without_end():
    config = described("Dense", config={"units": 2})
    for _ in range(30):
        config = described("TimeDistributed", config={"layer": config})
    with pytest.raises(ValueError, match="nested more than 16 deep"):
        keras_config.build(config)


@keras.saving.register_keras_serializable("attack_tests")
class Doubled(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs


@keras.saving.register_keras_serializable("attack_tests")
def doubled(x):
    return 2 * x


@keras.saving.register_keras_serializable("attack_tests")
class NoKerasObject:
    @classmethod
    def from_config(cls, config):
        raise AssertionError("it was built")

    def get_config(self):
        return {}


def test_what_the_program_registered_is_found_by_its_registered_name(forged):
    for value in (Doubled(), keras.layers.Activation(doubled)):
        assert isinstance(keras_config.build(keras_config.describe(value)), type(value))
    assert keras_config.build(keras_config.describe(doubled)) is doubled
    config = described("NoKerasObject", "anywhere", registered_name="attack_tests>NoKerasObject")
    with pytest.raises(ValueError, match="must not name NoKerasObject"):
        keras_config.build(config)
    with pytest.raises(ValueError, match="must not name attack_tests>Doubled"):
        keras_config.build(function("attack_tests>Doubled", "builtins"))


@pytest.mark.parametrize("module", ["layers", "optimizers", "losses", "metrics", "initializers"])
def test_every_exported_class_is_on_the_list_unless_it_reads_code_or_files(module):
    base = {"layers": keras.Layer, "optimizers": keras.Optimizer, "losses": keras.Loss}
    base |= {"metrics": keras.Metric, "initializers": keras.Initializer}
    refused = set()
    for name, kind in vars(getattr(keras, module)).items():
        if isinstance(kind, type) and issubclass(kind, base[module]):
            try:
                allow_list.check_config(described(name, f"keras.{module}"))
            except ValueError:
                refused.add(name)
    expected = {"Lambda", "TFSMLayer", "FlaxLayer", "JaxLayer", "TorchModuleWrapper"}
    expected |= {"StringLookup", "IntegerLookup", "TextVectorization"}
    assert refused == (expected if module == "layers" else set())


def test_a_pretrained_application_is_neither_downloaded_nor_read(tmp_path, monkeypatch):
    x = np.random.default_rng(0).random((4, 32, 32, 3)).astype("float32")
    params = {"network": "MobileNetV2"}
    built = classifier(model="application", model_params=params, epochs=1, trainable="head()")
    path = tmp_path / "model.frozenfit"
    frozenfit.save(built.fit(x, [0, 1, 0, 1]), path)
    record = container.from_file(path)
    pipe = tmp_path / "pipe.weights.h5"
    os.mkfifo(pipe)

    builds = []
    build = keras.applications.MobileNetV2

    def noted(*args, weights, **kwargs):
        builds.append(weights)
        return build(*args, weights=None, **kwargs)

    noted.__signature__, noted.__module__ = inspect.signature(build), build.__module__
    monkeypatch.setattr(keras.applications, "MobileNetV2", noted)
    for weights in (str(pipe), "imagenet"):
        record.parameters["model_params"] = {**params, "weights": weights}
        path.write_bytes(container.to_bytes(record))
        frozenfit.clear_workspace()
        loaded = frozenfit.load(path)
        assert loaded.model_params["weights"] == weights
        frozenfit.clear_workspace()
        loaded.predict(x)
    assert len(builds) >= 2 and set(builds) == {None}
