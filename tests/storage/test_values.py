"""Parameters in files: each value comes back with its type, or is refused by name."""

from __future__ import annotations

import json
import random

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_fake import Fake, same

from frozenfit import architectures
from frozenfit.selectors import Selector, filters, head, where
from frozenfit.storage import StorageError, files, load, save
from frozenfit.storage.codec import decode, encode
from frozenfit.training.schedules import FreezeOut, GradualUnfreeze, LayerwiseRates


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Where a file may be; the stand-in is one of ours for as long as the test runs."""
    monkeypatch.setitem(files._CLASSES, "Fake", "storage_fake:Fake")
    return tmp_path / "model.frozenfit"


def there_and_back(value):
    text = json.dumps(encode(value, "parameter 'x'"), allow_nan=False)
    return decode(json.loads(text), "parameter 'x'")


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.sampled_from(
        [np.float32(0.1), np.int64(-3), np.bool_(True), np.str_("ä"), np.complex64(1j)]
    )
)
KEYS = st.text() | st.integers() | st.just("$")
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_values_come_back_with_their_types(value):
    assert same(there_and_back(value), value)


@pytest.mark.parametrize(
    "array",
    [
        np.array([3, 1]),
        np.array([0.5, np.nan, -np.inf], "float16"),
        np.array([True, False]),
        np.array(["a", "longer", ""]),
        np.array(["a", None, 3, 2.5, (1, 2)], dtype=object),
        np.array([[1, 2], [3, 4]], order="F"),
        np.zeros((0, 3), "uint8"),
        np.array([], dtype="<U3"),
        np.array(5.0),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_come_back_with_their_types(array):
    assert same(there_and_back(array), array)


def test_labels_of_other_kinds_are_keys():
    value = {np.int64(1): 2.0, 0.5: 1, True: None, "$": 3}
    assert same(there_and_back(value), value)


@pytest.mark.parametrize("selector", [filters(0.1) | head(), (~head()).on("block1_*")])
def test_subsets_come_back(selector):
    again = there_and_back({"trainable": selector})["trainable"]
    assert isinstance(again, Selector) and again == selector


@pytest.mark.parametrize(
    "freeze_schedule", [FreezeOut(0.5, "squared"), GradualUnfreeze(2), LayerwiseRates(0.7)]
)
def test_ways_of_freezing_over_time_come_back(freeze_schedule):
    assert (
        there_and_back({"freeze_schedule": freeze_schedule})["freeze_schedule"] == freeze_schedule
    )


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras's get_config on torch
@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.optimizers.Adam(0.02, clipnorm=1.0),
        lambda: keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 50)),
        lambda: keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5),
        lambda: keras.initializers.HeNormal(seed=3),
        lambda: keras.layers.RandomFlip("horizontal", seed=1),
        lambda: keras.layers.Dense(3, activation=keras.activations.gelu),
        lambda: keras.regularizers.L2(0.1),
        lambda: keras.Sequential([keras.layers.RandomFlip(), keras.layers.RandomContrast(0.1)]),
    ],
)
def test_keras_objects_come_back_with_their_configuration(make):
    given = make()
    again = there_and_back([given])[0]
    assert type(again) is type(given)
    assert again.get_config() == given.get_config()


def test_an_optimizer_is_named_alike_on_all_backends():
    text = json.dumps(encode(keras.optimizers.Adam(), "parameter 'optimizer'"))
    assert '"keras.optimizers"' in text and "backend" not in text


@pytest.mark.parametrize("function", [keras.activations.relu, keras.activations.silu])
def test_keras_functions_come_back(function):
    assert there_and_back(function) is function


@keras.saving.register_keras_serializable("frozenfit_tests")
def rescaled(x):
    return x / 2.0


@keras.saving.register_keras_serializable("frozenfit_tests")
class Rescaled(keras.layers.Layer):
    def call(self, x):
        return x / 2.0


def test_registered_functions_and_classes_come_back():
    assert there_and_back(rescaled) is rescaled
    assert type(there_and_back(Rescaled())) is Rescaled
    assert there_and_back(keras.layers.Activation(rescaled)).activation is rescaled


def test_a_registered_architecture_comes_back(monkeypatch):
    def small(input_shape, n_outputs):
        raise NotImplementedError

    monkeypatch.setattr(architectures.registry, "_BUILDERS", {})
    architectures.register("small")(small)
    assert there_and_back(small) is small
    monkeypatch.setattr(architectures.registry, "_BUILDERS", {})
    with pytest.raises(ValueError, match="the architecture 'small' is not registered"):
        decode({"$": "architecture", "name": "small"}, "parameter 'model'")


def test_reading_leaves_random_streams_as_they_are():
    node = encode(keras.layers.RandomFlip(), "parameter 'augment'")
    before = random.getstate(), np.random.get_state()[1].tolist()
    decode(node, "parameter 'augment'")
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


def network():
    inputs = keras.Input((3,), name="inputs")
    x = keras.layers.Dense(4, activation="relu", name="dense")(inputs)
    return keras.Model(inputs, keras.layers.Dense(2, name="head")(x + 1.0))


class Unregistered(keras.Model):
    def __init__(self, units=2):
        super().__init__()
        self.dense = keras.layers.Dense(units)

    def call(self, x):
        return self.dense(x)


def test_a_given_network_is_given_again(path):
    save(Fake(model=network()).fit(), path)
    base = network()
    assert load(path, base=base).model is base


def test_a_given_network_that_is_missing_is_asked_for(path):
    save(Fake(model=Unregistered()).fit(), path)
    with pytest.raises(StorageError, match=r"pass it as frozenfit\.load\(path, base=network\)"):
        load(path)


def test_a_whole_file_describes_the_given_network(path):
    given = network()
    save(Fake(model=given).fit(), path, include_frozen=True)
    loaded = load(path).model
    assert [w.shape for w in loaded.weights] == [w.shape for w in given.weights]
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in given.layers]


def test_a_network_that_keras_cannot_build_again_is_refused(path):
    with pytest.raises(
        ValueError, match="'model' is a Unregistered, a class that is not registered"
    ):
        save(Fake(model=Unregistered()).fit(), path, include_frozen=True)
    assert not path.exists()


class Odd:
    pass


def unregistered_function(x):
    return x


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (unregistered_function, r"@frozenfit\.architectures\.register\('name'\)"),
        (lambda x: x, r"<lambda>, which a file cannot store: decorate"),
        (Odd(), r"Odd, which a file cannot store"),
        ({"deep": [Odd()]}, r"parameter 'trainable'\['deep'\] is a .*Odd"),
        ({1, 2}, "builtins.set, which a file cannot store"),
        (where(lambda info: "all"), "contains a Python function"),
        (np.random.RandomState(0), "pass an int"),
        (np.random.default_rng(0), "pass an int"),
        (2**5000, "an integer of more than 4096 bits"),
        (np.array(["2020"], "datetime64[D]"), "datetime64"),
        (np.zeros(2**22), "at most 16777216 bytes"),
        (keras.callbacks.Callback(), "callbacks=None"),
        (keras.layers.Activation(unregistered_function), "register_keras_serializable"),
    ],
    ids=lambda value: None,
)
def test_a_parameter_that_cannot_be_stored_is_refused_by_name(path, value, message):
    with pytest.raises(ValueError, match=message) as refused:
        save(Fake(trainable=value).fit(), path)
    assert str(refused.value).startswith("parameter 'trainable'")
    assert list(path.parent.iterdir()) == []


def test_callbacks_are_refused_with_the_way_out(path):
    estimator = Fake(callbacks=[keras.callbacks.TerminateOnNaN()]).fit()
    with pytest.raises(ValueError, match=r"copy\.copy\(estimator\)\.set_params\(callbacks=None\)"):
        save(estimator, path)


def test_a_layer_with_weights_is_refused(path):
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    with pytest.raises(ValueError, match="'optimizer' is a layer that has weights"):
        save(Fake(optimizer=layer).fit(), path)
