"""The command ``frozenfit search``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from frozenfit.cli.options import (
    add_data_options,
    check_dataset_name,
    limited,
    load_data,
    print_result,
)
from frozenfit.cli.settings import add_settings, given_settings, make_classifier
from frozenfit.utils.interrupts import sigterm_interrupts
from frozenfit.utils.names import did_you_mean

if TYPE_CHECKING:
    from frozenfit.search import FreezeSearchCV

# The metrics of frozenfit.search.objectives, repeated because importing them takes a second.
_DIRECTIONS = {
    "score": "maximize",
    "trainable": "minimize",
    "bytes": "minimize",
    "fit_time": "minimize",
    "predict_time": "minimize",
}
# Whose errors mean that a storage is damaged or out of reach.
_STORAGE_PACKAGES = ("optuna", "sqlalchemy", "sqlite3", "redis")
# A parameter that the command line sets, and the parts of the search space that it replaces.
_PARTS = {
    "trainable": ("kind", "fraction"),
    "frozen": ("frozen",),
    "learning_rate": ("learning_rate",),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The parser of the command.
    """
    add_data_options(parser, default="digits")
    add = parser.add_argument
    add("--limit", type=int, metavar="N", help="search on a stratified subset of N images")
    add("--trials", type=int, default=40, metavar="N", help="number of trials (default: 40)")
    add("--folds", type=int, default=3, metavar="N", help="cross-validation folds (default: 3)")
    add(
        "--objectives",
        nargs="+",
        default=["score"],
        metavar="NAME",
        help=f"from {', '.join(_DIRECTIONS)} (default: score)",
    )
    add("--constraints", nargs="+", metavar="TEXT", help='such as "trainable <= 750"')
    add("--groups", nargs="+", metavar="GLOB", help="weight paths with a fraction each")
    add("--pruner", choices=["median"], help="stop unpromising trials; score as only objective")
    add("--storage", metavar="WHERE", help="journal file, SQLite file or URL that stores the study")
    add("--study-name", metavar="NAME", help="name of the study (default: frozenfit)")
    add("--workers", type=int, default=1, metavar="N", help="number of processes (default: 1)")
    add(
        "--trials-per-worker",
        type=int,
        metavar="N",
        help="replace a process after N trials, which bounds memory (default: never)",
    )
    add(
        "--heartbeat",
        type=int,
        default=60,
        metavar="S",
        help="seconds between heartbeats of a worker in SQL storages (default: 60)",
    )
    add("--timeout", type=float, metavar="S", help="seconds after which no trial is started")
    add("--report", metavar="FILE", help="HTML file to write the results to")
    add("--out", metavar="FILE", help="file to save the best classifier to")
    add("--verbose", type=int, default=1, help="0: no progress bar (default: 1)")
    add_settings(parser)


def run(arguments: argparse.Namespace) -> int:
    """Search how many parameters to train, with cross-validation, and save the best classifier.

    Parameters
    ----------
    arguments : argparse.Namespace
        The parsed command line.

    Returns
    -------
    int
        The exit code.
    """
    try:
        with sigterm_interrupts():
            return _run(arguments)
    except KeyboardInterrupt:
        stored = arguments.storage is not None
        text = "interrupted; the same command continues the study" if stored else ""
        raise KeyboardInterrupt(text) from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _STORAGE_PACKAGES:
            raise
        cause: Any = error.__cause__ or error
        raise RuntimeError(
            f"The study cannot be read or written: {getattr(cause, 'orig', cause)}. Restore its "
            "storage from a copy, or give another --storage."
        ) from error


def _run(arguments: argparse.Namespace) -> int:
    check_dataset_name(arguments)
    _check_search_options(arguments)
    settings = given_settings(arguments)
    search = make_search(make_classifier(settings), arguments, settings)
    from frozenfit import storage
    from frozenfit.search import open_storage, run_workers

    for path in (arguments.out, arguments.report):
        if path is not None:
            storage.check_writable(path)
    open_storage(arguments.storage)  # raises before any data is loaded
    data = load_data(arguments)
    X, y = limited(data.X_train, data.y_train, arguments.limit)
    if arguments.workers == 1 and arguments.trials_per_worker is None:
        search.fit(X, y)
    else:
        limit = arguments.trials_per_worker
        run_workers(search, X, y, n_workers=arguments.workers, trials_per_worker=limit)
    best = search.best_estimator_
    print(f"best parameters  {search.best_params_}")
    error = search.trials_table()[search.best_index_]["standard_error"]
    print(f"score            {search.best_score_:.4f} over {search.n_splits_} folds", end="")
    print(f", standard error {error:.4f}" if error else "")
    if arguments.report is not None:
        search.write_report(arguments.report)
        print(f"report           {arguments.report}")
    if arguments.out is not None:
        storage.save(best, arguments.out)
    print_result(best, best.score(data.X_test, data.y_test), arguments.out)
    return 0


def _check_search_options(arguments: argparse.Namespace) -> None:
    """Check what needs neither a backend nor Optuna."""
    for name in arguments.objectives:
        if name not in _DIRECTIONS:
            raise ValueError(f"Unknown metric {name!r}. {did_you_mean(name, _DIRECTIONS)}")
    counts = {"trials": 1, "folds": 2, "workers": 1, "trials_per_worker": 1, "heartbeat": 1}
    for name, least in counts.items():
        option, value = name.replace("_", "-"), getattr(arguments, name)
        if value is not None and value < least:
            raise ValueError(f"--{option} must be at least {least}, got {value}.")
    parallel = arguments.workers > 1 or arguments.trials_per_worker is not None
    if arguments.storage is None and parallel:
        raise ValueError(
            "Worker processes require a storage that they can share. Add --storage journal.log."
        )


def make_search(
    estimator: Any, arguments: argparse.Namespace, settings: dict[str, Any]
) -> FreezeSearchCV:
    """Make the search that the command line describes.

    Parameters
    ----------
    estimator : PartialNetClassifier
        The classifier.
    arguments : argparse.Namespace
        The parsed command line.
    settings : dict
        The classifier's parameters that the command line sets; these are not searched.

    Returns
    -------
    FreezeSearchCV
        The unfitted search, with valid constraints.
    """
    from frozenfit.search import FreezeSearchCV
    from frozenfit.search.objectives import read_constraints

    read_constraints(arguments.constraints)
    groups = tuple(arguments.groups or ())
    # With the default seed, a study that continues would suggest its first trials again.
    seeded = arguments.storage is None or hasattr(arguments, "set_random_state")
    leave = [part for name, parts in _PARTS.items() if name in settings for part in parts]
    if groups:  # the groups' fractions replace the part "fraction"
        leave = [part for part in leave if part != "fraction"]
    return FreezeSearchCV(
        estimator,
        n_trials=arguments.trials,
        cv=arguments.folds,
        space={"groups": groups, "leave": tuple(leave)},
        directions={name: _DIRECTIONS[name] for name in arguments.objectives},
        constraints=arguments.constraints,
        pruner=arguments.pruner,
        storage=arguments.storage,
        study_name=arguments.study_name,
        heartbeat=arguments.heartbeat,
        timeout=arguments.timeout,
        random_state=settings.get("random_state") if seeded else None,
        verbose=arguments.verbose,
    )
