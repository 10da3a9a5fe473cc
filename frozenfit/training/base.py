"""The base: a network nobody changes, made from a recipe or given by the user."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np

from frozenfit import architectures, draws
from frozenfit import layout as _layout
from frozenfit.isolation import initial_values, isolated, under_policy
from frozenfit.layer_kinds import initializer_config
from frozenfit.selectors import Layout, WeightInfo
from frozenfit.training.structure import all_weights, copied, identity
from frozenfit.utils.arrays import to_numpy


class Base:
    """A network nobody changes, shared by everything trained on it.

    Made by :func:`drawn_base` from a recipe and a seed, or by :func:`given_base` from a Keras
    model. Copies are the object itself, so clones, folds and members share one base.

    Attributes
    ----------
    recipe : dict or None
        ``model``, ``input_shape``, ``n_outputs``, ``params`` of a drawn base, else None.
    seed : int
        Seed of the drawn values.
    kept : bool
        Whether the values are those the model came with, not drawn ones.
    trained : bool
        Whether they were learned in an earlier fit.
    below : Base
        The base whose frozen parameters are replaced by random ones here, or the base itself.
    policy : keras.DTypePolicy
        Precision in which the network is built and computes, whatever the policy is later: that
        of a given model, or Keras's own when a drawn base was made.
    """

    def __init__(
        self,
        recipe: dict[str, Any] | None,
        seed: int,
        weight_init: str | None,
        model: keras.Model | None = None,
        kept: bool = False,
        origin: Base | None = None,
        policy: Any = None,
    ):
        self.recipe = recipe
        self.seed = seed
        self.weight_init = weight_init
        self.kept = kept
        if policy is None:
            policy = keras.config.dtype_policy() if model is None else model.dtype_policy
        self.policy = policy
        self.trained = False
        self.below = self
        self._model = model
        self._origin = origin
        self._with_outputs: dict[int, Base] = {}
        self._stored: dict[str, np.ndarray] | None = None
        self._values: dict[str, np.ndarray] | None = None

    def __deepcopy__(self, memo: dict) -> Base:
        """Return the object itself: a base is never changed."""
        return self

    def __copy__(self) -> Base:
        """Return the object itself: a base is never changed."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Leave drawn values behind: they are drawn again when needed."""
        return {**self.__dict__, "_values": None, "_with_outputs": {}}

    @property
    def key(self) -> tuple:
        """What the network's structure depends on; equal keys can share compiled code."""
        policy = self.policy.name, keras.config.floatx()
        if self.recipe is None:
            assert self._model is not None
            return ("given", identity(self._model), *policy)
        recipe = self.recipe
        model = recipe["model"]
        function = architectures.find(model) if isinstance(model, str) else model
        params = json.dumps(recipe["params"], sort_keys=True, default=repr)
        return (function, tuple(recipe["input_shape"]), recipe["n_outputs"], params, *policy)

    def empty(self, seed: int | None = None) -> tuple[keras.Model, bool]:
        """Make a network of this structure, its values yet to be loaded.

        Parameters
        ----------
        seed : int or None, default=None
            Seed of the streams Keras draws from while it builds. None takes values that are
            quick to make, for a network whose weights are loaded in any case.

        Returns
        -------
        model : keras.Model
            The network.
        own : bool
            False where it is the user's own object, which could not be copied.
        """
        drawn = _quick_values() if seed is None else nullcontext()
        with isolated(seed or 0), under_policy(self.policy), drawn:
            if self.recipe is not None:
                return build_network(**self.recipe), True
            assert self._model is not None
            copy = copied(self._model)
        return (self._model, False) if copy is None else (copy, True)

    @property
    def given(self) -> keras.Model | None:
        """The user's own model, where the base was given."""
        return self._model

    def values(self, layout: Layout, frozen: Sequence[str]) -> dict[str, np.ndarray]:
        """Return all weights that are no states, by path.

        Parameters
        ----------
        layout : Layout
            Layout of the network, with the initializers to draw from.
        frozen : sequence of str
            Names of the weights the network's builder froze itself.

        Returns
        -------
        dict of str to ndarray
            Drawn or kept values. They are cached on the object, and not pickled.
        """
        if self._values is None:
            values = dict(self.stored(layout, frozen))
            shared = (self._origin and self._origin._values) or {}
            for info in layout.weights:
                if info.path not in values:
                    same = shared.get(info.path)
                    if same is None or same.shape != info.shape:
                        same = self._draw(info)
                    values[info.path] = same
            self._values = values
        return self._values

    def _draw(self, info: WeightInfo) -> np.ndarray:
        initializer = self._initializer(info)
        assert initializer is not None
        return draws.draw(initializer, info.shape, self.seed, info.path)

    def stored(self, layout: Layout, frozen: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the values that no seed gives back, and that a file must hold.

        Parameters
        ----------
        layout, frozen
            As of `values`.

        Returns
        -------
        dict of str to ndarray
            For a kept base everything; for a drawn one the weights whose initializer is not
            known and those the builder froze itself; empty for most networks.
        """
        if self._stored is None and self.kept and self._origin is not None:
            self._stored = self._stored_of_origin(layout, frozen)
        if self._stored is None:
            drawn = set() if self.kept else {w.path for w in layout.weights if self._known(w)}
            if len(drawn) == len(layout.weights) and not frozen:
                self._stored = {}
            else:
                model = self.given or self.empty(self.seed)[0]
                self._stored = {
                    path: to_numpy(variable)
                    for path, variable in all_weights(model).items()
                    if path not in drawn
                }
        return self._stored

    def _kept_values(self) -> dict[str, np.ndarray]:
        if self._stored is not None:
            return self._stored
        return self.stored(_layout.describe(self.empty(self.seed)[0]), ())

    def _stored_of_origin(self, layout: Layout, frozen: Sequence[str]) -> dict[str, np.ndarray]:
        """Take what fits from the base this one shares its values with; draw the new head."""
        assert self._origin is not None
        shared, found = self._origin._kept_values(), {}
        network = self.empty(self.seed)[0]
        states = {p: v for p, (_, v) in _layout.states(network).items()}
        known = {info.path: info for info in layout.weights if self._known(info)}
        for path, variable in {**all_weights(network), **states}.items():
            same = shared.get(path)
            if same is not None and same.shape == tuple(variable.shape):
                found[path] = same
            elif path in known:
                found[path] = self._draw(known[path])
            else:
                found[path] = to_numpy(variable)
        return found

    def _known(self, info: WeightInfo) -> bool:
        initializer = self._initializer(info)
        return initializer is not None and draws.knows(initializer)

    def with_values(self, values: Mapping[str, np.ndarray]) -> Base:
        """Make a base of the same structure that holds other values.

        Parameters
        ----------
        values : mapping of str to ndarray
            Weights, and states too, by path; weights left out stay as they are.

        Returns
        -------
        Base
            A base whose values are kept, not drawn.
        """
        about = self.recipe, self.seed, self.weight_init, self._model
        other = Base(*about, kept=True, policy=self.policy)
        other._stored = {**(self._values or {}), **values}
        other.trained = True
        return other

    def filled(self, values: Mapping[str, np.ndarray]) -> Base:
        """Make a base that holds this one's trainable parameters and random frozen values.

        Parameters
        ----------
        values : mapping of str to ndarray
            All weights, by path.

        Returns
        -------
        Base
            With this base as its `below`.
        """
        other = self.with_values(values)
        other.below, other.trained = self, self.trained
        return other

    def with_outputs(self, n_outputs: int) -> Base:
        """Return the base with a head for so many outputs, all other values the same.

        Drawn values depend on seed and path alone, so only the head differs; kept values are
        taken over, and only the head is drawn. Tasks with equally many outputs share one base.

        Parameters
        ----------
        n_outputs : int
            Number of outputs.

        Returns
        -------
        Base
            This base where it has so many outputs, or where it was given as a Keras model,
            which cannot be built again with another head.
        """
        root = self._origin or self
        if root.recipe is None or root.recipe["n_outputs"] == n_outputs:
            return root
        if n_outputs not in root._with_outputs:
            recipe = {**root.recipe, "n_outputs": n_outputs}
            same = {"kept": root.kept, "origin": root, "policy": root.policy}
            other = Base(recipe, root.seed, root.weight_init, **same)
            other.trained = root.trained
            root._with_outputs[n_outputs] = other
        return root._with_outputs[n_outputs]

    def write_to_given(self, values: Mapping[str, np.ndarray]) -> None:
        """Put a file's values into the network it described, new and nobody's yet.

        Parameters
        ----------
        values : mapping of str to ndarray
            All weights of the given model, by path.

        Raises
        ------
        ValueError
            Where names or shapes differ.
        """
        assert self._model is not None
        weights = all_weights(self._model)
        if {p: tuple(v.shape) for p, v in weights.items()} != {
            p: tuple(v.shape) for p, v in values.items()
        }:
            raise ValueError("the frozen values are not those of the network the file describes")
        for path, variable in weights.items():
            variable.assign(values[path])
        self._stored = self._values = None

    def rebuild(self) -> keras.Model:
        """Make an empty network of this structure, the values yet to be loaded.

        Raises
        ------
        ValueError
            For a given model that cannot be made again from its configuration.
        """
        model, own = self.empty()
        if not own:
            raise ValueError(
                f"the model {model.name!r} cannot be made again from its configuration; give it "
                "as a callable (input_shape, n_outputs) -> model"
            )
        return model

    def _initializer(self, info: WeightInfo) -> str | None:
        if self.weight_init is not None and info.role == "kernel":
            return self.weight_init
        return info.initializer

    def restore(self, stored: Mapping[str, np.ndarray]) -> None:
        """Put back the values that no seed gives, as a file held them.

        Parameters
        ----------
        stored : mapping of str to ndarray
            What `stored` returned.
        """
        self._stored = dict(stored)
        self._values = None

    def fingerprint(self, layout: Layout, frozen: Sequence[str]) -> str:
        """Return a digest of every weight's path, shape and bytes.

        Parameters
        ----------
        layout, frozen
            As of `values`.

        Returns
        -------
        str
            Sixteen hexadecimal digits.
        """
        digest = hashlib.sha256()
        for path, value in sorted(self.values(layout, frozen).items()):
            digest.update(f"{path}{value.shape}{value.dtype}".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        return digest.hexdigest()[:16]


def drawn_base(
    model: str | Callable,
    input_shape: tuple[int, ...],
    n_outputs: int,
    params: dict[str, Any],
    seed: int,
    weight_init: Any = None,
    kept: bool = False,
    policy: Any = None,
) -> Base:
    """Make a base from a recipe.

    Parameters
    ----------
    model : str or callable
        Name of an architecture, or ``f(input_shape, n_outputs, **params) -> keras.Model``.
    input_shape : tuple of int
        Shape of one sample.
    n_outputs : int
        Number of outputs.
    params : dict
        Further arguments of the architecture.
    seed : int
        Seed of all values.
    weight_init : str, keras.Initializer or None, default=None
        Initial distribution of the kernels in place of the layers' own.
    kept : bool, default=False
        Keep the values the callable builds, rather than draw them.
    policy : keras.DTypePolicy or None, default=None
        The base's own; None takes Keras's present one.

    Returns
    -------
    Base
        The base; nothing is built or drawn yet.
    """
    recipe = {"model": model, "input_shape": input_shape, "n_outputs": n_outputs, "params": params}
    return Base(recipe, seed, _initializer_json(weight_init), kept=kept, policy=policy)


def given_base(model: keras.Model, seed: int = 0) -> Base:
    """Make a base of a user's model, which is never changed.

    Parameters
    ----------
    model : keras.Model
        A built model.
    seed : int, default=0
        Seed of random frozen values.

    Returns
    -------
    Base
        The base.
    """
    return Base(None, seed, None, model=model, kept=True)


def build_network(
    model: str | Callable, input_shape: tuple[int, ...], n_outputs: int, params: dict[str, Any]
) -> keras.Model:
    """Build a network from its recipe and see that it has weights.

    Parameters
    ----------
    model, input_shape, n_outputs, params
        As of :func:`drawn_base`.

    Returns
    -------
    keras.Model
        A built network.
    """
    if isinstance(model, str):
        return architectures.build(model, input_shape, n_outputs, **params)
    network = model(input_shape, n_outputs, **params)
    if not isinstance(network, keras.Model):
        raise TypeError(
            f"model={getattr(model, '__name__', model)!r} must return a keras.Model, found "
            f"{type(network).__name__}"
        )
    if not network.built or not network.weights:
        network(np.zeros((1, *input_shape), keras.config.floatx()))
    return network


def _quick_values() -> AbstractContextManager:
    """Let NumPy make initial values: of the right distribution, for a state may keep its own."""
    number = itertools.count()

    def give(initializer: Any, shape: tuple[int, ...]) -> np.ndarray | None:
        try:
            text = json.dumps(initializer_config(initializer))
        except (TypeError, ValueError):  # an argument that JSON cannot hold
            return None
        return draws.draw(text, shape, 0, str(next(number))) if draws.knows(text) else None

    return initial_values(give)


def _initializer_json(initializer: Any) -> str | None:
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
