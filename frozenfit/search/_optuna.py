"""Optuna: its import on first use, its log, and every line that depends on its version."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from frozenfit.search.objectives import read_directions
from frozenfit.utils.optional import require

if TYPE_CHECKING:
    import optuna

    from frozenfit.search.freeze_search import FreezeSearchCV

# NSGA-II draws its first population at random. With the default population of 50, a search of 40
# trials would be a random search.
_GENERATIONS, _LEAST_POPULATION, _POPULATION = 4, 8, 50
# Optuna 4: the user attribute from which the sampler reads the violations of a trial.
_VIOLATIONS = "violations"


def load_optuna() -> Any:
    """Import Optuna.

    Returns
    -------
    module
        The module ``optuna``.

    Raises
    ------
    ImportError
        If Optuna is not installed.
    """
    return require("optuna", "search", "Searching")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's log; the progress bar shows the trials, and errors are raised."""
    logging = load_optuna().logging
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)


@contextmanager
def _experimental() -> Iterator[None]:
    """Ignore that Optuna 4 calls a class or an argument experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", load_optuna().exceptions.ExperimentalWarning)
        yield


def default_sampler(search: FreezeSearchCV, seed: int | None) -> optuna.samplers.BaseSampler:
    """Make the sampler of a search that was given none.

    Parameters
    ----------
    search : FreezeSearchCV
        The search.
    seed : int or None
        The seed of the sampler.

    Returns
    -------
    optuna.samplers.BaseSampler
        `TPESampler` for one objective, `NSGAIISampler` for several.
    """
    optuna = load_optuna()
    options: dict[str, Any] = {"seed": seed}
    if search.constraints and not hasattr(optuna.Trial, "set_constraint"):
        options["constraints_func"] = _violations
    with _experimental():
        if len(read_directions(search.directions)) == 1:
            return optuna.samplers.TPESampler(**options)
        size = max(_LEAST_POPULATION, min(_POPULATION, search.n_trials // _GENERATIONS))
        return optuna.samplers.NSGAIISampler(population_size=size, **options)


def _violations(trial: optuna.trial.FrozenTrial) -> list[float]:
    # A pruned trial has no metrics, and counts as infeasible as in Optuna 5.
    return trial.user_attrs.get(_VIOLATIONS, [1.0])


def set_constraints(trial: optuna.Trial, violations: Mapping[str, float]) -> None:
    """Store by how much a trial violates each constraint.

    Parameters
    ----------
    trial : optuna.Trial
        The running trial.
    violations : mapping of str to float
        The violation of each constraint, at most 0 where it is met.
    """
    if hasattr(trial, "set_constraint"):
        for name, violation in violations.items():
            trial.set_constraint(name, violation)
    elif violations:  # Optuna 4: a sampler that the user gives ignores them
        trial.set_user_attr(_VIOLATIONS, list(violations.values()))


def retry_option(max_retry: int) -> dict[str, Any]:
    """Return the argument of a storage that repeats the trial of a process that died.

    Parameters
    ----------
    max_retry : int
        How often a trial is repeated.

    Returns
    -------
    dict of str to callable
        The argument of `optuna.storages.RDBStorage` by its name in the installed version.
    """
    storages = load_optuna().storages
    with _experimental():
        if hasattr(storages, "RetryHeartbeatStaleTrialCallback"):
            retry = storages.RetryHeartbeatStaleTrialCallback(max_retry=max_retry)
            return {"heartbeat_stale_trial_callback": retry}
        # before Optuna 4.9
        return {"failed_trial_callback": storages.RetryFailedTrialCallback(max_retry=max_retry)}


def repeat_trial(study: optuna.Study, trial: optuna.trial.FrozenTrial, max_retry: int) -> None:
    """Enqueue the suggested values of a trial whose process died.

    Parameters
    ----------
    study : optuna.Study
        The study.
    trial : optuna.trial.FrozenTrial
        The trial.
    max_retry : int
        How often a trial is repeated.
    """
    (repeat,) = retry_option(max_retry).values()
    repeat(study, trial)


def was_stopped(study: optuna.Study) -> bool:
    """Return whether a callback called the method ``stop`` in the last call of ``optimize``.

    Parameters
    ----------
    study : optuna.Study
        The study.

    Returns
    -------
    bool
        Whether the search ends.
    """
    return study._stop_flag
