"""The command ``frozenfit train``."""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import Any

import numpy as np

from frozenfit.cli.options import (
    add_data_options,
    check_dataset_name,
    limited,
    load_data,
    print_result,
    result,
)
from frozenfit.cli.settings import add_settings, given_settings, is_keras_file, make_estimator
from frozenfit.cli.tables import Samples, read_samples
from frozenfit.cli.targets import TASKS, read_target
from frozenfit.utils.optional import import_with_backend

_TEST_SHARE = 0.2


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The parser of the command.
    """
    table = parser.add_argument_group("a table")
    table.add_argument(
        "data",
        nargs="?",
        metavar="DATA",
        help="csv, parquet or npz file to train on; without it, a data set of images is used "
        "(default: digits)",
    )
    table.add_argument(
        "--target",
        metavar="COLUMN",
        help='the column to predict; the array in an npz file (default: "y")',
    )
    table.add_argument(
        "--task",
        choices=TASKS,
        help="what the target asks for (default: classification for text, booleans and up to 20 "
        "distinct integers; regression for all other numbers)",
    )
    table.add_argument(
        "--drop", nargs="+", default=[], metavar="COLUMN", help="columns to leave out"
    )
    table.add_argument(
        "--test-size",
        type=float,
        metavar="X",
        help=f"fraction of the rows to set aside and to evaluate on (default: {_TEST_SHARE}); "
        "0 trains on all rows",
    )
    table.add_argument(
        "--max-categories",
        type=int,
        metavar="N",
        help="largest number of encoded columns of one column of categories (default: 50)",
    )
    add_data_options(parser, default=None)
    parser.add_argument(
        "--limit", type=int, metavar="N", help="train on a random subset of N samples"
    )
    parser.add_argument("--out", metavar="FILE", help="file to save to (default: do not save)")
    parser.add_argument(
        "--save-frozen",
        action="store_true",
        help="also save the frozen parameters instead of regenerating them from the seed",
    )
    parser.add_argument("--verbose", type=int, default=1, help="0: no progress bar (default: 1)")
    add_settings(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train on a table or on a data set of images, evaluate on the test part, and save.

    Parameters
    ----------
    arguments : argparse.Namespace
        The parsed command line.

    Returns
    -------
    int
        The exit code.
    """
    _check_options(arguments)
    return _run_on_images(arguments) if arguments.data is None else _run_on_table(arguments)


def _check_options(arguments: argparse.Namespace) -> None:
    """Check which data is meant; a data set is digits where nothing is."""
    if arguments.data is None:
        for name in ("target", "task", "test_size", "max_categories", "drop"):
            if getattr(arguments, name):
                raise ValueError(
                    f"--{name.replace('_', '-')} is an option of a table: give its file, as in "
                    "frozenfit train data.csv --target COLUMN."
                )
        arguments.dataset = arguments.dataset or "digits"
        return
    for name in ("dataset", "data_dir", "image_size"):
        if getattr(arguments, name):
            raise ValueError(
                f"--{name.replace('_', '-')} is an option of a data set of images, and the file "
                f"{arguments.data} was given too."
            )
    share = arguments.test_size
    if share is not None and not 0 <= share < 1:
        raise ValueError(f"--test-size must be at least 0 and below 1, got {share:g}.")
    if arguments.max_categories is not None and arguments.max_categories < 2:
        raise ValueError(f"--max-categories must be at least 2, got {arguments.max_categories}.")
    if arguments.target is None:
        if not arguments.data.lower().endswith(".npz"):
            raise ValueError(
                "--target is missing: name the column to predict, as in frozenfit train "
                f"{arguments.data} --target COLUMN."
            )
        arguments.target = "y"


def _run_on_images(arguments: argparse.Namespace) -> int:
    check_dataset_name(arguments)
    estimator = make_estimator(given_settings(arguments), verbose=arguments.verbose)
    _check_out(arguments, estimator)
    data = load_data(arguments)
    X, y = limited(data.X_train, data.y_train, arguments.limit)
    code = _fit(estimator, X, y)
    print(estimator.parameter_table())
    _save(arguments, estimator, estimator)
    print_result(estimator, estimator.score(data.X_test, data.y_test), arguments.out)
    return code


