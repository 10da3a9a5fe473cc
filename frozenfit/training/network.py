"""Live networks: a Keras model with the structure of a base, and the models compiled on it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from frozenfit.dead_units import LivingUnits
from frozenfit.delta import Delta, forms_key
from frozenfit.isolation import SEED_LIMIT, isolated
from frozenfit.layout import Survey
from frozenfit.partial import PartialModel, weights_of
from frozenfit.selectors import Layout, Selection
from frozenfit.thin import ThinNetwork
from frozenfit.training import optimizers, prefix, shared_features
from frozenfit.training.augmentation import CropAndFlip
from frozenfit.training.backends import Predictor, Trainer
from frozenfit.training.backends.predictor import Members
from frozenfit.training.base import Base
from frozenfit.training.data import Data
from frozenfit.training.head import squashing
from frozenfit.training.objective import Objective, Task
from frozenfit.training.phases import Phase
from frozenfit.training.recipe import quick_initial_values
from frozenfit.training.refresh import MovingStatistics
from frozenfit.training.stacked import CompiledStack
from frozenfit.utils.arrays import to_numpy

# Trainers that stay compiled for one model: enough for the phases of a freeze schedule, few enough
# that a search over optimizers does not fill the memory.
_MAX_TRAINERS = 8
# Selectors that draw units leave other units alive for each seed.
_MAX_THIN_NETWORKS = 4
# Numbers of members that stay compiled: those of an ensemble, and of members added to it.
_MAX_STACKS = 4


class Network:
    """One live Keras network of a structure, holding the values of one base at a time.

    Attributes
    ----------
    model : keras.Model
        The network.
    is_copy : bool
        False where it is the user's own model, which could not be copied.
    key : tuple
        The key of its structure.
    survey : Survey
        Its weights, states and layers; made once, for everything that runs on the network.
    """

    def __init__(self, base: Base, limit: int = 1):
        self.model, self.is_copy = base.build()
        # The key of a network may contain addresses of objects in the source, which must not be
        # given to other objects while the network is in the pool.
        self._source = base.source
        self.key = base.key
        self.survey = Survey(self.model)
        self._weights = self.survey.weights
        self._loaded: Base | None = None
        self._limit = limit
        self._compiled: OrderedDict[tuple, CompiledModel] = OrderedDict()
        self._checked: set[tuple] = set()
        self._initial_states = {p: to_numpy(v) for p, v in self.survey.states.items()}

    @property
    def layout(self) -> Layout:
        """The trainable weights of the network."""
        return self.survey.layout

    def load(self, base: Base) -> None:
        """Load the values of a base, unless they are loaded already.

        A user's own model that could not be copied has its own values and is never assigned.

        Parameters
        ----------
        base : Base
            A base that the network `matches`.

        Raises
        ------
        ValueError
            If a model that could not be copied has changed since the base was made.
        """
        if not self.is_copy:
            self._check_unchanged(base)
            return
        if self._loaded is base:
            return
        self._loaded = None
        values = self.values(base)
        for path, variable in self._weights.items():
            variable.assign(values[path])
        self._loaded = base

    def assign(self, values: Mapping[str, np.ndarray]) -> None:
        """Set some weights, until the next `load` of any base.

        Parameters
        ----------
        values : mapping of str to ndarray
            Values by path.
        """
        self._loaded = None
        for path, value in values.items():
            self._weights[path].assign(value)

    @property
    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every state, by path."""
        return {path: tuple(value.shape) for path, value in self._initial_states.items()}

    def check_values(self, values: Mapping[str, np.ndarray]) -> None:
        """Raise an error where values do not have the paths and shapes of weights and states.

        Parameters
        ----------
        values : mapping of str to ndarray
            Values of some weights and states, by path.

        Raises
        ------
        ValueError
            If a path is unknown or a shape differs.
        """
        shapes = {path: tuple(v.shape) for path, v in self._weights.items()} | self.state_shapes
        for path, value in values.items():
            if shapes.get(path) != tuple(value.shape):
                raise ValueError(
                    f"The frozen values of {path!r} must have shape "
                    f"{shapes.get(path, 'of a weight that the network has')}, got "
                    f"{tuple(value.shape)}."
                )

    def matches(self, base: Base) -> bool:
        """Return whether the values of a base with the same key can be loaded.

        Parameters
        ----------
        base : Base
            The base.

        Returns
        -------
        bool
            True for every network but a user's own model, which serves only its bases.
        """
        return self.is_copy or base.model is self.model

    def _check_unchanged(self, base: Base) -> None:
        values = self.values(base)
        changed = [
            p for p, v in self._weights.items() if not np.array_equal(to_numpy(v), values[p])
        ]
        if changed:
            raise ValueError(
                f"The model {self.model.name!r} cannot be copied, and its weight {changed[0]!r} "
                "has changed since the fit. Fit again, or pass the model as a callable."
            )

    def values(self, base: Base) -> dict[str, np.ndarray]:
        """Return all weights of a base of this structure, by path."""
        return base.values(self.survey)

    def compiled(
        self, base: Base, selection: Selection, frozen: str = "keep", statistics: bool | str = False
    ) -> CompiledModel:
        """Return the compiled partial model for a base and a selector.

        Parameters
        ----------
        base : Base
            The base.
        selection : Selection
            The trainable parameters.
        frozen : {"keep", "random", "zero"}, default="keep"
            Values of the frozen parameters.
        statistics : bool or "auto", default=False
            `freeze_statistics` of PartialModel.

        Returns
        -------
        CompiledModel
            Its values are yet to be loaded.
        """
        # Positions and values are loaded into variables, so that selections with equal forms
        # share compiled code.
        key = (forms_key(selection), frozen, statistics)
        found = self._compiled.pop(key, None) or CompiledModel(
            self, base, selection, frozen, statistics
        )
        self._compiled[key] = found
        while len(self._compiled) > self._limit:
            self._compiled.popitem(last=False)
        return found

    def check(self, input_shape: tuple[int, ...], n_outputs: int, task: Task) -> None:
        """Raise an error where the network does not match the data.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample.
        n_outputs : int
            Number of classes or targets.
        task : {"classification", "multilabel", "regression"}
            Whether the outputs are logits of classes or labels, or targets.

        Raises
        ------
        ValueError
            If the network has several inputs or outputs, their shape differs, or it ends in an
            activation.
        """
        name, asked = self.model.name, (input_shape, n_outputs, task)
        if asked in self._checked:
            return
        counts = [len(getattr(self.model, end, None) or [0]) for end in ("inputs", "outputs")]
        if counts != [1, 1]:
            raise ValueError(
                f"The model {name!r} must have one input and one output tensor, got "
                f"{counts[0]} and {counts[1]}. Train it as a PartialModel, which takes any inputs "
                "and outputs."
            )
        try:
            outputs = self.model(np.zeros((1, *input_shape), keras.config.floatx()))
        except Exception as error:
            raise ValueError(
                f"The model {name!r} does not accept samples of shape {input_shape}. Pass data of "
                "its input shape, or set image_shape."
            ) from error
        found = tuple(getattr(outputs, "shape", ()))
        if found != (1, n_outputs):
            what = {"classification": "classes", "multilabel": "labels"}.get(task, "targets")
            raise ValueError(
                f"The model {name!r} must have {n_outputs} outputs, one for each of the {what} of "
                f"y, got outputs of shape {found[1:]}. Replace its head: "
                f"frozenfit.with_head(model, {n_outputs})."
            )
        last = squashing(list(self.survey.layers.values())[-1])
        if task != "regression" and last is not None:
            raise ValueError(
                f"The model {name!r} must return logits, but it ends in {last}. Remove the "
                "activation of its last layer."
            )
        self._checked.add(asked)

    def invalidate(self) -> None:
        """Load everything again at the next use, after an exception left values half loaded."""
        self._loaded = None
        for compiled in self._compiled.values():
            compiled.invalidate()

    def initial_states(self, base: Base, seed: int) -> dict[str, np.ndarray]:
        """Return the states that training starts from.

        Parameters
        ----------
        base : Base
            A base; one that was given or trained determines moving statistics.
        seed : int
            Seed of the seed states, such as those of dropout.

        Returns
        -------
        dict of str to ndarray
            Values by path.
        """
        values = dict(self._initial_states)
        given = base.states()
        values |= {path: given[path] for path in values if path in given}
        rng = np.random.default_rng(seed)
        for path, info in self.survey.state_infos.items():
            if info.kind == "seed":
                draw = rng.integers(0, SEED_LIMIT, size=values[path].shape)
                values[path] = (draw * [1, 0]).astype(values[path].dtype)
        return values


