"""Selectors of whole layers by name or by position in the network."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from frozenfit.utils.names import did_you_mean

from .arguments import call, check_int, check_names
from .context import Context
from .forms import Everything, Form
from .layout import Layout
from .registry import register
from .selector import Selector


def _all_of(layers: Collection[str], layout: Layout) -> dict[str, Form]:
    """Return whole layers as forms."""
    return {info.path: Everything() for info in layout.weights if info.layer in layers}


@dataclass(frozen=True, eq=False, repr=False)
class _Head(Selector):
    """The detected head, or layers in its place."""

    names: tuple[str, ...]

    @property
    def may_be_empty(self) -> bool:
        return not self.names

    @property
    def names_layers(self) -> bool:
        return bool(self.names)

    def forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        if not self.names:
            return {info.path: Everything() for info in layout.weights if layout.in_head(info)}
        chosen = {
            layout.layers[position] for name in self.names for position in layout.positions(name)
        }
        return _all_of(chosen, layout)

    def text(self) -> str:
        return call("head", *self.names)


@register("head")
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

    See Also
    --------
    last : Select the last layers.

    Examples
    --------
    >>> from frozenfit.selectors import example_layout, head
    >>> print(head().resolve(example_layout("lenet5")))
    weight         shape          form     trainable   total
    head/kernel    (84, 10)       all            840     840
    head/bias      (10,)          all             10      10
    sum                           1.91%          850  44,426
    >>> print(head("dense2", "head").resolve(example_layout("lenet5")))
    weight         shape          form     trainable   total
    dense2/kernel  (120, 84)      all         10,080  10,080
    dense2/bias    (84,)          all             84      84
    head/kernel    (84, 10)       all            840     840
    head/bias      (10,)          all             10      10
    sum                           24.79%      11,014  44,426
    """
    return _Head(check_names("head", names, optional=True))


@dataclass(frozen=True, eq=False, repr=False)
class _Layers(Selector):
    """The weights that match globs."""

    globs: tuple[str, ...]

    @property
    def names_layers(self) -> bool:
        return True

    def forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        return {path: Everything() for glob in self.globs for path in layout.match(glob)}

    def text(self) -> str:
        return call("layers", *self.globs)


@register("layers")
def layers(*globs: str) -> Selector:
    """Select the weights whose path, or an enclosing layer, matches one of the globs.

    Parameters
    ----------
    *globs : str
        Patterns of `fnmatch`, in which ``*`` also matches ``/``: ``"block2_*"``,
        ``"*/kernel"``, ``"conv1"``. A pattern that matches no path from its beginning is matched
        inside nested models.

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

    See Also
    --------
    Selector.on : Restrict another selector to the weights that match.
    block : Select the layers of a block.

    Examples
    --------
    >>> from frozenfit.selectors import example_layout, layers
    >>> print(layers("conv1", "dense*/kernel").resolve(example_layout("lenet5")))
    weight         shape          form     trainable   total
    conv1/kernel   (5, 5, 1, 6)   all            150     150
    conv1/bias     (6,)           all              6       6
    dense1/kernel  (256, 120)     all         30,720  30,720
    dense2/kernel  (120, 84)      all         10,080  10,080
    sum                           92.19%      40,956  44,426
    """
    return _Layers(check_names("layers", globs))


@dataclass(frozen=True, eq=False, repr=False)
class _Block(Selector):
    """The layers of a block."""

    name: str

    @property
    def names_layers(self) -> bool:
        return True

    def forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        chosen = {layer for layer in layout.layers if self._contains(layer)}
        if not chosen:
            for glob in (self.name, f"{self.name}_*", f"*/{self.name}_*"):
                layout._refuse_frozen(glob)
            # Blocks are suggested before layers: block1 rather than block1_conv.
            parts = [part for layer in layout.layers for part in layer.split("/")]
            blocks = [part.split("_")[0] for part in parts]
            raise ValueError(
                f"No layer belongs to a block {self.name!r}. "
                f"{did_you_mean(self.name, blocks + parts)}"
            )
        return _all_of(chosen, layout)

    def _contains(self, layer: str) -> bool:
        # The underscore keeps block10 out of block1.
        return any(
            part == self.name or part.startswith(f"{self.name}_") for part in layer.split("/")
        )

    def text(self) -> str:
        return call("block", self.name)


