"""The base class of forms that compute a whole kernel from frozen values and other parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NoReturn

import numpy as np


class KernelForm(ABC):
    """A kernel that is a function of its frozen values and of trainable parameters beside it.

    No entry of the kernel is trainable, so that the form has no mask. The whole kernel contains it.

    Attributes
    ----------
    selector : str
        Name of the selector, for messages.
    example : str
        An expression in which the selector is combined with others.

    See Also
    --------
    LowRank : A product of two factors is added to the kernel.

    Examples
    --------
    >>> from frozenfit.selectors import LowRank
    >>> from frozenfit.selectors.kernel_form import KernelForm
    >>> issubclass(LowRank, KernelForm)
    True
    """

    selector: ClassVar[str]
    example: ClassVar[str]

    @abstractmethod
    def parameters_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the trainable parameters.

        Parameters
        ----------
        shape : tuple of int
            Shape of the kernel.

        Returns
        -------
        tuple of int
            The shape of the array in which they are stored.
        """

    @abstractmethod
    def start(self, kernel: np.ndarray) -> np.ndarray:
        """Return the trainable parameters before training.

        Parameters
        ----------
        kernel : ndarray
            The frozen kernel.

        Returns
        -------
        ndarray of float32
            Of the shape that `parameters_shape` returns.
        """

    @abstractmethod
    def kernel(self, frozen: Any, trained: Any, xp: Any = np) -> Any:
        """Compute the kernel.

        Parameters
        ----------
        frozen : array or tensor
            The frozen kernel.
        trained : array or tensor
            The trainable parameters.
        xp : module, default=numpy
            The functions of arrays: NumPy or ``keras.ops``.

        Returns
        -------
        array or tensor
            Of the shape of `frozen`.
        """

    @abstractmethod
    def describe(self, shape: tuple[int, ...]) -> str:
        """Describe the form in a table.

        Parameters
        ----------
        shape : tuple of int
            Shape of the kernel.

        Returns
        -------
        str
            A short line.
        """

    def refuse_entries(self) -> NoReturn:
        """Raise the ValueError of an operation on entries, of which the form selects none."""
        raise ValueError(
            f"`{self.selector}` changes whole kernels and selects no entries of them, got {self} "
            f"where entries are needed. Use {self.selector}() only in unions, and in intersections "
            f"and differences with whole weights, such as {self.example}."
        )


def equal_forms(a: Any, b: Any) -> Any:
    """Return the form that two forms of a kernel are, or raise a ValueError."""
    if a == b:
        return a
    own, other = (a, b) if isinstance(a, KernelForm) else (b, a)
    raise ValueError(
        f"`{own.selector}` cannot be combined with another selection of the same kernel, got "
        f"{own} and {other}. Use {own.selector}() for kernels that are otherwise frozen or trained "
        f"as a whole, such as {own.example}."
    )