class CompiledModel:
    """A partial model of one structure and selection, with its compiled functions.

    Attributes
    ----------
    network : Network
        The network that the model runs.
    model : PartialModel
        The model whose delta is loaded, trained and read.
    weights : PartialWeights
        Its weights.
    thin : ThinNetwork or None
        The network without dead units, which is trained and predicts in place of the whole one;
        None where none are left out.
    """

    def __init__(
        self, network: Network, base: Base, selection: Selection, frozen: str, statistics: Any
    ):
        self.network = network
        self.frozen = frozen
        with isolated(0):
            self.model = PartialModel(
                network.survey,
                selection,
                frozen=frozen,
                seed=base.seed,
                freeze_statistics=statistics,
            )
        self.weights = weights_of(self.model)
        self.thin: ThinNetwork | None = None
        self._thin_networks: OrderedDict[tuple, ThinNetwork] = OrderedDict()
        self._predictors: dict[ThinNetwork | None, Predictor] = {}
        self._prefixes: dict[tuple, prefix.Prefix | None] = {}
        self._suffix_predictors: dict[Phase, Predictor] = {}
        self._statistics: dict[tuple[Phase, ThinNetwork | None], MovingStatistics] = {}
        self._trainers: OrderedDict[tuple, Trainer] = OrderedDict()
        self._stacks: OrderedDict[tuple[int, bool, bool], CompiledStack] = OrderedDict()
        self._loaded: Delta | None = None

    def load(
        self, base: Base, selection: Selection, delta: Delta, living: LivingUnits | None = None
    ) -> None:
        """Load a base and a delta, unless they are loaded already.

        Parameters
        ----------
        base : Base
            The base.
        selection : Selection
            The trainable parameters, with the forms that the model was compiled for.
        delta : Delta
            Trained parameters and states.
        living : LivingUnits or None, default=None
            The units without which others are trained and predict; None means all.
        """
        self.network.load(base)
        self.thin = None if living is None else self._thin_network(living)
        # By identity: a delta is never changed, and comparing its arrays would cost as much as
        # loading them.
        if self._loaded is delta:
            return
        self._loaded = None
        self.weights.set_selection(selection, base.seed)
        self.model.load_delta(delta)
        self._loaded = delta

    def invalidate(self) -> None:
        """Load the delta, and those of stacks, again at the next use."""
        self._loaded = None
        for stack in self._stacks.values():
            stack.invalidate()

    def _thin_network(self, living: LivingUnits) -> ThinNetwork:
        found = self._thin_networks.pop(living.key, None)
        if found is None:
            with isolated(0), quick_initial_values():
                found = ThinNetwork(self.network.survey, living)
        self._thin_networks[living.key] = found
        while len(self._thin_networks) > _MAX_THIN_NETWORKS:
            _, old = self._thin_networks.popitem(last=False)
            self._predictors.pop(old, None)
            for key in [key for key in self._statistics if key[1] is old]:
                del self._statistics[key]
        return found

    @property
    def predictor(self) -> Predictor:
        """Computes outputs."""
        if self.thin not in self._predictors:
            self._predictors[self.thin] = Predictor(self.model, self.thin)
        return self._predictors[self.thin]

    def moving_statistics(self, phase: Phase) -> MovingStatistics:
        """Return what computes the moving statistics anew after a phase.

        Parameters
        ----------
        phase : Phase
            The phase whose inputs are given.

        Returns
        -------
        MovingStatistics
            For samples, or for the features of the frozen prefix.
        """
        thin = None if phase.from_prefix else self.thin
        key = replace(phase, per_weight=False), thin
        if key not in self._statistics:
            network = self._suffix(phase) if thin is None else thin
            self._statistics[key] = MovingStatistics(self.model, network)
        return self._statistics[key]

    def prefix(self, phase: Phase, after: Phase | None = None) -> prefix.Prefix | None:
        """Return the frozen prefix of the network in a phase.

        Parameters
        ----------
        phase : Phase
            The phase.
        after : Phase or None, default=None
            An earlier phase whose features are given, in which a part of the prefix was frozen.

        Returns
        -------
        Prefix or None
            None where the first layers with weights are active, or where nothing is left to
            compute `after` the earlier phase.
        """
        key = _frozen_in(phase), after and _frozen_in(after)
        if key not in self._prefixes:
            if after is None:
                layers = self._inference_layers(phase)
                found = prefix.find(self.model, phase.waiting, layers)
            else:
                whole, earlier = self.prefix(phase), self.prefix(after)
                assert whole is not None and earlier is not None
                found = whole.after(earlier)
            self._prefixes[key] = found
        return self._prefixes[key]

    def features(self, found: prefix.Prefix, data: Data, on_disk: bool = False) -> Data:
        """Return the features of samples at the end of a frozen prefix.

        Parameters
        ----------
        found : Prefix
            One of this model.
        data : Data
            The samples.
        on_disk : bool, default=False
            Whether shared features that do not fit into memory are stored in a file.

        Returns
        -------
        Data
            Those of another fit in a block of `shared_features.sharing`, where there are any.
        """
        limit = prefix.memory_limit()
        return shared_features.features(found, self.network.key, data, limit, on_disk)

    def stack(self, count: int, own_positions: bool, joint: bool = False) -> CompiledStack:
        """Return several members of this model, with compiled functions for all of them.

        Parameters
        ----------
        count : int
            Number of members.
        own_positions : bool
            Whether they select different positions.
        joint : bool, default=False
            Whether the kernels that they share are trained with them.

        Returns
        -------
        CompiledStack
            Its members are yet to be loaded.
        """
        key = count, own_positions, joint
        found = self._stacks.pop(key, None)
        if found is None:
            with isolated(0):
                found = CompiledStack(self.model, *key)
        self._stacks[key] = found
        while len(self._stacks) > _MAX_STACKS:
            self._stacks.popitem(last=False)
        return found

    def outputs(self, X: np.ndarray, members: Members | None = None) -> np.ndarray:
        """Compute the outputs of the network.

        Parameters
        ----------
        X : ndarray of shape (n, ...)
            Inputs.
        members : Members or None, default=None
            Members with equal frozen layers, the first of which is loaded, to compute all of them.

        Returns
        -------
        ndarray of float32, shape (n, n_outputs) or (n_members, n, n_outputs)
            The outputs. In a block of `shared_features.sharing` they are computed from shared
            features, where the network has a frozen prefix.
        """
        found, predictor = self.prefix(Phase()) if shared_features.is_sharing() else None, None
        if found is not None and found.bytes(len(X)) <= prefix.memory_limit():
            none = np.zeros(len(X), np.float32)
            X = self.features(found, Data(X, none, np.arange(len(X)), none)).X
            predictor = self.phase_predictor(Phase(from_prefix=True))
        predictor = predictor or self.predictor
        return predictor(X) if members is None else predictor.of_members(members, X)

    def _inference_layers(self, phase: Phase) -> tuple[keras.Layer, ...]:
        return tuple(self.weights.layers_with_stored_statistics(phase.waiting, phase.finished))

    def _suffix(self, phase: Phase) -> keras.Model | None:
        """Return the network that runs on cached features; None where the base runs."""
        if not phase.from_prefix:
            return None
        found = self.prefix(phase)
        assert found is not None
        return found.suffix

    def phase_predictor(self, phase: Phase) -> Predictor:
        """Return the predictor for the inputs that a phase trains on.

        Parameters
        ----------
        phase : Phase
            The phase.

        Returns
        -------
        Predictor
            For samples, or for the features of the frozen prefix.
        """
        if not phase.from_prefix:
            return self.predictor
        key = replace(phase, per_weight=False)
        if key not in self._suffix_predictors:
            self._suffix_predictors[key] = Predictor(self.model, self._suffix(phase))
        return self._suffix_predictors[key]

    def trainer(
        self,
        optimizer: keras.optimizers.Optimizer,
        objective: Objective,
        phase: Phase | None = None,
        keep_outputs: bool = False,
        augment: CropAndFlip | None = None,
    ) -> Trainer:
        """Return the compiled trainer of this model, with the optimizer at its first step.

        Parameters
        ----------
        optimizer : keras.optimizers.Optimizer
            A fresh optimizer. The first call for its settings uses it; later calls compare it.
        objective : Objective
            The loss.
        phase : Phase or None, default=None
            Which trainable weights are active; None means all of them.
        keep_outputs : bool, default=False
            Whether the trainer returns the outputs of the network for each batch.
        augment : CropAndFlip or None, default=None
            Augmentation of the batches inside the step.

        Returns
        -------
        Trainer
            Ready for the first step.
        """
        phase = phase or Phase()
        thin = None if phase.from_prefix else self._trained_thin(optimizer)
        settings = optimizers.settings(optimizer)
        key = (settings, objective.key, phase, keep_outputs, augment, thin)
        if key not in self._trainers:
            network, layers = self._suffix(phase), self._inference_layers(phase)
            if thin is not None:
                network, layers = thin, thin.copies(layers)
            with isolated(0):
                self._trainers[key] = Trainer(
                    self.model, optimizer, objective, phase, keep_outputs, network, layers, augment
                )
        self._trainers.move_to_end(key)
        while len(self._trainers) > _MAX_TRAINERS:
            self._trainers.popitem(last=False)
        trainer = self._trainers[key]
        # A cached trainer still has the optimizer state of the fit that used it before.
        trainer.reset()
        # Training changes the variables, so they no longer are those of the loaded delta.
        self._loaded = None
        return trainer

    def _trained_thin(self, optimizer: keras.optimizers.Optimizer) -> ThinNetwork | None:
        """Return the thin network, unless an optimizer may move parameters without a gradient."""
        is_known = type(optimizer).__module__.startswith("keras.")
        still = self.thin is not None and self.thin.assumes_still
        return self.thin if is_known or not still else None


def _frozen_in(phase: Phase) -> Phase:
    """Return what decides on the prefix of a phase."""
    return replace(phase, from_prefix=False, per_weight=False)
