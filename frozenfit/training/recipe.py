"""The recipe of a network that is built from a name or a function."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, final

import keras
import numpy as np

from frozenfit import architectures, draws
from frozenfit.isolation import initial_values
from frozenfit.layer_kinds import initializer_config


@final
@dataclass(frozen=True, eq=False)
class Recipe:
    """How a network is built, and whether its values are drawn.

    Attributes
    ----------
    model : str or callable
        Name of an architecture, or ``f(input_shape, n_outputs, **params) -> keras.Model``.
    input_shape : tuple of int
        Shape of one sample.
    n_outputs : int
        Number of outputs.
    params : dict, default={}
        Further arguments of the architecture.
    kernel_initializer : str or None, default=None
        JSON of an initializer that replaces those of the kernels, see `initializer_json`.
    drawn : bool, default=True
        Whether values are drawn from a seed; False keeps those that the callable builds.
    policy : keras.DTypePolicy
        Precision of the network. It is fixed when the recipe is made, because Keras's own policy
        may be another one when the network is built again.
    """

    model: str | Callable[..., keras.Model]
    input_shape: tuple[int, ...]
    n_outputs: int
    params: Mapping[str, Any] = field(default_factory=dict)
    kernel_initializer: str | None = None
    drawn: bool = True
    policy: Any = field(default_factory=keras.config.dtype_policy)

    @property
    def key(self) -> tuple:
        """What the structure of the network depends on; the values are not part of it."""
        model = architectures.find(self.model) if isinstance(self.model, str) else self.model
        params = json.dumps(self.params, sort_keys=True, default=repr)
        return model, tuple(self.input_shape), self.n_outputs, params

    def build(self) -> keras.Model:
        """Build the network and create its weights.

        Returns
        -------
        keras.Model
            A built network.

        Raises
        ------
        TypeError
            If the callable does not return a Keras model.
        """
        if isinstance(self.model, str):
            return architectures.build(self.model, self.input_shape, self.n_outputs, **self.params)
        network = self.model(self.input_shape, self.n_outputs, **self.params)
        if not isinstance(network, keras.Model):
            name = getattr(self.model, "__name__", self.model)
            raise TypeError(
                f"`model={name!r}` must return a keras.Model, got {type(network).__name__}."
            )
        if not network.built or not network.weights:
            network(np.zeros((1, *self.input_shape), keras.config.floatx()))
        return network


def initializer_json(initializer: str | keras.Initializer | None) -> str | None:
    """Return the JSON of an initializer whose values can be drawn from a seed.

    Parameters
    ----------
    initializer : str, keras.Initializer or None
        The initializer.

    Returns
    -------
    str or None
        None for None.

    Raises
    ------
    ValueError
        If `frozenfit.draws` does not implement the initializer.
    """
    if initializer is None:
        return None
    config = initializer_config(keras.initializers.get(initializer))  # pyright: ignore
    text = json.dumps(config, sort_keys=True)
    if not draws.knows(text):
        raise ValueError(
            f"`weight_init` must be an initializer of Keras that can be drawn again from a seed, "
            f"such as 'he_normal', got {initializer!r}."
        )
    return text


def quick_initial_values() -> AbstractContextManager:
    """Let NumPy draw initial values while Keras builds a network whose weights are loaded later.

    Keras's own initializers compile a function per shape. The distribution is the right one,
    because a state that is not loaded keeps its initial value.

    Returns
    -------
    context manager
        Active while the network is built.
    """
    number = itertools.count()

    def initial_value(initializer: Any, shape: tuple[int, ...]) -> np.ndarray | None:
        try:
            text = json.dumps(initializer_config(initializer))
        except (TypeError, ValueError):  # an argument that JSON cannot represent
            return None
        return draws.draw(text, shape, 0, str(next(number))) if draws.knows(text) else None

    return initial_values(initial_value)
