"""The parser, and the options that several commands share."""

from __future__ import annotations

import argparse
import ast
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from frozenfit.utils.names import did_you_mean

if TYPE_CHECKING:
    import numpy as np

    from frozenfit.datasets import Dataset

# For suggestions only; any other data set that is prepared on disk is found as well.
_KNOWN_DATASETS = (
    *("digits", "mnist", "fashion_mnist", "kmnist", "emnist", "cifar10", "cifar100"),
    *("svhn_cropped", "stl10", "imagenette", "imagenet2012", "eurosat", "oxford_flowers102"),
)


class Parser(argparse.ArgumentParser):
    """Raises ValueError instead of leaving the process, so that all errors look alike."""

    def error(self, message: str) -> NoReturn:
        """Raise a ValueError with the message.

        Parameters
        ----------
        message : str
            The message of argparse.
        """
        raise ValueError(f"{message}; see {self.prog} --help")


def check_option_names(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Check that all options exist, before argparse reports what is missing because of a typo.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The parser of a command.
    words : sequence of str
        The arguments of the command.

    Raises
    ------
    ValueError
        If an option is unknown; the message suggests similar ones.
    """
    # The usage names one of several option strings of an action only.
    flags = [flag for action in parser._actions for flag in action.option_strings]
    known = [flag for flag in flags if flag.startswith("--")]
    for word in words:
        name = word.partition("=")[0]
        if word.startswith("--") and name not in known:
            raise ValueError(
                f"Unknown option {name}. {did_you_mean(name, known)} See {parser.prog} --help."
            )


def literal_or_text(text: str) -> Any:
    """Read a Python literal, or return the text if it is none, such as a selector or a name.

    Parameters
    ----------
    text : str
        A word of the command line.

    Returns
    -------
    object
        The value.
    """
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def pair(text: str) -> tuple[str, Any]:
    """Read NAME=VALUE.

    Parameters
    ----------
    text : str
        A word of the command line.

    Returns
    -------
    name : str
        The name.
    value : object
        The value, as `literal_or_text` reads it.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier():
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, such as width=4, got {text!r}")
    return name.strip(), literal_or_text(value)


def count_or_auto(text: str) -> int | str:
    """Read an integer or "auto".

    Parameters
    ----------
    text : str
        A word of the command line.

    Returns
    -------
    int or "auto"
        The value.
    """
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected an integer or auto, got {text!r}") from None


def add_data_options(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Add the options that select a data set.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The parser of a command.
    default : str or None
        The data set that the option has without a word on the command line.
    """
    suffix = f" (default: {default})" if default else ""
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        default=default,
        help="digits, the name of an image data set of TensorFlow Datasets, or a folder of images "
        f"such as ./photos{suffix}",
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="folder of TensorFlow Datasets (default: TFDS_DATA_DIR, or ~/tensorflow_datasets)",
    )
    parser.add_argument(
        "--image-size",
        metavar="H,W",
        type=literal_or_text,
        help="resize all images to this height and width in pixels",
    )


def check_dataset_name(arguments: argparse.Namespace) -> None:
    """Check the data set's name without importing a package that could read it.

    Parameters
    ----------
    arguments : argparse.Namespace
        The parsed command line.

    Raises
    ------
    ValueError
        If the name is close to that of another data set, and there is no such data set on disk.
    """
    name = arguments.dataset
    base = re.split(r"[/:]", name)[0]
    if name.startswith((".", "~", "/")) or os.path.isdir(name) or base in _KNOWN_DATASETS:
        return
    root = Path(
        arguments.data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    ).expanduser()
    on_disk = sorted(child.name for child in root.iterdir()) if root.is_dir() else []
    hint = did_you_mean(base, [*_KNOWN_DATASETS, *on_disk])
    if base not in on_disk and hint.startswith("Did you mean"):
        raise ValueError(f"There is no data set {name!r} in {root}. {hint}")


def load_data(arguments: argparse.Namespace, quiet: bool = False) -> Dataset:
    """Load the data set that the options select, and print how it is split.

    Parameters
    ----------
    arguments : argparse.Namespace
        The parsed command line.
    quiet : bool, default=False
        Whether to print nothing.

    Returns
    -------
    Dataset
        The data set.
    """
    from frozenfit import datasets

    data = datasets.load(arguments.dataset, arguments.data_dir, image_size=arguments.image_size)
    if not quiet:
        print(f"{data.name}: {data.split}")
    return data


def limited(X: np.ndarray, y: np.ndarray, limit: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return a stratified random subset of the training samples.

    Parameters
    ----------
    X : ndarray
        Samples, or their numbers.
    y : ndarray
        Labels.
    limit : int or None
        Number of samples; None returns all.

    Returns
    -------
    X, y : ndarray
        The subset.

    Raises
    ------
    ValueError
        If the limit cannot be met with every class in both parts.
    """
    if limit is None or limit >= len(y):
        return X, y
    from sklearn.model_selection import train_test_split

    n_classes = len(set(y.tolist()))
    if not n_classes <= limit <= len(y) - n_classes:
        raise ValueError(
            f"--limit must be at least {n_classes}, the number of classes, and at most "
            f"{len(y) - n_classes}, or {len(y)} for all samples, got {limit}."
        )
    rows, _ = train_test_split(range(len(y)), train_size=limit, stratify=y, random_state=0)
    return X[rows], y[rows]


def print_result(estimator: Any, accuracy: float, path: str | None) -> None:
    """Print one line: trained parameters, file size and test accuracy.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator.
    accuracy : float
        Its test accuracy.
    path : str or None
        Where it was saved; None omits the file size.
    """
    print(f"{result(estimator, path)}, test accuracy {accuracy:.3f}")


def result(estimator: Any, path: str | None) -> str:
    """Return how many parameters were trained, and the size of the file.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator.
    path : str or None
        Where it was saved; None omits the file size.

    Returns
    -------
    str
        Such as "trained 5,079 of 44,426 parameters (11.4 %), file 23 kB instead of 178 kB".
    """
    summary = estimator.parameter_table().summary
    return summary if path is None else f"{summary}, {file_size(estimator, path)}"


def file_size(estimator: Any, path: str) -> str:
    """Compare the size of a file with that of all parameters as float32.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator.
    path : str
        Its file.

    Returns
    -------
    str
        Such as "file 23 kB instead of 178 kB".
    """
    complete = 4 * estimator.parameter_table().total
    return f"file {_kilobytes(os.path.getsize(path))} instead of {_kilobytes(complete)}"


def _kilobytes(size: int) -> str:
    if size < 999_500:
        return f"{size / 1e3:.0f} kB" if size >= 9_950 else f"{size / 1e3:.1f} kB"
    return f"{size / 1e6:,.1f} MB"
