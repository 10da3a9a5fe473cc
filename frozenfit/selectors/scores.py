"""The selectors that choose single entries by a score: of a network, of two, or of data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .core import Selector, call, count_of, quoted, share
from .entries import checked_within, lowest, lowest_scored, mask, parts_of
from .forms import Form, from_mask
from .kinds import Nothing, size, to_mask
from .roles import kernels
from .weights import KERNELS, Context, Layout, WeightInfo


def _arrays(selector: str, source: Any) -> dict[str, np.ndarray]:
    """Return the trainable weights of a Keras model, or of a mapping, by path."""
    if isinstance(source, Mapping):
        return {str(path): np.asarray(array) for path, array in source.items()}
    if not hasattr(source, "trainable_variables"):
        raise TypeError(
            f"{selector} takes a Keras model or a mapping of weight path to array, and "
            f"{type(source).__name__} was given: write the model itself"
        )
    arrays: dict[str, np.ndarray] = {}
    met: dict[str, int] = {}
    for variable in source.trainable_variables:
        # Paths met twice are told apart as they are in a layout.
        path = str(variable.path)
        met[path] = met.get(path, 0) + 1
        path = path if met[path] == 1 else f"{path}#{met[path]}"
        value = variable.numpy() if hasattr(variable, "numpy") else variable
        arrays[path] = np.asarray(value)
    return arrays


def _keys(selector: str, path: str, scores: np.ndarray, largest: bool) -> np.ndarray:
    """Return scores as flat sort keys, the entry to choose first the lowest."""
    scores = np.asarray(scores)
    if scores.dtype != np.float64:
        # Half precisions and integers alike become float32 exactly enough to be ordered.
        scores = scores.astype(np.float32)
    if np.isnan(scores).any():
        raise ValueError(
            f"{selector} cannot order {quoted(path)}, which holds nan: write finite values"
        )
    return -scores.ravel() if largest else scores.ravel()


def _flag(selector: str, largest: object) -> bool:
    if not isinstance(largest, bool):
        raise TypeError(
            f"{selector} takes True or False as largest, and {largest!r} was given: "
            "write largest=False for the smallest"
        )
    return largest


def _given(selector: str, values: Mapping[str, Any], info: WeightInfo) -> np.ndarray:
    """Return the values of one weight, checked against the layout."""
    if info.path not in values:
        raise ValueError(
            f"{selector} has no values for {quoted(info.path)}: give an array for each weight"
        )
    array = np.asarray(values[info.path])
    if array.shape != info.shape:
        raise ValueError(
            f"{selector} has values of shape {array.shape} for {quoted(info.path)} of shape "
            f"{info.shape}: give an array of the weight's shape"
        )
    return array


@dataclass(frozen=True, eq=False, repr=False)
class _Magnitude(Selector):
    """The entries of largest or smallest size in the base, in each weight."""

    p: float | int
    largest: bool
    within: Selector | None

    def _forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        if context.values is None:
            raise ValueError(
                f"{self} needs the base's values and there are none here: resolve it with "
                "Context(values=...), or write of=model for another network's"
            )
        parts = parts_of(self.within, layout, context)
        return {
            info.path: self._form(info, parts[info.path], context.values) for info in layout.weights
        }

    def _form(self, info: WeightInfo, part: Form, values: Mapping[str, Any]) -> Form:
        count = count_of(self.p, size(part, info.shape))
        if count == 0 or (self.within is None and info.role not in KERNELS):
            return Nothing()
        scores = np.abs(_given("magnitude", values, info))
        keys = _keys("magnitude", info.path, scores, self.largest)
        return lowest_scored(part, info.shape, keys, count)

    def _text(self) -> str:
        largest = None if self.largest else False
        return call("magnitude", self.p, largest=largest, within=self.within)


def magnitude(
    p: float, of: Any = "base", largest: bool = True, within: Selector | None = None
) -> Selector:
    """Learn the entries of each kernel that are largest (or smallest) in a network.

    Parameters
    ----------
    p : float or int
        A fraction in (0, 1] of each kernel's entries, rounded down but at least one, or how
        many of each.
    of : "base", keras.Model or mapping of str to array, default="base"
        The network whose values count. "base" is the one that is to be partly trained, looked
        at when the selector is selection; any other is looked at now, and its arrays by weight
        path become a `mask`, met with `kernels`.
    largest : bool, default=True
        False takes the smallest.
    within : Selector, optional
        Choose among these entries only, and take the share of them; by default all kernels.

    Raises
    ------
    ValueError
        If `p` is outside its range, `within` is given for another network than the base, or,
        on resolving, the context has no values.
    TypeError
        If `of` is no network.

    References
    ----------
    Frankle & Carbin 2018, "The lottery ticket hypothesis", arXiv 1803.03635 (share per layer).

    Examples
    --------
    >>> magnitude(0.2, largest=False)
    magnitude(0.2, largest=False)
    """
    p, largest = share("magnitude", p), _flag("magnitude", largest)
    within = checked_within("magnitude", within)
    if isinstance(of, str):
        if of != "base":
            raise ValueError(
                f"magnitude takes a network or the word base as of, and {quoted(of)} was given: "
                'write of="base"'
            )
        return _Magnitude(p, largest, within)
    if within is not None:
        raise ValueError(
            "magnitude of another network is chosen before there are weights to look within: "
            "write magnitude(p, of=network) & within"
        )
    arrays = {path: np.abs(array) for path, array in _arrays("magnitude", of).items()}
    return _top("magnitude", p, arrays, largest) & kernels()


def _top(
    selector: str, p: float | int, scores: Mapping[str, np.ndarray], largest: bool
) -> Selector:
    """Return the share of each array with the highest (lowest) scores as a mask."""
    chosen = {}
    for path, array in scores.items():
        keys = _keys(selector, path, array, largest)
        chosen[path] = lowest(keys, count_of(p, array.size)).reshape(array.shape)
    return mask(chosen)


def movement(p: float, start: Any, end: Any, largest: bool = True) -> Selector:
    """Learn the entries of each weight that moved most (or least) from one network to another.

    Parameters
    ----------
    p : float or int
        A fraction in (0, 1] of each weight's entries, rounded down but at least one, or how
        many of each.
    start, end : keras.Model or mapping of str to array
        The two networks; both are looked at now, and the result is a `mask`.
    largest : bool, default=True
        False takes those that moved least.

    Raises
    ------
    ValueError
        If `p` is outside its range, or the two do not have the same weights.
    TypeError
        If one is no network.

    References
    ----------
    Zhou, Lan, Liu & Yosinski 2019, "Deconstructing lottery tickets", arXiv 1905.01067.

    Examples
    --------
    >>> import numpy as np
    >>> movement(1, {"w": np.zeros(3)}, {"w": np.array([0.1, -2.0, 1.0])}) == mask(
    ...     {"w": np.array([False, True, False])}
    ... )
    True
    """
    p, largest = share("movement", p), _flag("movement", largest)
    before, after = _arrays("movement", start), _arrays("movement", end)
    for path in before.keys() | after.keys():
        shapes = [arrays[path].shape if path in arrays else None for arrays in (before, after)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"movement compares one network at two times, and {quoted(path)} has the shape "
                f"{shapes[0]} at the start and {shapes[1]} at the end: give the same network twice"
            )
    moved = {path: np.abs(after[path] - before[path]) for path in before}
    return _top("movement", p, moved, largest)


@dataclass(frozen=True, eq=False, repr=False)
class _Fisher(Selector):
    """The entries of largest Fisher information, over all weights together."""

    p: float | int
    within: Selector | None

    def _forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        if context.fisher is None:
            raise ValueError(
                f"{self} needs Fisher information and there is none here: resolve it with "
                "Context(fisher=...), or give an estimator data to compute it from"
            )
        parts = parts_of(self.within, layout, context)
        inside = {
            info.path: np.flatnonzero(to_mask(parts[info.path], info.shape))
            for info in layout.weights
        }
        total = sum(positions.size for positions in inside.values())
        if total == 0:
            return {info.path: Nothing() for info in layout.weights}
        scores = context.fisher()
        keys = [
            _keys("fisher", info.path, _given("fisher", scores, info), True)[inside[info.path]]
            for info in layout.weights
            if inside[info.path].size
        ]
        chosen = lowest(np.concatenate(keys), count_of(self.p, total))
        return dict(self._split(layout, inside, chosen))

    @staticmethod
    def _split(
        layout: Layout, inside: dict[str, np.ndarray], chosen: np.ndarray
    ) -> Iterator[tuple[str, Form]]:
        start = 0
        for info in layout.weights:
            positions = inside[info.path]
            mask = np.zeros(info.size, dtype=bool)
            mask[positions[chosen[start : start + positions.size]]] = True
            start += positions.size
            yield info.path, from_mask(mask.reshape(info.shape))

    def _text(self) -> str:
        return call("fisher", self.p, within=self.within)


def fisher(p: float, within: Selector | None = None) -> Selector:
    """Learn the entries with the largest Fisher information, over all weights together.

    Parameters
    ----------
    p : float or int
        A fraction in (0, 1] of all entries, rounded down but at least one, or how many in all.
    within : Selector, optional
        Choose among these entries only, and take the share of them.

    Raises
    ------
    ValueError
        If `p` is outside its range or, on resolving, the context has no Fisher information.

    References
    ----------
    Sung, Nair & Raffel 2021, "Training neural networks with fixed sparse masks",
    arXiv 2111.09839; there the classifier is always learned: write ``fisher(p) | head()``.

    Examples
    --------
    >>> fisher(0.005, within=kernels())
    fisher(0.005, within=kernels())
    """
    return _Fisher(share("fisher", p), checked_within("fisher", within))
