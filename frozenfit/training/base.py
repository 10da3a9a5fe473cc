"""The base: a network that no training changes, built from a recipe or given by the user."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any
from weakref import WeakValueDictionary

import keras
import numpy as np

from frozenfit.frozen_values import draw_frozen, draw_weight, is_drawable, partly_frozen
from frozenfit.isolation import isolated, under_policy
from frozenfit.layout import Survey
from frozenfit.selectors import Selection, forms
from frozenfit.training import sent_model
from frozenfit.training.head import to_logits
from frozenfit.training.model_structure import empty_copy, structure_key
from frozenfit.training.recipe import Recipe, quick_initial_values
from frozenfit.utils.arrays import digest_arrays, to_numpy


class _Snapshot(dict[str, np.ndarray]):
    """Values by path; a separate class because a plain dict cannot be referenced weakly."""


# Snapshots in use by their digests.
_snapshots: WeakValueDictionary[bytes, _Snapshot] = WeakValueDictionary()


class Base:
    """A network that no training changes; fitted models are deltas on a base.

    The value of a weight is the one in `overrides`, else the one that `seed` and the path of the
    weight determine, else the one that the source has. Values are computed when they are first
    needed. Deep copies are the object itself, so that clones, folds and ensemble members share
    one base.

    Parameters
    ----------
    source : Recipe or keras.Model
        Where structure and values come from. A given model is never changed; it is copied before
        it is trained on, where Keras can copy it.
    overrides : mapping of str to ndarray, default={}
        Values by path that replace those of the source: weights, and moving statistics.
    seed : int, default=0
        Seed of drawn values.
    trained : bool, default=False
        Whether the overrides come from an earlier fit.
    parent : Base or None, default=None
        The base whose frozen parameters were replaced by random ones here.
    n_logits : int or None, default=None
        Number of classes or labels for which the network returns logits: an activation at its end
        is taken off the copy, and a single output serves two classes. None leaves the outputs as
        they are.

    See Also
    --------
    PartialNetClassifier : Its attribute `base_` is a base.

    Examples
    --------
    >>> import numpy as np
    >>> from frozenfit import PartialNetClassifier
    >>> X, y = np.eye(4, dtype="float32"), [0, 1, 0, 1]
    >>> base = PartialNetClassifier(epochs=1, random_state=0).fit(X, y).base_
    >>> base
    Base('mlp', input_shape=(4,), n_outputs=2, seed=1928130856)
    >>> len(base.fingerprint)
    16
    """

    def __init__(
        self,
        source: Recipe | keras.Model,
        overrides: Mapping[str, np.ndarray] | None = None,
        *,
        seed: int = 0,
        trained: bool = False,
        parent: Base | None = None,
        n_logits: int | None = None,
    ):
        self.source = source
        self.overrides: Mapping[str, np.ndarray] = {} if overrides is None else overrides
        self.seed = seed
        self.trained = trained
        self.parent = parent
        self.n_logits = n_logits
        self.policy = source.policy if isinstance(source, Recipe) else source.dtype_policy
        # The base that this one shares its values with except for the head, and those of `root`.
        self._root = self
        self._by_outputs: dict[int, Base] = {}
        self._clear()

    def _clear(self) -> None:
        self._values: dict[str, np.ndarray] | None = None
        self._unseeded: dict[str, np.ndarray] | None = None
        self._fingerprint: str | None = None

    def __deepcopy__(self, memo: dict) -> Base:
        """Return the object itself, because a base is never changed."""
        return self

    def __copy__(self) -> Base:
        """Return the object itself, because a base is never changed."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what can be computed again: drawn values, and copies of a given model's."""
        state = {**self.__dict__, "_values": None, "_by_outputs": {}}
        state["source"] = sent_model.referenced(self.source)
        if self._unseeded is None:
            return state
        if self._unseeded.keys() <= self.overrides.keys():
            state["_unseeded"] = None
        elif self.model is not None and not self.overrides:
            # The pickle holds the model itself, with the same values unless they were changed.
            now = Survey(self.model).weights
            if all(np.array_equal(to_numpy(now[p]), v) for p, v in self._unseeded.items()):
                state["_unseeded"] = None
        return state

    def __repr__(self) -> str:
        """Name the source, and what was done to its values."""
        if isinstance(self.source, Recipe):
            model = self.source.model
            name = repr(model) if isinstance(model, str) else getattr(model, "__name__", "callable")
            shape, n_outputs = self.source.input_shape, self.source.n_outputs
            text = f"{name}, input_shape={shape}, n_outputs={n_outputs}, seed={self.seed}"
        else:
            text = f"<{type(self.source).__name__} {self.source.name!r}>"
        return f"Base({text}{', trained' * self.trained})"

    @property
    def recipe(self) -> Recipe | None:
        """The recipe; None where the base was given as a Keras model."""
        return self.source if isinstance(self.source, Recipe) else None

    @property
    def model(self) -> keras.Model | None:
        """The user's own model; None where the base is built from a recipe."""
        return None if isinstance(self.source, Recipe) else self.source

    @property
    def pretrained(self) -> bool:
        """Whether the values are given or trained ones, rather than drawn from a seed."""
        drawn = isinstance(self.source, Recipe) and self.source.drawn
        return not drawn or self.trained or self.parent is not None

    @property
    def key(self) -> tuple:
        """What the structure depends on; bases with equal keys can share compiled code."""
        if isinstance(self.source, Recipe):
            structure = self.source.key
        else:
            structure = ("given", structure_key(self.source))
        return *structure, self.n_logits, self.policy.name, keras.config.floatx()

    @property
    def fingerprint(self) -> str:
        """Digest of the path, shape and bytes of every weight, sixteen hexadecimal digits."""
        if self._fingerprint is None:
            values = self._values or self.values(Survey(self.build()[0]))
            self._fingerprint = digest_arrays(values).hex()[:16]
        return self._fingerprint

    def build(self, seed: int | None = None) -> tuple[keras.Model, bool]:
        """Build a network with the structure of the base.

        Parameters
        ----------
        seed : int or None, default=None
            Seed of the initializers of Keras. None gives arbitrary values, which are quick to
            make, for a network whose weights are loaded afterwards.

        Returns
        -------
        model : keras.Model
            The network.
        is_copy : bool
            False where it is the user's own model, because that cannot be copied.
        """
        initial = quick_initial_values() if seed is None else nullcontext()
        with isolated(seed or 0), under_policy(self.policy), initial:
            source = self.source
            given = isinstance(source, keras.Model)
            copy = empty_copy(source) if given else source.build()
            if copy is None:
                return self.model, False  # pyright: ignore
            return (copy if self.n_logits is None else to_logits(copy, self.n_logits)), True

    def rebuild(self) -> keras.Model:
        """Build a network with the structure of the base, and arbitrary values.

        Returns
        -------
        keras.Model
            The network.

        Raises
        ------
        ValueError
            If the base is a given model that cannot be copied.
        """
        model, is_copy = self.build()
        if not is_copy:
            raise ValueError(
                f"The model {model.name!r} cannot be built again from its configuration. Pass it "
                "as a callable (input_shape, n_outputs) -> keras.Model."
            )
        return model

    def values(self, survey: Survey) -> dict[str, np.ndarray]:
        """Return the values of all weights, and the moving statistics among the overrides.

        Parameters
        ----------
        survey : Survey
            Survey of a network with the structure of the base.

        Returns
        -------
        dict of str to ndarray
            Values by path. They are kept until the base is deleted, but not pickled.
        """
        if self._values is None:
            values = dict(self.unseeded(survey))
            shared = self._root._values or {}
            for info in survey.layout.weights:
                if info.path not in values:
                    same = shared.get(info.path)
                    if same is None or same.shape != info.shape:
                        same = draw_weight(info, self.seed, self._kernel_initializer)
                    values[info.path] = same
            self._values = values
        return self._values

    def unseeded(self, survey: Survey) -> dict[str, np.ndarray]:
        """Return the values that no seed determines, which a file must therefore hold.

        Parameters
        ----------
        survey : Survey
            Survey of a network with the structure of the base.

        Returns
        -------
        dict of str to ndarray
            All weights of a pretrained base. Of a drawn one, the weights whose initializer is not
            drawable and those that its builder froze; for most networks there are none.
        """
        if self._unseeded is None:
            own = set(survey.weights) - set(self.overrides)
            if not self.pretrained:
                infos = survey.layout.weights
                own -= {w.path for w in infos if is_drawable(w, self._kernel_initializer)}
            source: dict[str, Any] = {}
            if own:
                source = Survey(self.model or self.build(self.seed)[0]).weights
            values = {path: to_numpy(v) for path, v in source.items() if path in own}
            self._unseeded = _shared(values | dict(self.overrides))
        return self._unseeded

    def states(self) -> dict[str, np.ndarray]:
        """Return the states that the base determines; others start from their initial values.

        Returns
        -------
        dict of str to ndarray
            States of a given model, and the moving statistics among the overrides.
        """
        own = {} if self.model is None else Survey(self.model).states
        return {path: to_numpy(v) for path, v in own.items()} | dict(self.overrides)

    @property
    def _kernel_initializer(self) -> str | None:
        return self.source.kernel_initializer if isinstance(self.source, Recipe) else None

    def with_values(self, values: Mapping[str, np.ndarray]) -> Base:
        """Return a base of the same structure with values from a fit.

        Parameters
        ----------
        values : mapping of str to ndarray
            Weights and states by path; weights left out keep their values.

        Returns
        -------
        Base
            A trained base.
        """
        overrides = {**self.overrides, **(self._values or {}), **values}
        return Base(self.source, overrides, seed=self.seed, trained=True, n_logits=self.n_logits)

    def with_random_frozen(
        self,
        selection: Selection,
        survey: Survey,
        drawn: Mapping[str, np.ndarray] | None = None,
    ) -> Base:
        """Return a base whose frozen parameters are random.

        Parameters
        ----------
        selection : Selection
            The trainable parameters, which keep their values.
        survey : Survey
            Survey of a network with the structure of the base.
        drawn : mapping of str to ndarray or None, default=None
            All random weights where they are known, for example from a file.

        Returns
        -------
        Base
            A base with this one as its `parent`. Weights that are not drawable are initialized by
            Keras from the seed of the base. Other backends give other values for them, so a file
            must hold them.
        """
        infos = partly_frozen(selection)
        if drawn is None:
            drawn = draw_frozen(selection, self.seed)
            missing = [info.path for info in infos if info.path not in drawn]
            fresh = Survey(self.build(self.seed)[0]).weights if missing else {}
            drawn |= {path: to_numpy(fresh[path]) for path in missing}
        values = dict(self.values(survey))
        for info in infos:
            form = selection[info.path]
            if isinstance(form, forms.Scales | forms.Subspace | forms.KernelForm):
                values[info.path] = drawn[info.path]
                continue
            trainable = forms.to_mask(form, info.shape)
            values[info.path] = np.where(trainable, values[info.path], drawn[info.path])
        kept = {"seed": self.seed, "trained": self.trained, "n_logits": self.n_logits}
        return Base(self.source, values, parent=self, **kept)

    def with_outputs(self, n_outputs: int) -> Base:
        """Return the base with a head for a number of outputs; all other values are the same.

        Parameters
        ----------
        n_outputs : int
            Number of outputs.

        Returns
        -------
        Base
            One object for each number of outputs, so that tasks share it. A base that was given
            as a Keras model is returned itself, because it cannot be built with another head.
        """
        root = self._root
        recipe = root.recipe
        if recipe is None or recipe.n_outputs == n_outputs:
            return root
        if n_outputs not in root._by_outputs:
            recipe = replace(recipe, n_outputs=n_outputs)
            n_logits = None if root.n_logits is None else n_outputs
            other = Base(recipe, seed=root.seed, trained=root.trained, n_logits=n_logits)
            # Drawn values depend on seed and path alone, so they are the same without copying.
            if root.pretrained or root.overrides:
                other.overrides = root._values_fitting(other)
            other._root = root
            root._by_outputs[n_outputs] = other
        return root._by_outputs[n_outputs]

    def _values_fitting(self, other: Base) -> dict[str, np.ndarray]:
        """Return the values of another base's network, those of this base where shapes agree."""
        own = self.overrides
        if self.pretrained:
            own = self.values(Survey(self.build(self.seed)[0]))
        network = Survey(other.build(self.seed)[0])
        drawable = {
            w.path: w for w in network.layout.weights if is_drawable(w, self._kernel_initializer)
        }
        found = {}
        for path, variable in (network.weights | network.states).items():
            value = own.get(path)
            if value is not None and value.shape == tuple(variable.shape):
                found[path] = value
            elif not self.pretrained:
                continue
            elif path in drawable:
                found[path] = draw_weight(drawable[path], self.seed, self._kernel_initializer)
            else:
                found[path] = to_numpy(variable)
        return found

    def restore(self, overrides: Mapping[str, np.ndarray], trained: bool = False) -> None:
        """Set the overrides of a base that was just read from a file, before its first use.

        Estimators of one file share base objects, so the object must be completed in place.

        Parameters
        ----------
        overrides : mapping of str to ndarray
            Values by path.
        trained : bool, default=False
            Whether they come from a fit.
        """
        self.overrides, self.trained = dict(overrides), trained
        self._clear()

    def to_keras(self) -> keras.Model:
        """Create a plain Keras model with the values of the base.

        Returns
        -------
        keras.Model
            A new model that does not require frozenfit.

        Raises
        ------
        ValueError
            If the base is a given model that cannot be copied.

        See Also
        --------
        PartialNetClassifier.to_keras : The network as it was trained.
        """
        model = self.rebuild()
        survey = Survey(model)
        values = {**self.values(survey), **self.states()}
        for path, variable in (survey.weights | survey.states).items():
            if path in values:
                variable.assign(values[path])
        return model


def _shared(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the snapshot with these values that is in use already, or a new one.

    Fits, folds and trials on one given network then hold a single copy of its values.
    """
    return _snapshots.setdefault(digest_arrays(values), _Snapshot(values)) if values else values
