"""Sources of batches: data loaders and functions that training can pass over again and again.

A source is recognized by the names of its classes, so that no data library is imported because of
it: one that is not imported has no objects.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeAlias

import keras
import numpy as np
from scipy import sparse

# Samples, targets or None, sample weights or None.
Batch: TypeAlias = "tuple[Any, Any, Any]"

# A length of this size stands for a source that is repeated for ever.
_ENDLESS = 2**60
_BLOCK_BYTES = 16 * 2**20


class Source:
    """Batches of arrays, in the order and of the sizes that the source decides.

    Parameters
    ----------
    given : object
        An iterable of batches ``x``, ``(x, y)`` or ``(x, y, sample_weight)``.
    name : str
        What it is called in messages.
    n_batches : int or None, default=None
        Number of batches of a pass, where it is known without a pass.
    one_shot : bool, default=False
        Whether it can be passed over only once.

    Examples
    --------
    >>> import numpy as np
    >>> from frozenfit.training.sources import as_source
    >>> source = as_source(lambda: ((np.ones((2, 3)), np.zeros(2)) for _ in range(4)))
    >>> [x.shape for x, y, weight in source]
    [(2, 3), (2, 3), (2, 3), (2, 3)]
    """

    def __init__(self, given: Any, name: str, n_batches: int | None = None, one_shot: bool = False):
        if n_batches is not None and n_batches >= _ENDLESS:
            raise ValueError(_NO_END.format(name))
        self.given, self.name, self.n_batches, self.one_shot = given, name, n_batches, one_shot

    def __iter__(self) -> Iterator[Batch]:
        """Pass over the batches, converted to NumPy arrays or sparse matrices."""
        for number, element in enumerate(self._elements()):
            with numbered(number):
                yield _as_batch(element)

    def begin_epoch(self) -> None:
        """Tell the source that an epoch of training begins."""

    def end_epoch(self) -> None:
        """Tell the source that an epoch of training has ended."""

    def _elements(self) -> Iterator[Any]:
        return iter(self.given)


class FunctionSource(Source):
    """The batches of the iterators that a function returns, a fresh one for each pass."""

    def _elements(self) -> Iterator[Any]:
        found = self.given()
        try:
            return iter(found)
        except TypeError:
            raise TypeError(
                "X must be a function that returns an iterator of batches (X, y), got one that "
                f"returns {type(found).__name__}."
            ) from None


class TensorFlowSource(Source):
    """The batches of a `tf.data.Dataset`."""

    def _elements(self) -> Iterator[Any]:
        return self.given.as_numpy_iterator()


class PyDatasetSource(Source):
    """The batches of a `keras.utils.PyDataset`, read ahead in its number of threads."""

    def begin_epoch(self) -> None:
        """Call its hook, which Keras has since 3.5."""
        getattr(self.given, "on_epoch_begin", lambda: None)()

    def end_epoch(self) -> None:
        """Call its hook, which may shuffle it."""
        self.given.on_epoch_end()

    def _elements(self) -> Iterator[Any]:
        dataset, count = self.given, self.n_batches
        assert count is not None
        if dataset.workers <= 1:
            yield from (dataset[i] for i in range(count))
            return
        pool = ThreadPoolExecutor(dataset.workers)
        ahead = max(dataset.workers, dataset.max_queue_size)
        try:
            waiting = deque(pool.submit(dataset.__getitem__, i) for i in range(min(ahead, count)))
            for i in range(count):
                batch = waiting.popleft().result()
                if i + ahead < count:
                    waiting.append(pool.submit(dataset.__getitem__, i + ahead))
                yield batch
        finally:
            pool.shutdown(cancel_futures=True)


class Recording(Source):
    """A source that keeps the targets and weights of the batches that are read from it.

    Parameters
    ----------
    source : Source
        The source.
    """

    def __init__(self, source: Source):
        super().__init__(source, source.name, source.n_batches, source.one_shot)
        self._kept: list[tuple[Any, Any]] = []

    def __iter__(self) -> Iterator[Batch]:
        """Pass over the batches of the source."""
        for x, y, weight in with_targets(self.given):
            self._kept.append((y, np.ones(len(y)) if weight is None else weight))
            yield x, y, weight

    def targets(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the targets and the weights of all batches together."""
        y, weight = zip(*self._kept, strict=True)
        return np.concatenate(y), np.concatenate(weight)


