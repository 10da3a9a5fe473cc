"""What a search found: tables of its trials, the front, and the choice of the best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from frozenfit.search._optional import load_optuna
from frozenfit.search.objectives import Constraint

# User attributes of a trial: the figures of its folds, and why it failed.
FIGURES, ERROR = "figures", "error"


def finished(study: Any) -> list[Any]:
    """Return the trials that ran to the end, in order.

    Parameters
    ----------
    study : optuna.Study
        The study.

    Returns
    -------
    list of optuna.trial.FrozenTrial
        Complete ones, of all processes.
    """
    states = (load_optuna().trial.TrialState.COMPLETE,)
    return [t for t in study.get_trials(deepcopy=False, states=states) if FIGURES in t.user_attrs]


def done(study: Any) -> int:
    """Count the trials that are over and need not be run again.

    Parameters
    ----------
    study : optuna.Study
        The study.

    Returns
    -------
    int
        Complete, pruned, and failed of themselves; not those whose process died.
    """
    state = load_optuna().trial.TrialState
    over = study.get_trials(deepcopy=False, states=(state.COMPLETE, state.PRUNED, state.FAIL))
    return sum(t.state != state.FAIL or ERROR in t.user_attrs for t in over)


def rows(
    study: Any, constraints: Sequence[Constraint], directions: Mapping[str, str]
) -> list[dict]:
    """Lay out the finished trials as a table.

    Parameters
    ----------
    study : optuna.Study
        The study.
    constraints : sequence of Constraint
        What a trial had to meet.
    directions : mapping of str to str
        The objectives.

    Returns
    -------
    list of dict
        ``trial``, ``params`` (as Optuna has them), the mean figures, ``fraction`` learned,
        ``feasible`` and ``pareto``.
    """
    table = []
    for trial in finished(study):
        figures = {n: float(np.mean(v)) for n, v in trial.user_attrs[FIGURES].items()}
        if figures.get("total"):
            figures["fraction"] = figures["trainable"] / figures["total"]
        feasible = all(c.violation(figures) <= 0 for c in constraints)
        row = {"trial": trial.number, "params": dict(trial.params), **figures}
        table.append({**row, "feasible": feasible})
    pareto = _front(table, directions)
    return [{**row, "pareto": i in pareto} for i, row in enumerate(table)]


def _front(table: list[dict], directions: Mapping[str, str]) -> set[int]:
    """Return the rows that no feasible row beats in all objectives."""
    signs = np.array([1.0 if d == "minimize" else -1.0 for d in directions.values()])
    allowed = [i for i, row in enumerate(table) if row["feasible"]]
    values = {i: signs * [table[i][name] for name in directions] for i in allowed}
    return {
        i
        for i in allowed
        if not any(
            (values[j] <= values[i]).all() and (values[j] < values[i]).any() for j in allowed
        )
    }


def table(search: Any) -> list[dict]:
    """Lay out the trials of a fitted search as a table.

    Parameters
    ----------
    search : FreezeSearchCV
        Fitted.

    Returns
    -------
    list of dict
        One row per finished trial: ``trial`` (its number), ``params`` (what it suggested), the
        mean over the folds of ``score``, ``trainable``, ``total``, ``fraction``, ``fit_time`` and
        whatever else was measured, ``feasible``, ``pareto``. `frozenfit.plots` draws it.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from frozenfit import PartialNetClassifier, search
    >>> X, y = load_iris(return_X_y=True)
    >>> net = PartialNetClassifier(epochs=2)
    >>> fitted = search.FreezeSearchCV(net, n_trials=2, cv=2, random_state=0).fit(X, y)
    >>> [row["trainable"] for row in search.table(fitted)]
    [353.0, 803.0]
    """
    return [dict(row) for row in search._rows]


def choose_trial(
    table: list[dict],
    rule: str | Callable[[list[dict]], int],
    directions: Mapping[str, str],
    better: Mapping[str, str],
) -> int:
    """Choose the best trial among those on the front.

    Parameters
    ----------
    table : list of dict
        What `rows` gave.
    rule : str or callable
        A metric whose best value decides, or ``f(front) -> index`` of a row of the front.
    directions : mapping of str to str
        The objectives; where the rule ties, the others decide in their order.
    better : mapping of str to str
        Direction of every metric that is no objective.

    Returns
    -------
    int
        Index into `table`.

    Raises
    ------
    ValueError
        If the rule names no metric that was measured, or returns no index of a row.
    """
    pareto = [i for i, row in enumerate(table) if row["pareto"]]
    if callable(rule):
        index = rule([dict(table[i]) for i in pareto])
        if not isinstance(index, int | np.integer) or not 0 <= index < len(pareto):
            raise ValueError(
                f"choose must return the index of one of the {len(pareto)} rows of the front, "
                f"found {index!r}"
            )
        return pareto[int(index)]
    order = {rule: better[rule], **directions, "trainable": "minimize"}
    if rule not in table[pareto[0]]:
        raise ValueError(
            f"refit={rule!r} was not measured; take one of the directions, "
            f"{', '.join(directions)}, or a function of the front"
        )

    def key(i: int) -> list[float]:
        values = [(table[i].get(name, 0.0), how) for name, how in order.items()]
        return [value if how == "minimize" else -value for value, how in values]

    return min(pareto, key=key)


def check_any(study: Any, table: list[dict], constraints: Sequence[Constraint]) -> None:
    """See that there is a trial to choose.

    Raises
    ------
    ValueError
        If all failed, with the first error; or none met the constraints, with the nearest.
    """
    if not table:
        trials = study.get_trials(deepcopy=False)
        errors = [t.user_attrs[ERROR] for t in trials if ERROR in t.user_attrs]
        if errors:
            raise ValueError(f"all {len(errors)} trials failed; the first error was: {errors[0]}")
        raise ValueError(
            f"none of the {len(trials)} trials was finished; give a longer timeout, or a pruner "
            "that lets some through"
        )
    if any(row["feasible"] for row in table):
        return
    nearest = min(table, key=lambda row: max(c.violation(row) for c in constraints))
    missed = [c for c in constraints if c.violation(nearest) > 0]
    told = " and ".join(f"{c.metric} = {nearest[c.metric]:g}" for c in missed)
    raise ValueError(
        f"none of {len(table)} trials met {' and '.join(map(str, constraints))}; the nearest was "
        f"trial {nearest['trial']} with {told}: relax it, run more trials, or narrow the space"
    )


def cv_results(
    study: Any, table: list[dict], params: list[dict[str, Any]], score_sign: float = 1.0
) -> dict[str, Any]:
    """Lay out the finished trials as scikit-learn's searches do.

    Parameters
    ----------
    study : optuna.Study
        The study.
    table : list of dict
        What `rows` gave.
    params : list of dict
        The estimator's parameters in each row.
    score_sign : float, default=1.0
        1 where a high score is good, -1 where a low one is.

    Returns
    -------
    dict of str to array or list
        ``params``, ``param_*``, ``split*_test_score``, means and spreads, ``rank_test_score``,
        and besides ``trial``, ``pareto``, ``feasible``, ``mean_trainable`` and its like.
    """
    folds = [trial.user_attrs[FIGURES] for trial in finished(study)]
    results: dict[str, Any] = {}
    for name in folds[0]:
        values = np.array([f[name] for f in folds])
        called = {"score": "test_score"}.get(name, name)
        results[f"mean_{called}"] = values.mean(axis=1)
        results[f"std_{called}"] = values.std(axis=1)
        if name == "score":
            results |= {f"split{i}_test_score": values[:, i] for i in range(values.shape[1])}
    scores = np.round(score_sign * results["mean_test_score"], 12)
    results["rank_test_score"] = (scores[None, :] > scores[:, None]).sum(axis=1) + 1
    for key in ("trial", "pareto", "feasible"):
        results[key] = np.array([row[key] for row in table])
    for name in sorted({name for each in params for name in each}):
        column = np.ma.MaskedArray(np.empty(len(params), dtype=object), mask=True)
        for i, each in enumerate(params):
            if name in each:
                column[i] = each[name]
        results[f"param_{name}"] = column
    results["params"] = params
    return results
