"""The command ``frozenfit export``."""

from __future__ import annotations

import argparse
import importlib.util
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frozenfit.utils.names import did_you_mean
from frozenfit.utils.optional import import_with_backend

if TYPE_CHECKING:
    import keras

_ENDINGS = (".keras", ".onnx")
# The packages that Keras's export to ONNX needs, by backend.
_ONNX = {"tensorflow": ("onnx", "tf2onnx"), "jax": ("jax2onnx",), "torch": ("onnx",)}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The parser of the command.
    """
    parser.add_argument("file", metavar="MODEL", help="a file that train --out saved")
    parser.add_argument(
        "out",
        metavar="OUT",
        help="what to write: FILE.keras, FILE.onnx, or a folder for a TensorFlow SavedModel",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write a saved model as a plain Keras, ONNX or TensorFlow model without frozenfit.

    Parameters
    ----------
    arguments : argparse.Namespace
        The parsed command line.

    Returns
    -------
    int
        The exit code.
    """
    ending = Path(arguments.out).suffix.lower()
    if ending not in (*_ENDINGS, ""):
        raise ValueError(
            f"OUT must end in .keras or .onnx, or name a folder, got {arguments.out!r}. "
            f"{did_you_mean(ending, _ENDINGS)}"
        )
    if ending:
        from frozenfit.utils.atomic_write import check_target

        check_target(arguments.out)
    elif os.path.exists(arguments.out):
        raise ValueError(f"{arguments.out} exists. Give the path of a new folder.")
    _check_exporter(arguments.out, ending)
    from frozenfit.cli.models import Model

    model = Model(arguments.file)
    network, outputs = _predicting(model.estimator)
    _write(network, arguments.out, ending)
    shape = " x ".join(map(str, network.input_shape[1:]))
    print(f"{arguments.out}: inputs {shape}, outputs {outputs}")
    if model.encoder is not None:
        print(
            f"The inputs are the encoded columns of the table. In Python, "
            f'frozenfit.load("{arguments.file}")[0].transform(table) encodes a table.'
        )
    return 0


def _predicting(estimator: Any) -> tuple[keras.Model, str]:
    """Return a plain network with the outputs of `predict_proba` or `predict`, and their name."""
    import keras
    from sklearn.base import is_classifier

    network = estimator.to_keras()
    if is_classifier(estimator):
        last = keras.layers.Softmax(name="probabilities")
        outputs = f"the probabilities of {len(estimator.classes_)} classes"
        listed = ", ".join(map(str, estimator.classes_.tolist()[:8]))
        outputs += f" ({listed}{', ...' if len(estimator.classes_) > 8 else ''})"
    else:
        # Lists, because the configuration of a layer is written as JSON.
        scale, offset = estimator._target_scale, estimator._target_mean
        scale, offset = (v.tolist() if hasattr(v, "tolist") else v for v in (scale, offset))
        last = keras.layers.Rescaling(scale, offset, name="target")
        outputs = "the target"
    whole = keras.Model(network.input, last(network.output), name=network.name)
    whole(np.zeros((1, *whole.input_shape[1:]), "float32"))  # Keras exports what has been called
    return whole, outputs


def _write(network: keras.Model, path: str, ending: str) -> None:
    if ending == ".keras":
        network.save(path)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how Keras calls the exporters of its backends
        network.export(path, format="onnx" if ending else "tf_saved_model", verbose=False)


def _check_exporter(path: str, ending: str) -> None:
    """Check that the backend can write such a file, before the model is loaded."""
    backend = import_with_backend("keras").config.backend()
    if ending == "" and backend != "tensorflow":
        raise ValueError(
            f"A TensorFlow SavedModel is written on the backend tensorflow, and this is {backend}. "
            "Set the environment variable KERAS_BACKEND=tensorflow: the model is the same."
        )
    if ending == ".onnx":
        missing = [name for name in _ONNX[backend] if importlib.util.find_spec(name) is None]
        if missing:
            raise ImportError(
                f"Writing {path} on the backend {backend} requires {' and '.join(missing)}, which "
                f"is not installed. Install it with: pip install {' '.join(missing)}"
            )
