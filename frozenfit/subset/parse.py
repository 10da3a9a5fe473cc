"""Subsets from text, and from the short ways to say them: a fraction, a count, a string."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from numbers import Real
from typing import Any

from . import makers
from .core import Subset, quoted, share
from .weights import Layout, near

_MAKERS: dict[str, Callable[..., Subset]] = {
    name: getattr(makers, name) for name in makers.__all__ if name not in ("Subset", "where")
}
_OPERATORS: dict[type[ast.operator], Callable[[Subset, Subset], Subset]] = {
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.Sub: operator.sub,
}


def parse(text: str) -> Subset:
    """Read a subset as it is printed: maker calls, ``|``, ``&``, ``-``, ``~`` and ``.on(...)``.

    The text is taken apart, never evaluated: no other name and no other operation is read.

    Parameters
    ----------
    text : str
        Such as ``"filters(0.1) | head()"``.

    Returns
    -------
    Subset
        With ``parse(str(subset)) == subset`` for every subset that can be stored.

    Raises
    ------
    ValueError
        If the text is no subset; where a maker's name is wrong, near names are listed.
    TypeError
        If it is no string.

    Examples
    --------
    >>> parse("~filters(0.1) & layers('block2_*')")
    ~filters(0.1) & layers("block2_*")
    """
    if not isinstance(text, str):
        raise TypeError(
            f"a subset is read from a string, and {type(text).__name__} was given: "
            'write "filters(0.1) | head()" for instance'
        )
    shown = quoted(text if len(text) <= 200 else f"{text[:150]}...")
    try:
        return _subset(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, MemoryError, RecursionError):
        raise ValueError(
            f"{shown} cannot be read as a subset: write maker calls joined by | & - ~, such as "
            "filters(0.1) | head()"
        ) from None
    except (ValueError, TypeError) as error:
        raise ValueError(f"{shown} cannot be read as a subset: {error}") from None


def _subset(node: ast.expr) -> Subset:
    """Read an expression whose value is a subset."""
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_subset(node.left), _subset(node.right))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        return ~_subset(node.operand)
    if isinstance(node, ast.Call):
        return _maker(node.func)(*_arguments(node), **_options(node))
    raise ValueError(
        f"{_source(node)} is no maker call and no combination of them: "
        "write filters(0.1) | head() for instance"
    )


def _maker(function: ast.expr) -> Callable[..., Subset]:
    """Return what is called: a maker, or the restriction of a subset."""
    if isinstance(function, ast.Attribute) and function.attr == "on":
        return _subset(function.value).on
    if isinstance(function, ast.Name) and function.id in _MAKERS:
        return _MAKERS[function.id]
    name = function.id if isinstance(function, ast.Name) else _source(function)
    if name == "where":
        raise ValueError("where(...) holds a function: make it in Python instead of as text")
    raise ValueError(f"there is no maker {name}: {near(name, _MAKERS)}")


def _arguments(node: ast.Call) -> list[Any]:
    return [_value(argument) for argument in node.args]


def _options(node: ast.Call) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise ValueError("** has no place in a subset: write name=value")
        options[keyword.arg] = _value(keyword.value)
    return options


def _value(node: ast.expr) -> Any:
    """Read an argument: a constant, a tuple or dictionary of them, or a subset."""
    if isinstance(node, ast.Call | ast.BinOp):
        return _subset(node)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        return _subset(node)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        raise ValueError(
            f"{_source(node)} is no argument of a maker: write a number, a string or a subset"
        ) from None


def _source(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 60 else f"{text[:60]}..."


def as_subset(value: float | str | Subset, layout: Layout) -> Subset:
    """Return the subset that a fraction, a count, a text or a subset stands for.

    A fraction below 1 or a count means that share of every layer, with the head and the batch
    normalisations: ``conv_filters(p) | head() | batch_norm()`` where the network has
    convolutions, else ``filters(p) | head() | batch_norm()``. The fraction 1.0 is `everything`.

    Parameters
    ----------
    value : float, int, str or Subset
        What is to be learned.
    layout : Layout
        The network's weights.

    Raises
    ------
    ValueError
        If a number is outside its range or a text is no subset.
    TypeError
        If it is none of these.

    Examples
    --------
    >>> as_subset(0.1, Layout((), (), ()))
    filters(0.1) | head() | batch_norm()
    """
    if isinstance(value, Subset):
        return value
    if isinstance(value, str):
        return parse(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(
            f"learned takes a fraction, a count, a string or a Subset, and {value!r} was given: "
            "write 0.1 or filters(0.1) | head() for instance"
        )
    p = share("learned", value)
    if isinstance(p, float) and p == 1:
        return makers.everything()
    cut = makers.conv_filters if layout.convolutional else makers.filters
    return cut(p) | makers.head() | makers.batch_norm()
