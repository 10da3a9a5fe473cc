"""Short descriptions and digests of values, to find out whether two processes got the same.

They must not depend on the process: addresses, hash seeds and the name that a spawned process gives
the main module are left out.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import joblib
import numpy as np
from scipy import sparse

__all__ = ["class_name", "describe", "differing_items", "digest"]

_LONGEST = 160  # characters of a description; MySQL limits an attribute to 64 KiB
_DEEPEST = 6  # objects inside objects; a limit, because objects may contain each other
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def differing_items(kind: str, a: Mapping[str, str], b: Mapping[str, str]) -> list[str]:
    """List the names whose texts differ, with both texts.

    Parameters
    ----------
    kind : str
        What the names are names of, such as "parameter".
    a, b : mapping of str to str
        Results of `describe` by name.

    Returns
    -------
    list of str
        One text per difference.
    """
    return [
        f"{kind} {name!r} ({a.get(name, 'absent')}, not {b.get(name, 'absent')})"
        for name in sorted({*a, *b})
        if a.get(name) != b.get(name)
    ]


def digest(value: object) -> str:
    """Return a digest of data that depends on the values, not on their layout in memory.

    Parameters
    ----------
    value : object
        An array, a sparse matrix, a data frame, or a structure of them.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    try:
        return str(joblib.hash(_canonical(value)))
    except Exception:  # data that cannot be pickled
        return hashlib.md5(describe(value).encode(), usedforsecurity=False).hexdigest()


def _canonical(value: Any) -> Any:
    if sparse.issparse(value):
        rows = value.tocsr(copy=True)
        rows.sum_duplicates()
        return ("sparse", rows.shape, rows.data, rows.indices.tolist(), rows.indptr.tolist())
    if hasattr(value, "columns") and hasattr(value, "__array__"):
        return ("frame", [str(name) for name in value.columns], _canonical(np.asarray(value)))
    if hasattr(value, "__array__"):
        # joblib's digest depends on the strides and on the class of an array.
        return np.array(value, order="C", copy=None, subok=False)
    if isinstance(value, Mapping):
        return {name: _canonical(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return value


def describe(value: object) -> str:
    """Describe a parameter by a short text that is the same in all processes.

    Parameters
    ----------
    value : object
        Any value.

    Returns
    -------
    str
        The text. Of a long one, the beginning and a digest.
    """
    try:
        text = _text(value, _DEEPEST)
    except RecursionError:  # a list that contains itself
        text = class_name(value)
    if len(text) <= _LONGEST:
        return text
    rest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return f"{text[: _LONGEST - 40]}... {rest}"


def _text(value: Any, depth: int) -> str:
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    if isinstance(value, np.generic):
        return repr(value.item())
    inside = partial(_text, depth=depth)
    if isinstance(value, type | BuiltinFunctionType | np.ufunc):
        return getattr(value, "__qualname__", value.__name__)
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{inside(k)}: {inside(v)}" for k, v in value.items()) + "}"
    if isinstance(value, AbstractSet):
        return "{" + ", ".join(sorted(map(inside, value))) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(inside, value)) + "]"
    if isinstance(value, range):
        return repr(value)
    if hasattr(value, "__array__") or sparse.issparse(value):
        shape = "x".join(map(str, getattr(value, "shape", ())))
        return f"{class_name(value)}[{shape}] {digest(value)}"
    if depth == 0:
        return class_name(value)
    inside = partial(_text, depth=depth - 1)
    if isinstance(value, FunctionType | MethodType):
        return _function_text(value, inside)
    if isinstance(value, partial):
        return f"partial({inside(value.func)}, {inside(value.args)}, {inside(value.keywords)})"
    return _object_text(value, inside)


def _function_text(function: Any, inside: Any) -> str:
    # The name of a lambda identifies nothing, and a function of a script may have been edited, so
    # the instructions count as well. They carry no line numbers.
    plain = getattr(function, "__func__", function)
    cells = [_contents(cell) for cell in plain.__closure__ or ()]
    state = inside([plain.__defaults__, plain.__kwdefaults__, cells])
    code = hashlib.md5(f"{_code_text(plain.__code__)}{state}".encode(), usedforsecurity=False)
    return f"{plain.__qualname__} {code.hexdigest()[:8]}"


def _contents(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # a variable that is not assigned yet
        return None


def _code_text(code: CodeType) -> str:
    constants = [_code_text(c) if isinstance(c, CodeType) else _text(c, 1) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _object_text(value: Any, inside: Any) -> str:
    name = class_name(value)
    if hasattr(value, "get_params") and not isinstance(value, type):
        return f"{name}({inside(value.get_params(deep=False))})"
    if dataclasses.is_dataclass(value):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return f"{name}({inside(fields)})"
    if hasattr(value, "get_config"):
        weights = digest(value.get_weights()) if hasattr(value, "get_weights") else ""
        return f"{name}({inside(value.get_config())}){weights}"
    if hasattr(value, "_score_func"):  # scikit-learn's scorers show the name of the function alone
        return f"{name}({inside(vars(value))})"
    if hasattr(value, "get_state") or hasattr(value, "bit_generator"):
        return f"{name} {digest(value)}"
    if type(value).__repr__ is not object.__repr__:
        text = repr(value)
        if not _ADDRESS.search(text):
            return text
    return f"{name}({inside(getattr(value, '__dict__', {}))})"


def class_name(value: object) -> str:
    """Return the qualified name of the class of an object."""
    return type(value).__qualname__