def _run_on_table(arguments: argparse.Namespace) -> int:
    from sklearn.utils import _safe_indexing as rows_of

    from frozenfit.cli.scores import score

    samples = read_samples(arguments.data, arguments.target, drop=arguments.drop)
    y, task = read_target(samples.y, arguments.target, arguments.task)
    settings = given_settings(arguments)
    train, test = _split(y, task, arguments, settings["random_state"])
    if arguments.limit is not None:
        stratum = y[train] if task == "classification" else np.zeros(len(train), int)
        train, _ = limited(train, stratum, arguments.limit)
    estimator = make_estimator(settings, task, arguments.verbose)
    _check_out(arguments, estimator)
    model = _with_encoder(estimator, samples, arguments.max_categories)
    classes = f", {len(np.unique(y))} classes" if task == "classification" else ""
    print(f"{arguments.data}: {len(y):,} rows, {_described(samples)}")
    print(
        f"target {arguments.target!r}: {task}{classes}; {len(train):,} rows to train on, "
        f"{len(test):,} to test"
    )
    code = _fit(model, rows_of(samples.X, train), _named(y[train], samples.y))
    print(estimator.parameter_table())
    _save(arguments, model, estimator)
    print(result(estimator, arguments.out))
    if len(test):
        found = score(model, rows_of(samples.X, test), y[test], arguments.target)
        print(f"{found.line} on {len(test):,} rows")
    return code


def _split(
    y: np.ndarray, task: str, arguments: argparse.Namespace, seed: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to train on and those to test, stratified by class."""
    from sklearn.model_selection import train_test_split

    share, rows = arguments.test_size, np.arange(len(y))
    share = _TEST_SHARE if share is None else share
    if share == 0:
        return rows, rows[:0]
    classes, counts = np.unique(y, return_counts=True)
    stratify = y if task == "classification" else None
    if stratify is not None and counts.min() < 2:
        rare = classes[counts.argmin()]
        raise ValueError(
            f"The class {rare!r} of the target {arguments.target!r} has a single row, and a test "
            "part needs rows of every class. Remove the row, or use --test-size 0."
        )
    n_test = int(np.ceil(share * len(y)))
    least = 1 if stratify is None else len(classes)
    if not least <= n_test <= len(y) - least:
        raise ValueError(
            f"--test-size {share:g} sets aside {n_test:,} of {len(y):,} rows, and both parts must "
            f"have at least {least:,}."
        )
    parts = train_test_split(rows, test_size=n_test, stratify=stratify, random_state=seed)
    return np.asarray(parts[0]), np.asarray(parts[1])


def _with_encoder(estimator: Any, samples: Samples, max_categories: int | None) -> Any:
    """Return the estimator of arrays of images itself, and a pipeline for rows of a table."""
    if not hasattr(samples.X, "columns") and samples.X.ndim > 2:
        return estimator
    from sklearn.pipeline import Pipeline

    from frozenfit.table_encoder import TableEncoder

    encoder = TableEncoder() if max_categories is None else TableEncoder(max_categories)
    return Pipeline([("encoder", encoder), ("model", estimator)])


def _described(samples: Samples) -> str:
    if not hasattr(samples.X, "columns"):
        return "samples of shape " + "x".join(map(str, samples.X.shape[1:]))
    return f"{len(samples.X.columns):,} columns"


def _named(values: np.ndarray, y: Any) -> Any:
    """Return the target with its name, where the table gives it one."""
    if not hasattr(y, "name"):
        return values
    import pandas

    return pandas.Series(values, name=y.name)


def _check_out(arguments: argparse.Namespace, estimator: Any) -> None:
    """Check that the result can be saved, before any time is spent on training."""
    if arguments.out is None:
        return
    storage = import_with_backend("frozenfit.storage")
    storage.check_writable(arguments.out)
    if is_keras_file(arguments):
        from frozenfit.storage.codec import encode_network

        encode_network(estimator.model, f"--model {arguments.set_model}", described=True)


def _save(arguments: argparse.Namespace, model: Any, estimator: Any) -> None:
    if arguments.out is None:
        return
    from frozenfit import storage

    # Without its network, nothing but this command could load the file again.
    whole = arguments.save_frozen or is_keras_file(arguments)
    storage.save(model, arguments.out, include_frozen=whole)


def _fit(estimator: Any, X: Any, y: Any) -> int:
    from frozenfit.estimators.base import TrainingInterrupted

    try:
        # The bar shows seconds; what is printed to standard output is the same in each run.
        with contextlib.redirect_stdout(sys.stderr):
            estimator.fit(X, y)
    except TrainingInterrupted as error:  # the estimator is fitted up to the last complete epoch
        print(f"frozenfit: {error}", file=sys.stderr)
        return 130
    return 0
