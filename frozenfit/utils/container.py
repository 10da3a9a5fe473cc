"""The bytes of a file: a safetensors file with one JSON text in its metadata.

Reading trusts nothing: sizes are checked before memory is allocated, and the JSON text and every
array are compared with a digest. The meaning of the JSON values is defined elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import keras
import ml_dtypes
import numpy as np
import safetensors.numpy

__all__ = [
    "Record",
    "StorageError",
    "from_file",
    "plain_array",
    "to_bytes",
]

_FORMAT = 2
_KEY = "frozenfit"  # key of the JSON text in the metadata of the file
_LONGEST_HEADER = 100_000_000  # bytes, the limit of safetensors
_MOST_AXES = 64  # the limit of NumPy
_FIELDS: dict[str, type] = {
    "format": int,
    "frozenfit": str,
    "keras": str,
    "class": str,
    "parameters": dict,
    "fitted": object,
    "digest": str,
}
_TYPES = {
    "BOOL": np.dtype(bool),
    "I8": np.dtype("i1"),
    "I16": np.dtype("<i2"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "U8": np.dtype("u1"),
    "U16": np.dtype("<u2"),
    "U32": np.dtype("<u4"),
    "U64": np.dtype("<u8"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
_OTHER_FILES = {
    b"\x80": "it looks like a pickle, which frozenfit never reads; if you trust its source, use "
    "joblib.load or pickle.load",
    b"PK": "it is a zip file; use keras.saving.load_model for a .keras file",
    b"\x89HDF": "it is an HDF5 file; use keras.saving.load_model for a file of Keras",
}


class StorageError(Exception):
    """Exception raised if a file cannot be read as a fitted estimator.

    The message is one sentence that names the file, the reason and, if there is one, the remedy.

    See Also
    --------
    frozenfit.load : Load an estimator from a file.

    Examples
    --------
    >>> import frozenfit
    >>> try:
    ...     frozenfit.load("no-such-file.frozenfit")
    ... except frozenfit.StorageError as error:
    ...     print(error)
    'no-such-file.frozenfit' cannot be loaded: No such file or directory
    """


@dataclass(frozen=True)
class Record:
    """Content of a file, in JSON and arrays.

    Parameters
    ----------
    class_name : str
        Name of the class of the estimator.
    parameters : dict of str to object
        Parameters of its constructor, in JSON.
    fitted : object
        Fitted values other than arrays, in JSON.
    arrays : dict of str to ndarray
        Fitted arrays by name.
    """

    class_name: str
    parameters: dict[str, Any]
    fitted: Any
    arrays: dict[str, np.ndarray]


def plain_array(name: str, array: Any) -> np.ndarray:
    """Return an array with the bytes that a file contains: contiguous and little-endian.

    Parameters
    ----------
    name : str
        Name of the array in the file.
    array : array-like
        Array of booleans, integers, or floats of 16 (bfloat16 included), 32 or 64 bits.

    Returns
    -------
    ndarray
        The array, which is not copied if its bytes have this form.

    Raises
    ------
    ValueError
        If the array has another type, or the name is reserved.
    """
    array = np.asarray(array, order="C")
    if array.dtype.byteorder == ">" or not np.little_endian:
        array = array.astype(array.dtype.newbyteorder("<"))
    if name == "__metadata__" or array.dtype not in _TYPES.values():
        raise ValueError(f"a file cannot contain the array {name!r} of NumPy's type {array.dtype}")
    return array


def to_bytes(record: Record) -> bytes:
    """Return the bytes of a file.

    Parameters
    ----------
    record : Record
        Content of the file, with arrays from `plain_array`.

    Returns
    -------
    bytes
        Equal for equal records.

    Raises
    ------
    ValueError
        If the JSON text is longer than safetensors allows.
    """
    document = {
        "format": _FORMAT,
        "frozenfit": _version(),
        "keras": keras.__version__,
        "class": record.class_name,
        "parameters": record.parameters,
        "fitted": record.fitted,
    }
    document["digest"] = _digest(document, record.arrays)
    text = _canonical(document)
    names = sum(len(name) + 200 for name in record.arrays)
    if 2 * len(text) + names > _LONGEST_HEADER:
        raise ValueError(
            f"the parameters and the history of the estimator take {len(text)} characters of JSON, "
            f"and a file can contain at most {_LONGEST_HEADER // 2}"
        )
    return safetensors.numpy.save(record.arrays, {_KEY: text})


def _version() -> str:
    import frozenfit

    return getattr(frozenfit, "__version__", "unknown")


def _canonical(document: Any) -> str:
    """Return the canonical text of a document, which includes the order of its keys."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False)


