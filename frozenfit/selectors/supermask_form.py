"""The form of a kernel of which the entries with the highest trained scores are kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from frozenfit.utils import counter_streams

from .arguments import count_of
from .kernel_form import KernelForm


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """Return the smallest one of the largest values of a vector."""
    return np.partition(values, values.size - count)[values.size - count]


@dataclass(frozen=True)
class Supermask(KernelForm):
    """The entries of a frozen kernel that have the highest scores; all others are zero.

    One score for each entry is trained. Where scores are equal, entries that come first in C order
    are kept.

    Parameters
    ----------
    keep : float
        Fraction of the entries that is kept, rounded down to a number, but at least one.
    rescale : bool
        Whether kept entries are multiplied by the number of all entries over that of kept ones.
    seed : int or None
        Seed of the values at which the scores start; None starts them at the magnitudes of the
        frozen values.
    bound : float
        Scores start at uniform values between ``-bound`` and `bound`.

    Raises
    ------
    ValueError
        If `keep` is not between 0 and 1, or `bound` is negative.

    See Also
    --------
    supermask : Train scores of the kernels of a network.

    Examples
    --------
    >>> from frozenfit.selectors import Supermask, forms
    >>> form = Supermask(keep=0.5, rescale=True, seed=0, bound=0.1)
    >>> forms.compact_shape(form, (3, 3, 16, 32))
    (3, 3, 16, 32)
    >>> forms.describe(form, (3, 3, 16, 32))
    'scores: 2304 of 4608 kept'
    """

    keep: float
    rescale: bool
    seed: int | None
    bound: float

    selector: ClassVar[str] = "supermask"
    example: ClassVar[str] = "supermask(0.5) | head()"

    def __post_init__(self) -> None:
        """Check the fields."""
        if not (0 < self.keep < 1 and self.bound >= 0):
            raise ValueError(f"`keep` must be between 0 and 1 and `bound` >= 0, got {self}.")

    def count(self, shape: tuple[int, ...]) -> int:
        """Return the number of entries that are kept.

        Parameters
        ----------
        shape : tuple of int
            Shape of the kernel.

        Returns
        -------
        int
            The number.

        See Also
        --------
        kept : Which entries are kept.

        Examples
        --------
        >>> from frozenfit.selectors import Supermask
        >>> Supermask(0.3, True, 0, 0.1).count((3, 5))
        4
        """
        return count_of(float(self.keep), math.prod(shape))

    def kept(self, scores: Any, xp: Any = np, largest: Callable[[Any, int], Any] = _largest) -> Any:
        """Return which entries are kept.

        Parameters
        ----------
        scores : array or tensor
            The scores.
        xp : module, default=numpy
            The functions of arrays: NumPy or ``keras.ops``.
        largest : callable, default=a function of NumPy
            Returns the smallest one of the `count` largest values of a vector: a function of the
            vector and of `count`.

        Returns
        -------
        array or tensor of bool
            Of the shape of `scores`; the same on every backend.

        See Also
        --------
        count : The number of entries that are kept.

        Examples
        --------
        >>> import numpy as np
        >>> from frozenfit.selectors import Supermask
        >>> Supermask(0.5, True, 0, 0.1).kept(np.array([[3, 1], [1, 0]])).tolist()
        [[True, True], [False, False]]
        """
        shape = tuple(scores.shape)
        count = self.count(shape)
        flat = xp.reshape(scores, (-1,))
        # Backends order equal values differently, so that they are chosen by their positions.
        threshold = largest(flat, count)
        above, equal = flat > threshold, flat == threshold
        room = count - xp.sum(xp.where(above, 1, 0))
        first = xp.cumsum(xp.where(equal, 1, 0)) <= room
        return xp.reshape(xp.logical_or(above, xp.logical_and(equal, first)), shape)

    def parameters_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the scores.

        Parameters
        ----------
        shape : tuple of int
            Shape of the kernel.

        Returns
        -------
        tuple of int
            The same.

        See Also
        --------
        start : The scores before training.

        Examples
        --------
        >>> from frozenfit.selectors import Supermask
        >>> Supermask(0.3, True, 0, 0.1).parameters_shape((3, 5))
        (3, 5)
        """
        return tuple(shape)

    def start(self, kernel: np.ndarray) -> np.ndarray:
        """Return random scores, or the magnitudes of the kernel.

        Parameters
        ----------
        kernel : ndarray
            The frozen kernel; without a seed its values are read.

        Returns
        -------
        ndarray of float32
            Of the shape of the kernel.

        See Also
        --------
        kernel : The kernel by its scores.

        Examples
        --------
        >>> import numpy as np
        >>> from frozenfit.selectors import Supermask
        >>> Supermask(0.5, True, None, 0.1).start(np.array([[1, -2]])).tolist()
        [[1.0, 2.0]]
        """
        if self.seed is None:
            return np.abs(kernel).astype(np.float32)
        uniform = counter_streams.uniforms(f"frozenfit.supermask {self.seed}", kernel.size)
        return (self.bound * (2 * uniform - 1)).astype(np.float32).reshape(kernel.shape)

    def kernel(
        self,
        frozen: Any,
        trained: Any,
        xp: Any = np,
        largest: Callable[[Any, int], Any] = _largest,
    ) -> Any:
        """Keep the entries with the highest scores; gradients pass to the scores unchanged.

        Parameters
        ----------
        frozen : array or tensor
            The frozen kernel.
        trained : array or tensor
            The scores.
        xp : module, default=numpy
            The functions of arrays: NumPy or ``keras.ops``.
        largest : callable, default=a function of NumPy
            As for `kept`.

        Returns
        -------
        array or tensor
            Of the shape of `frozen`.

        See Also
        --------
        kept : Which entries are kept.

        Examples
        --------
        >>> import numpy as np
        >>> from frozenfit.selectors import Supermask
        >>> form = Supermask(0.5, True, 0, 0.1)
        >>> form.kernel(np.array([[5, 6], [7, 8]]), np.array([[1, 0], [0, 2]])).tolist()
        [[10.0, 0.0], [0.0, 16.0]]
        """
        shape = tuple(frozen.shape)
        scale = math.prod(shape) / self.count(shape) if self.rescale else 1.0
        if xp is np:
            return np.where(self.kept(trained), frozen, 0) * scale
        constant = xp.stop_gradient(trained)
        mask = xp.cast(self.kept(constant, xp, largest), frozen.dtype)
        # The difference is exactly zero, and has the gradient of the scores.
        return frozen * (scale * (mask + (trained - constant)))

    def describe(self, shape: tuple[int, ...]) -> str:
        """Return the number of entries that are kept, in words.

        Parameters
        ----------
        shape : tuple of int
            Shape of the kernel.

        Returns
        -------
        str
            A short line.

        See Also
        --------
        count : The number of entries that are kept.

        Examples
        --------
        >>> from frozenfit.selectors import Supermask
        >>> Supermask(0.5, True, 0, 0.1).describe((16, 8))
        'scores: 64 of 128 kept'
        """
        return f"scores: {self.count(shape)} of {math.prod(shape)} kept"
