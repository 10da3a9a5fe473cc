"""Metadata routing: which arguments go to the estimator, the splitter and the scorer."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

from frozenfit.search.objectives import make_scorer
from frozenfit.utils.scikit_learn import routing_enabled


class Routed(NamedTuple):
    """Arguments of ``fit``, of the splitter's ``split`` and of the scorer, for all samples."""

    fit: dict[str, Any]
    split: dict[str, Any]
    score: dict[str, Any]


def make_router(search: Any) -> MetadataRouter:
    """Make the router of a search, as scikit-learn's searches do.

    Parameters
    ----------
    search : FreezeSearchCV
        The search.

    Returns
    -------
    MetadataRouter
        Routes to the estimator, the scorer and the splitter.
    """
    to_score = MethodMapping().add(caller="score", callee="score").add(caller="fit", callee="score")
    found = MetadataRouter(owner=search)
    found.add(
        estimator=search.estimator, method_mapping=MethodMapping().add(caller="fit", callee="fit")
    )
    found.add(scorer=make_scorer(search.estimator, search.scoring), method_mapping=to_score)
    found.add(splitter=search.cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
    return found


def route_fit(search: Any, given: Mapping[str, Any]) -> Routed:
    """Route the arguments of a search's ``fit``.

    Parameters
    ----------
    search : FreezeSearchCV
        The search.
    given : mapping
        Arguments other than X and y; those that are None are ignored.

    Returns
    -------
    Routed
        With scikit-learn's metadata routing enabled, what each object requests. Otherwise `groups`
        goes to the splitter, all other arguments to the estimator, and `sample_weight` also to a
        scorer that accepts it.
    """
    given = {name: value for name, value in given.items() if value is not None}
    if routing_enabled():
        routed = process_routing(search, "fit", **given)
        return Routed(routed.estimator.fit, routed.splitter.split, routed.scorer.score)
    split = {name: given.pop(name) for name in ("groups",) if name in given}
    return Routed(given, split, route_score(search, given.get("sample_weight")))


def route_score(search: Any, sample_weight: Any) -> dict[str, Any]:
    """Return the arguments of the scorer, and warn if it does not accept weights.

    Parameters
    ----------
    search : FreezeSearchCV
        The search.
    sample_weight : array-like or None
        Sample weights.

    Returns
    -------
    dict
        Arguments of the scorer, for all samples.
    """
    if sample_weight is None:
        return {}
    if routing_enabled():
        return process_routing(search, "score", sample_weight=sample_weight).scorer.score
    scorer = make_scorer(search.estimator, search.scoring)
    accepts = getattr(scorer, "_accept_sample_weight", None)
    taken = accepts() if accepts else "sample_weight" in inspect.signature(scorer).parameters
    if taken:
        return {"sample_weight": sample_weight}
    warnings.warn(
        f"The scorer {scorer} does not accept sample_weight. Scores are unweighted.", stacklevel=4
    )
    return {}
