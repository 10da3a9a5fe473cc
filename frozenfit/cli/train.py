"""The command ``frozenfit train``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from frozenfit.cli.options import (
    add_data_options,
    check_dataset_name,
    limited,
    load_data,
    print_result,
)
from frozenfit.cli.settings import add_settings, given_settings, make_classifier


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The parser of the command.
    """
    add_data_options(parser, default="digits")
    parser.add_argument(
        "--limit", type=int, metavar="N", help="train on a stratified subset of N images"
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
    """Train a PartialNetClassifier on a data set, evaluate it, and save it.

    Parameters
    ----------
    arguments : argparse.Namespace
        The parsed command line.

    Returns
    -------
    int
        The exit code.
    """
    check_dataset_name(arguments)
    estimator = make_classifier(given_settings(arguments), arguments.verbose)
    from frozenfit import storage

    if arguments.out is not None:
        storage.check_writable(arguments.out)
    data = load_data(arguments)
    X, y = limited(data.X_train, data.y_train, arguments.limit)
    code = _fit(estimator, X, y)
    print(estimator.parameter_table())
    if arguments.out is not None:
        storage.save(estimator, arguments.out, include_frozen=arguments.save_frozen)
    print_result(estimator, estimator.score(data.X_test, data.y_test), arguments.out)
    return code


def _fit(estimator: Any, X: Any, y: Any) -> int:
    from frozenfit.estimators.base import TrainingInterrupted

    try:
        estimator.fit(X, y)
    except TrainingInterrupted as error:  # the estimator is fitted up to the last complete epoch
        print(f"frozenfit: {error}", file=sys.stderr)
        return 130
    return 0
