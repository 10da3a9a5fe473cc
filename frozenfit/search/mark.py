"""The mark of a study: a description of everything that its values depend on.

The trials of one study are compared with each other, so all of them must come from the same data,
scorer, estimator and space. The mark is stored as a user attribute when a study is created, and
every process that opens the study compares it with its own.

A mark must not depend on the process: see `frozenfit.utils.describe`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frozenfit.utils.describe import class_name, describe, differing_items, digest

# How many trials run or how they are shown changes no value.
_WITHOUT_EFFECT = frozenset({"n_jobs", "verbose"})


def make_mark(
    *,
    data: Mapping[str, object],
    directions: Mapping[str, str],
    scoring: object,
    estimator: Any,
    space: Mapping[str, object],
    fit_params: Mapping[str, object],
) -> dict[str, Any]:
    """Describe a search in values that JSON can store.

    Parameters
    ----------
    data : mapping of str to object
        ``X``, ``y`` and ``splits``, of which digests are stored.
    directions : mapping of str to str
        The objectives.
    scoring : str, callable or None
        The scorer.
    estimator : estimator
        The estimator whose parameters all trials start from.
    space : mapping of str to object
        The parts of the search space.
    fit_params : mapping of str to object
        Further arguments of `fit`, such as sample weights.

    Returns
    -------
    dict of str to object
        The mark.
    """
    params = estimator.get_params(deep=True)
    kept = {n: v for n, v in params.items() if n.rpartition("__")[2] not in _WITHOUT_EFFECT}
    return {
        **{name: digest(value) for name, value in data.items()},
        "directions": dict(directions),
        "scoring": describe(scoring),
        "estimator": class_name(estimator),
        "params": {name: describe(value) for name, value in sorted(kept.items())},
        "space": {name: describe(value) for name, value in sorted(space.items())},
        "fit_params": {name: digest(value) for name, value in sorted(fit_params.items())},
    }


def differences(mark: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """List what differs between the mark of a study and that of a search.

    Parameters
    ----------
    mark : mapping of str to object
        The mark of the study.
    other : mapping of str to object
        The mark of the search.

    Returns
    -------
    list of str
        One text per difference, with both values where they are readable; empty for equal marks.
    """
    if "X" not in mark:
        return ["format of the mark"]
    found = []
    for key in ("X", "y", "splits"):
        if mark.get(key) != other[key]:
            found.append(key)
    for key in ("directions", "scoring", "estimator"):
        if mark.get(key) != other[key]:
            found.append(f"{key} ({mark.get(key)}, not {other[key]})")
    # Another estimator has other parameters, which need no list.
    if mark.get("estimator") == other["estimator"]:
        found += differing_items("parameter", mark.get("params", {}), other["params"])
        found += differing_items("part of the space", mark.get("space", {}), other["space"])
    stored, own = mark.get("fit_params", {}), other["fit_params"]
    found += [n for n in sorted({*stored, *own}) if stored.get(n) != own.get(n)]
    return found
