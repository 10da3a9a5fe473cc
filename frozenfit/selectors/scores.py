"""Selectors of individual parameters by a score: magnitude, movement and Fisher information."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from frozenfit.utils.arrays import to_numpy

from .arguments import call, check_p, count_of, quoted
from .context import Context
from .forms import Form, from_mask, size, to_mask
from .layout import Layout
from .masks import mask
from .ranking import check_within, lowest, lowest_in, parts_of
from .registry import register
from .roles import kernels
from .selector import Selector
from .weight_info import WeightInfo

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from frozenfit.types import NetworkValues


def _arrays(selector: str, source: NetworkValues) -> dict[str, np.ndarray]:
    """Return the trainable weights of a Keras model, or of a mapping, by path."""
    if isinstance(source, Mapping):
        return {str(path): np.asarray(array) for path, array in source.items()}
    if not hasattr(source, "trainable_variables"):
        raise TypeError(
            f"The networks of `{selector}` must be a Keras model or a mapping of weight path to "
            f"array, got {type(source).__name__}."
        )
    # Masks refer to the names that a layout gives to weights, which are not always those of Keras.
    # Imported by name, because imports go from the selectors to the layout and not back; whoever
    # has a Keras model has loaded Keras.
    survey = importlib.import_module("frozenfit.layout").Survey(source)
    return {path: to_numpy(variable) for path, variable in survey.trainable.items()}


def _keys(selector: str, path: str, scores: np.ndarray, largest: bool) -> np.ndarray:
    """Return scores as flat sort keys, in which the lowest key is selected first."""
    scores = np.asarray(scores)
    if scores.dtype != np.float64:
        # float32 represents every half-precision value exactly, and NumPy cannot sort all of those
        # types. It orders integers well enough.
        scores = scores.astype(np.float32)
    if np.isnan(scores).any():
        raise ValueError(
            f"The scores of `{selector}` must not be nan, got nan in {path!r}. Check that the "
            "network has finite weights."
        )
    return -scores.ravel() if largest else scores.ravel()


def _flag(selector: str, largest: object) -> bool:
    if not isinstance(largest, bool):
        raise TypeError(
            f"`largest` of `{selector}` must be True or False, got {largest!r}. "
            "Use largest=False to select the smallest scores."
        )
    return largest


def _given(selector: str, values: Mapping[str, ArrayLike], info: WeightInfo) -> np.ndarray:
    """Return the values of one weight, checked against the layout."""
    if info.path not in values:
        raise ValueError(
            f"`{selector}` needs the values of every weight, got no values for {info.path!r}."
        )
    array = np.asarray(values[info.path])
    if array.shape != info.shape:
        raise ValueError(
            f"The values of {info.path!r} for `{selector}` must be an array of the weight's shape "
            f"{info.shape}, got the shape {array.shape}."
        )
    return array


@dataclass(frozen=True, eq=False, repr=False)
class _Magnitude(Selector):
    """The parameters of each weight with the largest or smallest absolute value in the base."""

    p: float | int
    largest: bool
    within: Selector | None

    def forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        if context.values is None:
            raise ValueError(
                f"{self} needs the values of the base. Resolve it with Context(values=...), or "
                "use of=model for the values of another network."
            )
        parts = parts_of(kernels() if self.within is None else self.within, layout, context)
        chosen = {}
        for info in layout.weights:
            part = parts[info.path]
            count = count_of(self.p, size(part, info.shape))
            if count:
                scores = np.abs(_given("magnitude", context.values, info))
                keys = _keys("magnitude", info.path, scores, self.largest)
                chosen[info.path] = lowest_in(part, info.shape, keys, count)
        return chosen

    def text(self) -> str:
        largest = None if self.largest else False
        return call("magnitude", self.p, largest=largest, within=self.within)


@register("magnitude")
def magnitude(
    p: float, of: str | NetworkValues = "base", largest: bool = True, within: Selector | None = None
) -> Selector:
    """Select the parameters of each kernel with the largest or smallest absolute value.

    Parameters
    ----------
    p : float or int
        A fraction in (0, 1] of the parameters of each kernel, rounded down but at least one, or
        their number.
    of : "base", keras.Model or mapping of str to array, default="base"
        The network that provides the values. "base" is the network to train partly; its values
        are read when the selector is resolved. The values of any other network are read
        immediately, and the result is the intersection of a `mask` with `kernels`.
    largest : bool, default=True
        Whether to select the largest or the smallest values.
    within : Selector, default=None
        Choose from the parameters of this selector; `p` is relative to their number in each
        weight. If None, choose from all kernels. Only with ``of="base"``.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    ValueError
        If `p` is out of range, `within` is given for a network other than the base or, when the
        selector is resolved, the context has no values.
    TypeError
        If `of` is not a network or an argument has another type.

    See Also
    --------
    fisher : Select over all weights together.
    movement : Select by the change between two networks.

    References
    ----------
    Frankle & Carbin 2018, "The lottery ticket hypothesis", arXiv 1803.03635 (share per layer).

    Examples
    --------
    >>> import numpy as np
    >>> from frozenfit.selectors import Context, example_layout, magnitude
    >>> layout, rng = example_layout("lenet5"), np.random.default_rng(0)
    >>> values = {info.path: rng.normal(size=info.shape) for info in layout.weights}
    >>> print(magnitude(0.2, largest=False).resolve(layout, Context(values=values)))
    weight         shape          form                      trainable   total
    conv1/kernel   (5, 5, 1, 6)   30 of 150 parameters             30     150
    conv2/kernel   (5, 5, 6, 16)  480 of 2400 parameters          480   2,400
    dense1/kernel  (256, 120)     6144 of 30720 parameters      6,144  30,720
    dense2/kernel  (120, 84)      2016 of 10080 parameters      2,016  10,080
    head/kernel    (84, 10)       168 of 840 parameters           168     840
    sum                           19.89%                        8,838  44,426
    """
    p, largest = check_p("magnitude", p), _flag("magnitude", largest)
    within = check_within("magnitude", within)
    if isinstance(of, str):
        if of != "base":
            raise ValueError(
                f'`of` must be "base", a Keras model, or a mapping of weight path to array, got '
                f'{quoted(of)}. Use of="base" for the network to train.'
            )
        return _Magnitude(p, largest, within)
    if within is not None:
        raise ValueError(
            '`within` is valid only with of="base", because the values of another network are read '
            "before the selector is resolved. Use magnitude(p, of=network) & within."
        )
    arrays = {path: np.abs(array) for path, array in _arrays("magnitude", of).items()}
    return _top("magnitude", p, arrays, largest) & kernels()


def _top(
    selector: str, p: float | int, scores: Mapping[str, np.ndarray], largest: bool
) -> Selector:
    """Return a mask of the given fraction of each array with the highest or lowest scores."""
    chosen = {}
    for path, array in scores.items():
        keys = _keys(selector, path, array, largest)
        chosen[path] = lowest(keys, count_of(p, array.size)).reshape(array.shape)
    return mask(chosen)


@register("movement")
def movement(p: float, start: NetworkValues, end: NetworkValues, largest: bool = True) -> Selector:
    """Select the parameters of each weight that changed most or least between two networks.

    Parameters
    ----------
    p : float or int
        A fraction in (0, 1] of the parameters of each weight, rounded down but at least one, or
        their number.
    start, end : keras.Model or mapping of str to array
        The two networks. Both are read immediately, and the result is a `mask`.
    largest : bool, default=True
        Whether to select the largest or the smallest changes.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    ValueError
        If `p` is out of range, or the networks do not have the same weights.
    TypeError
        If `start` or `end` is not a network or an argument has another type.

    See Also
    --------
    magnitude : Select by the values of one network.

    References
    ----------
    Zhou, Lan, Liu & Yosinski 2019, "Deconstructing lottery tickets", arXiv 1905.01067.

    Examples
    --------
    >>> import numpy as np
    >>> from frozenfit.selectors import example_layout, movement
    >>> start = {"head/bias": np.zeros(10)}
    >>> end = {"head/bias": np.array([0.1, -2.0, 1.0, 0, 0, 0, 0, 0, 0, 0])}
    >>> print(movement(2, start, end).resolve(example_layout("lenet5")))
    weight         shape          form               trainable   total
    head/bias      (10,)          2 of 10 on axis 0          2      10
    sum                           0.00%                      2  44,426
    """
    p, largest = check_p("movement", p), _flag("movement", largest)
    before, after = _arrays("movement", start), _arrays("movement", end)
    for path in before.keys() | after.keys():
        shapes = [arrays[path].shape if path in arrays else None for arrays in (before, after)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                "`start` and `end` must be the same network twice, before and after training, got "
                f"{path!r} with the shape {shapes[0]} in `start` and {shapes[1]} in `end`."
            )
    moved = {path: np.abs(after[path] - before[path]) for path in before}
    return _top("movement", p, moved, largest)


@dataclass(frozen=True, eq=False, repr=False)
class _Fisher(Selector):
    """The parameters with the largest Fisher information over all weights."""

    p: float | int
    within: Selector | None

    def forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        if context.fisher is None:
            raise ValueError(
                f"{self} needs Fisher information. Resolve it with Context(fisher=...), or use it "
                "in an estimator, which computes it from the data of fit."
            )
        parts = parts_of(self.within, layout, context)
        inside = {
            info.path: np.flatnonzero(to_mask(parts[info.path], info.shape))
            for info in layout.weights
        }
        total = sum(positions.size for positions in inside.values())
        if total == 0:
            return {}
        # Called only where it is needed, because the computation is expensive.
        scores = context.fisher()
        keys = [
            _keys("fisher", info.path, _given("fisher", scores, info), True)[inside[info.path]]
            for info in layout.weights
            if inside[info.path].size
        ]
        # One ranking over all weights: where information is concentrated, other weights stay
        # frozen.
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

    def text(self) -> str:
        return call("fisher", self.p, within=self.within)


@register("fisher")
def fisher(p: float, within: Selector | None = None) -> Selector:
    """Select the parameters with the largest Fisher information over all weights.

    Parameters
    ----------
    p : float or int
        A fraction in (0, 1] of all parameters of the network, rounded down but at least one, or
        their number.
    within : Selector, default=None
        Choose from the parameters of this selector; `p` is relative to their number. If None,
        choose from all parameters.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    ValueError
        If `p` is out of range or, when the selector is resolved, the context has no Fisher
        information.
    TypeError
        If an argument has another type.

    See Also
    --------
    magnitude : Select by absolute value, the same fraction of each weight.

    References
    ----------
    Sung, Nair & Raffel 2021, "Training neural networks with fixed sparse masks",
    arXiv 2111.09839. There the classifier is always trained: use ``fisher(p) | head()``.

    Examples
    --------
    >>> import numpy as np
    >>> from frozenfit.selectors import Context, example_layout, fisher, kernels
    >>> layout, rng = example_layout("lenet5"), np.random.default_rng(0)
    >>> scores = {info.path: rng.random(info.shape) for info in layout.weights}
    >>> context = Context(fisher=lambda: scores)
    >>> print(fisher(0.005, within=kernels()).resolve(layout, context))
    weight         shape          form                     trainable   total
    conv1/kernel   (5, 5, 1, 6)   1 of 150 parameters              1     150
    conv2/kernel   (5, 5, 6, 16)  11 of 2400 parameters           11   2,400
    dense1/kernel  (256, 120)     157 of 30720 parameters        157  30,720
    dense2/kernel  (120, 84)      46 of 10080 parameters          46  10,080
    head/kernel    (84, 10)       5 of 840 parameters              5     840
    sum                           0.50%                          220  44,426
    """
    return _Fisher(check_p("fisher", p), check_within("fisher", within))
