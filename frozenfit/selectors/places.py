"""The selectors that choose whole layers, by name or by their place in the network."""

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
    """Learn the head: the last layer with a kernel on each output, with its bias.

    Parameters
    ----------
    *names : str
        Layers to take for the head instead, where the network's own is not what is meant.

    Raises
    ------
    TypeError
        If a name is no string.
    ValueError
        On resolving, if no layer has the name; near names are listed.

    Examples
    --------
    >>> head() | head("auxiliary")
    head() | head("auxiliary")
    """
    return _Named("head", texts("head", names, optional=True))


def layers(*globs: str) -> Selector:
    """Learn the weights whose path, or a layer around them, matches one of the globs.

    Parameters
    ----------
    *globs : str
        Patterns of `fnmatch`, in which ``*`` also stands for ``/``: ``"block2_*"``,
        ``"*/kernel"``, ``"conv1"``.

    Raises
    ------
    ValueError
        If there is no glob; on resolving, if one matches nothing; near names are listed.

    Examples
    --------
    >>> layers("conv1", "block2_*/kernel")
    layers("conv1", "block2_*/kernel")
    """
    return _Named("layers", texts("layers", globs))


def block(name: str) -> Selector:
    """Learn the layers of a block: those named so, or so up to an underscore.

    Parameters
    ----------
    name : str
        Name of the block; ``"block1"`` takes ``block1_unit1_conv1`` and not ``block10_conv``.

    Raises
    ------
    ValueError
        On resolving, if no layer belongs to it; near names are listed.

    Examples
    --------
    >>> block("block2") | head()
    block("block2") | head()
    """
    return _Named("block", texts("block", (name,)))


@dataclass(frozen=True, eq=False, repr=False)
class _Range(Selector):
    """Whole layers, by their place in the order data meets them."""

    kind: str
    places: tuple[int | str, ...]

    def _forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        if self.kind == "between":
            start, stop = (self._place(place, layout) for place in self.places)
            if start >= stop:
                raise ValueError(
                    f"{self} takes no layer, for the first is number {start} and the second "
                    f"{stop}: write the layer nearer the input first"
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
                f"{self} goes past the {len(layout.layers)} layers with weights: "
                f"write places from 0 to {len(layout.layers)}"
            )
        return place

    def _text(self) -> str:
        return call(self.kind, *self.places)


def first(n: int) -> Selector:
    """Learn the first `n` layers with weights, in the order data meets them.

    Parameters
    ----------
    n : int
        How many layers; normalizations count, and more than there are means all.

    Raises
    ------
    ValueError, TypeError
        If `n` is no whole number >= 1.

    Examples
    --------
    >>> first(2)
    first(2)
    """
    return _Range("first", (whole("first", "n", n),))


def last(n: int) -> Selector:
    """Learn the last `n` layers with weights, in the order data meets them.

    Parameters
    ----------
    n : int
        How many layers; normalizations count, and more than there are means all.

    Raises
    ------
    ValueError, TypeError
        If `n` is no whole number >= 1.

    Examples
    --------
    >>> last(2)
    last(2)
    """
    return _Range("last", (whole("last", "n", n),))


def between(a: int | str, b: int | str) -> Selector:
    """Learn the layers from `a` up to, and without, `b`, in the order data meets them.

    Parameters
    ----------
    a, b : int or str
        Places counted from 0, or names of layers, each standing for its place; `b` may be the
        number of layers.

    Raises
    ------
    ValueError
        If the range is empty or, on resolving, goes past the layers or names none.
    TypeError
        If a place is neither a whole number nor a name.

    Examples
    --------
    >>> between(2, 5) | between("conv1", "head")
    between(2, 5) | between("conv1", "head")
    """
    places = tuple(
        texts("between", (place,))[0]
        if isinstance(place, str)
        else whole("between", "a place", place, 0)
        for place in (a, b)
    )
    start, stop = places
    if isinstance(start, int) and isinstance(stop, int) and start >= stop:
        raise ValueError(
            f"between({start}, {stop}) takes no layer: write the layer nearer the input first"
        )
    return _Range("between", places)
