"""Several estimators in one file, which write their shared bases and arrays once.

Equal arrays are written under one name, and a base object that several estimators stand on, or
were given as ``model=``, has a number; reading makes one object of each number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np

from frozenfit.estimators.stored_base import Base, shared_base
from frozenfit.storage.codec import decode, encode, encode_network
from frozenfit.storage.container import Record, StorageError
from frozenfit.training.recipe import Recipe

__all__ = ["NAME", "Shared", "is_base", "join", "read_base", "split"]

NAME = "dict"


class Shared:
    """The bases of the estimators of one file, by number.

    Parameters
    ----------
    estimators : iterable of estimator
        Fitted; those without a base are left out.
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
            What it is, for errors.
        described : bool
            Whether a network that was given is described, as in `encode_network`.

        Returns
        -------
        dict

        Raises
        ------
        ValueError
            Where nothing in the file would give its values back.
        """
        number = self._number(base)
        if number >= self._owned and (base.trained or (base.pretrained and base.model is None)):
            raise ValueError(
                f"{where} is a trained base with another head than the estimator's own; save "
                "the estimator together with the one it comes from, as a dict of both"
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
            "policy": encode(base.policy, where),
        }


def _encode_recipe(recipe: Recipe, where: str) -> Any:
    names = ("model", "input_shape", "n_outputs", "params")
    return encode({name: getattr(recipe, name) for name in names}, where)


def is_base(node: Any) -> bool:
    """Return whether a JSON value is one that `Shared.encode` returns."""
    return isinstance(node, dict) and node.get("$") == "base"


def read_base(node: Mapping[str, Any], network: Any, bases: dict[int, Base]) -> Base:
    """Return the base of a value that `Shared.encode` wrote.

    Parameters
    ----------
    node : dict
        JSON.
    network : keras.Model or None
        The network that stands where one was given.
    bases : dict of int to Base
        Those made already; a new one is added.

    Returns
    -------
    Base
        The one of that number.
    """
    number = node["number"]
    if number not in bases:
        given = None
        if node["network"] is not None:
            given = decode(node["network"], "parameter 'model'", base=network)
            if not isinstance(given, keras.Model):
                raise ValueError("parameter 'model' is no network")
        recipe = decode(node["recipe"], "parameter 'model'")
        policy = decode(node["policy"], "parameter 'model'")
        about = node["seed"], node["weight_init"], node["pretrained"], policy
        bases[number] = shared_base(recipe, given, *about)
    return bases[number]


def join(estimators: Mapping[str, Any], record_of: Callable[[Any, Shared], Record]) -> Record:
    """Return one record of several estimators.

    Parameters
    ----------
    estimators : mapping of str to estimator
        Fitted estimators.
    record_of : callable
        Makes the record of one.

    Returns
    -------
    Record
        Of the class `NAME`.

    Raises
    ------
    ValueError
        Where there is none, or a name is no string.
    """
    if not estimators or not all(isinstance(name, str) for name in estimators):
        raise ValueError(
            f"several estimators are saved by name, as {{'a': estimator}}, found "
            f"{len(estimators)} with the names {list(estimators)}"
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
        The network that stands where one was given.
    estimator_of : callable
        ``f(record, base, bases, number)`` makes one estimator.

    Returns
    -------
    dict of str to estimator
        In the order in which they were saved.
    """
    try:
        fitted, same = record.fitted["estimators"], record.fitted["same"]
        arrays = record.arrays | {name: record.arrays[other] for name, other in same.items()}
        parts = {}
        for place, (name, said) in enumerate(record.parameters.items()):
            own = {k: v for k, v in arrays.items() if k.startswith(f"{place}/")}
            own = {k.partition("/")[2]: v for k, v in own.items()}
            part = Record(said["class"], said["parameters"], fitted[name]["fitted"], own)
            parts[name] = part, fitted[name]["base"]
        order = sorted(parts, key=lambda name: _rank(*parts[name]))
    except (KeyError, TypeError, AttributeError) as error:
        raise StorageError("it is damaged: its estimators are not well described") from error
    bases: dict[int, Base] = {}
    made = {}
    for name in order:
        part, number = parts[name]
        try:
            made[name] = estimator_of(part, base, bases, number)
        except StorageError as error:
            raise StorageError(f"{name!r}: {error}") from error.__cause__
    return {name: made[name] for name in parts}


def _rank(record: Record, number: int | None) -> int:
    """Order estimators so that each base is created by its owner before others use it."""
    node = record.parameters.get("model")
    if isinstance(record.parameters.get("estimator"), dict):  # an ensemble
        node = record.parameters["estimator"].get("model")
    if node is None or not is_base(node):
        return 0
    return 1 if node["number"] == number else 2
