"""The command ``frozenfit``: train, evaluate and look into partial networks from a shell.

Only words are turned into calls here; what they do is the library's. argparse of the standard
library is enough for a few commands, and costs no dependency.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from frozenfit import __version__

__all__ = ["main"]

_BACKENDS = ("tensorflow", "jax", "torch")
# Objects, one training in one process, and what has an option of its own.
_NOT_OPTIONS = ("self", "callbacks", "warm_start", "model_params", "verbose")
_EXAMPLES = """examples:
  frozenfit train --dataset digits --trainable 0.1 --epochs 20 --out digits.frozenfit
  frozenfit train --dataset mnist --model lenet5 --trainable "batch_norm() | head()" \\
      --model-params batch_norm=True --epochs 3 --out mnist.frozenfit
  frozenfit evaluate mnist.frozenfit --dataset mnist
  frozenfit info mnist.frozenfit
  frozenfit search --data digits --epochs 20 --trials 40 --objectives score learned \\
      --storage journal.log --workers 2 --report search.html --out best.frozenfit

The environment variable KERAS_BACKEND (tensorflow, jax or torch) chooses the backend.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, default=None
        The words after ``frozenfit``; None takes those of the process.

    Returns
    -------
    int
        0; 2 after an error, told in one sentence on standard error; 130 after an interruption.

    Examples
    --------
    >>> main(["evaluate", "model.frozenfit"])  # says that --dataset is missing
    2
    """
    words = list(sys.argv[1:] if argv is None else argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its start-up notes are none of ours
    try:
        arguments = _parser(words[:1]).parse_args(words)
        return arguments.run(arguments)
    except SystemExit as leaving:  # --help and --version have printed
        return int(leaving.code or 0)
    except KeyboardInterrupt:
        print("frozenfit: interrupted; nothing was saved", file=sys.stderr)
        return 130
    except (ValueError, TypeError, ImportError, OSError) as error:
        return _fail(error)
    except Exception as error:
        # StorageError is no built-in type, and its module loads a backend: known by name here.
        if type(error).__name__ == "StorageError":
            return _fail(error)
        raise


def _fail(error: Exception) -> int:
    text = " ".join(str(error).split()) or type(error).__name__
    print(f"frozenfit: {text}", file=sys.stderr)
    return 2


class _Parser(argparse.ArgumentParser):
    """Raises what is wrong instead of leaving the process, so that all errors look alike."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see {self.prog} --help")


