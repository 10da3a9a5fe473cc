"""The command ``frozenfit info``."""

from __future__ import annotations

import argparse
from typing import Any

from frozenfit.cli.options import file_size


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The parser of the command.
    """
    parser.add_argument("file", metavar="MODEL", help="a file that train --out saved")


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
    from frozenfit.cli.models import Model

    model = Model(arguments.file)
    estimator = model.estimator
    table = estimator.parameter_table()
    print(type(estimator).__name__)
    for name, value in estimator.get_params(deep=False).items():
        print(f"  {name} = {value!r}")
    if model.encoder is not None:
        _print_columns(model.encoder)
    print(table)
    if hasattr(estimator, "classes_"):
        print(f"classes          {len(estimator.classes_)}")
    print(f"input shape      {tuple(estimator.input_shape_)}")
    print(f"epochs trained   {estimator.n_iter_}")
    print(f"{table.summary}, {file_size(estimator, arguments.file)}")
    return 0


def _print_columns(encoder: Any) -> None:
    """Print the name of each column of the table, and how it is encoded."""
    names = getattr(encoder, "feature_names_in_", range(encoder.n_features_in_))
    print("columns")
    for name, column in zip(names, encoder.columns_, strict=True):
        kind = "numbers" if column.width == 1 and hasattr(column, "mean") else "categories"
        count = f"{column.width} " if kind == "categories" else ""
        print(f"  {name}: {count}{kind}")
    if encoder.target_name_ is not None:
        print(f"target           {encoder.target_name_}")
