"""The command ``frozenfit evaluate``."""

from __future__ import annotations

import argparse
import json

from frozenfit.cli.options import add_data_options, check_dataset_name, load_data


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The parser of the command.
    """
    parser.add_argument("file", metavar="MODEL", help="a file that train --out saved")
    parser.add_argument(
        "data", nargs="?", metavar="DATA", help="csv, parquet or npz file, instead of --dataset"
    )
    parser.add_argument(
        "--target",
        metavar="COLUMN",
        help="the column with the true values (default: the one that the model was trained on)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_data_options(parser, default=None)


def run(arguments: argparse.Namespace) -> int:
    """Print how good the predictions of a saved model are.

    Parameters
    ----------
    arguments : argparse.Namespace
        The parsed command line.

    Returns
    -------
    int
        The exit code.
    """
    if (arguments.data is None) == (arguments.dataset is None):
        raise ValueError("evaluate requires either a file, DATA, or a data set, --dataset NAME.")
    if arguments.dataset is not None:
        if arguments.target is not None:
            raise ValueError("--target is an option of a file, and --dataset has its own labels.")
        check_dataset_name(arguments)
    from frozenfit.cli.models import Model
    from frozenfit.cli.scores import score

    model = Model(arguments.file)
    if arguments.dataset is not None:
        from sklearn.base import is_classifier

        if not is_classifier(model.whole):
            raise ValueError(
                f"{arguments.file} contains a {type(model.estimator).__name__}. Only classifiers "
                "can be evaluated on a data set of images."
            )
        data = load_data(arguments, quiet=arguments.json)
        X, y, target, unit = data.X_test, data.y_test, "label", "images"
    else:
        target = arguments.target or _default_target(model.target, arguments)
        (X, y), unit = model.read(arguments.data, target), "rows"
    found = score(model.whole, X, y, target)
    if arguments.json:
        about = {
            "model": arguments.file,
            "data": arguments.data or arguments.dataset,
            "rows": len(y),
            "task": found.task,
        }
        print(json.dumps(about | found.to_json()))
    else:
        print("\n".join(found.lines(f"{len(y):,} {unit}")))
    model.report_unused()
    return 0


def _default_target(known: str | None, arguments: argparse.Namespace) -> str:
    if known is not None:
        return known
    if arguments.data.lower().endswith(".npz"):
        return "y"
    raise ValueError(
        f"--target is missing: {arguments.file} does not contain the name of the column that the "
        "model predicts."
    )
