"""FixedHead: a classifier whose directions are fixed, and of which one factor is learned."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import keras
import numpy as np
from keras import ops

__all__ = ["FixedHead"]

_KINDS = ("hadamard", "orthogonal")


@keras.saving.register_keras_serializable(package="frozenfit")
class FixedHead(keras.Layer):
    """A last layer with fixed directions, a trainable scale and trainable biases.

    The outputs are ``scale * directions @ (x / norm(x)) + bias``. A class is a fixed direction in
    the space of features, and training moves the features instead. A head for C classes has C + 1
    trainable parameters, whatever the number of features.

    Parameters
    ----------
    units : int
        Number of outputs.
    kind : {"hadamard", "orthogonal"}, default="hadamard"
        The directions: the first rows and columns of the smallest Hadamard matrix that is large
        enough, whose elements are 1 and -1; or random orthogonal rows of length 1, which are
        orthogonal columns where there are more outputs than features.
    seed : int, default=0
        Seed of the orthogonal directions.
    **kwargs : object
        Further arguments of `keras.Layer`: `name`, `trainable`, `dtype`.

    Raises
    ------
    ValueError
        If `units` is not an int >= 1, `kind` is unknown, or `seed` is not an int >= 0. When the
        layer is built: if its input has not the shape ``(batch, features)``.

    See Also
    --------
    PartialNetClassifier : The model ``"fixed_head"`` puts this layer on another network.

    Notes
    -----
    The method is that of Hoffer, Hubara and Soudry 2018, "Fix your classifier: the marginal value
    of training the last weight layer", arXiv 1801.04540. As in their code, the scale starts at
    ``1 / sqrt(units)`` for Hadamard directions, whose length is the square root of the number of
    features, and at 10 for orthogonal ones. Biases start at zero.

    The directions are constants that are computed from `kind` and `seed`: no file stores them, and
    no optimizer sees them. A model with this layer is loaded from a Keras file after
    ``import frozenfit.layers``.

    Examples
    --------
    >>> import keras
    >>> from frozenfit.layers import FixedHead
    >>> model = keras.Sequential([keras.Input((4,)), FixedHead(3)])
    >>> model.count_params()
    4
    >>> model.layers[0].directions
    array([[ 1.,  1.,  1.,  1.],
           [ 1., -1.,  1., -1.],
           [ 1.,  1., -1., -1.]], dtype=float32)
    """

    def __init__(self, units: int, kind: str = "hadamard", seed: int = 0, **kwargs: Any):
        if isinstance(units, bool) or not isinstance(units, Integral) or units < 1:
            raise ValueError(f"`units` must be an int >= 1, got {units!r}.")
        if kind not in _KINDS:
            raise ValueError(f"`kind` must be one of {', '.join(map(repr, _KINDS))}, got {kind!r}.")
        if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
            raise ValueError(f"`seed` must be an int >= 0, got {seed!r}.")
        super().__init__(**kwargs)
        self.units, self.kind, self.seed = int(units), kind, int(seed)
        self.input_spec = keras.layers.InputSpec(ndim=2)

    def build(self, input_shape: Any) -> None:
        """Create the scale and the biases, and compute the directions.

        Parameters
        ----------
        input_shape : tuple of int
            ``(batch, features)``.

        Raises
        ------
        ValueError
            If the number of features is unknown.
        """
        if len(input_shape) != 2 or input_shape[-1] is None:
            raise ValueError(
                f"The input of FixedHead must have the shape (batch, features), got {input_shape}."
            )
        features = int(input_shape[-1])
        if self.kind == "hadamard":
            start, self.directions = self.units**-0.5, _hadamard(self.units, features)
        else:
            start, self.directions = 10.0, _orthogonal(self.units, features, self.seed)
        constant = keras.initializers.Constant(start)
        self.scale = self.add_weight(name="scale", shape=(), initializer=constant)
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")
        super().build(input_shape)

    def call(self, x: Any) -> Any:
        """Compute the outputs.

        Parameters
        ----------
        x : tensor of shape (batch, features)
            The features.

        Returns
        -------
        tensor of shape (batch, units)
            The outputs, which are logits of a classifier.
        """
        x = ops.normalize(x, axis=-1)
        kernel = ops.convert_to_tensor(self.directions.T, dtype=x.dtype)
        return ops.matmul(x, kernel) * self.scale + self.bias

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """Return the shape of the outputs.

        Parameters
        ----------
        input_shape : tuple of int
            ``(batch, features)``.

        Returns
        -------
        tuple of int
            ``(batch, units)``.
        """
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration.

        Returns
        -------
        dict
            What `from_config` takes.
        """
        own = {"units": self.units, "kind": self.kind, "seed": self.seed}
        return {**super().get_config(), **own}


def _hadamard(rows: int, columns: int) -> np.ndarray:
    """Return the first rows and columns of Sylvester's matrix.

    Its element (i, j) is -1 where i and j have an odd number of ones in common in binary notation,
    which does not depend on its size.
    """
    common = np.arange(rows)[:, None] & np.arange(columns)
    odd = np.zeros(common.shape, bool)
    while common.any():
        odd ^= (common & 1).astype(bool)
        common >>= 1
    return np.where(odd, -1, 1).astype(np.float32)


def _orthogonal(rows: int, columns: int, seed: int) -> np.ndarray:
    """Return random orthogonal rows, or columns where these are fewer."""
    long, short = max(rows, columns), min(rows, columns)
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(long, short)))
    q = q * np.sign(np.diag(r))  # uniform over the orthogonal matrices
    return (q if rows > columns else q.T).astype(np.float32)
