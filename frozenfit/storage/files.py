"""Saving fitted estimators to files and loading them.

- A file is a safetensors file whose metadata contains one JSON text. It never contains a pickle,
  and reading it never runs code from it. docs/file-format.md describes the format.
- `save` raises a ValueError that names the parameter before it writes a file that could not be
  loaded. Writing is atomic and durable: see
  `frozenfit.utils.atomic_write`.
- `load` trusts nothing. A file that is damaged, truncated, foreign, forged or of another format
  version raises a `StorageError`, and what does load is exactly what was saved.
- A digest is not a signature: whoever can write a file chooses its parameters and weights.
"""

from __future__ import annotations

import importlib
import math
import os
import warnings
from collections.abc import Mapping
from typing import Any

import keras
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from frozenfit.estimators.base import NetworkEstimator
from frozenfit.estimators.bases import trained_base
from frozenfit.estimators.stored_base import Base
from frozenfit.storage import mapping, pipelines
from frozenfit.storage.codec import (
    decode,
    encode,
    encode_network,
    is_architecture,
    lacks_network,
)
from frozenfit.storage.fitted_state import check_fitted_state, check_parameters
from frozenfit.storage.keras_config import first_line
from frozenfit.storage.network_size import charged_networks
from frozenfit.utils import atomic_write, container
from frozenfit.utils.container import Record, StorageError
from frozenfit.utils.size_limit import size_limit

__all__ = ["StorageError", "check_writable", "load", "save"]

# The key that marks the parameters of the estimator of an ensemble.
_NESTED = "estimator class"
# Holds a Wide ResNet 28-10, and keeps what a forged file may cost at a gigabyte and some seconds.
_MAX_BYTES = 2**28
_COPIES = 4  # of weights, which are read or described, built, copied and assembled
_MEMBERS = ("PartialNetClassifier", "PartialNetRegressor")
_CLASSES = {
    "CheapEnsembleClassifier": "frozenfit.estimators:CheapEnsembleClassifier",
    "CheapEnsembleRegressor": "frozenfit.estimators:CheapEnsembleRegressor",
    "ELMClassifier": "frozenfit.estimators.elm:ELMClassifier",
    "ELMRegressor": "frozenfit.estimators.elm:ELMRegressor",
    "PartialNetClassifier": "frozenfit.estimators:PartialNetClassifier",
    "PartialNetRegressor": "frozenfit.estimators:PartialNetRegressor",
}


def save(
    estimator: Any,
    path: str | os.PathLike[str],
    *,
    include_frozen: bool = False,
    include_optimizer: bool = False,
) -> None:
    """Save a fitted estimator, or several by name, to one file.

    Parameters
    ----------
    estimator : estimator, Pipeline or mapping of str to estimator
        A fitted estimator of this package, a pipeline of a `TableEncoder` or `TokenEncoder` and
        such an estimator, or several estimators. Shared bases and equal arrays are stored once.
    path : str or path-like
        The file, by convention with the extension ``.frozenfit``. An existing file is replaced, and
        a symbolic link is followed.
    include_frozen : bool, default=False
        Whether to store the frozen parameters. Otherwise the size of the file is about that of the
        trained parameters: random values are drawn again by `load`, and a network that was given
        as ``model=`` must be given again as ``base=`` of `load`, about which a warning is issued.
    include_optimizer : bool, default=False
        Whether to store the state of the optimizer, so that `partial_fit` and `fit` with
        ``warm_start=True`` go on after `load` exactly as without it. An estimator keeps that
        state after `partial_fit`, and after `fit` with ``warm_start=True``. It is about twice as
        large as the trained parameters with Adam. Other estimators have none, and nothing is added.

    Raises
    ------
    ValueError
        If the estimator is not fitted, a parameter cannot be stored, or the path cannot be
        written. Nothing is written.
    OSError
        If writing fails, for example on a full disk. An existing file is not changed.

    See Also
    --------
    load : Load the estimator from the file.
    check_writable : Check a path before a long training.

    Examples
    --------
    >>> import frozenfit
    >>> clf = frozenfit.PartialNetClassifier(epochs=1, random_state=0)
    >>> clf = clf.fit([[0.0], [1.0], [2.0], [3.0]], ["a", "a", "b", "b"])
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.frozenfit")
    ...     frozenfit.save(clf, path)
    ...     again = frozenfit.load(path)
    >>> (again.predict([[2.0]]) == clf.predict([[2.0]])).all()
    np.True_
    """
    if isinstance(estimator, Mapping):
        record = mapping.join(
            estimator,
            lambda one, own: _record_of(
                one, include_frozen or own.trained(one), include_optimizer, own
            ),
        )
    else:
        pipeline = type(estimator) is Pipeline
        own = mapping.Shared(estimator.steps[-1][1:] if pipeline else [estimator])

        def record_of(one: Any) -> Record:
            return _record_of(one, include_frozen, include_optimizer, own)

        record = pipelines.join(estimator, record_of) if pipeline else record_of(estimator)
    data = container.to_bytes(record)
    atomic_write.write(data, path)
    if lacks_network(record.parameters):
        warnings.warn(
            f"{os.fspath(path)!r} contains neither the network that the estimator was given nor a "
            "recipe of it. Load it with frozenfit.load(path, base=network), or save with "
            "include_frozen=True, which stores the network.",
            UserWarning,
            stacklevel=2,
        )


