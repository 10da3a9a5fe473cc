"""The command ``frozenfit info``."""

from __future__ import annotations

import argparse

from frozenfit.cli.options import file_size
from frozenfit.utils.optional import import_with_backend


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The parser of the command.
    """
    parser.add_argument("file", metavar="FILE", help="a file that train --out saved")


def run(arguments: argparse.Namespace) -> int:
    """Print the class, the parameters and the parameter table of a saved file.

    Parameters
    ----------
    arguments : argparse.Namespace
        The parsed command line.

    Returns
    -------
    int
        The exit code.
    """
    estimator = import_with_backend("frozenfit.storage").load(arguments.file)
    table = estimator.parameter_table()
    print(type(estimator).__name__)
    for name, value in estimator.get_params(deep=False).items():
        print(f"  {name} = {value!r}")
    print(table)
    if hasattr(estimator, "classes_"):
        print(f"classes          {len(estimator.classes_)}")
    print(f"input shape      {tuple(estimator.input_shape_)}")
    print(f"epochs trained   {estimator.n_iter_}")
    print(f"{table.summary}, {file_size(estimator, arguments.file)}")
    return 0
