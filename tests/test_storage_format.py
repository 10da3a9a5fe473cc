"""Files: what goes in comes out, what cannot is refused, and a damaged file never loads wrongly.

A small stand-in for an estimator keeps these tests about the format alone.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import random
import stat
import zipfile

import keras
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator

from frozenfit import _container, architectures, storage
from frozenfit._codec import decode, encode
from frozenfit.storage import StorageError, check_writable, load, save
from frozenfit.subset import Subset, filters, head, where


class Fake(BaseEstimator):
    def __init__(
        self, model="mlp", learned=0.1, optimizer="adam", callbacks=None, random_state=None
    ):
        self.model = model
        self.learned = learned
        self.optimizer = optimizer
        self.callbacks = callbacks
        self.random_state = random_state

    def fit(self):
        rng = np.random.default_rng(0)
        self.classes_ = np.array(["no", "yes"])
        self.arrays_ = {
            "dense/kernel": rng.normal(size=(3, 4)).astype("float32"),
            "seed_state": np.array([1, 2], "uint32"),
            "step": np.array(7, "int64"),
            "none": np.zeros((0, 5), "float32"),
        }
        return self

    def _fitted_state(self, include_frozen):
        meta = {"classes": self.classes_, "history": [0.5, math.nan], "whole": include_frozen}
        return meta, self.arrays_

    def _restore(self, meta, arrays, base=None):
        if arrays["dense/kernel"].shape != (3, 4):
            raise ValueError("the kernel has another shape")
        self.classes_, self.arrays_ = meta["classes"], arrays
        self.meta_, self.base_ = meta, base


@pytest.fixture(autouse=True)
def fake_is_known(monkeypatch):
    monkeypatch.setitem(storage._CLASSES, "Fake", f"{__name__}:Fake")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.frozenfit"


def there_and_back(value):
    text = json.dumps(encode(value, "parameter 'x'"), allow_nan=False)
    return decode(json.loads(text), "parameter 'x'")


def same(a, b):
    """Whether two values are of the same types and equal all the way down; NaN equals itself."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a.items()), list(b.items()))
    if isinstance(a, (np.ndarray, np.generic)):
        return (
            a.dtype == b.dtype
            and a.shape == b.shape
            and all(map(same, a.ravel().tolist(), b.ravel().tolist()))
        )
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


def same_estimator(a, b):
    return same(
        [a.get_params(), a.classes_, dict(sorted(a.arrays_.items()))],
        [b.get_params(), b.classes_, dict(sorted(b.arrays_.items()))],
    )


@pytest.mark.parametrize("kind", [str, os.fspath, os.fsencode, lambda path: path])
def test_what_is_saved_is_loaded(path, kind):
    saved = Fake(learned=(0.1, [2]), random_state=3).fit()
    save(saved, kind(path))
    assert same_estimator(load(kind(path)), saved)


def test_meta_and_base_reach_the_estimator(path):
    save(Fake().fit(), path, include_frozen=True)
    loaded = load(path, base="a base")
    assert loaded.base_ == "a base"
    assert loaded.meta_["whole"] is True
    assert loaded.meta_["history"][0] == 0.5 and math.isnan(loaded.meta_["history"][1])


def test_the_file_is_a_safetensors_file(path):
    estimator = Fake().fit()
    save(estimator, path)
    found = safetensors.numpy.load_file(path)
    assert same(dict(sorted(found.items())), dict(sorted(estimator.arrays_.items())))


def test_the_same_estimator_gives_the_same_bytes(path, tmp_path):
    save(Fake().fit(), path)
    save(Fake().fit(), tmp_path / "other")
    assert path.read_bytes() == (tmp_path / "other").read_bytes()


def test_arrays_of_any_order_keep_their_values(path):
    estimator = Fake().fit()
    kernel = estimator.arrays_["dense/kernel"]
    estimator.arrays_["turned"] = kernel.T
    estimator.arrays_["swapped"] = kernel.astype(">f8")
    save(estimator, path)
    loaded = load(path).arrays_
    np.testing.assert_array_equal(loaded["turned"], kernel.T)
    np.testing.assert_array_equal(loaded["swapped"], kernel)