def load(
    path: str | os.PathLike[str],
    *,
    base: keras.Model | None = None,
    max_bytes: int = _MAX_BYTES,
) -> Any:
    """Load a fitted estimator, or several by name, from a file.

    Files from untrusted sources can be loaded: no code of the file runs, and a forged file raises a
    `StorageError`. The predictions of such an estimator are as trustworthy as its source.

    Parameters
    ----------
    path : str or path-like
        A file that `save` wrote, on any backend.
    base : keras.Model or None, default=None
        The network that the estimator was given as ``model=``, if the file does not contain it.
    max_bytes : int, default=2**28
        Largest total size of the weights that the file describes but does not contain, such as
        frozen weights that are drawn again from a seed. It limits the memory and the time that a
        small file can ask for. While an estimator is loaded, memory holds some copies of its
        weights, at most about four.

    Returns
    -------
    estimator, Pipeline or dict of str to estimator
        The fitted estimator, of the class that was saved, or a dict if several were saved.
        Estimators that shared a base share one again.

    Raises
    ------
    StorageError
        If the file does not exist, is damaged, is not a file of this package, has another format
        version, describes a network above `max_bytes`, or contains an invalid value.

    See Also
    --------
    save : Save an estimator to a file.

    Examples
    --------
    >>> import os, tempfile
    >>> import frozenfit
    >>> reg = frozenfit.PartialNetRegressor(epochs=1, random_state=0)
    >>> reg = reg.fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.frozenfit")
    ...     frozenfit.save(reg, path)
    ...     loaded = frozenfit.load(path)
    >>> loaded.epochs, loaded.n_features_in_
    (1, 1)
    """
    try:
        record = container.from_file(path)
        # Arrays in the file and in the given network exist already, whatever they are used for.
        existing = sum(array.nbytes for array in record.arrays.values())
        if isinstance(base, keras.Model):
            existing += sum(4 * math.prod(weight.shape) for weight in base.weights)
        with size_limit(max_bytes + _COPIES * existing), charged_networks():
            if record.class_name == mapping.NAME:
                return mapping.split(record, base, _estimator_of)
            if record.class_name == pipelines.NAME:
                return pipelines.split(record, lambda last: _estimator_of(last, base, {}, None))
            return _estimator_of(record, base, {}, None)
    except StorageError as error:
        raise StorageError(f"{os.fspath(path)!r} cannot be loaded: {error}") from error.__cause__


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check that `save` can write to a path, before a long training starts.

    Parameters
    ----------
    path : str or path-like
        The file to be written later. A temporary file is created beside it and removed.

    Raises
    ------
    ValueError
        If the folder does not exist or is not writable, or the path is not that of a file.

    See Also
    --------
    save : Save an estimator to the path.

    Examples
    --------
    >>> check_writable("no-such-folder/model.frozenfit")
    Traceback (most recent call last):
    ValueError: cannot write 'no-such-folder/model.frozenfit': No such file or directory; give the \
