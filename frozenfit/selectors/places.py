"""Selectors of whole layers by name or by position in the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .core import Selector, call, matching, quoted, texts, whole, whole_weights
from .forms import Form
from .weights import Context, Layout, WeightInfo, near


@dataclass(frozen=True, eq=False, repr=False)
class _Named(Selector):
    """Whole layers, by name: `head`, `layers` or `block`."""

    kind: str
    names: tuple[str, ...]

    def _forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        if self.kind == "layers":
            paths = matching(layout, self.names)
            return whole_weights(layout, lambda info: info.path in paths)
        if self.kind == "block":
            return whole_weights(layout, self._in_block(layout))
        if not self.names:
            return whole_weights(layout, layout.in_head)
        chosen = {layout.layers[at] for name in self.names for at in layout.positions(name)}
        return whole_weights(layout, lambda info: info.layer in chosen)

    def _in_block(self, layout: Layout) -> Callable[[WeightInfo], bool]:
        name = self.names[0]

        def inside(info: WeightInfo) -> bool:
            parts = info.layer.split("/")
            return any(part == name or part.startswith(f"{name}_") for part in parts)

        if not any(inside(info) for info in layout.weights):
            parts = [part for layer in layout.layers for part in layer.split("/")]
            blocks = [part.split("_")[0] for part in parts]
            raise ValueError(
                f"no layer belongs to a block {quoted(name)}: {near(name, blocks + parts)}"
            )
        return inside

    def _text(self) -> str:
        return call(self.kind, *self.names)


def head(*names: str) -> Selector:
    """Select the head: the last layer with a kernel before each output, and its bias.

    Parameters
    ----------
    *names : str
        Layers to select in place of the detected head.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    TypeError
        If a name is not a string.
    ValueError
        When the selector is resolved, if no layer has the name.

    Examples
    --------
    >>> head() | head("auxiliary")
    head() | head("auxiliary")
    """
    return _Named("head", texts("head", names, optional=True))


def layers(*globs: str) -> Selector:
    """Select the weights whose path, or an enclosing layer, matches one of the globs.

    Parameters
    ----------
    *globs : str
        Patterns of `fnmatch`, in which ``*`` also matches ``/``: ``"block2_*"``,
        ``"*/kernel"``, ``"conv1"``.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    TypeError
        If a glob is not a string.
    ValueError
        If there is no glob or, when the selector is resolved, if a glob matches no weight.

    Examples
    --------
    >>> layers("conv1", "block2_*/kernel")
    layers("conv1", "block2_*/kernel")
    """
    return _Named("layers", texts("layers", globs))


def block(name: str) -> Selector:
    """Select the layers of a block.

    A layer belongs to the block if a component of its path is the name of the block, or begins
    with this name and an underscore.

    Parameters
    ----------
    name : str
        Name of the block; ``"block1"`` matches ``block1_unit1_conv1`` but not ``block10_conv``.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    TypeError
        If the name is not a string.
    ValueError
        When the selector is resolved, if no layer belongs to the block.

    Examples
    --------
    >>> block("block2") | head()
    block("block2") | head()
    """
    return _Named("block", texts("block", (name,)))


@dataclass(frozen=True, eq=False, repr=False)
class _Range(Selector):
    """Whole layers, by their position in data-flow order."""

    kind: str
    places: tuple[int | str, ...]

    def _forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        if self.kind == "between":
            start, stop = (self._place(place, layout) for place in self.places)
            if start >= stop:
                raise ValueError(
                    f"{self} selects no layer, because it begins at position {start} and ends "
                    f"before position {stop}. Give the layer nearer the input first."
                )
            chosen = set(layout.layers[start:stop])
        else:
            n = min(whole(self.kind, "n", self.places[0]), len(layout.layers))
            start = 0 if self.kind == "first" else len(layout.layers) - n
            chosen = set(layout.layers[start : start + n])
        return whole_weights(layout, lambda info: info.layer in chosen)

    def _place(self, place: int | str, layout: Layout) -> int:
        if isinstance(place, str):
            return layout.positions(place)[0]
        if place > len(layout.layers):
            raise ValueError(
                f"The positions in {self} must be from 0 to {len(layout.layers)}, the number of "
                "layers with trainable weights."
            )
        return place

    def _text(self) -> str:
        return call(self.kind, *self.places)


def first(n: int) -> Selector:
    """Select the first `n` layers with trainable weights, in data-flow order.

    Parameters
    ----------
    n : int
        Number of layers, including normalization layers. All layers are selected if the
        network has fewer.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    ValueError
        If `n` is below 1.
    TypeError
        If `n` is not an int.

    Examples
    --------
    >>> first(2)
    first(2)
    """
    return _Range("first", (whole("first", "n", n),))


def last(n: int) -> Selector:
    """Select the last `n` layers with trainable weights, in data-flow order.

    Parameters
    ----------
    n : int
        Number of layers, including normalization layers. All layers are selected if the
        network has fewer.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    ValueError
        If `n` is below 1.
    TypeError
        If `n` is not an int.

    Examples
    --------
    >>> last(2)
    last(2)
    """
    return _Range("last", (whole("last", "n", n),))


def between(a: int | str, b: int | str) -> Selector:
    """Select the layers from position `a` (included) to `b` (excluded), in data-flow order.

    Parameters
    ----------
    a, b : int or str
        Positions counted from 0, or names of layers. `b` may equal the number of layers.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    ValueError
        If the range is empty or, when the selector is resolved, if a position exceeds the number
        of layers or no layer has the name.
    TypeError
        If a position is neither an int nor a string.

    Examples
    --------
    >>> between(2, 5) | between("conv1", "head")
    between(2, 5) | between("conv1", "head")
    """
    places = tuple(
        texts("between", (place,))[0]
        if isinstance(place, str)
        else whole("between", name, place, 0)
        for name, place in (("a", a), ("b", b))
    )
    start, stop = places
    if isinstance(start, int) and isinstance(stop, int) and start >= stop:
        raise ValueError(
            f"between({start}, {stop}) selects no layer. Give the layer nearer the input first."
        )
    return _Range("between", places)
