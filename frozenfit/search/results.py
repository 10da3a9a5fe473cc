"""The results of a study: a table of its trials, the Pareto front, the best trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from frozenfit.search._optuna import load_optuna, quiet
from frozenfit.search.objectives import METRICS, Constraint

if TYPE_CHECKING:
    import optuna

# User attributes of a trial: its metrics per fold, and the error that made it fail.
FIGURES, ERROR = "figures", "error"
_FEWEST_FOR_IMPORTANCES = 4

Row = dict[str, Any]


def completed(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Return the completed trials of all processes in the order of their numbers.

    Parameters
    ----------
    study : optuna.Study
        The study.

    Returns
    -------
    list of optuna.trial.FrozenTrial
        The trials.
    """
    states = (load_optuna().trial.TrialState.COMPLETE,)
    return [t for t in study.get_trials(deepcopy=False, states=states) if FIGURES in t.user_attrs]


def count_done(study: optuna.Study) -> int:
    """Count the trials that need not be run again.

    Parameters
    ----------
    study : optuna.Study
        The study.

    Returns
    -------
    int
        Number of completed and pruned trials, and of trials that failed with an error. A trial
        whose process died is marked as failed too, but has no error and does not count: otherwise
        killed workers would use up `n_trials`.
    """
    state = load_optuna().trial.TrialState
    over = study.get_trials(deepcopy=False, states=(state.COMPLETE, state.PRUNED, state.FAIL))
    return sum(t.state != state.FAIL or ERROR in t.user_attrs for t in over)


def trial_rows(
    study: optuna.Study, constraints: Sequence[Constraint], directions: Mapping[str, str]
) -> list[Row]:
    """Return the completed trials as a table.

    Parameters
    ----------
    study : optuna.Study
        The study.
    constraints : sequence of Constraint
        The constraints of the search.
    directions : mapping of str to str
        The objectives.

    Returns
    -------
    list of dict
        Rows with ``trial``, ``params`` (suggested values), the mean of each metric,
        ``standard_error`` (of the mean score), ``fraction`` (trainable of all parameters),
        ``feasible`` and ``pareto_optimal``.
    """
    rows: list[Row] = []
    for trial in completed(study):
        figures = trial.user_attrs[FIGURES]
        means = {name: float(np.mean(v)) for name, v in figures.items()}
        means["standard_error"] = _standard_error(figures["score"])
        if means.get("total"):
            means["fraction"] = means["trainable"] / means["total"]
        feasible = all(c.violation(means) <= 0 for c in constraints)
        rows.append(
            {"trial": trial.number, "params": dict(trial.params), **means, "feasible": feasible}
        )
    optimal = _pareto_optimal(rows, directions)
    return [{**row, "pareto_optimal": i in optimal} for i, row in enumerate(rows)]


