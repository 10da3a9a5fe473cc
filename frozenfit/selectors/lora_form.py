"""The form of a kernel to which the product of two trainable factors is added."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from frozenfit.utils import counter_streams

from .kernel_form import KernelForm


@dataclass(frozen=True)
class LowRank(KernelForm):
    """A frozen kernel plus the scaled product of two trainable factors.

    The kernel is a matrix of inputs and outputs: rows are the positions along `inputs`, columns
    those along all other axes, each flattened in C order. The factors `A` of shape (rows, r) and
    `B` of shape (r, columns) are stored in one vector, `A` first.

    Parameters
    ----------
    r : int
        The rank.
    inputs : tuple of int
        Axes of the rows, in increasing order.
    scale : float
        Factor of the product.
    seed : int
        Seed of the values at which `A` starts. `B` starts at 0.

    Raises
    ------
    ValueError
        If `r` is below 1, or axes are negative or not increasing.

    See Also
    --------
    lora : Add low-rank products to the kernels of a network.

    Examples
    --------
    >>> from frozenfit.selectors import LowRank, forms
    >>> form = LowRank(r=4, inputs=(0, 1, 2), scale=1.0, seed=0)
    >>> form.sides((3, 3, 16, 32))
    (144, 32)
    >>> forms.compact_shape(form, (3, 3, 16, 32))
    (704,)
    """

    r: int
    inputs: tuple[int, ...]
    scale: float
    seed: int

    selector: ClassVar[str] = "lora"
    example: ClassVar[str] = "lora(4) | biases() | head()"

    def __post_init__(self) -> None:
        """Check the fields."""
        increasing = list(self.inputs) == sorted(set(self.inputs))
        if self.r < 1 or not increasing or any(axis < 0 for axis in self.inputs):
            raise ValueError(
                f"`r` must be >= 1, and axes must be >= 0 and in increasing order, got {self}."
            )

    def outputs(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the axes of the columns.

        Parameters
        ----------
        shape : tuple of int
            Shape of the kernel.

        Returns
        -------
        tuple of int
            All axes but `inputs`.

        Raises
        ------
        ValueError
            If the kernel does not have the axes of the rows.

        See Also
        --------
        sides : The numbers of rows and columns.

        Examples
        --------
        >>> from frozenfit.selectors import LowRank
        >>> LowRank(4, inputs=(0,), scale=1.0, seed=0).outputs((16, 2, 8))
        (1, 2)
        """
        if any(axis >= len(shape) for axis in self.inputs):
            raise ValueError(f"{self} does not fit the shape {tuple(shape)}.")
        return tuple(axis for axis in range(len(shape)) if axis not in self.inputs)

    def sides(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return the numbers of rows and columns.

        Parameters
        ----------
        shape : tuple of int
            Shape of the kernel.

        Returns
        -------
        tuple of int
            Rows and columns.

        Raises
        ------
        ValueError
            If the kernel does not have the axes of the rows.

        See Also
        --------
        outputs : The axes of the columns.

        Examples
        --------
        >>> from frozenfit.selectors import LowRank
        >>> LowRank(4, inputs=(0,), scale=1.0, seed=0).sides((16, 2, 8))
        (16, 16)
        """
        rows, columns = (
            math.prod(shape[axis] for axis in axes) for axes in (self.inputs, self.outputs(shape))
        )
        return rows, columns

    def parameters_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the vector of both factors.

        Parameters
        ----------
        shape : tuple of int
            Shape of the kernel.

        Returns
        -------
        tuple of int
            One number.

        See Also
        --------
        factors : Both factors of a vector.

        Examples
        --------
        >>> from frozenfit.selectors import LowRank
        >>> LowRank(4, inputs=(0,), scale=1.0, seed=0).parameters_shape((16, 8))
        (96,)
        """
        return (self.r * sum(self.sides(shape)),)

    def start(self, kernel: np.ndarray) -> np.ndarray:
        """Return random values of `A` and zeros of `B`.

        `A` is uniform in [-b, b] with b = sqrt(6 / rows), Keras's initializer "he_uniform".

        Parameters
        ----------
        kernel : ndarray
            The frozen kernel, whose shape alone is read.

        Returns
        -------
        ndarray of float32
            The vector of both factors.

        See Also
        --------
        kernel : The kernel with the factors.

        Examples
        --------
        >>> import numpy as np
        >>> from frozenfit.selectors import LowRank
        >>> LowRank(1, inputs=(0,), scale=1.0, seed=0).start(np.ones((6, 2)))[-2:].tolist()
        [0.0, 0.0]
        """
        rows, columns = self.sides(kernel.shape)
        uniform = counter_streams.uniforms(f"frozenfit.lora {self.seed}", rows * self.r)
        a = math.sqrt(6 / rows) * (2 * uniform - 1)
        return np.concatenate([a, np.zeros(self.r * columns)]).astype(np.float32)

    def factors(self, trained: Any, shape: tuple[int, ...], xp: Any = np) -> tuple[Any, Any]:
        """Return the factors with the axes of the kernel.

        Parameters
        ----------
        trained : array or tensor
            The vector of both factors.
        shape : tuple of int
            Shape of the kernel.
        xp : module, default=numpy
            The functions of arrays: NumPy or ``keras.ops``.

        Returns
        -------
        a : array or tensor of shape (..., r)
            With the axes of the rows before the last one.
        b : array or tensor of shape (r, ...)
            With the axes of the columns after the first one.

        See Also
        --------
        kernel : The kernel with the factors.

        Examples
        --------
        >>> import numpy as np
        >>> from frozenfit.selectors import LowRank
        >>> form = LowRank(1, inputs=(0,), scale=1.0, seed=0)
        >>> [factor.tolist() for factor in form.factors(np.array([1, 2, 3, 4]), (2, 2))]
        [[[1], [2]], [[3, 4]]]
        """
        rows, _ = self.sides(shape)
        first, second = trained[: rows * self.r], trained[rows * self.r :]
        a = xp.reshape(first, (*(shape[axis] for axis in self.inputs), self.r))
        b = xp.reshape(second, (self.r, *(shape[axis] for axis in self.outputs(shape))))
        return a, b

    def kernel(self, frozen: Any, trained: Any, xp: Any = np) -> Any:
        """Add the scaled product of the factors to the frozen kernel.

        Parameters
        ----------
        frozen : array or tensor
            The frozen kernel.
        trained : array or tensor
            The vector of both factors.
        xp : module, default=numpy
            The functions of arrays: NumPy or ``keras.ops``.

        Returns
        -------
        array or tensor
            Of the shape of `frozen`.

        See Also
        --------
        factors : Both factors of a vector.

        Examples
        --------
        >>> import numpy as np
        >>> from frozenfit.selectors import LowRank
        >>> form = LowRank(1, inputs=(0,), scale=0.5, seed=0)
        >>> form.kernel(np.ones((2, 2)), np.array([1, 2, 3, 4])).tolist()
        [[2.5, 3.0], [4.0, 5.0]]
        """
        shape = tuple(frozen.shape)
        rows, columns = self.sides(shape)
        a, b = self.factors(trained, shape, xp)
        product = xp.matmul(xp.reshape(a, (rows, self.r)), xp.reshape(b, (self.r, columns)))
        order = (*self.inputs, *self.outputs(shape))
        product = xp.reshape(product, tuple(shape[axis] for axis in order))
        return frozen + self.scale * xp.transpose(product, np.argsort(order).tolist())

    def describe(self, shape: tuple[int, ...]) -> str:
        """Return the rank, in words.

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
        lora : Add low-rank products to the kernels of a network.

        Examples
        --------
        >>> from frozenfit.selectors import LowRank
        >>> LowRank(4, inputs=(0,), scale=1.0, seed=0).describe((16, 8))
        'factors of rank 4'
        """
        return f"factors of rank {self.r}"