def test_loaded_arrays_can_be_written_to(path):
    save(Fake().fit(), path)
    assert all(array.flags.writeable for array in load(path).arrays_.values())


def test_bfloat16_is_kept(path):
    import ml_dtypes

    estimator = Fake().fit()
    estimator.arrays_["half"] = np.arange(3).astype(ml_dtypes.bfloat16)
    save(estimator, path)
    assert load(path).arrays_["half"].dtype == ml_dtypes.bfloat16
    assert load(path).arrays_["half"].tolist() == [0, 1, 2]


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


@pytest.mark.parametrize("subset", [filters(0.1) | head(), (~head()).on("block1_*")])
def test_subsets_come_back(subset):
    again = there_and_back({"learned": subset})["learned"]
    assert isinstance(again, Subset) and again == subset


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
    with pytest.raises(ValueError, match="no architecture is registered as 'small' here"):
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
    with pytest.raises(StorageError, match=r"give it as frozenfit\.load\(path, base=network\)"):
        load(path)


def test_a_whole_file_describes_the_given_network(path):
    given = network()
    save(Fake(model=given).fit(), path, include_frozen=True)
    loaded = load(path).model
    assert [w.shape for w in loaded.weights] == [w.shape for w in given.weights]
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in given.layers]


def test_a_network_that_keras_cannot_build_again_is_refused(path):
    with pytest.raises(ValueError, match="'model' is a Unregistered, a class that Keras does not"):
        save(Fake(model=Unregistered()).fit(), path, include_frozen=True)
    assert not path.exists()


class Odd:
    pass


def unregistered_function(x):
    return x


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (unregistered_function, r"@frozenfit\.architectures\.register\('name'\)"),
        (lambda x: x, r"<lambda>, which a file cannot hold: register"),
        (Odd(), r"Odd, which a file cannot hold"),
        ({"deep": [Odd()]}, r"parameter 'learned'\['deep'\] is a .*Odd"),
        ({1, 2}, "builtins.set, which a file cannot hold"),
        (where(lambda info: "all"), "holds a Python function"),
        (np.random.RandomState(0), "pass an int"),
        (np.random.default_rng(0), "pass an int"),
        (2**5000, "an integer of more than 4096 bits"),
        (np.array(["2020"], "datetime64[D]"), "datetime64"),
        (np.zeros(2**22), "at most 16777216 in a parameter"),
        (keras.callbacks.Callback(), "callbacks=None"),
        (keras.layers.Activation(unregistered_function), "register_keras_serializable"),
    ],
    ids=lambda value: None,
)
def test_a_parameter_that_cannot_be_stored_is_refused_by_name(path, value, words):
    with pytest.raises(ValueError, match=words) as refused:
        save(Fake(learned=value).fit(), path)
    assert str(refused.value).startswith("parameter 'learned'")
    assert list(path.parent.iterdir()) == []


def test_callbacks_are_refused_with_the_way_out(path):
    estimator = Fake(callbacks=[keras.callbacks.TerminateOnNaN()]).fit()
    with pytest.raises(ValueError, match=r"copy\.copy\(estimator\)\.set_params\(callbacks=None\)"):
        save(estimator, path)


def test_a_layer_with_weights_is_refused(path):
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    with pytest.raises(ValueError, match="'optimizer' is a layer with weights of its own"):
        save(Fake(optimizer=layer).fit(), path)


def test_a_value_that_holds_itself_is_refused(path):
    value = []
    value.append(value)
    with pytest.raises(ValueError, match="holds itself"):
        save(Fake(learned=value).fit(), path)


def test_an_estimator_that_is_not_fitted_is_refused(path):
    with pytest.raises(ValueError, match="not fitted"):
        save(Fake(), path)


def test_other_estimators_are_refused(path):
    class Mine(Fake):
        pass

    with pytest.raises(ValueError, match="found Mine"):
        save(Mine().fit(), path)


