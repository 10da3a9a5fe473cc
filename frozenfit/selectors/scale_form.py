"""The form of a kernel that trainable scales of its inputs and outputs multiply."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from frozenfit.utils import counter_streams


@dataclass(frozen=True)
class Scales:
    """A scale for each input and each output of a kernel; its entries are frozen.

    The weight is the frozen one times the outer product of the scales, a matrix of rank one. The
    scales are stored in one vector: those of the inputs, then those of the outputs.

    Parameters
    ----------
    inputs : tuple of int
        Axes of the inputs, in increasing order. There is one scale for each position along them,
        flattened in C order; an empty tuple means that inputs are not scaled.
    outputs : tuple of int
        Axes of the outputs, as `inputs`.
    signs : int, default=None
        Seed of random signs, at which the scales of the inputs start. By default they start at 1,
        as those of the outputs do.

    Raises
    ------
    ValueError
        If an axis is negative, or the axes of a side are not increasing.

    See Also
    --------
    scales : Scale the kernels of a network.

    Examples
    --------
    >>> from frozenfit.selectors import Scales, forms
    >>> form = Scales(inputs=(0,), outputs=(1,))
    >>> forms.compact_shape(form, (784, 128))
    (912,)
    >>> forms.describe(form, (784, 128))
    'scales of 784 inputs and 128 outputs'
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    signs: int | None = None

    def __post_init__(self) -> None:
        """Check the axes."""
        for axes in (self.inputs, self.outputs):
            if list(axes) != sorted(set(axes)) or any(axis < 0 for axis in axes):
                raise ValueError(f"Axes must be >= 0 and in increasing order, got {self}.")

    def counts(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return the numbers of scales of inputs and of outputs.

        Parameters
        ----------
        shape : tuple of int
            Shape of the weight.

        Returns
        -------
        tuple of int
            For inputs and for outputs; 0 for a side that is not scaled.

        Raises
        ------
        ValueError
            If the weight does not have the axes.

        See Also
        --------
        factors : The scales, to be multiplied with a weight.

        Examples
        --------
        >>> from frozenfit.selectors import Scales
        >>> Scales(inputs=(2,), outputs=(3,)).counts((3, 3, 8, 16))
        (8, 16)
        """
        if any(axis >= len(shape) for axis in (*self.inputs, *self.outputs)):
            raise ValueError(f"{self} does not fit the shape {tuple(shape)}.")
        n_inputs, n_outputs = (
            math.prod(shape[axis] for axis in axes) if axes else 0
            for axes in (self.inputs, self.outputs)
        )
        return n_inputs, n_outputs

    def start(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return the values of the scales before training.

        Parameters
        ----------
        shape : tuple of int
            Shape of the weight.

        Returns
        -------
        ndarray of float32, shape (n_inputs + n_outputs,)
            1 or, for the inputs where `signs` is a seed, 1 or -1 with equal probability.

        See Also
        --------
        factors : The scales, to be multiplied with a weight.

        Examples
        --------
        >>> from frozenfit.selectors import Scales
        >>> Scales(inputs=(0,), outputs=(1,), signs=0).start((4, 2)).tolist()
        [1.0, 1.0, 1.0, -1.0, 1.0, 1.0]
        """
        n_inputs, n_outputs = self.counts(shape)
        values = np.ones(n_inputs + n_outputs, np.float32)
        if self.signs is not None:
            bits = counter_streams.integers(f"frozenfit.signs {self.signs}", n_inputs)
            values[:n_inputs] -= 2 * (bits >> np.uint64(63))
        return values

    def factors(
        self, compact: Any, shape: tuple[int, ...], reshape: Callable[..., Any] = np.reshape
    ) -> list[Any]:
        """Return the scales of each side, ready to be multiplied with a weight.

        Parameters
        ----------
        compact : array or tensor of shape (n_inputs + n_outputs,)
            The scales.
        shape : tuple of int
            Shape of the weight.
        reshape : callable, default=numpy.reshape
            The function that reshapes `compact`, such as ``keras.ops.reshape`` for tensors.

        Returns
        -------
        list of array or tensor
            For each side that is scaled, an array with as many axes as the weight, of length 1
            where the scales do not vary.

        See Also
        --------
        start : The scales before training.

        Examples
        --------
        >>> import numpy as np
        >>> from frozenfit.selectors import Scales
        >>> [f.tolist() for f in Scales((0,), (1,)).factors(np.array([1, 2, 3, 4]), (2, 2))]
        [[[1], [2]], [[3, 4]]]
        """
        n_inputs, _ = self.counts(shape)
        sides = (self.inputs, compact[:n_inputs]), (self.outputs, compact[n_inputs:])
        return [
            reshape(scales, [n if axis in axes else 1 for axis, n in enumerate(shape)])
            for axes, scales in sides
            if axes
        ]


def union_of_scales(a: Any, b: Any) -> Scales:
    """Return the scales of either form, or raise a ValueError where one is a part of a weight."""
    _check_both(a, b)
    seeds = sorted({form.signs for form in (a, b)} - {None})
    if len(seeds) > 1:
        raise ValueError(
            f"The scales of a kernel start at the signs of one seed, got the seeds {seeds[0]} and "
            f"{seeds[1]} in one union. Use the same seed."
        )
    inputs, outputs = (tuple(sorted({*x, *y})) for x, y in _sides(a, b))
    return Scales(inputs, outputs, seeds[0] if seeds else None)


def intersection_of_scales(a: Any, b: Any) -> Scales:
    """Return the scales of both forms, or raise a ValueError where one is a part of a weight."""
    _check_both(a, b)
    inputs, outputs = (x if x == y else () for x, y in _sides(a, b))
    return Scales(inputs, outputs, a.signs if inputs and a.signs == b.signs else None)


def refuse_entries(form: Scales) -> NoReturn:
    """Raise the ValueError of an operation on entries of the weight, which scales do not select."""
    raise ValueError(
        f"`scales` multiplies whole kernels and selects no entries of them, got {form} where "
        "entries are needed. Use scales() only in unions, and in intersections and differences "
        "with whole weights, such as scales() | biases() | head()."
    )


def _check_both(a: Any, b: Any) -> None:
    for form in (a, b):
        if not isinstance(form, Scales):
            raise ValueError(
                "`scales` cannot be combined with a part of the same kernel, got "
                f"{type(form).__name__} as the other selection. Use scales() for kernels that are "
                "otherwise frozen or trained as a whole, such as scales() | biases() | head()."
            )


def _sides(a: Scales, b: Scales) -> tuple[tuple, tuple]:
    return (a.inputs, b.inputs), (a.outputs, b.outputs)
