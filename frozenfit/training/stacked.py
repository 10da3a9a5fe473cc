"""Members of an ensemble stacked on a first axis, trained and evaluated in one compiled pass.

The loss of a stack is the sum of the losses of its members. Each member has separate trainable
parameters, so that the gradient of the sum is that of each member alone, and an optimizer that
treats every number by itself takes the step of each member. What runs is the network of one
member, vectorized over the first axis by the backend. The frozen kernels have no such axis: their
products are computed for the samples of all members as one. A joint stack trains these kernels
too: the gradient of a kernel is then the sum of those of the members.
"""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from frozenfit.delta import Delta, computed_forms, positions
from frozenfit.isolation import isolated
from frozenfit.partial import PartialModel, weights_of
from frozenfit.partial_weights import variable_name
from frozenfit.selectors import Selection, forms
from frozenfit.training import optimizers
from frozenfit.training.backends import Predictor, Trainer
from frozenfit.training.objective import Objective
from frozenfit.training.phases import Phase
from frozenfit.utils.arrays import to_numpy

# Trainers that stay compiled for one stack.
_MAX_TRAINERS = 4
_NONE: Mapping[str, np.ndarray] = MappingProxyType({})


class StackTotals(NamedTuple):
    """Sums over the steps of one call, as in `Totals`, for each member.

    Attributes
    ----------
    loss, n_correct, weight : ndarray of float64, shape (n_members,)
        One sum for each member.
    """

    loss: np.ndarray
    n_correct: np.ndarray
    weight: np.ndarray


