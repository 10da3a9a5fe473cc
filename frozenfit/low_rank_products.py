"""The product of a layer with a frozen kernel and two factors, computed on activations.

The input is multiplied by the frozen kernel and, one after the other, by the factors. The kernel is
then a constant: neither its sum with the factors nor a gradient of its size is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import ops

from frozenfit.selectors import forms


@dataclass(frozen=True, eq=False)
class LowRankProduct:
    """The product of a layer with a frozen kernel to which the product of two factors is added.

    Attributes
    ----------
    kind : type
        The Keras class whose computation the layer has.
    compute : callable
        The product of an input and a kernel.
    first, second : callable
        The product of an input and the factor `A`, and the product of that and the factor `B`.
    form : LowRank
        The factors.
    shape : tuple of int
        Shape of the kernel.
    """

    kind: type
    compute: Callable[[Any, Any], Any]
    first: Callable[[Any, Any], Any]
    second: Callable[[Any, Any], Any]
    form: forms.LowRank
    shape: tuple[int, ...]

    def in_parts(self, x: Any, frozen: Any, trained: Any, index: None = None) -> Any:
        """Compute the product with the frozen kernel, and those with the factors.

        Parameters
        ----------
        x : tensor
            The input.
        frozen : tensor
            The kernel without the factors.
        trained : tensor
            Both factors, in one vector.
        index : None
            Factors have no positions.

        Returns
        -------
        tensor
            The output, equal to the product with the sum of both up to rounding.
        """
        # The layer casts its kernel under mixed precision; here the factors are cast as well.
        a, b = self.form.factors(ops.cast(trained, frozen.dtype), self.shape, ops)
        x = ops.cast(x, frozen.dtype)
        return self.compute(x, frozen) + self.form.scale * self.second(self.first(x, a), b)


def times_channels(data_format: str) -> Callable[[Any, Any], Any]:
    """Return the product of the channels of a tensor with a matrix.

    Parameters
    ----------
    data_format : {"channels_first", "channels_last"}
        Position of the channels.

    Returns
    -------
    callable
        A function of a tensor and a matrix.
    """
    if data_format == "channels_last":
        return ops.matmul
    return lambda x, matrix: ops.moveaxis(ops.matmul(ops.moveaxis(x, 1, -1), matrix), -1, 1)


def factor_equations(equation: str, form: forms.LowRank) -> tuple[str, str] | None:
    """Return the equations by which factors take the place of the kernel of a summation.

    Parameters
    ----------
    equation : str
        The equation of a `keras.layers.EinsumDense`, such as ``"abc,cde->abde"``.
    form : LowRank
        The factors of its kernel.

    Returns
    -------
    tuple of str, or None
        For the example ``"abc,cz->abz"`` and ``"abz,zde->abde"``. None where rows of the kernel
        have letters of the output, or columns those of the input.
    """
    inputs, kernel, outputs = equation.replace("->", ",").replace(" ", "").split(",")
    rows = [kernel[axis] for axis in form.inputs]
    columns = [letter for letter in kernel if letter not in rows]
    if {*rows} & {*outputs} or {*columns} & {*inputs} or not {*columns} <= {*outputs}:
        return None
    inner = next(letter for letter in "zyxwvutsrqponmlkjihgfedcba" if letter not in equation)
    between = "".join(letter for letter in outputs if letter not in columns) + inner
    first = f"{inputs},{''.join(rows)}{inner}->{between}"
    return first, f"{between},{inner}{''.join(columns)}->{outputs}"