def test_an_array_of_another_type_is_refused(path):
    estimator = Fake().fit()
    estimator.arrays_["text"] = np.array(["a"])
    with pytest.raises(ValueError, match="cannot hold the array 'text'"):
        save(estimator, path)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failing_write_leaves_the_old_file_and_nothing_else(path, monkeypatch, call):
    save(Fake(random_state=1).fit(), path)

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space left"):
        save(Fake(random_state=2).fit(), path)
    assert load(path).random_state == 1
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_write_leaves_nothing(path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(Fake().fit(), path)
    assert list(path.parent.iterdir()) == []


def test_file_and_folder_are_synced_around_the_renaming(path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor):
        calls.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def noted_replace(source, target):
        calls.append("rename")
        assert os.path.dirname(source) == os.path.dirname(target)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    save(Fake().fit(), path)
    assert calls == ["file", "rename", "folder"]


def test_a_new_file_gets_the_mode_of_the_umask(path):
    old = os.umask(0o027)
    try:
        save(Fake().fit(), path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_replaced_file_keeps_its_mode(path):
    path.touch()
    path.chmod(0o600)
    save(Fake().fit(), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_symbolic_link_is_followed(path, tmp_path):
    link = tmp_path / "latest"
    link.symlink_to(path)
    save(Fake().fit(), link)
    assert link.is_symlink() and path.is_file()


@pytest.mark.parametrize("write", [check_writable, lambda path: save(Fake().fit(), path)])
def test_a_path_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch, write):
    with pytest.raises(ValueError, match="No such file or directory; give"):
        write(tmp_path / "absent" / "m.frozenfit")
    with pytest.raises(ValueError, match="it is a folder; give"):
        write(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="Not a directory; give"):
        write(tmp_path / "file" / "m.frozenfit")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ValueError, match="Permission denied; give"):
        write(tmp_path / "m.frozenfit")


def test_checking_a_path_leaves_nothing(path):
    check_writable(path)
    assert list(path.parent.iterdir()) == []


def saved_bytes(folder):
    save(Fake(random_state=5).fit(), folder / "whole")
    return (folder / "whole").read_bytes()


def exact_or_refused(path, data):
    """Load altered bytes: True where that gave the exact model, False where it was refused."""
    path.write_bytes(data)
    try:
        loaded = load(path)
    except StorageError:
        return False
    assert same_estimator(loaded, Fake(random_state=5).fit())
    return True


def test_any_flipped_bit_gives_the_exact_model_or_a_storage_error(path, tmp_path):
    whole = saved_bytes(tmp_path)
    chosen = random.Random(0).sample(range(64, 8 * len(whole)), 400)
    exact = 0
    for bit in [*range(64), *chosen]:
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        exact += exact_or_refused(path, bytes(data))
    assert exact < 10


def test_any_truncation_is_refused(path, tmp_path):
    whole = saved_bytes(tmp_path)
    for size in [*range(20), *random.Random(1).sample(range(20, len(whole)), 150), len(whole) - 1]:
        assert not exact_or_refused(path, whole[:size])


def test_any_addition_is_refused(path, tmp_path):
    whole = saved_bytes(tmp_path)
    for more in (b"\0", b" ", b"x" * 4096):
        assert not exact_or_refused(path, whole + more)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_several_changed_bytes_are_refused(data, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    whole = bytearray(saved_bytes(folder))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=5)):
        whole[place] = data.draw(st.integers(0, 255))
    exact_or_refused(folder / "altered", bytes(whole))