def _parser(command: Sequence[str]) -> argparse.ArgumentParser:
    """Make the parser; the estimator's options only where they are needed.

    They come from its signature, and importing it loads a backend, which takes seconds.
    """
    parser = _Parser(
        prog="frozenfit",
        description="Train a chosen part of a neural network and leave the rest as it is.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"frozenfit {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    train = commands.add_parser(
        "train",
        allow_abbrev=False,
        help="train a partial network on a data set, score it, and save it",
        description="Train a PartialNetClassifier on a data set, score it, and save it.",
    )
    _add_data(train, default="digits")
    train.add_argument(
        "--limit", type=int, metavar="N", help="train on N images alone, every class in proportion"
    )
    train.add_argument("--out", metavar="FILE", help="where to save it; without, nothing is saved")
    train.add_argument(
        "--save-frozen",
        action="store_true",
        help="store the frozen parameters too, instead of drawing them again from the seed",
    )
    train.add_argument("--verbose", type=int, default=1, help="0: no progress bar (default: 1)")
    train.set_defaults(run=_train)
    if "train" in command:
        _add_settings(train)

    evaluate = commands.add_parser(
        "evaluate",
        allow_abbrev=False,
        help="print the test accuracy of a saved file",
        description="Print the accuracy of a saved file on the test part of a data set.",
    )
    evaluate.add_argument("file", metavar="FILE", help="a file that train --out saved")
    _add_data(evaluate, default=None)
    evaluate.set_defaults(run=_evaluate)

    search = commands.add_parser(
        "search",
        allow_abbrev=False,
        help="search how much to freeze, cross-validated, in one process or several",
        description="Search over what a PartialNetClassifier learns, cross-validated on the "
        "training images; then train the best on all of them, score it, and save it.",
    )
    _add_search(search)
    if "search" in command:
        _add_settings(search)

    info = commands.add_parser(
        "info",
        allow_abbrev=False,
        help="print what a saved file holds",
        description="Print class, settings and learned table of a saved file.",
    )
    info.add_argument("file", metavar="FILE", help="a file that train --out saved")
    info.set_defaults(run=_info)
    return parser


def _add_data(parser: argparse.ArgumentParser, default: str | None) -> None:
    told = f" (default: {default})" if default else ""
    parser.add_argument(
        "--dataset",
        "--data",
        metavar="NAME",
        default=default,
        required=default is None,
        help="digits, the name of an image set of TensorFlow Datasets, or a folder of images "
        f"such as ./photos{told}",
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="where TensorFlow Datasets are (default: TFDS_DATA_DIR, or ~/tensorflow_datasets)",
    )
    parser.add_argument(
        "--image-size",
        metavar="H,W",
        type=_value,
        help="resize every image to this height and width in pixels",
    )


def _add_search(parser: argparse.ArgumentParser) -> None:
    """Add the options of a search; the estimator's settings, where given, are not searched."""
    _add_data(parser, default="digits")
    add = parser.add_argument
    add("--limit", type=int, metavar="N", help="search on N images alone")
    add("--trials", type=int, default=40, metavar="N", help="trials in all (default: 40)")
    add("--folds", type=int, default=3, metavar="N", help="folds of each trial (default: 3)")
    add(
        "--objectives",
        nargs="+",
        default=["score"],
        metavar="NAME",
        help="of score, learned, bytes, fit_time, predict_time (default: score)",
    )
    add("--constraints", nargs="+", metavar="TEXT", help='such as "trainable <= 750"')
    add("--groups", nargs="+", metavar="GLOB", help="weight paths that get a fraction each")
    add("--pruner", choices=["median"], help="end trials that fall behind; one objective only")
    add("--storage", metavar="WHERE", help="journal file, SQLite file or URL that keeps the study")
    add("--study-name", metavar="NAME", help="its name (default: frozenfit)")
    add("--workers", type=int, default=1, metavar="N", help="processes (default: 1)")
    add(
        "--trials-per-worker",
        type=int,
        metavar="N",
        help="start a fresh process after so many trials, which bounds memory (default: never)",
    )
    add(
        "--heartbeat",
        type=int,
        default=60,
        metavar="S",
        help="seconds between signs of life of a worker, on SQL storages (default: 60)",
    )
    add("--timeout", type=float, metavar="S", help="seconds after which no trial is started")
    add("--report", metavar="FILE", help="write what was found to this HTML file")
    add("--out", metavar="FILE", help="where to save the best, trained on all images")
    add("--verbose", type=int, default=1, help="0: no progress bar (default: 1)")
    parser.set_defaults(run=_search)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Add one option per constructor parameter of the classifier."""
    estimator = _estimator_class()
    helps = _parameter_helps(estimator.__doc__ or "")
    group = parser.add_argument_group(
        "settings of the classifier",
        "Values are read as Python literals, and as text where they are none.",
    )
    for name, parameter in inspect.signature(estimator.__init__).parameters.items():
        if name in _NOT_OPTIONS:
            continue
        told = f"{helps.get(name, '')} (default: {parameter.default})".strip()
        options: dict[str, Any] = {"help": told.replace("%", "%%"), "default": argparse.SUPPRESS}
        kind = str(getattr(parameter.annotation, "__name__", parameter.annotation))
        if kind == "bool":
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["type"] = {"int": int, "float": float}.get(kind, _value)
            options["metavar"] = {"int": "N", "float": "X"}.get(kind, "VALUE")
        group.add_argument(f"--{name.replace('_', '-')}", dest=f"set_{name}", **options)
    group.add_argument(
        "--model-params",
        nargs="+",
        type=_pair,
        metavar="NAME=VALUE",
        help=f"{helps.get('model_params', '')} For example: width=4 batch_norm=True".strip(),
    )


def _parameter_helps(docstring: str) -> dict[str, str]:
    """Return the first sentence on each parameter of a numpydoc docstring."""
    text = inspect.cleandoc(docstring)
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[^\n]*\n-+\n|\Z)", text, re.M | re.S)
    helps = {}
    if section:
        for names, body in re.findall(
            r"^(\w[\w, ]*?)(?: :[^\n]*)?\n((?:(?:[ ]+[^\n]*)?\n?)*)", section[1], re.M
        ):
            sentence = re.split(r"(?<=[.:])\s", " ".join(body.split()), maxsplit=1)[0]
            helps |= {name.strip(): sentence.replace("`", "") for name in names.split(",")}
    return helps


def _value(text: str) -> Any:
    """Read a Python literal; whatever is none is text, such as a selector or a name."""
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier():
        raise argparse.ArgumentTypeError(f"write NAME=VALUE, such as width=4, found {text!r}")
    return name.strip(), _value(value)


def _backend(module: str) -> Any:
    """Import a module of ours that loads Keras, or say that its backend is missing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0].replace("jaxlib", "jax")
        if missing not in _BACKENDS:
            raise
        there = [name for name in _BACKENDS if importlib.util.find_spec(name)]
        choice = f", or choose an installed one by KERAS_BACKEND={'|'.join(there)}" if there else ""
        raise ImportError(
            f"the Keras backend {missing} is not installed; run: pip install "
            f'"frozenfit[{missing}]"{choice}'
        ) from error


def _estimator_class() -> Any:
    return _backend("frozenfit.estimators").PartialNetClassifier


def _load_data(arguments: argparse.Namespace) -> Any:
    from frozenfit import datasets

    data = datasets.load(arguments.dataset, arguments.data_dir, image_size=arguments.image_size)
    print(f"{data.name}: {data.split}")
    return data


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    settings = {
        name.removeprefix("set_"): value
        for name, value in vars(arguments).items()
        if name.startswith("set_")
    }
    if arguments.model_params is not None:
        settings["model_params"] = dict(arguments.model_params)
    return settings


def _train(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    estimator = _estimator_class()(**settings, verbose=arguments.verbose)
    storage = _backend("frozenfit.storage")
    if arguments.out is not None:
        storage.check_writable(arguments.out)
    data = _load_data(arguments)
    X, y = _limited(data.X_train, data.y_train, arguments.limit)
    code = _fit(estimator, X, y)
    print(_backend("frozenfit.estimators.report").table_text(estimator))
    print(f"test accuracy    {estimator.score(data.X_test, data.y_test):.4f}")
    print(f"frozen           {estimator.freeze_fraction_:.2%}")
    if arguments.out is not None:
        storage.save(estimator, arguments.out, include_frozen=arguments.save_frozen)
        _print_size(estimator, arguments.out)
    return code


def _search(arguments: argparse.Namespace) -> int:
    search = _backend("frozenfit.search")
    found = search.from_words(_estimator_class()(**_settings(arguments)), vars(arguments))
    if arguments.out is not None:
        _backend("frozenfit.storage").check_writable(arguments.out)
    data = _load_data(arguments)
    X, y = _limited(data.X_train, data.y_train, arguments.limit)
    if arguments.workers == 1 and arguments.trials_per_worker is None:
        found.fit(X, y)
    else:
        limit = arguments.trials_per_worker
        search.run_workers(found, X, y, n_workers=arguments.workers, trials_per_worker=limit)
    best = found.best_estimator_
    print(f"best parameters  {found.best_params_}")
    print(f"score            {found.best_score_:.4f} over {found.n_splits_} folds")
    print(f"test accuracy    {best.score(data.X_test, data.y_test):.4f}")
    print(f"frozen           {best.freeze_fraction_:.2%}")
    if arguments.report is not None:
        from frozenfit import plots

        rows, shares = search.table(found), search.importances(found)
        search.report(found, arguments.report, plots.search_pictures(rows, shares))
        print(f"report           {arguments.report}")
    if arguments.out is not None:
        _backend("frozenfit.storage").save(best, arguments.out)
        _print_size(best, arguments.out)
    return 0


def _fit(estimator: Any, X: Any, y: Any) -> int:
    interrupted = _backend("frozenfit.estimators.base").TrainingInterrupted
    try:
        estimator.fit(X, y)
    except interrupted as error:  # what was learned until then is scored and saved
        print(f"frozenfit: {error}", file=sys.stderr)
        return 130
    return 0


def _limited(X: Any, y: Any, limit: int | None) -> tuple[Any, Any]:
    if limit is None or limit >= len(y):
        return X, y
    from sklearn.model_selection import train_test_split

    n_classes = len(set(y.tolist()))
    if not n_classes <= limit <= len(y) - n_classes:
        raise ValueError(
            f"--limit must be at least {n_classes}, the number of classes, and leave out as many "
            f"of the {len(y)} images or none, found {limit}"
        )
    rows, _ = train_test_split(range(len(y)), train_size=limit, stratify=y, random_state=0)
    return X[rows], y[rows]


def _print_size(estimator: Any, path: str) -> None:
    size = os.path.getsize(path)
    full = 4 * sum(row[-1] for row in estimator.parameter_table())
    print(f"saved            {size:,} bytes in {path}")
    print(f"full network     {full:,} bytes as float32, {size / full:.1%} of it saved")


def _evaluate(arguments: argparse.Namespace) -> int:
    from sklearn.base import is_classifier

    estimator = _backend("frozenfit.storage").load(arguments.file)
    if not is_classifier(estimator):
        raise ValueError(
            f"{arguments.file} holds a {type(estimator).__name__}, and only classifiers can be "
            "evaluated on images with classes"
        )
    data = _load_data(arguments)
    accuracy = estimator.score(data.X_test, data.y_test)
    print(f"test accuracy    {accuracy:.4f} on {len(data.y_test):,} images")
    return 0


def _info(arguments: argparse.Namespace) -> int:
    estimator = _backend("frozenfit.storage").load(arguments.file)
    print(type(estimator).__name__)
    for name, value in estimator.get_params(deep=False).items():
        print(f"  {name} = {value!r}")
    print(_backend("frozenfit.estimators.report").table_text(estimator))
    if hasattr(estimator, "classes_"):
        print(f"classes          {len(estimator.classes_)}")
    print(f"samples          of shape {tuple(estimator.input_shape_)}")
    print(f"epochs trained   {estimator.n_iter_}")
    print(f"frozen           {estimator.freeze_fraction_:.2%}")
    _print_size(estimator, arguments.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
