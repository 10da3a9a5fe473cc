"""Frozen random values from (seed, weight path): the same on every backend, in every process.

A weight's values are not drawn by Keras, whose generators differ between backends, nor by NumPy's
distribution methods, whose algorithms may change, but from the integers of counter streams keyed by
(seed, path), which are turned into numbers here.
Entry number i of a weight depends on integer number i of its stream alone (except for Orthogonal).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from frozenfit.utils import counter_streams

__all__ = ["UnknownInitializer", "draw", "knows", "moments", "stream_digest"]

# Part of the key: raised when the arithmetic below changes, so that older files are recognized.
_VERSION = 1
_DIGEST_INTEGERS = 4
# The standard deviation of a standard normal cut at two standard deviations.
_TRUNCATED_SD = 0.87962566103423978


class UnknownInitializer(ValueError):
    """Raised for an initializer that `draw` does not implement, so that Keras must draw the values.

    Examples
    --------
    >>> issubclass(UnknownInitializer, ValueError)
    True
    """


def draw(initializer: str, shape: Iterable[int], seed: int, path: str) -> np.ndarray:
    """Draw the values of one weight.

    Parameters
    ----------
    initializer : str
        JSON of a Keras initializer, as ``json.dumps(keras.initializers.serialize(...))`` gives it;
        ``class_name`` and ``config`` are enough. A seed inside it is not used: `seed` and `path`
        decide.
    shape : iterable of int
        Shape of the weight. Fans are computed from it as Keras does, receptive field included.
    seed : int
        Any integer.
    path : str
        The weight's path, such as ``"conv1/kernel"``; another path gives an independent stream.

    Returns
    -------
    ndarray of float32
        Computed in float64 and rounded once, at the end.

    Raises
    ------
    UnknownInitializer
        If the initializer, one of its settings, or its use on this shape is not implemented.

    See Also
    --------
    knows : Return whether `draw` implements an initializer.

    Notes
    -----
    Implemented are VarianceScaling and its named children (Glorot, He, Lecun; uniform and normal),
    RandomUniform, RandomNormal, TruncatedNormal, Orthogonal, Constant, Zeros, Ones, and Identity
    where its gain is given (the configuration that Keras serializes has none).

    Examples
    --------
    >>> draw('{"class_name": "HeNormal", "config": {}}', (2, 3), seed=0, path="dense/kernel")
    array([[ 0.43200323,  1.5278722 , -0.7184268 ],
           [ 0.48751694,  1.0968935 ,  0.58223516]], dtype=float32)
    """
    rule, settings = _read(initializer)
    shape = tuple(int(size) for size in shape)
    values = rule(shape, lambda: _integers(seed, path, math.prod(shape)), **settings)
    return np.ascontiguousarray(values, dtype=np.float32).reshape(shape)


def knows(initializer: str | None) -> bool:
    """Return whether `draw` implements an initializer.

    Parameters
    ----------
    initializer : str or None
        JSON of a Keras initializer; None for one that JSON cannot represent.

    Returns
    -------
    bool
        Whether it can be drawn.

    Examples
    --------
    >>> knows('{"class_name": "Zeros", "config": {}}'), knows(None)
    (True, False)
    """
    if initializer is None:
        return False
    try:
        _read(initializer)
    except UnknownInitializer:
        return False
    return True


def stream_digest(seed: int, paths: Iterable[str]) -> str:
    """Return a fingerprint of the integer streams behind a set of weights.

    No floating-point number enters it, so that it is the same on every machine; `moments` covers
    the arithmetic that follows.

    Parameters
    ----------
    seed : int
        The seed given to `draw`.
    paths : iterable of str
        The weights' paths; their order does not matter.

    Returns
    -------
    str
        64 hexadecimal digits, the SHA-256 of the first integers of each stream.

    Examples
    --------
    >>> stream_digest(0, ["a/kernel", "b/kernel"])[:16]
    '8667a4ce87ec2997'
    """
    digest = hashlib.sha256(f"frozenfit draws {_VERSION}".encode())
    for path in sorted(set(paths)):
        digest.update(_integers(seed, path, _DIGEST_INTEGERS).astype("<u8").tobytes())
    return digest.hexdigest()


def moments(array: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation in float64, to be stored beside a digest.

    Two machines may differ in the last bit of a logarithm or a QR decomposition. The moments, with
    a tolerance, distinguish such a difference from a wrong stream or a wrong initializer.

    Parameters
    ----------
    array : ndarray
        Any shape; the moments of an empty array are zero.

    Returns
    -------
    tuple of float
        Mean and standard deviation (divided by n).

    Examples
    --------
    >>> moments(np.array([1.0, 3.0], dtype="float32"))
    (2.0, 1.0)
    """
    if array.size == 0:
        return 0.0, 0.0
    return float(np.mean(array, dtype=np.float64)), float(np.std(array, dtype=np.float64))


