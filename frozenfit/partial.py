"""PartialModel: a base network that no training changes, and the delta that is trained on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import keras
import numpy as np
from keras import ops

from frozenfit.delta import (
    Delta,
    check_arrays,
    computed_forms,
    positions,
    read_trained,
    write_trained,
)
from frozenfit.export import plain_copy
from frozenfit.frozen_values import draw_weight
from frozenfit.isolation import inference_mode
from frozenfit.layout import Survey
from frozenfit.parameter_table import ParameterTable
from frozenfit.selectors import Context, Selection, Selector, as_selector, forms
from frozenfit.statistics import layers_with_moving_statistics
from frozenfit.utils.arrays import to_numpy

__all__ = ["PartialModel"]

_FROZEN_VALUES = ("keep", "random", "zero")
_NORM_ROLES = ("scale", "offset")


class _Constraint(keras.constraints.Constraint):
    """A constraint given as a function; Keras before 3.15 accepts only instances of its class."""

    def __init__(self, function: Callable[[Any], Any]):
        self.function = function

    def __call__(self, w: Any) -> Any:
        return self.function(w)


@dataclass
class _Parts:
    """The variables of a PartialModel by path.

    A plain object, because Keras would track the variables in a dict or list on a layer as
    weights and sublayers of that layer.
    """

    survey: Survey
    compact: dict[str, Any] = field(default_factory=dict)
    index: dict[str, Any] = field(default_factory=dict)
    random: dict[str, Any] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)
    inference_layers: list = field(default_factory=list)
    computed: dict[str, forms.Form] = field(default_factory=dict)
    traced: list[tuple[Any, Any]] | None = None
    shown_metrics: list = field(default_factory=list)


class PartialModel(keras.Model):
    """A Keras model that trains selected parameters of a base network and freezes all others.

    The base is never modified: neither its weights nor its `trainable` flags nor its losses. The
    model owns one compact trainable variable for each weight with trainable parameters, and one
    variable for each state of the base (BatchNorm moving statistics, seed states). Nothing else is
    trainable. Optimizer state is therefore allocated for trainable parameters only, and no weight
    decay, momentum, clipping or constraint can change a frozen parameter.

    Parameters
    ----------
    base : keras.Model
        A built network with one input tensor: functional, Sequential, nested or subclassed.
    trainable : float, int, bool, str, Selector or Selection
        The parameters to train, as in `PartialNetClassifier`: a float in (0, 1] is the fraction of
        the filters (or units) of every hidden layer, an int their number; the head and batch
        normalization are trained as well. ``1.0`` and True train everything.
    frozen : {"keep", "random", "zero"}, default="keep"
        Values of the frozen parameters: those of the base; drawn from `seed` and the path of the
        weight by the initializer of its layer; or zero. With "zero", the scale and offset of a
        normalization keep the values of the base, because a scale of zero would disconnect the
        network.
    seed : int or None, default=None
        Seed of the random frozen values, and of random selectors without a seed. None means 0.
    freeze_statistics : bool or "auto", default="auto"
        Whether frozen batch normalizations keep their moving statistics and use them in training.
        "auto" does so where ``frozen="keep"`` and everything before the layer is frozen too, so
        that the features of a pretrained prefix do not change. With False every batch
        normalization uses the statistics of the batch and updates its moving statistics.
    rebuild : callable or None, default=None
        A function without arguments that returns a new network of the structure of `base`.
        `to_keras` needs it where Keras cannot copy a subclassed base from its configuration.
    name : str or None, default=None
        Name of the model.

    Raises
    ------
    TypeError
        If `base` is not a Keras model.
    ValueError
        If `base` is not built, the selector selects no parameters, or another argument is invalid.

    See Also
    --------
    PartialNetClassifier : A scikit-learn estimator that trains such a model.
    frozenfit.selectors : The rules that select the trainable parameters.

    Notes
    -----
    The division of all parameters into trained and frozen ones is that of Rosenfeld and Tsotsos
    (2018), "Intriguing Properties of Randomly Weighted Networks", arXiv:1802.00844.

    Examples
    --------
    >>> import keras, numpy as np
    >>> from frozenfit import PartialModel
    >>> layers = [keras.layers.Dense(8, name="hidden"), keras.layers.Dense(2, name="out")]
    >>> base = keras.Sequential([keras.Input((4,)), *layers])
    >>> model = PartialModel(base, "filters(0.25) | head()")
    >>> model.compile("adam", "mse")
    >>> history = model.fit(np.ones((6, 4)), np.ones((6, 2)), verbose=0)
    >>> [(row.path, row.trainable, row.total) for row in model.parameter_table()]
    [('hidden/kernel', 8, 32), ('hidden/bias', 2, 8), ('out/kernel', 16, 16), ('out/bias', 2, 2)]
    """

    def __init__(
        self,
        base: keras.Model | Survey,
        trainable: Selector | Selection | str | float | int,
        *,
        frozen: str = "keep",
        seed: int | None = None,
        freeze_statistics: bool | str = "auto",
        rebuild: Callable[[], keras.Model] | None = None,
        name: str | None = None,
    ):
        _check_arguments(base, frozen, freeze_statistics)
        survey = base if isinstance(base, Survey) else Survey(base)
        # Without autocast: under mixed precision on torch it silently stops moving statistics.
        super().__init__(dtype=survey.model.dtype_policy, autocast=False, name=name)
        self.frozen = frozen
        self.seed = 0 if seed is None else int(seed)
        self.freeze_statistics = freeze_statistics
        self._rebuild = rebuild
        self._parts = _Parts(survey)
        self.selection = _resolve(trainable, survey, self.seed)
        self._parts.computed = computed_forms(self.selection)
        self._parts.inference_layers = self.layers_with_stored_statistics()
        self._make_variables()
        # There is nothing left to build: the base is built, and Keras would call `build` with a
        # shape.
        self.built = True

    @property
    def base(self) -> keras.Model:
        """The base network, which is never modified.

        It is not a sublayer in the sense of Keras: setting `trainable` here, or using this model
        as a layer of another one, must neither change the flags of the base nor train its weights.
        """
        return self._parts.survey.model

    @property
    def survey(self) -> Survey:
        """The weights, states and layers of the base network."""
        return self._parts.survey

    def _make_variables(self) -> None:
        parts = self._parts
        for path, form in parts.computed.items():
            variable = parts.survey.trainable[path]
            if not isinstance(form, forms.Nothing):
                value = forms.take(form, to_numpy(variable))
                constraint = self._constraint(path) if variable.constraint is not None else None
                parts.compact[path] = self._own(f"trained/{path}", value, True, constraint)
            if isinstance(form, forms.Mask | forms.Indices):
                parts.index[path] = self._own(f"index/{path}", positions(form))
            if self.frozen == "random" and not isinstance(form, forms.Everything):
                parts.random[path] = self._own(
                    f"frozen/{path}", draw_weight(self.selection.layout[path], self.seed)
                )
        for path, variable in parts.survey.states.items():
            parts.states[path] = self._own(f"state/{path}", to_numpy(variable))

    def _own(self, name: str, value: np.ndarray, trainable: bool = False, constraint=None):
        """Create a variable of the delta from a copy of a value.

        It must be a true copy, because JAX donates the buffers of variables. Autocasting is off,
        so that trainable parameters and statistics keep full precision under mixed precision.
        """
        variable = self.add_weight(
            name=name.replace("/", "__").replace(".", "_").replace("#", "_"),
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
        constraint = self._parts.survey.trainable[path].constraint

        def constrain(compact):
            trainable = ops.convert_to_tensor(compact)
            traced = self._parts.traced
            with nullcontext() if traced is None else keras.StatelessScope(traced):
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
        self._parts.traced = list(zip(self.fixed_variables, fixed, strict=True))
        try:
            yield
        finally:
            self._parts.traced = None

    def train_step(self, *args: Any) -> Any:
        """Take one training step of Keras's `fit`.

        Parameters
        ----------
        *args : object
            The arguments of the backend.

        Returns
        -------
        dict of str to tensor, or tuple
            What `keras.Model.train_step` returns on the backend.
        """
        if keras.config.backend() != "jax":
            return super().train_step(*args)
        with self.reading(args[0][1][len(self.state_variables) :]):
            return super().train_step(*args)

    def _get_jax_state(self, purge_model_variables: bool = False, **groups: bool) -> tuple:
        """Return the state for Keras's loop on JAX, with copies of the arrays of the base.

        Keras donates and purges the arrays it is given. A callback, or another thread, that uses
        the base meanwhile would read invalid memory.
        """
        state = list(super()._get_jax_state(**groups))  # pyright: ignore
        if purge_model_variables and groups.get("non_trainable_variables"):
            place, own = int(groups.get("trainable_variables", False)), len(self.state_variables)
            state[place] = [*state[place][:own], *map(ops.copy, state[place][own:])]
        return tuple(state)

    @property
    def trainable_variables(self) -> list:
        """The trainable parameters: one compact variable for each weight that has any."""
        return list(self._parts.compact.values()) if self.trainable else []

    @property
    def trainable_weights(self) -> list:
        """The same as `trainable_variables`."""
        return self.trainable_variables

    @property
    def non_trainable_variables(self) -> list:
        """The states and indices of the delta, random frozen values, and the base's variables."""
        return [*self.state_variables, *self.fixed_variables]

    @property
    def non_trainable_weights(self) -> list:
        """The same as `non_trainable_variables`."""
        return self.non_trainable_variables

    @property
    def state_variables(self) -> list:
        """BatchNorm moving statistics and seed states, which training updates without gradients."""
        return list(self._parts.states.values())

    @property
    def fixed_variables(self) -> list:
        """Variables that no step changes: indices, random frozen values, the base's variables."""
        return [*self._parts.index.values(), *self._parts.random.values(), *self.base.variables]

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Compute the outputs of the base with the trainable parameters written into its weights.

        Parameters
        ----------
        inputs : tensor
            Input of the base.
        training : bool or None, default=None
            Whether layers such as Dropout and BatchNormalization run in training mode.

        Returns
        -------
        tensor
            The outputs.
        """
        outputs, states, losses = self.apply_base(inputs, training)
        for variable, value in states:
            variable.assign(value)
        if losses:
            # One new tensor: Keras distinguishes losses by identity, and would count those that
            # the base has recorded twice.
            self.add_loss(ops.sum(ops.stack([ops.cast(x, "float32") for x in losses])))
        return outputs

    def active_variables(self, waiting: frozenset[str] = frozenset()) -> list[keras.Variable]:
        """Return the trainable variables that a phase of training updates.

        Parameters
        ----------
        waiting : frozenset of str, default=frozenset()
            Paths of weights that are not updated.

        Returns
        -------
        list of keras.Variable
            Compact variables, in the order of `trainable_variables`.
        """
        return [v for path, v in self._parts.compact.items() if path not in waiting]

    def apply_base(
        self,
        inputs: Any,
        training: bool | None = None,
        *,
        waiting: frozenset[str] = frozenset(),
        network: keras.Model | None = None,
        inference_layers: Sequence[keras.Layer] | None = None,
    ) -> tuple[Any, list[tuple[Any, Any]], list]:
        """Run the base on assembled weights without changing any variable.

        Parameters
        ----------
        inputs : tensor
            Input of the base.
        training : bool or None, default=None
            Whether layers run in training mode.
        waiting : frozenset of str, default=frozenset()
            Paths of trainable weights that are treated as constants.
        network : keras.Model or None, default=None
            A model made of layers of the base, run in its place.
        inference_layers : sequence of keras.Layer or None, default=None
            Layers that use their moving statistics in training; None leaves the choice to
            `freeze_statistics`.

        Returns
        -------
        outputs : tensor
            Outputs of the base, or of `network`.
        states : list of (Variable, tensor)
            The states of the delta that the call changed, with their new values.
        losses : list of tensor
            Losses of the base: those of regularizers and those added by layers.
        """
        parts = self._parts
        network = self.base if network is None else network
        trainable = {
            p: ops.stop_gradient(v.value) if p in waiting else v for p, v in parts.compact.items()
        }
        # By variable, not by position: the order of the variables of a model changes with its
        # flags.
        mapping = [(v, _constant(v)) for v in self.base.variables]
        mapping += [
            (v, self._assemble(p, trainable.get(p))) for p, v in parts.survey.trainable.items()
        ]
        mapping += [(v, parts.states[p].value) for p, v in parts.survey.states.items()]
        kwargs = {"training": training} if network._call_has_training_arg else {}
        inference = parts.inference_layers if inference_layers is None else inference_layers
        stored = inference_mode(list(inference)) if training else nullcontext()
        # The base computes on the mapped values and is itself unchanged.
        with keras.StatelessScope(mapping, collect_losses=True) as scope, stored:
            before = [scope.get_current_value(v) for v in parts.survey.states.values()]
            outputs = network(inputs, **kwargs)
            losses = list(self.base.losses)
            after = [scope.get_current_value(v) for v in parts.survey.states.values()]
        states = [
            (own, new)
            for own, old, new in zip(parts.states.values(), before, after, strict=True)
            if new is not old
        ]
        return outputs, states, losses

    def _zeroed(self, path: str) -> bool:
        return self.frozen == "zero" and self.selection.layout[path].role not in _NORM_ROLES

    def _frozen(self, path: str):
        variable = self._parts.random.get(path, self._parts.survey.trainable[path])
        if self._zeroed(path):
            return ops.zeros(variable.shape, dtype=variable.dtype)
        return _constant(variable)

    def _assemble(self, path: str, compact):
        """Write the trainable parameters of a weight into its frozen values."""
        form = self._parts.computed[path]
        if isinstance(form, forms.Everything):
            return ops.convert_to_tensor(compact)
        frozen = self._frozen(path)
        if compact is None:
            return frozen
        index = self._parts.index.get(path)
        return write_trained(form, frozen, ops.convert_to_tensor(compact), index)

    def _trained_of(self, path: str, whole):
        """Return the trainable parameters of an assembled weight: the inverse of `_assemble`."""
        return read_trained(self._parts.computed[path], whole, self._parts.index.get(path))

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

    @property
    def stored_statistics(self) -> tuple[str, ...]:
        """Paths of the batch normalizations that use their moving statistics in training."""
        chosen = {id(layer) for layer in self._parts.inference_layers}
        return tuple(p for p, x in self.survey.statistic_layers.items() if id(x) in chosen)

    def delta(self) -> Delta:
        """Copy the trainable parameters and states of this model.

        Returns
        -------
        Delta
            The values as NumPy arrays.
        """
        return Delta(
            {path: to_numpy(v) for path, v in self._parts.compact.items()},
            {path: to_numpy(v) for path, v in self._parts.states.items()},
        )

    def load_delta(self, delta: Delta) -> None:
        """Set the trainable parameters and states of this model.

        Parameters
        ----------
        delta : Delta
            The result of `delta` of a model with the same base and selection.

        Raises
        ------
        ValueError
            If names or shapes differ from those of this model, which is then left unchanged.
        """
        check_arrays("Trained parameters", self._parts.compact, delta.trained)
        check_arrays("States", self._parts.states, delta.states)
        parts = self._parts
        for own, given in ((parts.compact, delta.trained), (parts.states, delta.states)):
            for path, value in given.items():
                own[path].assign(np.array(value).astype(own[path].dtype))

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
        self._parts.computed = computed_forms(selection)
        for path, variable in self._parts.index.items():
            variable.assign(positions(self._parts.computed[path]))  # pyright: ignore
        for path, variable in self._parts.random.items():
            if refill:
                variable.assign(draw_weight(self.selection.layout[path], self.seed))

    def initial_delta(
        self, values: Mapping[str, np.ndarray], states: Mapping[str, np.ndarray]
    ) -> Delta:
        """Return the delta from which training starts: the values of the base.

        Parameters
        ----------
        values, states : mapping of str to ndarray
            Whole weights and states of the base, by path.

        Returns
        -------
        Delta
            The trainable parameters of `values`, and `states`.
        """
        trainable = {p: forms.take(self.selection.forms[p], values[p]) for p in self._parts.compact}
        return Delta(trainable, dict(states))

    def assembled(self) -> Iterator[tuple[str, np.ndarray]]:
        """Iterate over the weights and states that the network computes with.

        Yields
        ------
        path : str
            Path of the weight or state.
        value : ndarray
            Its whole value, frozen and trainable parameters.
        """
        for path in self._parts.survey.trainable:
            yield path, to_numpy(self._assemble(path, self._parts.compact.get(path)))
        for path, variable in self._parts.states.items():
            yield path, to_numpy(variable)

    def to_keras(self) -> keras.Model:
        """Convert to a plain Keras model that does not depend on this package.

        Returns
        -------
        keras.Model
            A new model with the architecture of the base and the assembled weights.

        Raises
        ------
        ValueError
            If Keras cannot copy the base from its configuration and `rebuild` was not given.
        """
        values = [value for _, value in self.assembled()]
        values += [to_numpy(variable) for variable in self.survey.frozen.values()]
        return plain_copy(self.survey, values, self.seed, self._rebuild)

    def parameter_table(self) -> ParameterTable:
        """Return the number of trainable parameters of each weight.

        Returns
        -------
        ParameterTable
            One row per weight of the base, in the order of the base: path, shape, which part is
            trainable, and the numbers of trainable and of all parameters.
        """
        return self.selection.table()

    @property
    def metrics(self) -> list:
        """Metrics of Keras's ``fit``, and those shown to callbacks while an estimator trains."""
        return [*super().metrics, *self._parts.shown_metrics]

    @property
    def shown_metrics(self) -> list:
        """Metrics that callbacks find in `metrics`, though the model is not compiled."""
        return self._parts.shown_metrics

    @shown_metrics.setter
    def shown_metrics(self, metrics: list) -> None:
        self._parts.shown_metrics = metrics

    def save(self, filepath: str | PathLike[str], overwrite: bool = True, **kwargs: Any) -> None:
        """Save a plain Keras model with trained and frozen parameters assembled.

        Parameters
        ----------
        filepath : str or path-like
            A file that ends in ``.keras``.
        overwrite : bool, default=True
            Whether to replace an existing file without asking.
        **kwargs : object
            Further arguments of ``keras.Model.save``.

        Raises
        ------
        ValueError
            If the base cannot be built again, see `to_keras`.

        See Also
        --------
        to_keras : The model that is saved.
        frozenfit.save : Save a fitted estimator without its frozen parameters.

        Examples
        --------
        >>> import keras, os, tempfile
        >>> from frozenfit import PartialModel
        >>> base = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.keras")
        ...     PartialModel(base, "head()").save(path)
        ...     keras.models.load_model(path).count_params()
        10
        """
        self.to_keras().save(filepath, overwrite=overwrite, **kwargs)

    def get_config(self) -> dict:
        """Raise an error, because a PartialModel has no Keras configuration.

        Returns
        -------
        dict
            Never.

        Raises
        ------
        ValueError
            Always.
        """
        raise ValueError(
            "A PartialModel has no Keras configuration. Save the estimator with frozenfit.save, "
            "or convert the model with to_keras() and save the result."
        )

    def summary(
        self,
        line_length: int | None = None,
        positions: Sequence[float] | None = None,
        print_fn: Callable[[str], object] | None = None,
        **kwargs: Any,
    ) -> None:
        """Print the summary of the base, and the table of trainable parameters.

        Parameters
        ----------
        line_length : int, default=None
            Length of the printed lines.
        positions : sequence of float, default=None
            Positions of the columns, as fractions of the length of a line.
        print_fn : callable, default=None
            Function that is called with the text; None means ``print``.
        **kwargs : object
            Further arguments of `keras.Model.summary`.
        """
        show = print if print_fn is None else print_fn
        self.base.summary(line_length=line_length, positions=positions, print_fn=show, **kwargs)
        show(str(self.parameter_table()))
        if self.stored_statistics:
            show(f"moving statistics used in training: {', '.join(self.stored_statistics)}")


