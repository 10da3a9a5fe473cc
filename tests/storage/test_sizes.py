"""Small files that describe large networks: an error is raised before memory is allocated."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from estimator_data import classifier, images, raw, regressor, table, targets

import frozenfit
from frozenfit import StorageError
from frozenfit.utils import container

LIMIT = "exceeds the limit of"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.frozenfit"


def forge(estimator, path, change):
    """Save an estimator, let `change` alter the record of its file, and write the digest again."""
    frozenfit.save(estimator, path)
    record = container.from_file(path)
    change(record)
    path.write_bytes(container.to_bytes(record))
    assert path.stat().st_size < 2**16
    frozenfit.clear_workspace()


def parameters(**values):
    return lambda record: record.parameters.update(values)


def fitted(**values):
    return lambda record: record.fitted.update(values)


def shaped(*shape, **more):
    def change(record):
        sizes = {"$": "tuple", "items": list(shape)}
        record.fitted.update(input_shape=sizes, n_features_in=int(np.prod(shape)))
        record.parameters.update(more)

    return change


@pytest.mark.parametrize(
    "change",
    [
        parameters(model_params={"hidden_layer_sizes": [10**6, 10**6]}),
        parameters(model_params={"hidden_layer_sizes": [10**12]}),
        shaped(10**10),
        shaped(32, 32, 3, model="wide_resnet", model_params={"depth": 10**7 * 6 + 4, "width": 1}),
        shaped(32, 32, 3, model="wide_resnet", model_params={"depth": 10, "width": 10**6}),
        shaped(10**5, 10**5, 3, model="wide_resnet", model_params={"depth": 10, "width": 1}),
        parameters(trainable="random(0.5)", model_params={"hidden_layer_sizes": [10**5, 10**5]}),
    ],
)
def test_a_network_that_is_too_large_is_not_built(path, change):
    forge(classifier(epochs=1).fit(*table()), path, change)
    with pytest.raises(StorageError, match=LIMIT):
        frozenfit.load(path, max_bytes=2**25)


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Dense(3),
        keras.layers.RepeatVector(3),
        keras.layers.ZeroPadding1D(3),
        keras.layers.LSTM(3),
        keras.layers.Embedding(3, 3),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_described_network_that_is_too_large_is_not_built(path, layer):
    config = keras.saving.serialize_keras_object(layer)
    for name in ("units", "n", "padding", "input_dim"):
        if name in config["config"]:
            config["config"][name] = 10**10
    config.pop("build_config", None)
    given = {"batch_shape": [None, 4, 4], "dtype": "float32"}
    if isinstance(layer, keras.layers.RepeatVector):
        given["batch_shape"] = [None, 4]
    first = {"module": "keras.layers", "class_name": "InputLayer", "config": given}
    network = {"name": "net", "layers": [first, config]}
    described = {"module": "keras", "class_name": "Sequential", "config": network}
    forge(
        classifier(epochs=1).fit(*table()),
        path,
        parameters(model={"$": "network", "config": described}),
    )
    with pytest.raises(StorageError, match=LIMIT):
        frozenfit.load(path)


@pytest.mark.parametrize("sizes", [10**12, [10**6, 10**6], 10**6])
@pytest.mark.parametrize("features", [None, "receptive_fields"])
def test_an_elm_that_is_too_large_is_not_drawn(path, sizes, features):
    def change(record):
        record.parameters["hidden_layer_sizes"] = sizes
        if isinstance(sizes, list):
            record.fitted["layers"].append({**record.fitted["layers"][0], "inputs": sizes[0]})

    data = images() if features else table()
    elm = frozenfit.ELMClassifier(4, features=features, random_state=0)
    forge(elm.fit(*data), path, change)
    with pytest.raises(StorageError, match=LIMIT):
        frozenfit.load(path)


def test_a_mask_is_as_large_as_its_bits(path):
    def change(record):
        mask = {"$": "array", "dtype": "|u1", "shape": [1], "value": "AA=="}
        form = ["mask", {"$": "tuple", "items": [10**6, 10**6]}, mask]
        record.fitted["forms"] = {"dense1/kernel": {"$": "tuple", "items": form}}

    forge(classifier(epochs=1).fit(*table()), path, change)
    with pytest.raises(StorageError, match="a mask of 1 bytes cannot have shape"):
        frozenfit.load(path)


def test_arrays_of_strings_are_limited(path):
    wide = {"$": "array", "dtype": "<U4000000", "shape": [1], "items": ["a"]}
    forge(classifier(epochs=1).fit(*table()), path, fitted(classes=[wide] * 60))
    with pytest.raises(StorageError, match=LIMIT):
        frozenfit.load(path)


@pytest.mark.parametrize("text", ["(" * 3000, "~" * 3000 + "head()", "head()" + " | head()" * 5000])
def test_text_of_a_selector_is_not_nested_without_end(path, text):
    forge(classifier(epochs=1).fit(*table()), path, parameters(trainable=text))
    with pytest.raises(StorageError, match="cannot be read as a selector"):
        frozenfit.load(path)


def test_the_numbers_of_outputs_and_targets_are_those_of_the_arrays(path):
    forge(classifier(epochs=1).fit(*table()), path, fitted(n_outputs=10**9))
    with pytest.raises(StorageError):
        frozenfit.load(path)

    def change(record):
        record.fitted["data"]["targets"]["count"] = 10**12
        record.fitted["data"]["n_outputs"] = 10**12

    forge(frozenfit.ELMRegressor(4, random_state=0).fit(*targets()), path, change)
    with pytest.raises(StorageError):
        frozenfit.load(path)


def test_a_larger_file_is_loaded_where_it_is_trusted(path):
    estimator = regressor(epochs=1, model_params={"hidden_layer_sizes": (64,)}).fit(*targets())
    frozenfit.save(estimator, path)
    frozenfit.clear_workspace()
    with pytest.raises(StorageError, match="a larger `max_bytes` to frozenfit.load"):
        frozenfit.load(path, max_bytes=1000)
    loaded = frozenfit.load(path, max_bytes=10**7)
    np.testing.assert_array_equal(raw(loaded, targets()[0]), raw(estimator, targets()[0]))


def test_the_limit_ends_with_the_load(path):
    add_weight, init = keras.Layer.add_weight, keras.KerasTensor.__init__
    frozenfit.save(classifier(epochs=1).fit(*table()), path)
    frozenfit.clear_workspace()
    with pytest.raises(StorageError):
        frozenfit.load(path, max_bytes=1000)
    assert (keras.Layer.add_weight, keras.KerasTensor.__init__) == (add_weight, init)


def test_the_weights_of_a_given_network_are_not_limited(path):
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(300), keras.layers.Dense(3)])
    estimator = classifier(model=network, epochs=1, trainable="head()").fit(*table())
    frozenfit.save(estimator, path)
    small = 10**6  # far below the small change that is charged for each weight
    frozenfit.load(path, base=network, max_bytes=small)
