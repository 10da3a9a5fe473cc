"""The command ``frozenfit evaluate``."""

from __future__ import annotations

import argparse

from frozenfit.cli.options import add_data_options, check_dataset_name, load_data
from frozenfit.utils.optional import import_with_backend


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The parser of the command.
    """
    parser.add_argument("file", metavar="FILE", help="a file that train --out saved")
    add_data_options(parser, default=None)


def run(arguments: argparse.Namespace) -> int:
    """Print the accuracy of a saved classifier on the test part of a data set.

    Parameters
    ----------
    arguments : argparse.Namespace
        The parsed command line.

    Returns
    -------
    int
        The exit code.
    """
    from sklearn.base import is_classifier

    check_dataset_name(arguments)
    estimator = import_with_backend("frozenfit.storage").load(arguments.file)
    if not is_classifier(estimator):
        raise ValueError(
            f"{arguments.file} contains a {type(estimator).__name__}. Only classifiers can be "
            "evaluated on a data set of images."
        )
    data = load_data(arguments)
    accuracy = estimator.score(data.X_test, data.y_test)
    print(f"test accuracy {accuracy:.3f} on {len(data.y_test):,} images")
    return 0