def _integers(seed: int, path: str, count: int) -> np.ndarray:
    return counter_streams.integers(f"frozenfit draws {_VERSION}\0{int(seed)}\0{path}", count)


def _uniforms(integers: np.ndarray) -> np.ndarray:
    # 52 bits and a half: with 53 the largest value would round to 1, whose normal is infinite.
    values = (integers >> np.uint64(12)).astype(np.float64)
    values += 0.5
    values *= 2.0**-52
    return values


def _scaled(values: np.ndarray, factor: float, offset: float = 0.0) -> np.ndarray:
    values *= factor
    values += offset
    return values


# One rule per initializer: (shape, stream, **settings) -> float64 values in C order. The stream is
# a function, so that constants draw nothing.
_Stream = Callable[[], np.ndarray]


def _uniform(shape, stream: _Stream, minval=-0.05, maxval=0.05) -> np.ndarray:
    return _scaled(_uniforms(stream()), maxval - minval, minval)


def _normal(shape, stream: _Stream, mean=0.0, stddev=0.05) -> np.ndarray:
    values = _uniforms(stream())
    return _scaled(ndtri(values, out=values), stddev, mean)


def _truncated(shape, stream: _Stream, mean=0.0, stddev=0.05) -> np.ndarray:
    low, high = ndtr(-2.0), ndtr(2.0)
    values = _scaled(_uniforms(stream()), high - low, low)
    return _scaled(ndtri(values, out=values), stddev, mean)


def _variance_scaling(
    shape,
    stream: _Stream,
    scale=1.0,
    mode="fan_in",
    distribution="truncated_normal",
    input_axes=None,
    output_axes=None,
) -> np.ndarray:
    fan_in, fan_out = _fans(shape, input_axes, output_axes)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    variance = scale / max(1.0, fan)
    if distribution == "uniform":
        limit = math.sqrt(3.0 * variance)
        return _uniform(shape, stream, -limit, limit)
    if distribution == "untruncated_normal":
        return _normal(shape, stream, 0.0, math.sqrt(variance))
    return _truncated(shape, stream, 0.0, math.sqrt(variance) / _TRUNCATED_SD)


def _fans(shape, input_axes, output_axes) -> tuple[int, int]:
    if input_axes is not None and output_axes is not None:
        fan_in = math.prod(shape[axis] for axis in input_axes)
        return fan_in, math.prod(shape[axis] for axis in output_axes)
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    field = math.prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field


def _orthogonal(shape, stream: _Stream, gain=1.0) -> np.ndarray:
    if len(shape) < 2:
        raise UnknownInitializer(
            f"Orthogonal requires at least two dimensions, got the shape {shape}."
        )
    rows, columns = math.prod(shape[:-1]), shape[-1]
    tall = (max(rows, columns), min(rows, columns))
    q, r = np.linalg.qr(_normal(shape, stream, 0.0, 1.0).reshape(tall))
    q *= np.sign(np.diag(r))  # makes the distribution uniform over the orthogonal matrices
    return gain * (q.T if rows < columns else q)


def _constant(shape, stream: _Stream, value=0.0) -> np.ndarray:
    return np.full(shape, value, dtype=np.float64)


