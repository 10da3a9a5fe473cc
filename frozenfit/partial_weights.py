"""The weights of a network, assembled from frozen values and trained parameters.

`PartialWeights` is the one place where a base and a delta meet. `frozenfit.PartialModel` and
`frozenfit.layers.Partial` each own one; training reads that of a model by `partial.weights_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
from keras import ops

from frozenfit.activations import dropped_early
from frozenfit.delta import (
    Delta,
    check_arrays,
    check_form,
    computed_forms,
    positions,
    read_trained,
    stores_parameters,
    write_trained,
)
from frozenfit.frozen_values import draw_weight
from frozenfit.isolation import full_precision, inference_mode
from frozenfit.layout import Survey
from frozenfit.selection_config import at_positions
from frozenfit.selectors import Selection, forms
from frozenfit.slices import Slice, sliced, sliced_products
from frozenfit.statistics import layers_with_moving_statistics
from frozenfit.subspaces import Projections
from frozenfit.thin import ThinNetwork
from frozenfit.utils.arrays import to_numpy

_FROZEN_VALUES = ("keep", "random", "zero")
_NORM_ROLES = ("scale", "offset")
_NONE: Mapping[str, Any] = MappingProxyType({})


class _Constraint(keras.constraints.Constraint):
    """A constraint given as a function; Keras before 3.15 accepts only instances of its class."""

    def __init__(self, function: Callable[[Any], Any]):
        self.function = function

    def __call__(self, w: Any) -> Any:
        return self.function(w)


class PartialWeights:
    """The weights of a network, assembled from frozen values and trained parameters.

    A plain object, because Keras would track variables in a dict or list on a layer as weights and
    sublayers of that layer.

    Parameters
    ----------
    survey : Survey
        Survey of the network, a model or another layer.
    selection : Selection
        The trainable parameters.
    frozen : {"keep", "random", "zero"}
        Values of the frozen parameters.
    seed : int
        Seed of the random frozen values.
    freeze_statistics : bool or "auto"
        Whether frozen batch normalizations use their moving statistics in training.
    add_weight : callable
        Method of the layer that owns the variables.

    Attributes
    ----------
    survey, selection, frozen, seed, freeze_statistics
        The parameters.
    compact : dict of str to keras.Variable
        Trainable variables by path of the weight.
    index : dict of str to keras.Variable
        Positions of trainable parameters that are not a slice.
    random : dict of str to keras.Variable
        Whole weights with random frozen values.
    states : dict of str to keras.Variable
        States of the network, which the delta owns.
    computed : dict of str to Form
        The forms by which weights are assembled.
    inference_layers : list of keras.Layer
        Batch normalizations that use their moving statistics in training.
    projections : Projections
        The random matrices of subspaces.
    products : dict of str to (Layer, product)
        Products of which only the gradient of the trainable slice or adapter is computed, by path.
    """

    def __init__(
        self,
        survey: Survey,
        selection: Selection,
        *,
        frozen: str,
        seed: int,
        freeze_statistics: bool | str,
        add_weight: Callable[..., Any],
    ):
        self.survey, self.selection = survey, selection
        self.frozen, self.seed, self.freeze_statistics = frozen, seed, freeze_statistics
        self.compact: dict[str, Any] = {}
        self.index: dict[str, Any] = {}
        self.random: dict[str, Any] = {}
        self.states: dict[str, Any] = {}
        self.computed = computed_forms(selection)
        self.projections = Projections(self.computed, frozen)
        self.inference_layers = self.layers_with_stored_statistics()
        self.products = sliced_products(survey, self.computed)
        self._add_weight = add_weight
        self._traced: list[tuple[Any, Any]] | None = None
        self._make_variables()

    @property
    def base(self) -> Any:
        """The network."""
        return self.survey.model

    def _make_variables(self) -> None:
        for path, form in self.computed.items():
            variable = self.survey.trainable[path]
            check_form(path, form, variable.constraint, self.frozen)
            if stores_parameters(form):
                value = forms.take(form, to_numpy(variable))
                constraint = self._constraint(path) if variable.constraint is not None else None
                self.compact[path] = self._own(f"trained/{path}", value, True, constraint)
            if isinstance(form, forms.Mask | forms.Indices):
                self.index[path] = self._own(f"index/{path}", positions(form))
            if self.frozen == "random" and not isinstance(form, forms.Everything):
                drawn = draw_weight(self.selection.layout[path], self.seed)
                self.random[path] = self._own(f"frozen/{path}", drawn)
        for path, variable in self.survey.states.items():
            self.states[path] = self._own(f"state/{path}", to_numpy(variable))

    def _own(self, name: str, value: np.ndarray, trainable: bool = False, constraint=None):
        """Create a variable of the delta from a copy of a value.

        It must be a true copy, because JAX donates the buffers of variables. Autocasting is off,
        so that trainable parameters and statistics keep full precision under mixed precision.
        """
        variable = self._add_weight(
            name=variable_name(name),
            shape=value.shape,
            dtype=keras.backend.standardize_dtype(value.dtype),
            initializer="zeros",
            trainable=trainable,
            autocast=False,
            constraint=constraint,
        )
        variable.assign(np.array(value))
        return variable

    def _constraint(self, path: str) -> keras.constraints.Constraint:
        """Return a constraint that applies that of the base to the whole weight.

        A norm, for example, is that of frozen and trainable parameters together.
        """
        constraint = self.survey.trainable[path].constraint

        def constrain(compact):
            trainable = ops.convert_to_tensor(compact)
            with nullcontext() if self._traced is None else keras.StatelessScope(self._traced):
                return self._trained_of(path, constraint(self._assemble(path, trainable)))

        return _Constraint(constrain)

    @contextmanager
    def reading(self, fixed: Iterable[Any]) -> Iterator[None]:
        """Let constraints use given values of the fixed variables inside the block.

        On JAX the values of all variables are arguments of the compiled function, but an optimizer
        passes only its own variables to a constraint.

        Parameters
        ----------
        fixed : iterable of tensor
            Values of `fixed_variables`, in their order.

        Yields
        ------
        None
            Until the block ends.
        """
        self._traced = list(zip(self.fixed_variables, fixed, strict=True))
        try:
            yield
        finally:
            self._traced = None

    @property
    def state_variables(self) -> list:
        """BatchNorm moving statistics and seed states, which training updates without gradients."""
        return list(self.states.values())

    @property
    def fixed_variables(self) -> list:
        """Variables that no step changes: indices, random values, the base's variables."""
        own = [*self.index.values(), *self.random.values(), *self.projections.variables]
        return [*own, *self.base.variables]

    def active_variables(self, waiting: frozenset[str] = frozenset()) -> list[keras.Variable]:
        """Return the trainable variables that a phase of training updates.

        Parameters
        ----------
        waiting : frozenset of str, default=frozenset()
            Paths of weights that are not updated.

        Returns
        -------
        list of keras.Variable
            Compact variables, in the order of the weights.
        """
        return [v for path, v in self.compact.items() if path not in waiting]

    def apply(
        self,
        inputs: Any,
        training: bool | None = None,
        *,
        waiting: frozenset[str] = frozenset(),
        network: keras.Model | ThinNetwork | None = None,
        inference_layers: Sequence[keras.Layer] | None = None,
        in_parts: bool = False,
        frozen: Mapping[str, Any] = _NONE,
    ) -> tuple[Any, list[tuple[Any, Any]], list]:
        """Run the base on assembled weights without changing any variable.

        Parameters
        ----------
        inputs : tensor, or a dict or list of tensors
            Inputs of the base.
        training : bool or None, default=None
            Whether layers run in training mode.
        waiting : frozenset of str, default=frozenset()
            Paths of trainable weights that are treated as constants.
        network : keras.Model, ThinNetwork or None, default=None
            A model made of layers of the base, or of copies of them, run in its place.
        inference_layers : sequence of keras.Layer or None, default=None
            Layers that use their moving statistics in training; None leaves the choice to
            `freeze_statistics`.
        in_parts : bool, default=False
            Whether products with a partly frozen kernel are computed in two parts, which a
            function that is vectorized over members needs.
        frozen : mapping of str to tensor, default={}
            Weights by path that are used in place of the frozen values, and get gradients.

        Returns
        -------
        outputs : tensor, or a dict or list of tensors
            Outputs of the base, or of `network`.
        states : list of (Variable, tensor)
            The states of the delta that the call changed, with their new values.
        losses : list of tensor
            Losses of the base: those of regularizers and those added by layers.
        """
        model: Any = self.base if network is None else network
        kwargs = {"training": training} if model._call_has_training_arg else {}
        inference = self.inference_layers if inference_layers is None else inference_layers
        with dropped_early(model):
            return self.run(
                lambda: model(inputs, **kwargs),
                inference if training else (),
                training,
                waiting=waiting,
                in_parts=in_parts,
                frozen=frozen,
            )

    def run(
        self,
        call: Callable[[], Any],
        inference_layers: Sequence[keras.Layer] = (),
        training: bool | None = None,
        *,
        waiting: frozenset[str] = frozenset(),
        in_parts: bool = False,
        frozen: Mapping[str, Any] = _NONE,
    ) -> tuple[Any, list[tuple[Any, Any]], list]:
        """Call a function in which the variables of the base have their assembled values.

        Parameters
        ----------
        call : callable
            Runs the base and returns its outputs.
        inference_layers : sequence of keras.Layer, default=()
            Layers that run in inference mode.
        training : bool or None, default=None
            Whether gradients are computed: only those of trainable slices, where that is cheaper.
        waiting : frozenset of str, default=frozenset()
            Paths of trainable weights that are treated as constants.
        in_parts, frozen
            As for `apply`.

        Returns
        -------
        outputs, states, losses
            As for `apply`.
        """
        # Full precision: the layers of the base cast the assembled weights, as they cast others.
        with full_precision():
            trainable = {
                p: ops.stop_gradient(v.value) if p in waiting else v.value
                for p, v in self.compact.items()
            }
            trainable |= self.projections.changes(trainable)
            whole = {
                p: self._frozen_or_given(p, frozen)
                if in_parts and p in self.products and v.regularizer is None
                else self._assemble(p, trainable.get(p), frozen)
                for p, v in self.survey.trainable.items()
            }
            # Before the scope below, in which these variables would have their stored values.
            slices = [
                Slice(
                    *found,
                    trainable[p],
                    self._positions(p),
                    self._apart(p, in_parts, frozen),
                    vectorized=in_parts,
                )
                for p, found in self.products.items()
                if in_parts or (training and p not in waiting)
            ]
            # By variable, not by position: the order of the variables of a model changes with its
            # flags.
            mapping = [(v, constant(v)) for v in self.base.variables]
            mapping += [(v, whole[p]) for p, v in self.survey.trainable.items()]
            mapping += [(v, self.states[p].value) for p, v in self.survey.states.items()]
            # The base computes on the mapped values and is itself unchanged.
            scope = keras.StatelessScope(mapping, collect_losses=True)
        stored = inference_mode(list(inference_layers)) if inference_layers else nullcontext()
        with scope, stored, sliced(slices):
            before = [scope.get_current_value(v) for v in self.survey.states.values()]
            outputs = call()
            losses = [*scope.losses, *self._penalties(whole)]
            after = [scope.get_current_value(v) for v in self.survey.states.values()]
        states = [
            (own, new)
            for own, old, new in zip(self.states.values(), before, after, strict=True)
            if new is not old
        ]
        return outputs, states, losses

    def _penalties(self, whole: Mapping[str, Any]) -> list:
        """Return the losses of the regularizers of assembled weights."""
        weights = self.survey.trainable.items()
        return [v.regularizer(whole[p]) for p, v in weights if v.regularizer is not None]

    def _positions(self, path: str) -> Any:
        """Return the positions of the trainable parameters as a tensor, where they are stored."""
        # The value, because TensorFlow would read a variable later, in another scope.
        return self.index[path].value if path in self.index else None

    def _apart(self, path: str, in_parts: bool, given: Mapping[str, Any]) -> Any:
        """Return the frozen kernel where what is trained is not a part of the product with it."""
        adapted = isinstance(self.computed[path], forms.Scales | forms.LowRank)
        return self._frozen_or_given(path, given) if in_parts or adapted else None

    def _frozen_or_given(self, path: str, given: Mapping[str, Any]):
        return given[path] if path in given else self._frozen(path)

    def _frozen(self, path: str):
        """Return the frozen values of a weight; `Partial` has them in its own variables."""
        variable = self.random.get(path, self.survey.trainable[path])
        if self.frozen == "zero" and not self.keeps_values(path):
            return ops.zeros(variable.shape, dtype=variable.dtype)
        return constant(variable)

    def keeps_values(self, path: str) -> bool:
        """Return whether the frozen parameters of a weight keep their values with "zero".

        A scale of zero would disconnect the network.
        """
        return self.selection.layout[path].role in _NORM_ROLES

    def _assemble(self, path: str, compact, given: Mapping[str, Any] = _NONE):
        """Write the trainable parameters of a weight into its frozen values."""
        form = self.computed[path]
        if isinstance(form, forms.Everything):
            return ops.convert_to_tensor(compact)
        frozen = self._frozen_or_given(path, given)
        if compact is None:
            return frozen
        return write_trained(form, frozen, ops.convert_to_tensor(compact), self.index.get(path))

    def _trained_of(self, path: str, whole):
        """Return the trainable parameters of an assembled weight: the inverse of `_assemble`."""
        return read_trained(self.computed[path], whole, self.index.get(path))

    def layers_with_stored_statistics(
        self, waiting: frozenset[str] = frozenset(), finished: bool = False
    ) -> list:
        """Return the batch normalizations that use their moving statistics in training.

        Parameters
        ----------
        waiting : frozenset of str, default=frozenset()
            Paths of trainable weights that this phase does not update; they count as frozen.
        finished : bool, default=False
            Whether these weights were trained before. The layers of a prefix that is frozen by now
            then use their moving statistics too.

        Returns
        -------
        list of keras.Layer
            The layers, in topological order.
        """
        choice = self.freeze_statistics
        if choice is not True:
            auto = finished or (choice == "auto" and self.frozen == "keep")
            choice = "auto" if auto else False
        return layers_with_moving_statistics(self.survey, self.selection, choice, waiting)

    def delta(self) -> Delta:
        """Return a copy of the trainable parameters and states."""
        return Delta(
            {path: to_numpy(v) for path, v in self.compact.items()},
            {path: to_numpy(v) for path, v in self.states.items()},
        )

    def load_delta(self, delta: Delta) -> None:
        """Set the trainable parameters and states.

        Parameters
        ----------
        delta : Delta
            A delta for the same base and selection.

        Raises
        ------
        ValueError
            If names or shapes differ; nothing is set then.
        """
        check_arrays("Trained parameters", self.compact, delta.trained)
        check_arrays("States", self.states, delta.states)
        for own, given in ((self.compact, delta.trained), (self.states, delta.states)):
            for path, value in given.items():
                own[path].assign(np.array(value).astype(own[path].dtype))

    def initial_delta(
        self,
        selection: Selection,
        values: Mapping[str, np.ndarray],
        states: Mapping[str, np.ndarray],
    ) -> Delta:
        """Return the delta from which training starts: the values of the base.

        Parameters
        ----------
        selection : Selection
            The parameters to train. The positions of this model may still be those of another
            selection that shares its compiled code.
        values, states : mapping of str to ndarray
            Whole weights and states of the base, by path.

        Returns
        -------
        Delta
            The trainable parameters of `values`, and `states`.
        """
        trainable = {p: forms.take(selection.forms[p], values[p]) for p in self.compact}
        return Delta(trainable, dict(states))

    def whole_values(
        self, selection: Selection, delta: Delta, values: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return the weights and states of a delta with frozen zeros, and what is trainable.

        Parameters
        ----------
        selection : Selection
            The trainable parameters of the delta.
        delta : Delta
            The delta.
        values : mapping of str to ndarray
            Whole weights of the base, by path.

        Returns
        -------
        whole : dict of str to ndarray
            Weights and states by path.
        trainable : dict of str to ndarray of bool
            Which parameters of a weight are trainable; weights without any are left out.
        """
        whole, trainable = {**values, **delta.states}, {}
        for path, form in selection.items():
            frozen = values[path] if self.keeps_values(path) else np.zeros_like(values[path])
            whole[path] = frozen
            if path in delta.trained:
                whole[path] = forms.put(form, frozen, delta.trained[path])
                trainable[path] = forms.to_mask(form, frozen.shape)
        return whole, trainable

    def set_selection(self, selection: Selection, seed: int) -> None:
        """Train other parameters of the same number and form, without building a new model.

        Parameters
        ----------
        selection : Selection
            A selection whose forms differ from those of this model in positions only.
        seed : int
            Seed of the random frozen values.
        """
        if selection is self.selection and seed == self.seed:
            return
        refill = seed != self.seed
        self.selection, self.seed = selection, seed
        self.computed = computed_forms(selection)
        self.projections.load(self.computed)
        for path, variable in self.index.items():
            variable.assign(positions(self.computed[path]))  # pyright: ignore
        for path, variable in self.random.items():
            if refill:
                variable.assign(draw_weight(self.selection.layout[path], self.seed))

    def read_selection(self) -> None:
        """Take the selected positions from the index variables, after these were loaded."""
        found = {p: to_numpy(v).astype(int) for p, v in self.index.items()}
        old = {p: positions(self.computed[p]) for p in found}  # pyright: ignore
        if all(np.array_equal(found[p], old[p]) for p in found):
            return
        layout = self.selection.layout
        moved = {p: at_positions(self.computed[p], layout[p].shape, found[p]) for p in found}
        self.computed |= moved
        self.selection = Selection({**self.selection.forms, **moved}, layout)

    def assembled(self, network: Any = None) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the path and the whole value of each weight, then of each state.

        Parameters
        ----------
        network : keras.Model or None, default=None
            A model made of layers of the base, whose weights and states alone are yielded.

        Yields
        ------
        path : str
            The path in the base.
        value : ndarray
            The value.
        """
        chosen = None if network is None else {id(variable) for variable in network.variables}
        compact: dict[str, Any] = dict(self.compact)
        compact |= self.projections.changes(compact)
        for path, variable in self.survey.trainable.items():
            if chosen is None or id(variable) in chosen:
                yield path, to_numpy(self._assemble(path, compact.get(path)))
        for path, variable in self.states.items():
            if chosen is None or id(self.survey.states[path]) in chosen:
                yield path, to_numpy(variable)


def total_of(losses: Sequence[Any]) -> Any:
    """Return the sum of scalar losses of any precision as one new tensor."""
    return ops.sum(ops.stack([ops.cast(loss, "float32") for loss in losses]))


def variable_name(path: str) -> str:
    """Return the name of the variable for a path; torch and Keras refuse some characters."""
    return path.replace("/", "__").replace(".", "_").replace("#", "_")


def check_options(frozen: str, freeze_statistics: bool | str) -> None:
    """Raise a ValueError where an option is not one of those allowed."""
    if frozen not in _FROZEN_VALUES:
        names = ", ".join(map(repr, _FROZEN_VALUES))
        raise ValueError(f"`frozen` must be one of {names}, got {frozen!r}.")
    if freeze_statistics not in (True, False, "auto"):
        raise ValueError(
            f"`freeze_statistics` must be True, False or 'auto', got {freeze_statistics!r}."
        )


def constant(variable: Any) -> Any:
    """Return the value of a variable without a gradient."""
    # No gradient is formed for it: torch would compute that of every variable that requires one.
    return ops.stop_gradient(ops.convert_to_tensor(variable.value))
