"""Conversion of text and numbers to selectors."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

from . import slices
from .core import Selector, quoted
from .weights import near

_SELECTORS: dict[str, Callable[..., Selector]] = {
    name: getattr(slices, name) for name in slices.__all__ if name not in ("Selector", "where")
}
_OPERATORS: dict[type[ast.operator], Callable[[Selector, Selector], Selector]] = {
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.Sub: operator.sub,
}


def parse(text: str) -> Selector:
    """Return the selector that a text describes.

    The text consists of selector calls, ``|``, ``&``, ``-``, ``~`` and ``.on(...)``. It is
    parsed but never evaluated, and only the public selectors are accepted, so that it is safe to
    parse text from an untrusted file.

    Parameters
    ----------
    text : str
        The text of a selector, such as ``"filters(0.1) | head()"``.

    Returns
    -------
    Selector
        The selector; ``parse(str(selector)) == selector`` for every selector that can be stored.

    Raises
    ------
    ValueError
        If the text is not a selector.
    TypeError
        If `text` is not a string.

    Examples
    --------
    >>> parse("~filters(0.1) & layers('block2_*')")
    ~filters(0.1) & layers("block2_*")
    """
    if not isinstance(text, str):
        raise TypeError(
            f"`text` must be a string, got {type(text).__name__}. "
            'Use "filters(0.1) | head()", for example.'
        )
    shown = quoted(text if len(text) <= 200 else f"{text[:150]}...")
    try:
        return _selector(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, MemoryError, RecursionError):
        raise ValueError(
            f"{shown} cannot be read as a selector: write selectors joined by | & - ~, such as "
            "filters(0.1) | head()"
        ) from None
    except (ValueError, TypeError) as error:
        raise ValueError(f"{shown} cannot be read as a selector: {error}") from None


def _selector(node: ast.expr) -> Selector:
    """Read an expression whose value is a selector."""
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_selector(node.left), _selector(node.right))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        return ~_selector(node.operand)
    if isinstance(node, ast.Call):
        return _callee(node.func)(*_arguments(node), **_options(node))
    raise ValueError(
        f"{_source(node)} is no selector call and no combination of them: "
        "write filters(0.1) | head() for instance"
    )


def _callee(function: ast.expr) -> Callable[..., Selector]:
    """Return what is called: a selector, or the restriction of a selector."""
    if isinstance(function, ast.Attribute) and function.attr == "on":
        return _selector(function.value).on
    if isinstance(function, ast.Name) and function.id in _SELECTORS:
        return _SELECTORS[function.id]
    name = function.id if isinstance(function, ast.Name) else _source(function)
    if name == "where":
        raise ValueError("where(...) holds a function: make it in Python instead of as text")
    raise ValueError(f"there is no selector {name}: {near(name, _SELECTORS)}")


def _arguments(node: ast.Call) -> list[Any]:
    return [_value(argument) for argument in node.args]


def _options(node: ast.Call) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise ValueError("** has no place in a selector: write name=value")
        options[keyword.arg] = _value(keyword.value)
    return options


def _value(node: ast.expr) -> Any:
    """Read an argument: a constant, a tuple or dictionary of them, or a selector."""
    if isinstance(node, ast.Call | ast.BinOp):
        return _selector(node)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        return _selector(node)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        raise ValueError(
            f"{_source(node)} is no argument of a selector: write a number, a string or a selector"
        ) from None


def _source(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 60 else f"{text[:60]}..."


def as_selector(value: bool | float | int | str | Selector) -> Selector:
    """Return the selector that a number, a text or a selector stands for.

    Parameters
    ----------
    value : bool, float, int, str or Selector
        A float in (0, 1) or an int stands for ``filters(value) | head() | batch_norm()``: this
        fraction or number of the filters of every hidden layer, the head, and batch
        normalization. So 1 trains one filter of each layer, while 1.0 and True train everything.
        A string is parsed, and a selector is returned as it is.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    ValueError
        If a number is out of range or a text cannot be parsed.
    TypeError
        If the value has another type.

    See Also
    --------
    conv_filters : The rule of the published experiments, which keeps hidden dense layers whole.

    Examples
    --------
    >>> as_selector(0.1)
    filters(0.1) | head() | batch_norm()
    >>> as_selector(1)
    filters(1) | head() | batch_norm()
    >>> as_selector(1.0)
    everything()
    """
    if isinstance(value, Selector):
        return value
    if isinstance(value, str):
        return parse(value)
    if value is True:
        return slices.everything()
    rule = (
        "`trainable` must be a float in (0, 1], an int >= 1, True, a selector, or the text of a "
        f"selector such as 'filters(0.1) | head()', got {value!r}."
    )
    if value is False:
        raise ValueError(f"{rule} Use 'head()' to train as little as possible.")
    if not isinstance(value, Real):
        raise TypeError(rule)
    if not (value >= 1 if isinstance(value, Integral) else 0 < value <= 1):
        raise ValueError(rule)
    if isinstance(value, Integral):
        return slices.filters(int(value)) | slices.head() | slices.batch_norm()
    if value == 1:
        return slices.everything()
    return slices.filters(float(value)) | slices.head() | slices.batch_norm()