@register("block")
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

    See Also
    --------
    layers : Select the weights that match globs.

    Examples
    --------
    >>> from frozenfit.selectors import block, example_layout
    >>> print(block("conv").resolve(example_layout("text")))
    weight                           shape        form     trainable   total
    conv/kernel                      (3, 16, 32)  all          1,536   1,536
    conv/bias                        (32,)        all             32      32
    conv_norm/gamma                  (32,)        all             32      32
    conv_norm/beta                   (32,)        all             32      32
    sum                                           7.02%        1,632  23,252
    """
    return _Block(*check_names("block", (name,)))


@dataclass(frozen=True, eq=False, repr=False)
class _End(Selector):
    """The first or the last layers in data-flow order."""

    kind: str
    n: int

    def forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        # A slice beyond the end selects all layers, so that `first(3)` is valid for every network.
        order = layout.layers if self.kind == "first" else layout.layers[::-1]
        return _all_of(order[: self.n], layout)

    def text(self) -> str:
        return call(self.kind, self.n)


@register("first")
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

    See Also
    --------
    last : Select the last layers.
    between : Select the layers between two positions.

    Examples
    --------
    >>> from frozenfit.selectors import example_layout, first
    >>> print(first(2).resolve(example_layout("lenet5")))
    weight         shape          form     trainable   total
    conv1/kernel   (5, 5, 1, 6)   all            150     150
    conv1/bias     (6,)           all              6       6
    conv2/kernel   (5, 5, 6, 16)  all          2,400   2,400
    conv2/bias     (16,)          all             16      16
    sum                           5.79%        2,572  44,426
    """
    return _End("first", check_int("first", "n", n))


@register("last")
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

    See Also
    --------
    first : Select the first layers.
    head : Select the last layer with a kernel.

    Examples
    --------
    >>> from frozenfit.selectors import example_layout, last
    >>> print(last(2).resolve(example_layout("lenet5")))
    weight         shape          form     trainable   total
    dense2/kernel  (120, 84)      all         10,080  10,080
    dense2/bias    (84,)          all             84      84
    head/kernel    (84, 10)       all            840     840
    head/bias      (10,)          all             10      10
    sum                           24.79%      11,014  44,426
    """
    return _End("last", check_int("last", "n", n))


@dataclass(frozen=True, eq=False, repr=False)
class _Between(Selector):
    """The layers between two positions or layers, in data-flow order."""

    a: int | str
    b: int | str

    @property
    def names_layers(self) -> bool:
        return isinstance(self.a, str) or isinstance(self.b, str)

    def forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        start, stop = (self._position(place, layout) for place in (self.a, self.b))
        if start >= stop:
            raise ValueError(
                f"{self} selects no layer, because it begins at position {start} and ends "
                f"before position {stop}. Give the layer nearer the input first."
            )
        return _all_of(layout.layers[start:stop], layout)

    def _position(self, place: int | str, layout: Layout) -> int:
        if isinstance(place, str):
            # The first layer inside a composite one, also as the end, which is excluded.
            return layout.positions(place)[0]
        if place > len(layout.layers):
            raise ValueError(
                f"The positions in {self} must be from 0 to {len(layout.layers)}, the number of "
                "layers with trainable weights."
            )
        return place

    def text(self) -> str:
        return call("between", self.a, self.b)


@register("between")
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

    See Also
    --------
    first : Select the first layers.
    last : Select the last layers.

    Examples
    --------
    >>> from frozenfit.selectors import between, example_layout
    >>> print(between(1, "dense1").resolve(example_layout("lenet5")))
    weight         shape          form     trainable   total
    conv2/kernel   (5, 5, 6, 16)  all          2,400   2,400
    conv2/bias     (16,)          all             16      16
    sum                           5.44%        2,416  44,426
    """
    start, stop = (
        check_names("between", (place,))[0]
        if isinstance(place, str)
        else check_int("between", name, place, 0)
        for name, place in (("a", a), ("b", b))
    )
    if isinstance(start, int) and isinstance(stop, int) and start >= stop:
        raise ValueError(
            f"between({start}, {stop}) selects no layer. Give the layer nearer the input first."
        )
    return _Between(start, stop)
