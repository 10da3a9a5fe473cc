"""Foreign, damaged and forged files: each is a StorageError of one sentence."""

from __future__ import annotations

import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from frozenfit.storage import StorageError, files, load
from frozenfit.utils import container


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Where a file may be; the stand-in is one of ours for as long as the test runs."""
    monkeypatch.setitem(files._CLASSES, "Fake", "storage_fake:Fake")
    return tmp_path / "model.frozenfit"


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


def test_a_keras_file_is_recognized(path):
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
    with pytest.raises(StorageError, match="not an ordinary file"):
        load(path)


META = {"__metadata__": {"frozenfit": "{}"}}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b"1234", "truncated or damaged"),
        (b"hello, this is a text file", "truncated or damaged"),
        (b"\xff" * 64, "truncated or damaged"),
        (raw_file(b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "its header is not valid"),
        (raw_file({"__metadata__": {"frozenfit": "[" * 100_000}}), "its description is not valid"),
        (raw_file({"__metadata__": {"frozenfit": '{"format": NaN}'}}), "not valid JSON"),
        (raw_file({"__metadata__": {"frozenfit": "[]"}}), "is not a JSON object"),
        (raw_file(b'{"a": 1, "a": 2}'), "not valid JSON"),
        (raw_file('{"a": 1}'.encode("utf-16")), "truncated or damaged"),
        (raw_file({"__metadata__": {"format": "pt"}}), "without the metadata of frozenfit"),
        (raw_file({}), "without the metadata of frozenfit"),
        (raw_file(META), "lacks a valid 'format'"),
        (safetensors.numpy.save({"a": np.ones(3)}), "without the metadata of frozenfit"),
    ],
)
def test_a_foreign_file_is_refused_with_a_message(path, data, message):
    assert message in refusal(path, data)


def document(**changes):
    given = {
        "format": 2,
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
    said["digest"] = container._digest(said, arrays)
    return safetensors.numpy.save(arrays, {"frozenfit": json.dumps(said)})


def test_a_well_made_file_loads(path):
    path.write_bytes(forged())
    assert load(path).classes_ == [0, 1]


@pytest.mark.parametrize(
    ("version", "remedy"), [(3, "install a newer"), (1, "load it with that"), (0, "load it with")]
)
def test_another_format_is_not_damage(path, version, remedy):
    text = refusal(path, forged(format=version, frozenfit="9.1"))
    assert f"another format version: frozenfit 9.1 wrote it in format {version}" in text
    assert remedy in text and "damaged" not in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": True}, "lacks a valid 'format'"),
        ({"class": "Popen"}, "it contains a Popen"),
        ({"parameters": []}, "lacks a valid 'parameters'"),
        ({"parameters": {"unknown": 1}}, "unexpected keyword argument 'unknown'"),
        ({"fitted": None}, "TypeError"),
        ({"fitted": {}}, "KeyError: 'classes'"),
        ({"more": 1}, "contains unknown keys"),
        ({"arrays": {"dense/kernel": np.ones((3, 5), "float32")}}, "the kernel has another shape"),
        ({"arrays": {}}, "KeyError: 'dense/kernel'"),
    ],
)
def test_a_forged_file_is_refused_with_a_message(path, changes, message):
    assert message in refusal(path, forged(**changes))


def keras_node(class_name, module="keras.layers", config=None, **more):
    described = {"class_name": class_name, "module": module, "config": config or {}, **more}
    return {"$": "keras", "config": described}


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"$": "pickle", "value": ""}, "unknown kind 'pickle'"),
        ({"$": ["tuple"]}, "unknown kind"),
        ({"$": "tuple"}, "not a well-formed tuple"),
        ({"$": "float", "value": "1e5"}, "not a well-formed float"),
        ({"$": "bytes", "value": "!"}, "parameter 'trainable'"),
        ({"$": "dict", "items": [[[1], 2]]}, "not a well-formed dict"),
        ({"$": "array", "dtype": "<f8", "shape": [10**12], "value": ""}, "parameter 'trainable'"),
        ({"$": "array", "dtype": "<f8", "shape": [-1], "value": ""}, "cannot have the shape"),
        ({"$": "array", "dtype": "<U999999999", "shape": [1], "items": ["a"]}, "NumPy's type"),
        ({"$": "array", "dtype": "<U1", "shape": [1], "items": ["ab"]}, "contains other items"),
        ({"$": "array", "dtype": "|O", "shape": [9], "items": []}, "cannot have 0 items"),
        ({"$": "array", "dtype": "|V8", "shape": [1], "items": [1]}, "NumPy's type '|V8'"),
        ({"$": "selector", "value": "__import__('os')"}, "parameter 'trainable'"),
        ({"$": "selector", "value": 3}, "parameter 'trainable'"),
        ({"$": "keras", "config": 3}, "must contain the name of a class"),
        (keras_node("system", "os"), "must not name system of os"),
        (keras_node("get_file", "keras.utils"), "must not name get_file of keras.utils"),
        (keras_node("TFSMLayer", config={"filepath": "x"}), "must not contain the layer TFSM"),
        (keras_node("TorchModuleWrapper"), "must not contain the layer TorchModuleWrapper"),
        (keras_node("__lambda__", None), "must not contain the Keras object __lambda__"),
        (
            keras_node("Lambda", config={"function": {"class_name": "__lambda__", "config": {}}}),
            "must not contain the layer Lambda",
        ),
        (
            keras_node("ReLU", config={"function": {"class_name": "__lambda__", "config": {}}}),
            "must not contain the Keras object __lambda__",
        ),
        (keras_node("Dense"), "Keras cannot build the Dense"),
        (
            keras_node("Dense", config={"units": 3, "activation": "many"}),
            "Keras cannot build the Dense",
        ),
        (keras_node("Mine", "my.layers", registered_name="my>Mine"), "import the module"),
        ({"$": "network", "config": None}, "base=network"),
        (nested(150), "nested more than 100 deep"),
    ],
    ids=lambda value: None,
)
def test_a_forged_parameter_is_refused_with_a_message(path, node, message):
    assert message in refusal(path, forged(parameters={"trainable": node}))


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
    assert "not booleans" in refusal(path, data)


def test_a_file_never_loads_with_a_digest_that_does_not_fit(path):
    data = forged()
    broken = data.replace(b"0.1.0", b"0.1.1")
    assert "its content does not match its digest" in refusal(path, broken)
