"""A search from the words of a command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frozenfit.search.freeze_search import FreezeSearchCV
from frozenfit.search.objectives import METRICS, read_constraints, read_directions

_PARTS = {
    "trainable": ("kind", "fraction"),
    "frozen": ("frozen",),
    "learning_rate": ("learning_rate",),
}


def from_words(estimator: Any, words: Mapping[str, Any]) -> FreezeSearchCV:
    """Make a search as the command ``frozenfit search`` describes it.

    Parameters
    ----------
    estimator : PartialNetClassifier
        With the settings that were given.
    words : mapping of str to object
        The command's options by name, and the estimator's settings as ``set_NAME``; what was set
        is left as it is, and not searched.

    Returns
    -------
    FreezeSearchCV
        Unfitted, its directions and constraints checked.

    Raises
    ------
    ValueError
        If there is no such metric, a constraint cannot be read, or workers have no storage to
        share.

    Examples
    --------
    >>> from frozenfit import PartialNetClassifier
    >>> words = {"objectives": ["score", "trainable"], "trials": 5, "set_frozen": "zero"}
    >>> search = from_words(PartialNetClassifier(frozen="zero"), words)
    >>> search.directions, search.space["leave"]
    ({'score': 'maximize', 'trainable': 'minimize'}, ('frozen',))
    """
    names = words.get("objectives") or ["score"]
    directions = read_directions({name: METRICS.get(name, "") for name in names})
    read_constraints(words.get("constraints"))
    workers, storage = words.get("workers", 1), words.get("storage")
    if workers < 1:
        raise ValueError(f"--workers is a count of at least 1, found {workers}")
    if storage is None and (workers > 1 or words.get("trials_per_worker")):
        raise ValueError(
            "worker processes need a study they can share; give --storage journal.log for instance"
        )
    groups = tuple(words.get("groups") or ())
    left = [part for name, parts in _PARTS.items() if f"set_{name}" in words for part in parts]
    if groups:
        left = [part for part in left if part != "fraction"]
    return FreezeSearchCV(
        estimator,
        n_trials=words.get("trials", 40),
        cv=words.get("folds", 3),
        space={"groups": groups, "leave": tuple(left)},
        directions=directions,
        constraints=words.get("constraints"),
        pruner=words.get("pruner"),
        storage=storage,
        study_name=words.get("study_name"),
        heartbeat=words.get("heartbeat", 60),
        timeout=words.get("timeout"),
        random_state=words.get("set_random_state"),
        verbose=words.get("verbose", 1),
    )
