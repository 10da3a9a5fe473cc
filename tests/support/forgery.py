"""Random changes to the content of a file, as an attacker or a faulty program would make them."""

from __future__ import annotations

import copy
import json
import random
import struct

import numpy as np
import safetensors.numpy

from frozenfit.utils import container

VALUES = [
    *(None, True, False, 0, 1, -1, 2, 3, 7, 100, 10**6, 10**9, 2**31, 2**63, 10**30),
    *(0.0, 0.1, 1.0, -0.5, 1e300, 1e-300),
    *("", "a", "mlp", "keep", "zero", "random", "auto", "float16", "head()", "filters(0.5)"),
    *("application", "wide_resnet", "lenet5", "adam", "relu", "float32", "\u0000", "é" * 50),
    *([], [1], [[1]], [None], {}, {"a": 1}, {"$": "tuple", "items": []}),
    {"$": "float", "value": "nan"},
    {"$": "float", "value": "inf"},
    {"$": "tuple", "items": [4]},
    {"$": "tuple", "items": [8, 8, 1]},
    {"$": "array", "dtype": "<i8", "shape": [2], "value": "AAAAAAAAAAABAAAAAAAAAA=="},
    {"$": "array", "dtype": "|O", "shape": [2], "items": ["a", None]},
    {"$": "array", "dtype": "<U9", "shape": [1], "items": ["a"]},
    {"$": "scalar", "dtype": "<f4", "shape": [], "value": "AACAPw=="},
    {"$": "selector", "value": "layers('head')"},
    {"$": "network", "config": None},
    {"$": "architecture", "name": "resnet"},
    {"$": "bytes", "value": "AAAA"},
    {"$": "dict", "items": [[1, 2]]},
    {"$": "keras", "config": {"module": "keras.layers", "class_name": "ReLU", "config": {}}},
]


def places(node, path=()):
    """Yield the path of every value in JSON."""
    yield path
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))
        else:
            yield (*path, key)


def changed_number(value, rng: random.Random):
    if isinstance(value, bool) or not isinstance(value, int | float):
        return rng.choice(VALUES)
    return rng.choice([value + 1, value - 1, -value, value * 2, value * 1000, value + 0.5])


def change_json(document, rng: random.Random) -> None:
    """Replace, delete or duplicate one value of a JSON document."""
    path = rng.choice([path for path in places(document) if path])
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    key, kind = path[-1], rng.randrange(10)
    if kind < 4:
        parent[key] = copy.deepcopy(rng.choice(VALUES))
    elif kind < 7:
        parent[key] = changed_number(parent[key], rng)
    elif kind == 7:
        del parent[key]
    elif kind == 8 and isinstance(parent, dict):
        parent[rng.choice(["$", "a", "class_name", "model", "seed"])] = parent.pop(key)
    elif isinstance(parent, list):
        parent.append(copy.deepcopy(rng.choice(parent)))
    else:  # another value of the same document
        other = rng.choice(list(parent))
        parent[key] = copy.deepcopy(parent[other])


def change_arrays(arrays: dict[str, np.ndarray], rng: random.Random) -> None:
    """Delete, rename, add, reshape, cast or overwrite one array."""
    name = rng.choice(sorted(arrays))
    array, kind = arrays[name], rng.randrange(7)
    if kind == 0:
        del arrays[name]
    elif kind == 1:
        arrays[rng.choice(["a", "trained/x", "state/x", "base/x", name + "x"])] = arrays.pop(name)
    elif kind == 2:
        arrays[name] = array[:-1] if array.ndim else array.reshape(1)
    elif kind == 3:
        arrays[name] = array.reshape(rng.choice([(-1,), (*array.shape, 1), (1, -1)]))
    elif kind == 4:
        with np.errstate(all="ignore"):
            dtype = rng.choice(["float16", "float64", "int8", "int64", "bool", "uint32"])
            arrays[name] = np.nan_to_num(array).astype(dtype)
    elif kind == 5:
        arrays[name] = np.full_like(array, rng.choice([0, 1, 100]))
    else:
        arrays[name] = np.zeros((0, *array.shape[1:]), array.dtype)


def forge(record: container.Record, rng: random.Random) -> bytes:
    """Return a file with up to three random changes and, mostly, a digest that matches it."""
    document = {
        "class": record.class_name,
        "parameters": record.parameters,
        "fitted": record.fitted,
    }
    document, arrays = copy.deepcopy(document), dict(record.arrays)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        if rng.random() < 0.75:
            change_json(document, rng)
        elif arrays:
            change_arrays(arrays, rng)
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    document = {"format": container._FORMAT, "frozenfit": "0.1", "keras": "3", **document}
    try:
        document["digest"] = container._digest(document, arrays)
        data = safetensors.numpy.save(arrays, {"frozenfit": json.dumps(document)})
    except (ValueError, UnicodeError):  # a change that JSON cannot express
        return b""
    return damaged(data, rng) if rng.random() < 0.1 else data


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return a file with a cut end, other bytes, or another length of its header."""
    kind = rng.randrange(3)
    if kind == 0:
        return data[: rng.randrange(len(data))]
    if kind == 1:
        return struct.pack("<Q", rng.choice([0, 1, 2**40, 2**63, len(data)])) + data[8:]
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)
