"""The options of the estimator: one for each parameter of PartialNetClassifier."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from frozenfit.cli.options import count_or_auto, literal_or_text, pair
from frozenfit.utils.names import did_you_mean
from frozenfit.utils.optional import import_with_backend

if TYPE_CHECKING:
    from frozenfit.estimators import PartialNetClassifier

# Parameters that take objects, that concern several fits, or that have an option elsewhere.
_NOT_OPTIONS = ("callbacks", "warm_start", "model_params", "verbose")
_CLASS = "PartialNetClassifier"
# How the text of an option is read, by the annotation of the parameter.
_TYPES = {"int": int, "float": float, "int | Literal['auto']": count_or_auto}
_ESTIMATORS = {"classification": _CLASS, "regression": "PartialNetRegressor"}
_SEED = 0
# Said after the first sentence of a description.
_MORE = {"model": "A name, or the path of a .keras file."}


class Parameter(NamedTuple):
    """A constructor parameter: name, annotation, default and first sentence of its description."""

    name: str
    annotation: str
    default: Any
    description: str


def classifier_parameters() -> Iterator[Parameter]:
    """Read the constructor parameters of PartialNetClassifier from its source.

    Importing the class loads a backend, which takes seconds; ``--help`` and typos must not wait.

    Yields
    ------
    Parameter
        The parameters in the order of the signature.
    """
    path = Path(__file__).parents[1] / "estimators" / "partial_net.py"
    module = ast.parse(path.read_text(encoding="utf-8"))
    cls = next(n for n in module.body if isinstance(n, ast.ClassDef) and n.name == _CLASS)
    init = next(n for n in cls.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    descriptions = parameter_descriptions(ast.get_docstring(cls) or "")
    given = [*init.args.args[1:], *init.args.kwonlyargs]
    defaults = [*init.args.defaults, *init.args.kw_defaults]
    for argument, default in zip(given, defaults, strict=True):
        yield Parameter(
            argument.arg,
            ast.unparse(argument.annotation) if argument.annotation else "",
            ast.literal_eval(default) if default is not None else None,
            descriptions.get(argument.arg, ""),
        )


def parameter_descriptions(docstring: str) -> dict[str, str]:
    """Return the first sentence on each parameter of a numpydoc docstring.

    Parameters
    ----------
    docstring : str
        The docstring.

    Returns
    -------
    dict of str to str
        The sentences by parameter name, without markup. A list ends the sentence before it; a
        colon does not.
    """
    text = inspect.cleandoc(docstring)
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[^\n]*\n-+\n|\Z)", text, re.M | re.S)
    descriptions = {}
    if section:
        for names, body in re.findall(
            r"^(\w[\w, ]*?)(?: :[^\n]*)?\n((?:(?:[ ]+[^\n]*)?\n?)*)", section[1], re.M
        ):
            paragraph = inspect.cleandoc(body).partition("\n\n")[0]
            sentence = re.split(r"(?<=\.)\s+(?=[A-Z\"'`(])", " ".join(paragraph.split()))[0]
            sentence = re.sub(r":$", ".", sentence).replace("`", "")
            descriptions |= {name.strip(): sentence for name in names.split(",")}
    return descriptions


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add one option per constructor parameter of the classifier.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The parser of a command.
    """
    group = parser.add_argument_group(
        "parameters of the estimator",
        "A value that is a Python literal is read as one; any other value is text.",
    )
    for name, annotation, default, description in classifier_parameters():
        if name == "model_params":
            group.add_argument(
                "--model-params",
                nargs="+",
                type=pair,
                metavar="NAME=VALUE",
                help=f"{description} For example: width=4 batch_norm=True.".replace("%", "%%"),
            )
        if name in _NOT_OPTIONS:
            continue
        if name == "random_state":
            default = _SEED
        text = f"{description} {_MORE.get(name, '')}".strip() + f" (default: {default})"
        # Suppressed, so that a namespace contains the given parameters only: a search does not
        # search over these.
        options: dict[str, Any] = {"help": text.replace("%", "%%"), "default": argparse.SUPPRESS}
        if annotation == "bool":
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["type"] = _TYPES.get(annotation, literal_or_text)
            options["metavar"] = {"int": "N", "float": "X"}.get(annotation, "VALUE")
        flags = [f"--{name.replace('_', '-')}"]
        if name == "random_state":
            flags.insert(0, "--seed")
        group.add_argument(*flags, dest=f"set_{name}", **options)


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the estimator's parameters that the command line sets, and the seed.

    Parameters
    ----------
    arguments : argparse.Namespace
        The parsed command line.

    Returns
    -------
    dict of str to object
        The values by parameter name.
    """
    settings: dict[str, Any] = {"random_state": _SEED}
    settings |= {
        name.removeprefix("set_"): value
        for name, value in vars(arguments).items()
        if name.startswith("set_")
    }
    if arguments.model_params is not None:
        settings["model_params"] = dict(arguments.model_params)
    return settings


def is_keras_file(arguments: argparse.Namespace) -> bool:
    """Return whether ``--model`` names a file of Keras rather than a network of frozenfit.

    Parameters
    ----------
    arguments : argparse.Namespace
        The parsed command line.

    Returns
    -------
    bool
        Whether it does.
    """
    return _is_path(getattr(arguments, "set_model", None))


def make_classifier(settings: dict[str, Any]) -> PartialNetClassifier:
    """Make a classifier, and check its parameters before any data is loaded.

    Parameters
    ----------
    settings : dict
        The parameters.

    Returns
    -------
    PartialNetClassifier
        The unfitted classifier.

    Raises
    ------
    ValueError
        If a parameter is invalid.
    """
    return make_estimator(settings)


def make_estimator(settings: dict[str, Any], task: str = "classification", verbose: int = 0) -> Any:
    """Make an estimator, and check its parameters before it is trained.

    Parameters
    ----------
    settings : dict
        The parameters. A `model` that is the path of a .keras file is loaded.
    task : {"classification", "regression"}, default="classification"
        The task.
    verbose : int, default=0
        Its verbosity.

    Returns
    -------
    PartialNetClassifier or PartialNetRegressor
        The unfitted estimator.

    Raises
    ------
    ValueError
        If a parameter is invalid, or the file of the network cannot be read.
    """
    trainable = settings.get("trainable")
    if trainable is not None:
        # Selectors need no backend, so this is checked before one is imported.
        from frozenfit import selectors

        selectors.as_selector(trainable)
    model = settings.get("model")
    if _is_path(model):
        settings = settings | {"model": _keras_model(str(model))}
    kind = getattr(import_with_backend("frozenfit.estimators"), _ESTIMATORS[task])
    allowed = inspect.signature(kind).parameters
    for name in settings:
        if name not in allowed:
            raise ValueError(f"--{name.replace('_', '-')} is an option of a classification.")
    estimator = kind(**settings, verbose=verbose)
    # scikit-learn calls this in `fit`; here the data would have been loaded before.
    estimator._validate_params()
    if isinstance(estimator.model, str):
        known = import_with_backend("frozenfit.architectures").parameters(estimator.model)
        for name in settings.get("model_params") or ():
            if name not in known:
                raise ValueError(
                    f"The network {estimator.model!r} has no parameter {name!r}. "
                    f"{did_you_mean(name, known)}"
                )
    return estimator


def _is_path(model: Any) -> bool:
    return isinstance(model, str) and model.lower().endswith(".keras")


def _keras_model(path: str) -> Any:
    """Load a network; Keras's safe mode refuses files that contain code."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {path}, which --model names.")
    keras = import_with_backend("keras")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever a damaged file leads to
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"--model {path} cannot be loaded: {first}") from error