def _standard_error(values: Sequence[float]) -> float:
    """Return the standard error of a mean; 0 for a single value, whose spread is not known."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def _pareto_optimal(rows: Sequence[Row], directions: Mapping[str, str]) -> set[int]:
    """Return the indices of feasible rows that no feasible row dominates."""
    signs = np.array([1.0 if d == "minimize" else -1.0 for d in directions.values()])
    feasible = [i for i, row in enumerate(rows) if row["feasible"]]
    values = {i: signs * [rows[i][name] for name in directions] for i in feasible}
    return {
        i
        for i in feasible
        if not any(
            (values[j] <= values[i]).all() and (values[j] < values[i]).any() for j in feasible
        )
    }


def choose_trial(
    rows: Sequence[Row], metric: str, directions: Mapping[str, str], better: Mapping[str, str]
) -> int:
    """Choose the Pareto-optimal trial with the best value of a metric.

    Parameters
    ----------
    rows : sequence of dict
        The table of `trial_rows`.
    metric : str
        The metric that decides. Ties are broken by the objectives in their order, then by the
        number of trainable parameters.
    directions : mapping of str to str
        The objectives.
    better : mapping of str to str
        Direction of every metric.

    Returns
    -------
    int
        Index into `rows`.

    Raises
    ------
    ValueError
        If the metric was not measured.
    """
    optimal = [i for i, row in enumerate(rows) if row["pareto_optimal"]]
    if metric not in better or metric not in rows[optimal[0]]:
        measured = [name for name in better if name in rows[optimal[0]]]
        raise ValueError(
            f"`refit` must be a bool, a callable or the name of a measured metric "
            f"({', '.join(measured)}), got {metric!r}. Add the metric to `directions` to measure "
            "it."
        )
    order = {metric: better[metric], **directions, "trainable": "minimize"}

    def key(i: int) -> list[float]:
        values = [(rows[i].get(name, 0.0), how) for name, how in order.items()]
        return [value if how == "minimize" else -value for value, how in values]

    return min(optimal, key=key)


def choose_small(
    rows: Sequence[Row], directions: Mapping[str, str], better: Mapping[str, str]
) -> int:
    """Choose the smallest network whose score is not clearly below the best one.

    Parameters
    ----------
    rows : sequence of dict
        The table of `trial_rows`.
    directions : mapping of str to str
        The objectives.
    better : mapping of str to str
        Direction of every metric.

    Returns
    -------
    int
        Index into `rows` of the Pareto-optimal trial with the fewest trainable parameters among
        those within one standard error of the best score. The trial with the best score, unless
        the score and the number of trainable parameters are both objectives.
    """
    best = choose_trial(rows, "score", directions, better)
    if "score" not in directions or directions.get("trainable") != "minimize":
        return best
    near = [
        i
        for i, row in enumerate(rows)
        if row["pareto_optimal"] and standard_errors_from(row, rows[best]) <= 1
    ]
    index = choose_trial([rows[i] for i in near], "trainable", directions, better)
    return near[index]


def standard_errors_from(row: Mapping[str, Any], best: Mapping[str, Any]) -> float:
    """Return by how many standard errors of the best score a score differs from it.

    Parameters
    ----------
    row, best : mapping
        Rows of the table of `trial_rows`.

    Returns
    -------
    float
        At least 0; infinite where the scores differ and the standard error is 0.
    """
    # Rounded, so that the last bits of a mean do not decide.
    difference = round(abs(row["score"] - best["score"]), 12)
    if not difference:
        return 0.0
    return difference / best["standard_error"] if best["standard_error"] else math.inf


def checked_index(index: object, rows: Sequence[Row]) -> int:
    """Check the index that a callable `refit` returned.

    Parameters
    ----------
    index : object
        The returned value.
    rows : sequence of dict
        The table of `trial_rows`.

    Returns
    -------
    int
        The index.

    Raises
    ------
    TypeError
        If it is not an integer.
    IndexError
        If the row does not exist.
    ValueError
        If the trial violates a constraint.
    """
    if not isinstance(index, int | np.integer) or isinstance(index, bool):
        raise TypeError(
            f"A callable `refit` must return an integer, the index of a row of `cv_results_`, "
            f"got {index!r}."
        )
    index = int(index)
    if not 0 <= index < len(rows):
        raise IndexError(
            f"A callable `refit` must return an index from 0 to {len(rows) - 1}, got {index}."
        )
    if not rows[index]["feasible"]:
        raise ValueError(
            f"`refit` returned trial {rows[index]['trial']}, which violates a constraint. Choose "
            "among the rows where `cv_results_['feasible']` is True."
        )
    return index


def check_any_feasible(
    study: optuna.Study, rows: Sequence[Row], constraints: Sequence[Constraint]
) -> None:
    """Raise an error if no trial can be the best one.

    Raises
    ------
    ValueError
        If all trials failed (with the first error), or none meets the constraints (with the trial
        that comes closest).
    """
    if not rows:
        trials = study.get_trials(deepcopy=False)
        errors = [t.user_attrs[ERROR] for t in trials if ERROR in t.user_attrs]
        if errors:
            raise ValueError(f"All {len(errors)} trials failed. The first error was: {errors[0]}")
        raise ValueError(
            f"None of the {len(trials)} trials completed. Increase `timeout`, or use a pruner that "
            "stops fewer trials."
        )
    if any(row["feasible"] for row in rows):
        return
    nearest = min(rows, key=lambda row: max(c.violation(row) for c in constraints))
    missed = [c for c in constraints if c.violation(nearest) > 0]
    values = " and ".join(f"{c.metric} = {nearest[c.metric]:g}" for c in missed)
    raise ValueError(
        f"None of the {len(rows)} completed trials meets {' and '.join(map(str, constraints))}. "
        f"The closest is trial {nearest['trial']} with {values}. Relax the constraint, increase "
        "`n_trials`, or narrow `space`."
    )


def cv_results(
    study: optuna.Study, rows: Sequence[Row], params: list[dict[str, Any]], score_sign: float = 1.0
) -> dict[str, Any]:
    """Return the completed trials in the layout of GridSearchCV.

    Parameters
    ----------
    study : optuna.Study
        The study.
    rows : sequence of dict
        The table of `trial_rows`.
    params : list of dict
        The estimator's parameters in each row.
    score_sign : float, default=1.0
        1 if a higher score is better, -1 if a lower one is.

    Returns
    -------
    dict of str to ndarray or list
        ``params``, ``param_*``, ``split*_test_score``, means and standard deviations (of the
        folds themselves, ``ddof=0``, as in GridSearchCV), ``rank_test_score``, and ``trial``,
        ``pareto_optimal``, ``feasible``, ``mean_trainable`` and the like.
    """
    folds = [trial.user_attrs[FIGURES] for trial in completed(study)]
    results: dict[str, Any] = {}
    for name in folds[0]:
        values = np.array([f[name] for f in folds])
        key = {"score": "test_score"}.get(name, name)
        results[f"mean_{key}"] = values.mean(axis=1)
        results[f"std_{key}"] = values.std(axis=1)
        if name == "score":
            results |= {f"split{i}_test_score": values[:, i] for i in range(values.shape[1])}
    # Rounded, so that the last bits of a mean do not decide a rank.
    scores = np.round(score_sign * results["mean_test_score"], 12)
    results["rank_test_score"] = (scores[None, :] > scores[:, None]).sum(axis=1) + 1
    for key in ("trial", "pareto_optimal", "feasible"):
        results[key] = np.array([row[key] for row in rows])
    for name in sorted({name for each in params for name in each}):
        column = np.ma.MaskedArray(np.empty(len(params), dtype=object), mask=True)
        for i, each in enumerate(params):
            if name in each:
                column[i] = each[name]
        results[f"param_{name}"] = column
    results["params"] = params
    return results


def param_importances(study: optuna.Study, rows: Sequence[Row], metric: str) -> dict[str, float]:
    """Compute the importances of the suggested parameters; see `FreezeSearchCV`.

    Parameters
    ----------
    study : optuna.Study
        The study.
    rows : sequence of dict
        The table of `trial_rows`.
    metric : str
        A metric that was measured.

    Returns
    -------
    dict of str to float
        Importances in descending order.

    Raises
    ------
    ValueError
        If the metric was not measured.
    """
    optuna = load_optuna()
    values = {row["trial"]: row for row in rows}
    if any(metric not in row for row in rows):
        measured = [name for name in (*METRICS, "fraction") if name in rows[0]]
        raise ValueError(f"`metric` must be one of {', '.join(measured)}, got {metric!r}.")
    if len(rows) < _FEWEST_FOR_IMPORTANCES or len({row[metric] for row in rows}) < 2:
        return {}
    # A study in memory with the metric as its only objective: the evaluator rejects studies with
    # several objectives, and the metric need not be an objective at all.
    with quiet():
        single = optuna.create_study()
    for trial in study.get_trials(deepcopy=False):
        if trial.number in values:
            single.add_trial(
                optuna.trial.create_trial(
                    params=trial.params,
                    distributions=trial.distributions,
                    value=values[trial.number][metric],
                )
            )
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    shares = optuna.importance.get_param_importances(single, evaluator=evaluator)
    return {name: float(share) for name, share in shares.items()}
