"""Import of optional packages, with errors that name the extra to install."""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import os
import sys
import warnings
from pathlib import Path
from types import ModuleType

BACKENDS = ("tensorflow", "jax", "torch")
# What Keras writes into a new keras.json.
_KERAS_DEFAULTS = {
    "floatx": "float32",
    "epsilon": 1e-07,
    "backend": "tensorflow",
    "image_data_format": "channels_last",
}


class MissingPackage(ImportError):
    """An optional package is not installed; the message names the command that installs it."""


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional package.

    Parameters
    ----------
    module : str
        Dotted name of the module to import.
    extra : str
        The extra of this package that installs it, as in ``pip install "frozenfit[plot]"``.
    purpose : str
        What the package is needed for, as the subject of a sentence: "Searching".

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    ImportError
        If the package is not installed; the message names the command that installs it.

    Examples
    --------
    >>> from frozenfit.utils.optional import require
    >>> require("json", "json", "Reading").loads("1")
    1
    """
    try:
        # tqdm, which Optuna imports, warns in a notebook; no bar of this package needs ipywidgets.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "IProgress not found")
            return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingPackage(
            f"{purpose} requires {package}, which is not installed. "
            f'Install it with: pip install "frozenfit[{extra}]"'
        ) from error


def installed_backends() -> list[str]:
    """Return the names of the Keras backends that are installed, in the order of Keras.

    Returns
    -------
    list of str
        A subset of "tensorflow", "jax" and "torch".
    """
    return [name for name in BACKENDS if importlib.util.find_spec(name) is not None]


def use_only_backend() -> None:
    """Select the only installed backend where the user has selected none, and log it.

    Keras selects TensorFlow where neither the environment variable KERAS_BACKEND nor the file
    keras.json names a backend, whether TensorFlow is installed or not. The variable is set for
    this process and those it starts. It must be set before the first import of Keras, and a
    choice of the user is never replaced.
    """
    if os.environ.get("KERAS_BACKEND") or "keras.src.backend.config" in sys.modules:
        return
    installed = installed_backends()
    if len(installed) != 1 or installed == ["tensorflow"] or _file_selects_backend():
        return
    os.environ["KERAS_BACKEND"] = installed[0]
    logging.getLogger("frozenfit").warning(
        "KERAS_BACKEND is not set: using %r, the only backend that is installed.", installed[0]
    )


def _file_selects_backend() -> bool:
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        config = json.loads((home / "keras.json").read_text("utf-8"))
        # The first import of Keras writes its defaults into the file, which is no choice.
        return any(config.get(name, value) != value for name, value in _KERAS_DEFAULTS.items())
    except (OSError, ValueError, AttributeError):  # missing, unreadable or malformed
        return False


def import_with_backend(module: str) -> ModuleType:
    """Import a module that loads Keras, and explain a missing backend in one sentence.

    Parameters
    ----------
    module : str
        Dotted name of the module to import.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    ImportError
        If the backend that Keras is configured to use is not installed or does not exist; the
        message names the backends that are installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0].replace("jaxlib", "jax")
        if missing not in BACKENDS:
            raise
        problem = f"The Keras backend {missing!r} is not installed."
    except ValueError as error:
        if "Unable to import backend" not in str(error):
            raise
        problem = f"Keras has no backend named {os.environ.get('KERAS_BACKEND')!r}."
    installed = " or ".join(map(repr, installed_backends()))
    if installed:
        remedy = f"Set the environment variable KERAS_BACKEND to {installed}."
    else:
        remedy = f'Install one with: pip install "frozenfit[{BACKENDS[0]}]", [jax] or [torch].'
    raise ImportError(f"{problem} {remedy}")