def _digest(document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of the JSON (without its digest) and of every array."""
    said = {key: value for key, value in document.items() if key != "digest"}
    sha = hashlib.sha256(_canonical(said).encode("ascii"))
    for name in sorted(arrays):
        array = arrays[name]
        line = [name, array.dtype.name, list(array.shape)]
        sha.update(f"\n{_canonical(line)}\n".encode("ascii"))
        sha.update(_bytes_of(array))
    return sha.hexdigest()


def _bytes_of(array: np.ndarray) -> memoryview:
    """Return the memory of a contiguous array; the types of ml_dtypes do not export a buffer."""
    return array.reshape(-1).view(np.uint8).data


def from_file(path: str | os.PathLike[str]) -> Record:
    """Read and check a file.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    Record
        The record that `to_bytes` received, with writable arrays.

    Raises
    ------
    StorageError
        If the file does not exist, is damaged, is not a file of this package, or has another
        format version.
    """
    try:
        with open(_existing(path), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = _read_header(file, size)
            document = _document_of(header)
            arrays = _read_arrays(file, header, size - file.tell())
    except OSError as error:
        raise StorageError(error.strerror or str(error)) from error
    if _digest(document, arrays) != document["digest"]:
        raise StorageError("it is damaged: its content does not match its digest")
    return Record(document["class"], document["parameters"], document["fitted"], arrays)


def _existing(path: str | os.PathLike[str]) -> Path:
    """Return the path if it is an ordinary file; opening a pipe could block forever."""
    found = Path(os.fsdecode(path))
    try:
        mode = found.stat().st_mode
    except ValueError as error:  # a null character in the path
        raise StorageError(str(error)) from error
    if not stat.S_ISREG(mode):
        raise StorageError("it is a folder" if stat.S_ISDIR(mode) else "it is not an ordinary file")
    return found


def _read_header(file: BufferedReader, size: int) -> dict[str, Any]:
    if size == 0:
        raise StorageError("it is empty")
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or not 0 < length <= min(size - 8, _LONGEST_HEADER):
        raise StorageError(_foreign(start))
    data = file.read(length)
    if len(data) < length or not data.startswith(b"{"):
        raise StorageError(_foreign(start))
    header = _parse(data, "its header")
    if not isinstance(header.get("__metadata__"), dict):
        raise StorageError("it is a safetensors file without the metadata of frozenfit")
    return header


def _foreign(start: bytes) -> str:
    for mark, description in _OTHER_FILES.items():
        if start.startswith(mark):
            return description
    return "it is truncated or damaged, or not a file of frozenfit"


def _parse(data: bytes | str, what: str) -> dict[str, Any]:
    """Parse JSON strictly: without duplicate keys, NaN and nesting beyond the recursion limit."""
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise StorageError(f"it is damaged: {what} is not valid JSON") from error
    if not isinstance(found, dict):
        raise StorageError(f"it is damaged: {what} is not a JSON object")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is repeated")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _document_of(header: dict[str, Any]) -> dict[str, Any]:
    text = header["__metadata__"].get(_KEY)
    if not isinstance(text, str):
        raise StorageError("it is a safetensors file without the metadata of frozenfit")
    document = _parse(text, "its description")
    version = document.get("format")
    if type(version) is int and version != _FORMAT:
        remedy = "install a newer frozenfit" if version > _FORMAT else "load it with that version"
        raise StorageError(
            f"it has another format version: frozenfit {document.get('frozenfit')} wrote it in "
            f"format {version}, and frozenfit {_version()} reads format {_FORMAT}; {remedy}"
        )
    for name, kind in _FIELDS.items():
        sound = name in document and (kind is object or type(document[name]) is kind)
        if not sound:
            raise StorageError(f"it is damaged: its description lacks a valid {name!r}")
    if len(document) != len(_FIELDS):
        raise StorageError("it is damaged: its description contains unknown keys")
    return document


def _read_arrays(file: BufferedReader, header: dict[str, Any], size: int) -> dict[str, np.ndarray]:
    """Read all arrays, which must fill the file after the header without gaps or overlaps."""
    plans = [_plan(name, entry) for name, entry in header.items() if name != "__metadata__"]
    end = 0
    for begin, stop, _, _, name in sorted(plans, key=lambda plan: plan[:2]):
        if begin != end:
            raise StorageError(f"it is damaged: the array {name!r} is at another position")
        end = stop
    if end != size:
        raise StorageError(
            f"it is truncated or damaged: {end} bytes of arrays expected, got {size}"
        )
    arrays = {}
    start = file.tell()
    for begin, stop, dtype, shape, name in plans:
        try:
            array = np.empty(shape, dtype)
        except (ValueError, OverflowError) as error:  # NumPy's limits, if one size is 0
            raise StorageError(f"it is damaged: {name!r} cannot have that shape") from error
        file.seek(start + begin)
        if stop > begin and file.readinto(_bytes_of(array)) != stop - begin:
            raise StorageError("it is truncated")
        if dtype.kind == "b" and array.size and array.view(np.uint8).max() > 1:
            raise StorageError(f"it is damaged: {name!r} contains bytes that are not booleans")
        arrays[name] = array
    return arrays


def _plan(name: str, entry: Any) -> tuple[int, int, np.dtype, tuple[int, ...], str]:
    """Return begin, end, type, shape and name of an array from its entry in the header."""
    wrong = StorageError(f"it is damaged: the header describes the array {name!r} wrongly")
    if not isinstance(entry, dict) or sorted(entry) != ["data_offsets", "dtype", "shape"]:
        raise wrong
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _TYPES:
        raise wrong
    for numbers in (shape, offsets):
        if not isinstance(numbers, list) or len(numbers) > _MOST_AXES:
            raise wrong
        if any(type(number) is not int or not 0 <= number < 2**63 for number in numbers):
            raise wrong
    if len(offsets) != 2 or offsets[1] - offsets[0] != math.prod(shape) * _TYPES[dtype].itemsize:
        raise wrong
    return offsets[0], offsets[1], _TYPES[dtype], tuple(shape), name
