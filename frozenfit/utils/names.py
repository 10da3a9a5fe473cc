"""The end of an error message about an unknown name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_LISTED = 8


def snake_case(name: str) -> str:
    """Convert the name of a class as Keras does.

    Parameters
    ----------
    name : str
        The name.

    Returns
    -------
    str
        The name in lower case, with underscores between words.

    Examples
    --------
    >>> from frozenfit.utils.names import snake_case
    >>> snake_case("MeanSquaredError"), snake_case("AUC"), snake_case("F1Score")
    ('mean_squared_error', 'auc', 'f1_score')
    """
    separated = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", separated).lower()


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Suggest the known names that are close to an unknown one.

    Parameters
    ----------
    name : object
        The name that was given.
    known : iterable of str
        The names that exist.

    Returns
    -------
    str
        A sentence for the end of an error message: "Did you mean 'filters'?", or a list of the
        first known names where none is close.

    Examples
    --------
    >>> from frozenfit.utils.names import did_you_mean
    >>> did_you_mean("filter", ["filters", "head"])
    "Did you mean 'filters'?"
    >>> did_you_mean("x", ["filters", "head"])
    "Valid names are 'filters', 'head'."
    """
    names = list(dict.fromkeys(known))
    lowered = {each.lower(): each for each in reversed(names)}
    close = difflib.get_close_matches(str(name).lower(), lowered, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(repr(lowered[each]) for each in close)}?"
    if not names:
        return "There are no valid names."
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"Valid names are {', '.join(map(repr, names[:_LISTED]))}{more}."