def raw_file(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def refusal(path, data):
    path.write_bytes(data)
    with pytest.raises(StorageError) as refused:
        load(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    return str(refused.value)


class Bomb:
    def __reduce__(self):
        return os.mkdir, (os.environ["BOMB"],)


def test_a_pickle_is_refused_and_not_executed(path, tmp_path, monkeypatch):
    monkeypatch.setenv("BOMB", str(tmp_path / "exploded"))
    assert "it looks like a pickle" in refusal(path, pickle.dumps(Bomb()))
    assert not (tmp_path / "exploded").exists()


def test_a_keras_file_is_told_apart(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}" * 100)
    assert "keras.saving.load_model" in refusal(path, path.read_bytes())


def test_an_absent_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(StorageError, match="No such file"):
        load(tmp_path / "absent")
    with pytest.raises(StorageError, match="it is a folder"):
        load(tmp_path)


def test_a_pipe_is_refused_without_waiting(path):
    os.mkfifo(path)
    with pytest.raises(StorageError, match="no ordinary file"):
        load(path)


META = {"__metadata__": {"frozenfit": "{}"}}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (b"1234", "truncated or damaged"),
        (b"hello, this is a text file", "truncated or damaged"),
        (b"\xff" * 64, "truncated or damaged"),
        (raw_file(b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "its header is no valid"),
        (raw_file({"__metadata__": {"frozenfit": "[" * 100_000}}), "its description is no valid"),
        (raw_file({"__metadata__": {"frozenfit": '{"format": NaN}'}}), "no valid JSON"),
        (raw_file({"__metadata__": {"frozenfit": "[]"}}), "is no JSON object"),
        (raw_file(b'{"a": 1, "a": 2}'), "no valid JSON"),
        (raw_file('{"a": 1}'.encode("utf-16")), "truncated or damaged"),
        (raw_file({"__metadata__": {"format": "pt"}}), "without the metadata of frozenfit"),
        (raw_file({}), "without the metadata of frozenfit"),
        (raw_file(META), "lacks a sound 'format'"),
        (safetensors.numpy.save({"a": np.ones(3)}), "without the metadata of frozenfit"),
    ],
)
def test_a_foreign_file_is_refused_in_words(path, data, words):
    assert words in refusal(path, data)


def document(**changes):
    given = {
        "format": 1,
        "frozenfit": "0.1.0",
        "keras": "3.15.1",
        "class": "Fake",
        "parameters": {},
        "fitted": {"classes": [0, 1]},
    }
    given |= changes
    return given


def forged(arrays=None, **changes):
    """A file with a digest that fits, as anybody can write one."""
    arrays = {"dense/kernel": np.ones((3, 4), "float32")} if arrays is None else arrays
    said = document(**changes)
    said["digest"] = _container._digest(said, arrays)
    return safetensors.numpy.save(arrays, {"frozenfit": json.dumps(said)})


def test_a_well_made_file_loads(path):
    path.write_bytes(forged())
    assert load(path).classes_ == [0, 1]


def test_a_newer_format_says_which_version_wrote_it(path):
    told = refusal(path, forged(format=2, frozenfit="9.1"))
    assert "frozenfit 9.1 wrote it in format 2" in told and "install a newer" in told


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 0}, "does not fit its format"),
        ({"format": True}, "lacks a sound 'format'"),
        ({"class": "Popen"}, "it holds a Popen"),
        ({"parameters": []}, "lacks a sound 'parameters'"),
        ({"parameters": {"unknown": 1}}, "unexpected keyword argument 'unknown'"),
        ({"fitted": None}, "TypeError"),
        ({"fitted": {}}, "KeyError: 'classes'"),
        ({"more": 1}, "does not fit its format"),
        ({"arrays": {"dense/kernel": np.ones((3, 5), "float32")}}, "the kernel has another shape"),
        ({"arrays": {}}, "KeyError: 'dense/kernel'"),
    ],
)
def test_a_forged_file_is_refused_in_words(path, changes, words):
    assert words in refusal(path, forged(**changes))