class _Values(Mapping[str, np.ndarray]):
    """The values of variables by path, copied to NumPy only where a selector reads them."""

    def __init__(self, variables: Mapping[str, Any]):
        self._variables = variables

    def __getitem__(self, path: str) -> np.ndarray:
        return to_numpy(self._variables[path])

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


def _constant(variable: Any) -> Any:
    # No gradient is formed for it: torch would compute that of every variable that requires one.
    return ops.stop_gradient(ops.convert_to_tensor(variable.value))


def _resolve(trainable: Any, survey: Survey, seed: int) -> Selection:
    if isinstance(trainable, Selection):
        return trainable
    context = Context(seed=seed, values=_Values(survey.trainable))
    return as_selector(trainable).resolve(survey.layout, context)


def _check_arguments(base: Any, frozen: str, freeze_statistics: bool | str) -> None:
    if isinstance(base, Survey):
        base = base.model
    if not isinstance(base, keras.Model):
        raise TypeError(f"`base` must be a keras.Model, got {type(base).__name__}.")
    if not base.built:
        raise ValueError(
            f"`base` must be a built model, but {base.name!r} has no weights yet. Call it on an "
            "input, or call build(input_shape)."
        )
    if frozen not in _FROZEN_VALUES:
        names = ", ".join(map(repr, _FROZEN_VALUES))
        raise ValueError(f"`frozen` must be one of {names}, got {frozen!r}.")
    if freeze_statistics not in (True, False, "auto"):
        raise ValueError(
            f"`freeze_statistics` must be True, False or 'auto', got {freeze_statistics!r}."
        )