class Stack:
    """The parameters and states of members that are trained on one partial model.

    It has the attributes that a `Trainer` and a `Predictor` use of a partial model and its
    weights.

    Parameters
    ----------
    model : PartialModel
        The model of one member. Its frozen parameters are those of all members; its trainable
        parameters and states only stand for those of a member while the network is traced.
    count : int
        Number of members.
    own_positions : bool, default=False
        Whether the members select different positions.
    joint : bool, default=False
        Whether the frozen values of weights that members scale, or of which they train nothing,
        are trained with the members.

    Attributes
    ----------
    model, count
        The parameters.
    compact : dict of str to keras.Variable
        Trainable parameters of the members by path, shape (count, ...).
    shared : dict of str to keras.Variable
        Weights that are trained for all members together, by path; empty unless the stack is
        joint.
    states : dict of str to keras.Variable
        States by path, shape (count, ...).
    """

    def __init__(
        self,
        model: PartialModel,
        count: int,
        own_positions: bool = False,
        joint: bool = False,
    ):
        self.model, self.count = model, count
        self._one = weights_of(model)
        self.compact = {path: _like(v, (count,)) for path, v in self._one.compact.items()}
        self.shared = {
            path: _like(self._one.survey.trainable[path], (), variable_name(f"shared/{path}"))
            for path, form in self._one.computed.items()
            if joint and isinstance(form, forms.Nothing | forms.Scales)
        }
        self.states = {path: _like(v, (count,)) for path, v in self._one.states.items()}
        index = self._one.index.items() if own_positions else ()
        self.index = {path: _like(variable, (count,)) for path, variable in index}

    @property
    def base(self) -> keras.Model:
        """The network."""
        return self.model.base

    @property
    def compute_dtype(self) -> str:
        """The dtype of the computations."""
        return self.model.compute_dtype

    @property
    def variable_dtype(self) -> str:
        """The dtype of the variables."""
        return self.model.variable_dtype

    @property
    def trainable_variables(self) -> list:
        """Trainable parameters of all members."""
        return [*self.compact.values(), *self.shared.values()]

    @property
    def non_trainable_variables(self) -> list:
        """States of all members, and what no step changes."""
        return [*self.state_variables, *self.fixed_variables]

    @property
    def variables(self) -> list:
        """Everything that a computation reads."""
        return [*self.trainable_variables, *self.non_trainable_variables]

    @property
    def state_variables(self) -> list:
        """States, which training updates without gradients."""
        return list(self.states.values())

    @property
    def fixed_variables(self) -> list:
        """What no step changes: positions, and the frozen values of the one model."""
        return [*self.index.values(), *self._one.fixed_variables]

    def active_variables(self, waiting: frozenset[str] = frozenset()) -> list:
        """Return the trainable variables that are updated: all, because a stack has no phases."""
        return self.trainable_variables

    @contextmanager
    def reading(self, fixed: Any) -> Iterator[None]:
        """Do nothing: a stack has no constraints, which would read the fixed variables."""
        yield

    def load(
        self,
        selections: Sequence[Selection],
        deltas: Sequence[Delta],
        values: Mapping[str, np.ndarray] = _NONE,
    ) -> None:
        """Set the positions, parameters and states of all members.

        Parameters
        ----------
        selections : sequence of Selection
            One for each member, of equal forms.
        deltas : sequence of Delta
            One for each member.
        values : mapping of str to ndarray, default={}
            Values of the base by path, from which the shared weights start.
        """
        for path, variable in self.compact.items():
            variable.assign(np.stack([delta.trained[path] for delta in deltas]))
        for path, variable in self.states.items():
            variable.assign(np.stack([delta.states[path] for delta in deltas]))
        for path, variable in self.shared.items():
            variable.assign(np.array(values[path]))
        computed: list[dict[str, Any]] = [dict(computed_forms(each)) for each in selections]
        for path, variable in self.index.items():
            variable.assign(np.stack([positions(each[path]) for each in computed]))

    def deltas(self) -> list[Delta]:
        """Return a copy of the parameters and states of each member."""
        trained = {path: to_numpy(v) for path, v in self.compact.items()}
        states = {path: to_numpy(v) for path, v in self.states.items()}
        return [
            Delta(
                {path: array[i].copy() for path, array in trained.items()},
                {path: array[i].copy() for path, array in states.items()},
            )
            for i in range(self.count)
        ]

    def shared_values(self) -> dict[str, np.ndarray]:
        """Return a copy of the weights that are trained for all members together, by path."""
        return {path: to_numpy(variable) for path, variable in self.shared.items()}

    def apply(self, x: Any, training: bool, **options: Any) -> tuple[Any, list, list]:
        """Run the network of one member, in a function that `of_each` calls.

        Parameters
        ----------
        x : tensor
            Inputs of the network.
        training : bool
            Whether layers run in training mode.
        **options : object
            Further arguments of `PartialWeights.apply`.

        Returns
        -------
        outputs, states, losses
            As of `PartialWeights.apply`.
        """
        frozen = {path: variable.value for path, variable in self.shared.items()}
        return self._one.apply(x, training, in_parts=True, frozen=frozen, **options)

    def of_each(self, function: Callable[..., Any], elements: Sequence[Any] = ()) -> Any:
        """Call a function once for all members.

        Parameters
        ----------
        function : callable
            ``function(*elements)`` for one member, in which the variables of the model have the
            values of the member. It returns a tensor, or tuples of tensors.
        elements : sequence of tensor, shape (count, ...)
            Arguments of which each member gets its row.

        Returns
        -------
        tensor, or tuples of tensor
            The results of the members on a first axis.
        """
        own = self._pairs()
        variables = [one for one, _ in own]
        # Scopes are not nested: the one below has to have everything that is read in it, or JAX
        # would compile the present values as constants.
        same = [*self.shared.values(), *self._one.fixed_variables]
        same = [(variable, ops.convert_to_tensor(variable.value)) for variable in same]

        def of_one(arguments: Any) -> Any:
            values, given = arguments
            mapping = [*same, *zip(variables, values, strict=True)]
            with keras.StatelessScope(mapping):
                return function(*given)

        values = tuple(ops.convert_to_tensor(mine.value) for _, mine in own)
        return ops.vectorized_map(of_one, (values, tuple(elements)))

    def _pairs(self) -> list[tuple[Any, Any]]:
        """Return pairs of a variable of the model and the one of the members."""
        groups: list[tuple[Mapping, Mapping]] = [
            (self._one.compact, self.compact),
            (self._one.states, self.states),
            (self._one.index, self.index),
        ]
        return [(of_one[path], mine) for of_one, of_all in groups for path, mine in of_all.items()]

    def objective(
        self, objective: Objective, batch: Sequence[Any], **options: Any
    ) -> tuple[Any, tuple, list[tuple[Any, Any]], Any]:
        """Compute the losses of all members.

        Parameters
        ----------
        objective : Objective
            The loss of one member.
        batch : sequence of tensor, shape (count, batch, ...)
            Samples, targets and sample weights of each member.
        **options : object
            Arguments of `PartialWeights.apply`.

        Returns
        -------
        loss : scalar tensor
            The sum of the losses of the members.
        totals : tuple of tensor, shape (count,)
            Loss, correct predictions and weights of each member.
        states : list of (Variable, tensor)
            The states that the call changed, with their new values.
        outputs : tensor of shape (count, batch, n_outputs)
            Outputs of the network.
        """
        own = {id(self._one.states[path]): mine for path, mine in self.states.items()}
        changed: list[Any] = []

        def of_one(x: Any, y: Any, weight: Any) -> tuple:
            outputs, states, losses = self.apply(x, True, **options)
            loss, totals = objective(y, outputs, weight)
            for extra in losses:
                loss = loss + ops.cast(extra, loss.dtype)
            changed[:] = [own[id(variable)] for variable, _ in states]
            return loss, totals, tuple(value for _, value in states), ops.cast(outputs, "float32")

        loss, totals, states, outputs = self.of_each(of_one, batch)
        return ops.sum(loss), totals, list(zip(changed, states, strict=True)), outputs


