"""Validation of the fitted state in a file, before an estimator is restored from it.

`fit` computes these values, so nothing else validates them: a file with a wrong one would load and
fail in `predict`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import get_tags

__all__ = ["check_fitted_state", "check_parameters"]

_LARGEST_SEED = 2**32
_MOST_MEMBERS = 10_000
_MOST_STEPS = 2**53
_PART_SEEDS = {"base", "selector", "states", "split", "batches"}
_ENSEMBLE_SEEDS = {"base", "selector", "held_out", "members"}


def check_parameters(estimator: Any) -> None:
    """Validate the parameters of an estimator as its `fit` does.

    Parameters
    ----------
    estimator : estimator
        Constructed from the parameters of a file.

    Raises
    ------
    ValueError
        If a parameter is invalid.
    """
    if getattr(estimator, "_parameter_constraints", None):
        estimator._validate_params()
    nested = getattr(estimator, "estimator", None)
    if nested is not None:
        check_parameters(nested)


def check_fitted_state(estimator: Any, meta: Any) -> None:
    """Validate the values that `fit` computed, other than arrays.

    Parameters
    ----------
    estimator : estimator
        Constructed from the parameters of the file.
    meta : object
        The decoded fitted state of the file.

    Raises
    ------
    ValueError
        If a value is missing, or of another type or size than `fit` computes.
    KeyError
        If a value is missing.
    """
    _require(isinstance(meta, dict), "fitted state")
    if "input_features" in meta:
        _check_data(estimator, meta["data"])
        _check_elm(meta)
        return
    _check_data(estimator, meta)
    _check_base(meta["base"])
    if "members" in meta:
        _check_ensemble(estimator, meta)
    else:
        _check_part(meta)


def _require(valid: Any, name: str) -> None:
    if not valid:
        raise ValueError(f"the fitted state contains an invalid {name!r}")


def _is_int(value: Any, low: int, high: float = math.inf) -> bool:
    return type(value) is int and low <= value < high


def _is_float(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and type(value) is not bool


def _check_data(estimator: Any, data: Mapping[str, Any]) -> None:
    shape, n_features = data["input_shape"], data["n_features_in"]
    _require(isinstance(shape, tuple) and shape and all(_is_int(n, 1) for n in shape), "shape")
    _require(_is_int(n_features, 1) and math.prod(shape) == n_features, "n_features_in")
    given = getattr(getattr(estimator, "_settings", estimator), "image_shape", None)
    _require(given is None or tuple(given) == shape, "input_shape")
    names = data["feature_names_in"]
    if names is not None:
        _require(isinstance(names, np.ndarray) and names.shape == (n_features,), "feature names")
        _require(all(isinstance(name, str) for name in names.tolist()), "feature names")
    _require(_is_int(data["n_outputs"], 1), "n_outputs")
    _require(data["task"] in _tasks(estimator), "task")
    if is_classifier(estimator):
        _check_classes(data["classes"], data["n_outputs"])
        if data["task"] == "multilabel":
            _require(np.array_equal(data["classes"], np.arange(data["n_outputs"])), "classes")
        _require(data["targets"] is None, "targets")
    else:
        _require(data["classes"] is None, "classes")
        _check_targets(data["targets"], data["n_outputs"])


def _tasks(estimator: Any) -> tuple[str, ...]:
    if not is_classifier(estimator):
        return ("regression",)
    tags = get_tags(estimator).classifier_tags
    several = tags is not None and tags.multi_label
    return ("classification", "multilabel") if several else ("classification",)


def _check_classes(classes: Any, n_outputs: int) -> None:
    _require(isinstance(classes, np.ndarray) and classes.ndim == 1, "classes")
    _require(len(classes) == n_outputs >= 2 and classes.dtype.kind in "biufUO", "classes")
    values = classes.tolist()
    _require(all(isinstance(value, bool | int | float | str) for value in values), "classes")
    _require(all(a < b for a, b in zip(values, values[1:], strict=False)), "classes")


def _check_targets(targets: Any, n_outputs: int) -> None:
    _require(isinstance(targets, dict) and targets["count"] == n_outputs, "targets")
    _require(type(targets["single"]) is bool and targets["single"] <= (n_outputs == 1), "targets")
    for name in ("mean", "scale"):
        value = targets[name]
        scalar = type(value) is float and math.isfinite(value)
        array = isinstance(value, np.ndarray) and value.dtype == np.float64
        _require(scalar or (array and np.shape(value) == (n_outputs,)), name)
        _require(np.isfinite(value).all() and (name == "mean" or np.all(value > 0)), name)


def _check_seeds(seeds: Any, names: set[str]) -> None:
    _require(isinstance(seeds, dict) and set(seeds) == names, "seeds")
    _require(all(_is_int(seed, 0, _LARGEST_SEED) for seed in seeds.values()), "seeds")


def _check_history(history: Any) -> None:
    _require(isinstance(history, dict) and all(type(key) is str for key in history), "history")
    for values in history.values():
        _require(isinstance(values, list), "history")
        _require(all(type(value) in (int, float) for value in values), "history")


def _check_base(about: Mapping[str, Any]) -> None:
    _require(_is_int(about["seed"], 0, _LARGEST_SEED), "seed")
    _require(type(about["pretrained"]) is bool and type(about["trained"]) is bool, "base")
    _require(isinstance(about["policy"], keras.DTypePolicy), "policy")


def _check_part(meta: Mapping[str, Any], in_ensemble: bool = False) -> None:
    _require(meta["frozen"] in ("keep", "random", "zero"), "frozen")
    statistics = meta["statistics"]
    _require(type(statistics) is bool or statistics == "auto", "statistics")
    _check_seeds(meta["seeds"], _PART_SEEDS)
    if in_ensemble and isinstance(meta["history"], list):  # of the rows of an array
        _require(all(type(name) is str for name in meta["history"]), "history")
        _require(len(set(meta["history"])) == len(meta["history"]), "history")
    else:
        _check_history(meta["history"])
    _check_optimizer(meta.get("optimizer"))


def _check_optimizer(about: Any) -> None:
    if about is None:
        return
    _require(isinstance(about, dict) and set(about) == {"paths", "steps"}, "optimizer")
    paths = about["paths"]
    _require(isinstance(paths, list) and all(type(path) is str for path in paths), "optimizer")
    _require(_is_int(about["steps"], 0, _MOST_STEPS), "optimizer")


def _check_ensemble(estimator: Any, meta: Mapping[str, Any]) -> None:
    _check_history(meta["base_history"])
    _check_seeds(meta["seeds"], _ENSEMBLE_SEEDS)
    made, numbers, members = meta["made"], meta["numbers"], meta["members"]
    # The seed of a member is derived in as many steps as its number.
    _require(_is_int(made, 1, _MOST_MEMBERS), "made")
    _require(isinstance(numbers, list) and isinstance(members, list) and members, "members")
    _require(all(_is_int(number, 0, made) for number in numbers), "numbers")
    _require(len(set(numbers)) == len(numbers), "numbers")
    _require([member["number"] for member in members] == numbers, "numbers")
    for member in members:
        _check_part(member, in_ensemble=True)
    temperature = meta["temperature"]
    _require((temperature is not None) == is_classifier(estimator), "temperature")
    _require(temperature is None or (_is_float(temperature) and temperature > 0), "temperature")


def _check_elm(meta: Mapping[str, Any]) -> None:
    _require(_is_int(meta["seed"], 0, _LARGEST_SEED), "seed")
    _require(_is_float(meta["weight_scale"]) and meta["weight_scale"] > 0, "weight_scale")
    _require(meta["clip"] is None or (_is_float(meta["clip"]) and meta["clip"] > 0), "clip")
    _require(type(meta["direct"]) is bool, "direct")
    _require(meta["dtype"] in ("float32", "float64"), "dtype")
    _require(isinstance(meta["layers"], list), "layers")
    for layer in meta["layers"]:
        _require(_is_float(layer["shift"]) and _is_float(layer["factor"]), "layers")
        _require(_is_int(layer["inputs"], 1), "layers")
    _require(all(_is_float(alpha) and alpha >= 0 for alpha in meta["alphas"]), "alphas")
    calibration = meta["calibration"]
    _require(isinstance(calibration, list) and len(calibration) == 2, "calibration")
    if meta["data"]["task"] != "multilabel":
        calibration = [[value] for value in calibration]
    _require(all(isinstance(values, list) for values in calibration), "calibration")
    _require(all(_is_float(value) for values in calibration for value in values), "calibration")
    _require(isinstance(meta["input_features"], dict), "input_features")