def keras_node(class_name, module="keras.layers", config=None, **more):
    described = {"class_name": class_name, "module": module, "config": config or {}, **more}
    return {"$": "keras", "config": described}


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"$": "pickle", "value": ""}, "unknown kind 'pickle'"),
        ({"$": ["tuple"]}, "unknown kind"),
        ({"$": "tuple"}, "no well-formed tuple"),
        ({"$": "float", "value": "1e5"}, "no well-formed float"),
        ({"$": "bytes", "value": "!"}, "parameter 'learned'"),
        ({"$": "dict", "items": [[[1], 2]]}, "no well-formed dict"),
        ({"$": "array", "dtype": "<f8", "shape": [10**12], "value": ""}, "parameter 'learned'"),
        ({"$": "array", "dtype": "<f8", "shape": [-1], "value": ""}, "cannot have the shape"),
        ({"$": "array", "dtype": "<U999999999", "shape": [1], "items": ["a"]}, "NumPy's type"),
        ({"$": "array", "dtype": "<U1", "shape": [1], "items": ["ab"]}, "holds other entries"),
        ({"$": "array", "dtype": "|O", "shape": [9], "items": []}, "cannot have 0 entries"),
        ({"$": "array", "dtype": "|V8", "shape": [1], "items": [1]}, "NumPy's type '|V8'"),
        ({"$": "subset", "value": "__import__('os')"}, "parameter 'learned'"),
        ({"$": "subset", "value": 3}, "parameter 'learned'"),
        ({"$": "keras", "config": 3}, "has no class"),
        (keras_node("system", "os"), "system of os is not registered"),
        (keras_node("get_file", "keras.utils"), "get_file of keras.utils is not registered"),
        (keras_node("TFSMLayer", config={"filepath": "x"}), "may not hold the Keras object TFSM"),
        (keras_node("TorchModuleWrapper"), "may not hold the Keras object TorchModuleWrapper"),
        (keras_node("__lambda__", None), "may not hold the Keras object __lambda__"),
        (
            keras_node("Lambda", config={"function": {"class_name": "__lambda__", "config": {}}}),
            "may not hold the Keras object __lambda__",
        ),
        (keras_node("Dense"), "Keras cannot build its Dense"),
        (keras_node("Dense", config={"units": "many"}), "Keras cannot build its Dense"),
        (keras_node("Mine", "my.layers", registered_name="my>Mine"), "import the module"),
        ({"$": "network", "config": None}, "base=network"),
        (nested(150), "nested more than 100 deep"),
    ],
    ids=lambda value: None,
)
def test_a_forged_parameter_is_refused_in_words(path, node, words):
    assert words in refusal(path, forged(parameters={"learned": node}))


def with_entry(**entry):
    return {**META, "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **entry}}


@pytest.mark.parametrize(
    "header",
    [
        with_entry(shape=[2**62, 2**62]),
        with_entry(shape=[3]),
        with_entry(shape=[-2]),
        with_entry(shape=[2.0]),
        with_entry(shape=[1] * 80),
        with_entry(shape="2"),
        with_entry(dtype="F4"),
        with_entry(dtype=None),
        with_entry(data_offsets=[0, 2**40], shape=[2**38]),
        with_entry(data_offsets=[4, 12]),
        with_entry(data_offsets=[8, 0]),
        with_entry(data_offsets=[0]),
        with_entry(more=1),
        {**with_entry(), "b": with_entry()["a"]},
        {**META, "a": []},
    ],
)
def test_an_unsound_entry_is_refused_before_memory_is_taken(path, header, monkeypatch):
    said = document()
    said["digest"] = ""
    header["__metadata__"] = {"frozenfit": json.dumps(said)}

    def no_memory(*args):
        raise AssertionError("memory was taken")

    monkeypatch.setattr(np, "empty", no_memory)
    assert "damaged" in refusal(path, raw_file(header, bytes(8)))


def test_bools_are_bools(path):
    arrays = {"flag": np.array([2], "uint8")}
    data = forged(arrays).replace(b'"dtype":"U8"', b'"dtype":"BOOL"')
    # The header is two bytes longer; its padding of blanks may be longer or shorter than that.
    size = data.rindex(b"\x02") - 8
    data = size.to_bytes(8, "little") + data[8:]
    assert "no bools" in refusal(path, data)


def test_a_file_never_loads_with_a_digest_that_does_not_fit(path):
    data = forged()
    broken = data.replace(b"0.1.0", b"0.1.1")
    assert "its content does not match its digest" in refusal(path, broken)