def as_source(X: Any) -> Source | None:
    """Return the source that X is, or None where it is an array, a data frame or a sequence.

    Parameters
    ----------
    X : object
        The first argument of a method such as `fit`.

    Returns
    -------
    Source or None
        For a `tf.data.Dataset`, `keras.utils.PyDataset`, torch `DataLoader`, the data sets and
        data loaders of Grain, a function that returns an iterator, an iterator, and any other
        iterable without a length.

    Raises
    ------
    ValueError
        If the source is known to have no end, or yields single samples.
    """
    if isinstance(X, Source):
        return X
    if isinstance(X, keras.utils.PyDataset):
        return PyDatasetSource(X, "PyDataset", _ENDLESS if X.num_batches is None else X.num_batches)
    if _is_a(X, "tensorflow", "DatasetV2"):
        # -1 stands for infinity, -2 for a number that is not known.
        count = int(X.cardinality())
        return TensorFlowSource(X, "Dataset", {-1: _ENDLESS, -2: None}.get(count, count))
    if _is_a(X, "torch", "DataLoader"):
        return Source(X, "DataLoader", _length(X))
    if _is_a(X, "torch", "Dataset"):
        raise ValueError(
            f"X must yield batches, got a {type(X).__name__} of torch, which yields single "
            "samples. Pass torch.utils.data.DataLoader(dataset, batch_size=32, shuffle=True)."
        )
    if _is_a(X, "grain", "DataLoader", "MapDataset", "IterDataset"):
        return Source(X, type(X).__name__, _length(X))
    if any(hasattr(X, name) for name in ("shape", "__array__", "columns", "__len__")):
        return None
    if callable(X):
        return FunctionSource(X, "function")
    if hasattr(X, "__iter__"):
        return Source(X, type(X).__name__, one_shot=hasattr(X, "__next__"))
    return None


def refuse_beside(source: Source, y: Any, weight: Any, names: str = "`y` and `sample_weight`"):
    """Raise an error where targets or weights are given beside a source.

    Parameters
    ----------
    source : Source
        The source.
    y, weight : object
        What was given beside it.
    names : str
        Names of the arguments.

    Raises
    ------
    ValueError
        If one of them is not None.
    """
    if y is not None or weight is not None:
        raise ValueError(
            f"{names} must be None where samples come from a {source.name}, whose batches contain "
            "them: (X, y) or (X, y, sample_weight)."
        )


def refuse_one_shot(source: Source, name: str) -> None:
    """Raise an error where a source can be passed over only once.

    Parameters
    ----------
    source : Source
        The source.
    name : str
        Name of the argument.

    Raises
    ------
    ValueError
        If it is an iterator, such as a generator.
    """
    if source.one_shot:
        raise ValueError(
            f"`{name}` must be an object that can be passed over several times, got a "
            f"{source.name}. Pass a function that returns a fresh iterator, a "
            "keras.utils.PyDataset or another data loader, call `partial_fit(X, y)` for each "
            "batch, or write the samples into a file and pass it as a memory map (numpy.load with "
            "mmap_mode='r')."
        )


def with_targets(source: Source) -> Iterator[Batch]:
    """Pass over a source whose batches must contain targets.

    Parameters
    ----------
    source : Source
        The source.

    Yields
    ------
    x : ndarray or sparse matrix
        Samples, as the source has them.
    y : ndarray of shape (n,) or (n, n_targets)
        Targets.
    weight : ndarray of float64, shape (n,), or None
        Sample weights.
    """
    for number, (x, y, weight) in enumerate(source):
        if y is None:
            raise ValueError(
                "A source must yield tuples (X, y) or (X, y, sample_weight), got no y in batch "
                f"{number} (counted from 0)."
            )
        with numbered(number):
            y, weight = _targets(y), None if weight is None else _weights(weight)
        yield x, y, weight


def checked(source: Source, needs_targets: bool = True) -> Generator[Batch, None, None]:
    """Pass over a source, and compare each batch with the first one.

    Parameters
    ----------
    source : Source
        The source.
    needs_targets : bool, default=True
        Whether batches must contain targets; else these are not read.

    Yields
    ------
    x : ndarray of shape (n, ...)
        Samples: integers, or finite floats.
    y : ndarray of shape (n,) or (n, n_targets), or None
        Targets.
    weight : ndarray of float64, shape (n,), or None
        Sample weights.

    Raises
    ------
    ValueError
        If a batch is invalid; the message has its number, from 0.
    """
    shapes = None
    batches = with_targets(source) if needs_targets else ((x, None, None) for x, _, _ in source)
    for number, (x, y, weight) in enumerate(batches):
        with numbered(number):
            x = _numbers(x, "samples")
            now = x.shape[1:], None if y is None else y.shape[1:]
            shapes = shapes or now
            if now != shapes:
                what, i = ("samples", 0) if now[0] != shapes[0] else ("targets", 1)
                raise ValueError(
                    f"all batches must contain {what} of shape {shapes[i]}, as the first one, got "
                    f"{now[i]}."
                )
            lengths = {len(part) for part in (x, y, weight) if part is not None}
            if len(lengths) > 1:
                raise ValueError(
                    "samples, targets and weights must have the same number of rows, got "
                    f"{sorted(lengths)}."
                )
        yield x, y, weight