def _zeros(shape, stream: _Stream) -> np.ndarray:
    return np.zeros(shape)


def _ones(shape, stream: _Stream) -> np.ndarray:
    return np.ones(shape)


def _identity(shape, stream: _Stream, gain: float) -> np.ndarray:
    if len(shape) != 2:
        raise UnknownInitializer(f"Identity requires two dimensions, got {shape}.")
    return gain * np.eye(*shape)


# Class name -> (rule, fixed settings, settings that a configuration may contain).
_AXES = ("input_axes", "output_axes")
_RULES: dict[str, tuple[Callable[..., np.ndarray], dict[str, Any], tuple[str, ...]]] = {
    "RandomUniform": (_uniform, {}, ("minval", "maxval")),
    "RandomNormal": (_normal, {}, ("mean", "stddev")),
    "TruncatedNormal": (_truncated, {}, ("mean", "stddev")),
    "VarianceScaling": (_variance_scaling, {}, ("scale", "mode", "distribution", *_AXES)),
    "Orthogonal": (_orthogonal, {}, ("gain",)),
    "Constant": (_constant, {}, ("value",)),
    "Zeros": (_zeros, {}, ()),
    "Ones": (_ones, {}, ()),
    "Identity": (_identity, {}, ("gain",)),
}
for _name, _scale, _mode in (
    ("Glorot", 1.0, "fan_avg"),
    ("He", 2.0, "fan_in"),
    ("Lecun", 1.0, "fan_in"),
):
    for _suffix, _kind in (("Uniform", "uniform"), ("Normal", "truncated_normal")):
        _fixed = {"scale": _scale, "mode": _mode, "distribution": _kind}
        _RULES[_name + _suffix] = (_variance_scaling, _fixed, _AXES)

# Settings that Keras leaves out of the configuration, though the values depend on them.
_NEEDED = {"Identity": ("gain",)}


def _read(initializer: str) -> tuple[Callable[..., np.ndarray], dict[str, Any]]:
    """Return rule and settings of an initializer's JSON; raise UnknownInitializer otherwise."""
    try:
        config = json.loads(initializer)
    except (TypeError, ValueError) as error:
        raise UnknownInitializer(
            f"An initializer must be JSON with class_name and config, got {initializer!r}."
        ) from error
    name = config.get("class_name") if isinstance(config, Mapping) else None
    given = config.get("config", {}) if isinstance(config, Mapping) else None
    if (
        not isinstance(name, str)
        or not isinstance(given, Mapping)
        or name not in _RULES
        or _is_foreign(config)
    ):
        raise UnknownInitializer(
            f"The initializer {initializer} is not one of {', '.join(sorted(_RULES))} of Keras."
        )
    rule, fixed, allowed = _RULES[name]
    settings = {key: value for key, value in given.items() if key != "seed"}
    strange = [key for key, value in settings.items() if not _fits(key, value, allowed)]
    strange += [key for key in _NEEDED.get(name, ()) if key not in settings]
    if strange:
        raise UnknownInitializer(
            f"The setting {strange[0]!r} of the initializer {initializer} is missing or unknown."
        )
    if settings.get("distribution") == "normal":  # the older name in Keras
        settings["distribution"] = "truncated_normal"
    return rule, {**fixed, **settings}


def _is_foreign(config: Mapping[str, Any]) -> bool:
    """Return whether a class with the name of a Keras initializer is not that of Keras."""
    return (
        config.get("registered_name") is not None
        or config.get("module", "keras.initializers") != "keras.initializers"
    )


def _fits(key: str, value: Any, allowed: tuple[str, ...]) -> bool:
    if key not in allowed:
        return False
    if key in _AXES:
        return value is None or (
            isinstance(value, list) and all(isinstance(axis, int) for axis in value)
        )
    if key == "mode":
        return value in ("fan_in", "fan_out", "fan_avg")
    if key == "distribution":
        return value in ("uniform", "normal", "truncated_normal", "untruncated_normal")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return key != "scale" or value > 0