path of a file in a folder that exists and can be written
    """
    atomic_write.check_target(path)


def _class_of(name: str) -> type:
    module, _, attribute = _CLASSES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def _record_of(
    estimator: Any, include_frozen: bool, include_optimizer: bool, shared: mapping.Shared
) -> Record:
    kind = type(estimator)
    if kind.__name__ not in _CLASSES or _class_of(kind.__name__) is not kind:
        raise ValueError(
            f"`estimator` must be a fitted {', '.join(_CLASSES)}, a dict of them, or a Pipeline of "
            f"a TableEncoder or TokenEncoder and one of them, got {kind.__name__}"
        )
    check_is_fitted(estimator)
    given = estimator.get_params(deep=False)
    parameters = _written_parameters(given, include_frozen, shared)
    meta, arrays = estimator._fitted_state(include_frozen, include_optimizer)
    return Record(
        kind.__name__,
        parameters,
        encode(meta, "the fitted state"),
        {name: container.plain_array(name, array) for name, array in arrays.items()},
    )


def _written_parameters(
    given: dict[str, Any], include_frozen: bool, shared: mapping.Shared, prefix: str = ""
) -> dict[str, Any]:
    """Write constructor parameters, those of an ensemble's estimator by nested names."""
    written: dict[str, Any] = {}
    for name, value in given.items():
        if name == "checkpoint":  # a path of this machine
            continue
        where = f"parameter {prefix + name!r}"
        if name == "callbacks" and value:
            raise ValueError(
                f"{where} holds callbacks, which a file cannot store: save "
                "copy.copy(estimator).set_params(callbacks=None)"
            )
        if name == "estimator" and type(value).__name__ in _MEMBERS:
            nested = _written_parameters(
                value.get_params(deep=False), include_frozen, shared, "estimator__"
            )
            written["estimator"] = {_NESTED: type(value).__name__, **nested}
        elif name in ("model", "features") and isinstance(value, keras.Model):
            written[name] = encode_network(value, where, described=include_frozen)
        elif name == "model" and isinstance(value, NetworkEstimator | FrozenEstimator):
            written[name] = shared.encode(trained_base(value), where, include_frozen)
        elif name == "model" and isinstance(value, Base):
            written[name] = shared.encode(value, where, include_frozen)
        else:
            written[name] = encode(value, where)
    return written


def _read_parameters(
    written: Mapping[str, Any], network: Any, bases: dict[int, Base]
) -> dict[str, Any]:
    """Read what `_written_parameters` wrote."""
    parameters: dict[str, Any] = {}
    for name, value in written.items():
        if name == "checkpoint":  # `fit` would write to the path
            raise ValueError("a file must not contain the parameter 'checkpoint'")
        if name == "estimator" and isinstance(value, dict) and _NESTED in value:
            nested = {key: item for key, item in value.items() if key != _NESTED}
            if value[_NESTED] not in _MEMBERS:
                raise ValueError(f"parameter 'estimator' is a {value[_NESTED]}")
            kind = _class_of(value[_NESTED])
            parameters[name] = kind(**_read_parameters(nested, network, bases))
        elif name == "model" and mapping.is_base(value):
            parameters[name] = mapping.read_base(value, network, bases)
        else:
            parameters[name] = decode(value, f"parameter {name!r}", base=network)
            # Any callable is a valid `activation`, but a builder of networks fails when called.
            if name == "activation" and is_architecture(value):
                raise ValueError(f"parameter {name!r} must not be an architecture")
    return parameters


def _estimator_of(record: Record, base: Any, bases: dict[int, Base], number: int | None) -> Any:
    """Return the estimator of a record.

    `bases` are the bases restored so far, by number. The base of this estimator has the number
    `number` and is added.
    """
    if record.class_name not in _CLASSES:
        raise StorageError(
            f"it contains a {record.class_name}, and this version reads {', '.join(_CLASSES)}"
        )
    known = None if number is None else bases.get(number)
    network = base if known is None else known.model
    try:
        parameters = _read_parameters(record.parameters, network, bases)
        meta = decode(record.fitted, "the fitted state", base=network)
        kind = _class_of(record.class_name)
        estimator: Any = kind(**parameters)
        check_parameters(estimator)
        if issubclass(kind, NetworkEstimator):
            check_fitted_state(estimator, meta)
        estimator._restore(meta, record.arrays, base if known is None else known)
        if number is not None:
            bases[number] = estimator.base_.parent or estimator.base_
    except Exception as error:  # an invalid value may raise any error of Keras and its backends
        raise StorageError(first_line(error)) from error
    return estimator