class StackTrainer(Trainer):
    """Trains all members of a stack in each step.

    The arguments of `run` have an axis of members before that of the rows, and so do the outputs;
    the totals are `StackTotals`.

    Parameters
    ----------
    stack : Stack
        The members.
    optimizer : keras.optimizers.Optimizer
        A fresh optimizer that treats every number by itself.
    objective : Objective
        The loss of one member.
    own_rates : bool, default=False
        Whether each member has its own learning rate: `multipliers` then have the shape
        (steps, n_variables, n_members).
    network : keras.Model or None, default=None
        Network to run in place of the base.
    inference_layers : sequence of keras.Layer or None, default=None
        Layers that use their moving statistics during training.
    """

    _row_axis = 2

    def __init__(
        self,
        stack: Stack,
        optimizer: keras.optimizers.Optimizer,
        objective: Objective,
        own_rates: bool = False,
        network: keras.Model | None = None,
        inference_layers: Sequence[keras.Layer] | None = None,
    ):
        self._sum_shape = (stack.count,)
        model: Any = stack
        phase = Phase(per_weight=own_rates)
        super().__init__(
            model, optimizer, objective, phase, network=network, inference_layers=inference_layers
        )

    def _weights_of(self, model: Any) -> Any:
        return model

    def _totals(self, *sums: Any) -> StackTotals:
        return StackTotals(*(np.asarray(each, np.float64) for each in sums))

    def _objective(self, x, y, weight, moves=None):
        return self.weights.objective(
            self.objective,
            (x, y, weight),
            network=self.network,
            inference_layers=self.inference_layers,
        )

    def optimizer_states(self) -> list[list[np.ndarray]]:
        """Copy the optimizer's variables of each member of a stack that is not joint.

        Returns
        -------
        list of list of ndarray
            For each member what `optimizer_state` would return, if it were trained alone.
        """
        state = self.optimizer_state()
        # A scalar is a counter or rate, the same for all members.
        return [[a[i] if a.ndim else a for a in state] for i in range(self.model.count)]

    def load_optimizer_states(self, states: Sequence[list[np.ndarray]]) -> None:
        """Assign what `optimizer_states` returned, for members that took equally many steps."""
        joined = [np.stack(each) if each[0].ndim else each[0] for each in zip(*states, strict=True)]
        self.load_optimizer_state(joined)


