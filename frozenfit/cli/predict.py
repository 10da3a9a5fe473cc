"""The command ``frozenfit predict``."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from frozenfit.cli.tables import check_ending, csv_text, write_columns


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The parser of the command.
    """
    parser.add_argument("file", metavar="MODEL", help="a file that train --out saved")
    parser.add_argument("data", metavar="DATA", help="csv, parquet or npz file of samples")
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="csv, parquet or npz file to write (default: print the predictions as csv)",
    )
    parser.add_argument(
        "--proba", action="store_true", help="also write the probability of each class"
    )


def run(arguments: argparse.Namespace) -> int:
    """Predict the class or the target of each row of a file.

    Parameters
    ----------
    arguments : argparse.Namespace
        The parsed command line.

    Returns
    -------
    int
        The exit code.
    """
    if arguments.out is not None:
        from frozenfit.utils.atomic_write import check_target

        check_ending(arguments.out, "--out")
        check_target(arguments.out)
    from frozenfit.cli.models import Model

    model = Model(arguments.file)
    if arguments.proba and not hasattr(model.whole, "predict_proba"):
        raise ValueError(f"--proba requires a classifier, and {arguments.file} is a regression.")
    X = model.read(arguments.data).X
    columns = _columns(model.whole, X, arguments.proba)
    if arguments.out is None:
        print(csv_text(columns), end="")
    else:
        write_columns(columns, arguments.out)
        print(f"{len(X):,} predictions written to {arguments.out}")
    model.report_unused()
    return 0


def _columns(model: Any, X: Any, proba: bool) -> dict[str, np.ndarray]:
    """Return the predictions by name of the column that receives them."""
    predicted = model.predict(X)
    if predicted.ndim > 1:
        return {f"prediction_{i}": values for i, values in enumerate(predicted.T)}
    columns = {"prediction": predicted}
    if proba:
        probabilities = model.predict_proba(X)
        columns |= {
            f"probability_{name}": values
            for name, values in zip(model.classes_.tolist(), probabilities.T, strict=True)
        }
    return columns