def regrouped(batches: Iterator[tuple], rows: int | None = None) -> Iterator[Any]:
    """Yield blocks of the same number of rows, whatever the sizes of batches are.

    Parameters
    ----------
    batches : iterator of tuple of ndarray
        Batches.
    rows : int or None, default=None
        Number of rows of each block but the last, which may be smaller. None means a number that
        keeps a block of the first array below 16 MiB.

    Yields
    ------
    tuple of ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from frozenfit.training.sources import regrouped
    >>> [len(x) for x, in regrouped(((np.ones(3),) for _ in range(4)), 5)]
    [5, 5, 2]
    """
    waiting: list[tuple] = []
    count = 0
    for batch in batches:
        rows = rows or _block_rows(batch[0].shape[1:])
        waiting.append(batch)
        count += len(batch[0])
        while count >= rows:
            joined = _joined(waiting)
            yield tuple(part[:rows] for part in joined)
            waiting, count = [tuple(part[rows:] for part in joined)], count - rows
    if count:
        yield _joined(waiting)


@contextmanager
def numbered(number: int) -> Iterator[None]:
    """Add the number of a batch to the errors about it that are raised inside the block."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ValueError(f"Batch {number} of the source (counted from 0): {error}") from error


def _is_a(X: Any, package: str, *names: str) -> bool:
    return any(
        cls.__name__ in names and cls.__module__.partition(".")[0] == package
        for cls in type(X).__mro__
    )


def _length(X: Any) -> int | None:
    try:
        return len(X)
    except (TypeError, NotImplementedError):  # a stream of unknown length
        return None


def _as_batch(element: Any) -> Batch:
    parts = list(element) if isinstance(element, tuple | list) else [element]
    if not 1 <= len(parts) <= 3 or any(map(_holds_arrays, parts)):
        raise ValueError(
            "a source must yield tuples (X, y) or (X, y, sample_weight) of arrays, got "
            f"{_described(element)}."
        )
    x, y, weight = map(_as_array, [*parts, None, None][:3])
    return x, y, weight


def _holds_arrays(part: Any) -> bool:
    """Return whether a part of a batch is a structure, as of a network with several inputs."""
    if isinstance(part, Mapping):
        return True
    return isinstance(part, tuple | list) and any(np.ndim(item) for item in part[:1])


def _described(element: Any) -> str:
    if not isinstance(element, tuple | list):
        return f"a {type(element).__name__}"
    return f"a {type(element).__name__} of {[type(part).__name__ for part in element]}"


def _as_array(value: Any) -> Any:
    if value is None or isinstance(value, np.ndarray) or sparse.issparse(value):
        return value
    if hasattr(value, "detach"):  # a tensor of torch, perhaps on a GPU
        value = value.detach().cpu()
    convert: Callable | None = getattr(value, "numpy", None)
    return np.asarray(value if convert is None else convert())


def _numbers(values: Any, name: str) -> np.ndarray:
    """Return samples as finite floats or integers."""
    values = values.toarray() if sparse.issparse(values) else values
    if values.ndim < 2:
        raise ValueError(
            f"{name} must have an axis of rows and at least one more, got an array of shape "
            f"{values.shape}. Let the source yield batches, as by its method `batch`."
        )
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be numbers, got the dtype {values.dtype}.")
    if values.dtype.kind == "b" or values.dtype.itemsize < 4 and values.dtype.kind == "f":
        values = values.astype(keras.config.floatx())
    _check_finite(values, name)
    return values


def _targets(y: Any) -> np.ndarray:
    y = y.toarray() if sparse.issparse(y) else y
    if y.ndim not in (1, 2):
        raise ValueError(
            f"targets must have the shape (n,) or (n, n_targets), got {y.shape}. Let the source "
            "yield batches, as by its method `batch`."
        )
    if y.dtype == object and len(y) and isinstance(y.flat[0], bytes):  # strings of TensorFlow
        y = np.char.decode(y.astype("S"))
    _check_finite(y, "targets")
    return y


def _weights(weight: Any) -> np.ndarray:
    weight = np.asarray(weight, np.float64)
    weight = weight[:, 0] if weight.ndim == 2 and weight.shape[1] == 1 else weight
    if weight.ndim != 1:
        raise ValueError(f"sample weights must have the shape (n,), got {weight.shape}.")
    _check_finite(weight, "sample weights")
    if len(weight) and weight.min() < 0:
        raise ValueError(f"sample weights must not be negative, got {weight.min():g}.")
    return weight


def _check_finite(values: np.ndarray, name: str) -> None:
    if values.dtype.kind != "f":
        return
    with np.errstate(over="ignore", invalid="ignore"):
        # A sum needs no temporary array. It may overflow, so the elements decide.
        finite = np.isfinite(values.sum()) or np.isfinite(values).all()
    if not finite:
        raise ValueError(f"{name} must be finite, got NaN or infinity.")


def _block_rows(shape: tuple[int, ...]) -> int:
    # Multiples of the sizes that predictions are computed in.
    size = 4 * max(1, int(np.prod(shape)))
    return 512 * (_BLOCK_BYTES // (512 * size)) or 64


def _joined(batches: list[tuple]) -> tuple[np.ndarray, ...]:
    if len(batches) == 1:
        return batches[0]
    return tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))


_NO_END = (
    "X must have an end, got a {} that is repeated for ever. Leave out `repeat`, or limit it, as "
    "by its method `take`; `epochs` is the number of passes."
)
