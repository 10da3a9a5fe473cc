"""Conversion of text and numbers to selectors."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from numbers import Integral, Real

from .arguments import quoted
from .registry import find
from .roles import batch_norm, everything
from .selector import Selector
from .slices import filters
from .whole_layers import head

_LONGEST = 10_000
_ARRAY = re.compile(r'"[A-Za-z0-9+/=]*"')  # packed bits of a mask in base 64
# Selectors write their text with the precedence of Python, in which - binds more strongly than &,
# and & more strongly than |.
_OPERATORS: dict[type[ast.operator], Callable[[Selector, Selector], Selector]] = {
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.Sub: operator.sub,
}


def parse(text: str) -> Selector:
    """Return the selector that a text describes.

    The text consists of selector calls, ``|``, ``&``, ``-``, ``~`` and ``.on(...)``. It is
    parsed but never evaluated, and only registered selectors are called, with literals or selectors
    as arguments, so that it is safe to parse text from an untrusted file.

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

    See Also
    --------
    as_selector : Convert a number, a text or a selector.
    register : Make a selector available in text.

    Examples
    --------
    >>> from frozenfit.selectors import example_layout, parse
    >>> selector = parse("~filters(0.5) & layers('dense1')")
    >>> print(selector.resolve(example_layout("lenet5")))
    weight         shape          form                 trainable   total
    dense1/kernel  (256, 120)     60 of 120 on axis 1     15,360  30,720
    dense1/bias    (120,)         60 of 120 on axis 0         60     120
    sum                           34.71%                  15,420  44,426
    """
    if not isinstance(text, str):
        raise TypeError(
            f"`text` must be a string, got {type(text).__name__}. "
            'Use "filters(0.1) | head()", for example.'
        )
    shown = quoted(text if len(text) <= 200 else f"{text[:150]}...")
    # Python's parser and the recursion below are made for short expressions. The array of a mask is
    # one token of any length.
    length = len(text) if len(text) <= _LONGEST else len(_ARRAY.sub("", text))
    if length > _LONGEST:
        raise ValueError(
            f"{shown} cannot be read as a selector. It has {length} characters without the arrays "
            f"of masks, and at most {_LONGEST} are allowed."
        )
    try:
        # Python's parser is used, and not its evaluation: a file must not be able to run code. Text
        # with a leading space would be an indentation error.
        return _selector(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, MemoryError, RecursionError):
        # The last two are raised by nested text, which a file may contain.
        raise ValueError(
            f"{shown} cannot be read as a selector. Use selectors joined by | & - ~, such as "
            "filters(0.1) | head()."
        ) from None
    except (ValueError, TypeError) as error:
        raise ValueError(f"{shown} cannot be read as a selector. {error}") from None


def _selector(node: ast.expr) -> Selector:
    """Read an expression whose value is a selector."""
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_selector(node.left), _selector(node.right))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        return ~_selector(node.operand)
    if isinstance(node, ast.Call):
        selector = _callee(node.func)(*_arguments(node), **_options(node))
        if not isinstance(selector, Selector):
            raise TypeError(f"{_source(node)} returned {selector!r} in place of a selector.")
        return selector
    raise ValueError(
        f"{_source(node)} is neither a selector call nor a combination of them. "
        "Use filters(0.1) | head(), for example."
    )


def _callee(function: ast.expr) -> Callable[..., Selector]:
    """Return what is called: a selector, or the restriction of a selector."""
    if isinstance(function, ast.Attribute) and function.attr == "on":
        return _selector(function.value).on
    return find(function.id if isinstance(function, ast.Name) else _source(function))


def _arguments(node: ast.Call) -> list[object]:
    return [_value(argument) for argument in node.args]


def _options(node: ast.Call) -> dict[str, object]:
    options: dict[str, object] = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise ValueError("** is not supported in a selector. Use name=value.")
        options[keyword.arg] = _value(keyword.value)
    return options


def _value(node: ast.expr) -> object:
    """Read an argument: a constant, a tuple or dictionary of them, or a selector."""
    if isinstance(node, ast.Call | ast.BinOp):
        return _selector(node)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        return _selector(node)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        raise ValueError(
            f"{_source(node)} is not a valid argument of a selector in text. Use a number, a "
            "string or a selector; a selector of a Python function must be created in Python."
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
    parse : Read a selector from text.
    conv_filters : The rule of the published experiments, which trains hidden dense layers as a
        whole.

    Examples
    --------
    >>> from frozenfit.selectors import as_selector, example_layout
    >>> as_selector(0.1)
    filters(0.1) | head() | batch_norm()
    >>> print(as_selector(0.1).resolve(example_layout("lenet5")))
    weight         shape          form                       trainable   total
    conv1/kernel   (5, 5, 1, 6)   first 1 of 6 on axis 3            25     150
    conv1/bias     (6,)           first 1 of 6 on axis 0             1       6
    conv2/kernel   (5, 5, 6, 16)  first 1 of 16 on axis 3          150   2,400
    conv2/bias     (16,)          first 1 of 16 on axis 0            1      16
    dense1/kernel  (256, 120)     first 12 of 120 on axis 1      3,072  30,720
    dense1/bias    (120,)         first 12 of 120 on axis 0         12     120
    dense2/kernel  (120, 84)      first 8 of 84 on axis 1          960  10,080
    dense2/bias    (84,)          first 8 of 84 on axis 0            8      84
    head/kernel    (84, 10)       all                              840     840
    head/bias      (10,)          all                               10      10
    sum                           11.43%                         5,079  44,426
    >>> as_selector(1)
    filters(1) | head() | batch_norm()
    >>> as_selector(1.0)
    everything()
    """
    if isinstance(value, Selector):
        return value
    if isinstance(value, str):
        return parse(value)
    # Checked before numbers: a bool is an int in Python, and True does not mean one filter.
    if value is True:
        return everything()
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
        return filters(int(value)) | head() | batch_norm()
    if value == 1:
        return everything()
    return filters(float(value)) | head() | batch_norm()
