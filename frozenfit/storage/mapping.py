"""Several estimators in one file, which write their shared bases and arrays once.

Equal arrays are written under one name. A base that several estimators share or received as
``model=`` has a number, and reading creates one object for each number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np

from frozenfit.estimators.stored_base import Base, shared_base
from frozenfit.storage.codec import decode, encode, encode_network
from frozenfit.training.recipe import Recipe
from frozenfit.utils.container import Record, StorageError

__all__ = ["NAME", "Shared", "is_base", "join", "read_base", "split"]

NAME = "dict"


class Shared:
    """The bases of the estimators of one file, by number.

    Parameters
    ----------
    estimators : iterable of estimator
        Fitted estimators; those without a base are skipped.
    """

    def __init__(self, estimators: Iterable[Any]):
        self._bases: list[Base] = []
        for estimator in estimators:
            self.number_of(estimator)
        self._owned = len(self._bases)

    def _number(self, base: Base) -> int:
        for number, known in enumerate(self._bases):
            if known is base:
                return number
        self._bases.append(base)
        return len(self._bases) - 1

    def number_of(self, estimator: Any) -> int | None:
        """Return the number of the base of an estimator, or None if it has no base."""
        base = getattr(estimator, "base_", None)
        return self._number(base.parent or base) if isinstance(base, Base) else None

    @staticmethod
    def trained(estimator: Any) -> bool:
        """Return whether an estimator has a trained base, which only the file can restore."""
        return isinstance(getattr(estimator, "base_", None), Base) and estimator.base_.trained

    def encode(self, base: Base, where: str, described: bool) -> dict[str, Any]:
        """Return the JSON of a base that an estimator was given.

        Parameters
        ----------
        base : Base
            The base.
        where : str
            Name of the value, for errors.
        described : bool
            Whether to store the configuration of a given network, as in `encode_network`.

        Returns
        -------
        dict

        Raises
        ------
        ValueError
            If the file would not determine the values of the base.
        """
        number = self._number(base)
        if number >= self._owned and (base.trained or (base.pretrained and base.model is None)):
            raise ValueError(
                f"{where} is a trained base with another head than that of the estimator; save the "
                "estimator together with the one that it comes from, as a dict of both"
            )
        given, recipe = base.model, base.recipe
        return {
            "$": "base",
            "number": number,
            "recipe": None if recipe is None else _encode_recipe(recipe, where),
            "network": None if given is None else encode_network(given, where, described=described),
            "seed": base.seed,
            "weight_init": None if recipe is None else recipe.kernel_initializer,
            "pretrained": base.pretrained,
            "n_logits": base.n_logits,
            "policy": encode(base.policy, where),
        }


def _encode_recipe(recipe: Recipe, where: str) -> Any:
    names = ("model", "input_shape", "n_outputs", "params")
    return encode({name: getattr(recipe, name) for name in names}, where)


def is_base(node: Any) -> bool:
    """Return whether a JSON value is the result of `Shared.encode`."""
    return isinstance(node, dict) and node.get("$") == "base"


def read_base(node: Mapping[str, Any], network: Any, bases: dict[int, Base]) -> Base:
    """Return the base of a value that `Shared.encode` wrote.

    Parameters
    ----------
    node : dict
        JSON.
    network : keras.Model or None
        The network that the estimator was given.
    bases : dict of int to Base
        The bases created so far; a new one is added.

    Returns
    -------
    Base
        The base with the number of the value.
    """
    number = node["number"]
    if type(number) is not int:
        raise ValueError(f"the number of a base must be an int, got {number!r}")
    if number not in bases:
        given = None
        if node["network"] is not None:
            given = decode(node["network"], "parameter 'model'", base=network)
            if not isinstance(given, keras.Model):
                raise ValueError("parameter 'model' is not a network")
        recipe = decode(node["recipe"], "parameter 'model'")
        policy = decode(node["policy"], "parameter 'model'")
        n_logits = node["n_logits"]
        if n_logits is not None and (type(n_logits) is not int or n_logits < 1):
            raise ValueError(f"the number of logits of a base must be an int, got {n_logits!r}")
        about = node["seed"], node["weight_init"], node["pretrained"], policy, n_logits
        bases[number] = shared_base(recipe, given, *about)
    return bases[number]


def join(estimators: Mapping[str, Any], record_of: Callable[[Any, Shared], Record]) -> Record:
    """Return one record of several estimators.

    Parameters
    ----------
    estimators : mapping of str to estimator
        Fitted estimators.
    record_of : callable
        Creates the record of one estimator.

    Returns
    -------
    Record
        A record of the class `NAME`.

    Raises
    ------
    ValueError
        If the mapping is empty, or a name is not a string.
    """
    if not estimators or not all(isinstance(name, str) for name in estimators):
        raise ValueError(
            "a dict of estimators must contain at least one, with strings as names, got the names "
            f"{list(estimators)}"
        )
    shared = Shared(estimators.values())
    parameters, fitted, arrays = {}, {}, {}
    for place, (name, estimator) in enumerate(estimators.items()):
        try:
            record = record_of(estimator, shared)
        except ValueError as error:
            raise ValueError(f"{name!r}: {error}") from error
        parameters[name] = {"class": record.class_name, "parameters": record.parameters}
        fitted[name] = {"base": shared.number_of(estimator), "fitted": record.fitted}
        arrays |= {f"{place}/{path}": array for path, array in record.arrays.items()}
    kept, same = _once(arrays)
    return Record(NAME, parameters, {"estimators": fitted, "same": same}, kept)


def _once(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the distinct arrays, and for each duplicate the name of the equal array."""
    kept: dict[str, np.ndarray] = {}
    same: dict[str, str] = {}
    first: dict[tuple, str] = {}
    for name, array in arrays.items():
        digest = hashlib.sha256(array.reshape(-1).view(np.uint8).data).digest()
        found = first.setdefault((array.dtype.str, array.shape, digest), name)
        if found == name:
            kept[name] = array
        else:
            same[name] = found
    return kept, same


