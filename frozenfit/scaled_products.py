"""The product of a layer whose kernel is scaled, computed on activations.

The scales of a kernel multiply the inputs and the outputs of the product instead. The kernel is
then a constant: neither the scaled kernel nor a gradient of the size of the kernel is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import ops

from frozenfit.gradients import shared_product
from frozenfit.selectors import forms


@dataclass(frozen=True, eq=False)
class ScaledProduct:
    """The product of a layer with a frozen kernel whose inputs and outputs are scaled.

    Attributes
    ----------
    kind : type
        The Keras class whose computation the layer has.
    compute : callable
        The product of an input and a kernel.
    form : Scales
        The scales.
    shape : tuple of int
        Shape of the kernel.
    input_shape, output_shape : tuple of int
        Shapes in which the scales of a side are multiplied with the input and the output.
    """

    kind: type
    compute: Callable[[Any, Any], Any]
    form: forms.Scales
    shape: tuple[int, ...]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]

    def in_parts(
        self, x: Any, frozen: Any, trained: Any, index: None = None, vectorized: bool = False
    ) -> Any:
        """Compute the product from scaled inputs, and scale its outputs.

        Parameters
        ----------
        x : tensor
            The input.
        frozen : tensor
            The kernel without scales.
        trained : tensor of shape (n_inputs + n_outputs,)
            The scales.
        index : None
            Scales have no positions.
        vectorized : bool, default=False
            Whether the function is vectorized over members with other scales of this kernel.

        Returns
        -------
        tensor
            The output, equal to the product with the scaled kernel up to rounding.
        """
        # The layer casts its kernel under mixed precision; here the scales are cast as well.
        scales: Any = ops.cast(trained, frozen.dtype)
        scaled: Any = ops.cast(x, frozen.dtype)
        n_inputs, n_outputs = self.form.counts(self.shape)
        if n_inputs:
            scaled = scaled * ops.reshape(scales[:n_inputs], self.input_shape)
        at_once = vectorized and self.compute is ops.matmul
        y: Any = shared_product(scaled, frozen) if at_once else self.compute(scaled, frozen)
        if n_outputs:
            y = y * ops.reshape(scales[n_inputs:], self.output_shape)
        return y


def einsum_shapes(
    equation: str, form: forms.Scales, shape: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return the shapes of the scales of an Einstein summation, aligned with input and output.

    Parameters
    ----------
    equation : str
        The equation of a `keras.layers.EinsumDense`, such as ``"abc,cde->abde"``.
    form : Scales
        The scales of its kernel.
    shape : tuple of int
        Shape of the kernel.

    Returns
    -------
    tuple of tuple of int, or None
        None where a letter of the kernel is missing on its side, or the scales would have to be
        transposed.
    """
    inputs, kernel, outputs = equation.replace("->", ",").replace(" ", "").split(",")
    aligned = []
    for axes, term in ((form.inputs, inputs), (form.outputs, outputs)):
        letters = [kernel[axis] for axis in axes]
        # An ellipsis stands for axes at the beginning, which broadcasting adds.
        places = [term.replace("...", "").find(letter) for letter in letters]
        if -1 in places or places != sorted(places) or "..." in term[1:]:
            return None
        length = dict(zip(letters, (shape[axis] for axis in axes), strict=True))
        aligned.append(tuple(length.get(letter, 1) for letter in term.replace("...", "")))
    return aligned[0], aligned[1]
