"""What the predictors of all backends promise and share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from frozenfit.partial import PartialModel, weights_of
from frozenfit.thin import ThinNetwork
from frozenfit.training.data import as_inputs, input_dtype
from frozenfit.training.token_ids import check_ids, count_ids
from frozenfit.utils.arrays import to_numpy


@dataclass(frozen=True, eq=False)
class Members:
    """The values in which several members of one partial model differ.

    Attributes
    ----------
    variables : list of keras.Variable
        The variables of the model in which the members differ.
    deltas : tuple of object
        What the values of each member are recognized by, compared by identity.
    values : callable
        ``values(i)`` returns the values of the variables for one member.
    """

    variables: list[Any]
    deltas: tuple[Any, ...]
    values: Callable[[int], Sequence[np.ndarray]]


class Predictor(ABC):
    """Computes the outputs of a partial model in batches of a few fixed sizes.

    The outputs of a row do not depend on how many rows it is predicted with: scikit-learn's
    checks compare them bit for bit. A backend implements `_compute`.

    Parameters
    ----------
    model : PartialModel
        The model.
    network : keras.Model, ThinNetwork or None, default=None
        Network to run in place of the base.
    """

    # In rising order. Multiples of 64 rows fill vector registers whatever the width of a layer is.
    _sizes: tuple[int, ...] = (64, 128, 256, 512)
    # Used by a network whose rows get the same bits in them as in the smallest of `_sizes`. Below 4
    # rows matrix products have other kernels, with few exceptions.
    _small_sizes: tuple[int, ...] = (8, 16, 32)

    def __init__(self, model: PartialModel, network: keras.Model | ThinNetwork | None = None):
        self.model = model
        self.network = network
        self._dtype = input_dtype(model.base if network is None else network)
        self._n_ids = count_ids(network if isinstance(network, keras.Model) else model.base)
        self._exact: dict[int, bool] = {}
        self._deltas: tuple[Any, ...] = ()
        self._kept: Any = None
        self._compile()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Compute outputs.

        Parameters
        ----------
        x : ndarray of shape (n, ...)
            Inputs.

        Returns
        -------
        ndarray of float32, shape (n, n_outputs)
            Outputs of the network.
        """
        return self._in_batches(x, lambda rows: as_floats(self._batch_outputs(rows)))

    def of_members(self, members: Members, x: np.ndarray) -> np.ndarray:
        """Compute the outputs of several members of the model.

        Each batch is converted once, and the values of the members are not assigned one after the
        other. The products of each member have the shapes that they have for this member alone, so
        that its outputs do not depend on the others.

        Parameters
        ----------
        members : Members
            The members. The first one is loaded in the model, and still is afterwards.
        x : ndarray of shape (n, ...)
            Inputs.

        Returns
        -------
        ndarray of float32, shape (n_members, n, n_outputs)
            Outputs of the network.
        """
        if len(members.deltas) != len(self._deltas) or any(
            a is not b for a, b in zip(members.deltas, self._deltas, strict=True)
        ):
            self._deltas = ()
            values = [members.values(i) for i in range(len(members.deltas))]
            self._kept = self._keep(values)
            self._deltas = members.deltas
        return self._in_batches(x, self._of_each(members.variables, self._kept), axis=1)

    def _in_batches(
        self, x: np.ndarray, compute: Callable[[np.ndarray], np.ndarray], axis: int = 0
    ) -> np.ndarray:
        """Compute the outputs of padded batches, and join their rows along an axis."""
        parts, start = [], 0
        while start < len(x):
            size = self._size(x, start)
            rows = as_inputs(x[start : start + size], self._dtype)
            check_ids([rows], self._n_ids)
            outputs = compute(pad_rows(rows, size))
            parts.append(outputs[(slice(None),) * axis + (slice(len(rows)),)])
            start += size
        return np.concatenate(parts, axis=axis)

    def _size(self, x: np.ndarray, start: int) -> int:
        """Return the size of the batch of rows that begins at a row."""
        left = len(x) - start
        small = next((size for size in self._small_sizes if size >= left), None)
        if small is not None and self._is_exact(small, x[start:]):
            return small
        return batch_size(left, self._sizes)

    def _is_exact(self, size: int, x: np.ndarray) -> bool:
        """Return whether outputs in batches of a small size have the bits of larger batches."""
        if size not in self._exact:
            rows, n = as_inputs(x, self._dtype), self._sizes[0]
            if rows.dtype.kind != "f":  # other integers may be out of range
                return False
            factors = np.random.default_rng(0).uniform(0.5, 1.5, (n, *rows.shape[1:]))
            rows = rows[np.arange(n) % len(rows)] * factors.astype(rows.dtype)
            expected = as_floats(self._compute(rows))
            if (expected == expected[0]).all():  # shows nothing
                return False
            parts = [self._compute(rows[start : start + size]) for start in range(0, n, size)]
            found = np.concatenate([as_floats(part) for part in parts])
            self._exact[size] = np.array_equal(found, expected)
        return self._exact[size]

    def _weights_of(self, model: Any) -> Any:
        """Return the weights that `apply` runs the model with."""
        return weights_of(model)

    def _compile(self) -> None:  # noqa: B027
        """Prepare compiled functions; called once."""

    @abstractmethod
    def _compute(self, x: np.ndarray) -> Any:
        """Return the outputs of one batch as a tensor."""

    def _batch_outputs(self, x: np.ndarray) -> Any:
        """Return the outputs of one batch of a fixed size, as `_compute` does."""
        return self._compute(x)

    @abstractmethod
    def _keep(self, values: Sequence[Sequence[np.ndarray]]) -> Any:
        """Convert the values of the variables for each member, once for many calls."""

    @abstractmethod
    def _of_each(self, variables: list[Any], kept: Any) -> Callable[[np.ndarray], np.ndarray]:
        """Return the function that computes one batch of all members, (members, rows, outputs)."""

    def _outputs(self, x: Any) -> Any:
        outputs, _, _ = self._weights_of(self.model).apply(x, training=False, network=self.network)
        return outputs


def as_floats(outputs: Any) -> np.ndarray:
    """Convert a tensor to an array of float32.

    Parameters
    ----------
    outputs : tensor
        A tensor of the backend.

    Returns
    -------
    ndarray of float32
        Its values.
    """
    return np.asarray(to_numpy(outputs), np.float32)


def batch_size(n_rows: int, sizes: tuple[int, ...]) -> int:
    """Return the size of the next batch of predictions.

    Parameters
    ----------
    n_rows : int
        Number of rows that are left, at least 1.
    sizes : tuple of int
        The sizes of batches, in rising order.

    Returns
    -------
    int
        The smallest size that takes all rows, or the largest one.

    Examples
    --------
    >>> from frozenfit.training.backends.predictor import batch_size
    >>> [batch_size(n, (64, 128, 512)) for n in (1, 65, 200, 1000)]
    [64, 128, 512, 512]
    """
    return next((size for size in sizes if size >= n_rows), sizes[-1])


def pad_rows(stack: np.ndarray, length: int) -> np.ndarray:
    """Append rows of zeros along the first axis.

    Parameters
    ----------
    stack : ndarray of shape (n, ...)
        The array.
    length : int
        Length of the result, at least n.

    Returns
    -------
    ndarray of shape (length, ...)
        The rows, then zeros.
    """
    if len(stack) == length:
        return stack
    return np.concatenate([stack, np.zeros((length - len(stack), *stack.shape[1:]), stack.dtype)])