class StackPredictor(Predictor):
    """Computes the outputs of all members of a stack, shape (n, n_members, n_outputs).

    Parameters
    ----------
    stack : Stack
        The members.
    own_samples : bool, default=False
        Whether each member has its own samples: inputs then have the shape
        (n, n_members, ...).
    network : keras.Model or None, default=None
        Network to run in place of the base.
    """

    def __init__(self, stack: Stack, own_samples: bool = False, network: keras.Model | None = None):
        self._own_samples = own_samples
        model: Any = stack
        super().__init__(model, network)

    def _weights_of(self, model: Any) -> Any:
        return model

    def _outputs(self, x: Any) -> Any:
        stack: Any = self.model

        def of_one(*given: Any) -> Any:
            samples = given[0] if given else x
            return stack.apply(samples, False, network=self.network)[0]

        own = [ops.moveaxis(x, 1, 0)] if self._own_samples else []
        # Rows first, as in the outputs of every predictor.
        return ops.moveaxis(stack.of_each(of_one, own), 0, 1)


class CompiledStack:
    """A stack with its compiled functions.

    Parameters
    ----------
    model : PartialModel
        The model of one member.
    count : int
        Number of members.
    own_positions : bool
        Whether the members select different positions.
    joint : bool, default=False
        Whether the kernels that they share are trained with them.

    Attributes
    ----------
    stack : Stack
        The members.
    """

    def __init__(self, model: PartialModel, count: int, own_positions: bool, joint: bool = False):
        self.stack = Stack(model, count, own_positions, joint)
        self._trainers: OrderedDict[tuple, StackTrainer] = OrderedDict()
        self._predictors: dict[bool, StackPredictor] = {}
        self._loaded: tuple[Any, ...] = ()

    def load(
        self,
        selections: Sequence[Selection],
        deltas: Sequence[Delta],
        values: Mapping[str, np.ndarray] = _NONE,
    ) -> None:
        """Load members, unless they are loaded already.

        Parameters
        ----------
        selections : sequence of Selection
            The trainable parameters of each member, of equal forms.
        deltas : sequence of Delta
            Trained parameters and states of each member.
        values : mapping of str to ndarray, default={}
            Values of the base by path, from which the shared weights start.
        """
        # By identity: a delta is never changed, and belongs to one selection.
        given = (values, *deltas)
        if len(given) == len(self._loaded) and all(map(operator.is_, given, self._loaded)):
            return
        self._loaded = ()
        self.stack.load(selections, deltas, values)
        self._loaded = given

    def invalidate(self) -> None:
        """Load the members again at the next use."""
        self._loaded = ()

    def trainer(
        self, optimizer: keras.optimizers.Optimizer, objective: Objective, own_rates: bool = False
    ) -> StackTrainer:
        """Return the compiled trainer, with the optimizer at its first step.

        Parameters
        ----------
        optimizer : keras.optimizers.Optimizer
            A fresh optimizer.
        objective : Objective
            The loss of one member.
        own_rates : bool, default=False
            Whether each member has its own learning rate.

        Returns
        -------
        StackTrainer
            Ready for the first step.
        """
        key = optimizers.settings(optimizer), objective.key, own_rates
        if key not in self._trainers:
            layers = weights_of(self.stack.model).layers_with_stored_statistics()
            with isolated(0):
                self._trainers[key] = StackTrainer(
                    self.stack, optimizer, objective, own_rates, inference_layers=layers
                )
        self._trainers.move_to_end(key)
        while len(self._trainers) > _MAX_TRAINERS:
            self._trainers.popitem(last=False)
        trainer = self._trainers[key]
        # A cached trainer still has the optimizer state of the fit that used it before.
        trainer.reset()
        # Training changes the variables, so they no longer are those of the loaded deltas.
        self._loaded = ()
        return trainer

    def predictor(self, own_samples: bool) -> StackPredictor:
        """Return the compiled predictor.

        Parameters
        ----------
        own_samples : bool
            Whether each member has its own samples.

        Returns
        -------
        StackPredictor
            Computes the outputs of the members that are loaded.
        """
        if own_samples not in self._predictors:
            self._predictors[own_samples] = StackPredictor(self.stack, own_samples)
        return self._predictors[own_samples]


def _like(variable: Any, axes: tuple[int, ...], name: str | None = None) -> keras.Variable:
    """Create a variable with further axes before those of another one."""
    return keras.Variable(
        np.zeros((*axes, *variable.shape), keras.backend.standardize_dtype(variable.dtype)),
        trainable=variable.trainable,
        dtype=keras.backend.standardize_dtype(variable.dtype),
        autocast=False,
        name=name or variable.name,
    )