def split(record: Record, base: Any, estimator_of: Callable[..., Any]) -> dict[str, Any]:
    """Return the estimators of a record that `join` created.

    Parameters
    ----------
    record : Record
        The record.
    base : keras.Model or None
        The network that the estimators were given.
    estimator_of : callable
        ``f(record, base, bases, number)`` creates one estimator.

    Returns
    -------
    dict of str to estimator
        In the order in which they were saved.
    """
    try:
        fitted, same = record.fitted["estimators"], record.fitted["same"]
        arrays = record.arrays | {name: record.arrays[other] for name, other in same.items()}
        parts = {}
        for place, (name, own_record) in enumerate(record.parameters.items()):
            own = {k: v for k, v in arrays.items() if k.startswith(f"{place}/")}
            own = {k.partition("/")[2]: v for k, v in own.items()}
            part = Record(
                own_record["class"], own_record["parameters"], fitted[name]["fitted"], own
            )
            number = fitted[name]["base"]
            if type(part.class_name) is not str or type(number) not in (int, type(None)):
                raise TypeError("the class must be a string, and the base a number")
            parts[name] = part, number
        order = sorted(parts, key=lambda name: _rank(*parts[name]))
    except (KeyError, TypeError, AttributeError) as error:
        raise StorageError("it is damaged: the description of its estimators is invalid") from error
    bases: dict[int, Base] = {}
    restored = {}
    for name in order:
        part, number = parts[name]
        try:
            restored[name] = estimator_of(part, base, bases, number)
        except StorageError as error:
            raise StorageError(f"{name!r}: {error}") from error.__cause__
    return {name: restored[name] for name in parts}


def _rank(record: Record, number: int | None) -> int:
    """Order estimators so that each base is created by its owner before others use it."""
    node = record.parameters.get("model")
    if isinstance(record.parameters.get("estimator"), dict):  # an ensemble
        node = record.parameters["estimator"].get("model")
    if node is None or not is_base(node):
        return 0
    return 1 if node["number"] == number else 2
