"""Networks compiled once, into which a base and a delta are loaded."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from frozenfit import layout as _layout
from frozenfit.isolation import isolated
from frozenfit.partial import Delta, PartialModel, Route, computed_forms
from frozenfit.selectors import Layout, Selection, forms
from frozenfit.training import prefix
from frozenfit.training.backends import Predictor, Trainer
from frozenfit.training.network import Base
from frozenfit.training.stages import Stage
from frozenfit.training.structure import all_weights

# How many trainers stay compiled for one model: a search over optimizers must not pile up, and a
# run that freezes layers over time has some stages.
_TRAINERS = 8


class Network:
    """One live Keras network of a structure, holding the values of one base at a time.

    Attributes
    ----------
    model : keras.Model
        The network.
    layout : Layout
        Its weights.
    frozen : tuple of str
        Names of the weights its builder froze.
    """

    def __init__(self, base: Base, limit: int = 1):
        self.model, self.own = base.empty()
        # The key of a network may hold addresses of what is in the recipe: it must outlive it.
        self._recipe = base.recipe
        self.layout: Layout = _layout.describe(self.model)
        self._weights = all_weights(self.model)
        self._states = _layout.states(self.model)
        self.frozen = tuple(p for p in self._weights if p.startswith("frozen:"))
        self._held: Base | None = None
        self._limit = limit
        self._compiled: OrderedDict[tuple, CompiledModel] = OrderedDict()
        self._checked: set[tuple] = set()
        self._initial_states = {p: _array(v) for p, (_, v) in self._states.items()}

    def hold(self, base: Base) -> None:
        """Load the values of a base, unless they are there already.

        A user's own model that could not be copied holds its own values, and is never assigned.

        Raises
        ------
        ValueError
            Where such a model has other values now than when it was given.
        """
        if not self.own:
            self._check_unchanged(base)
            return
        if self._held is base:
            return
        self._held = None
        values = self.values(base)
        for path, variable in self._weights.items():
            variable.assign(values[path])
        self._held = base

    @property
    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every state, by path."""
        return {path: tuple(value.shape) for path, value in self._initial_states.items()}

    def check_values(self, values: Mapping[str, np.ndarray]) -> None:
        """See that values have names and shapes of this network's weights and states.

        Parameters
        ----------
        values : mapping of str to ndarray
            Some of them, by path.

        Raises
        ------
        ValueError
            For the first that has not.
        """
        shapes = {path: tuple(v.shape) for path, v in self._weights.items()} | self.state_shapes
        for path, value in values.items():
            if shapes.get(path) != tuple(value.shape):
                raise ValueError(
                    f"the frozen values of {path!r} have shape {tuple(value.shape)}, the network "
                    f"asks for {shapes.get(path, 'no such weight')}"
                )

    def matches(self, base: Base) -> bool:
        """Say whether this network may hold a base of the same key.

        Parameters
        ----------
        base : Base
            The base.

        Returns
        -------
        bool
            A user's own model serves the bases made of it, any other network all.
        """
        return self.own or base.given is self.model

    def _check_unchanged(self, base: Base) -> None:
        values = self.values(base)
        changed = [p for p, v in self._weights.items() if not np.array_equal(_array(v), values[p])]
        if changed:
            raise ValueError(
                f"the base {self.model.name!r} could not be copied when it was given, and "
                f"{changed[0]!r} of it has changed since; fit again, or give it as a callable"
            )

    def values(self, base: Base) -> dict[str, np.ndarray]:
        """Return all weights of a base of this structure, by path."""
        return base.values(self.layout, self.frozen)

    def compiled(
        self, base: Base, selection: Selection, frozen: str = "keep", statistics: bool | str = False
    ) -> CompiledModel:
        """Return the compiled partial model for a base and a selector.

        Parameters
        ----------
        base : Base
            The base.
        selection : Selection
            What is trained.
        frozen : {"keep", "random", "zero"}, default="keep"
            What frozen parameters hold.
        statistics : bool or "auto", default=False
            As `freeze_statistics` of PartialModel.

        Returns
        -------
        Compiled
            Yet to be loaded.
        """
        key = (_forms_key(selection), frozen, statistics)
        found = self._compiled.pop(key, None) or CompiledModel(
            self, base, selection, frozen, statistics
        )
        self._compiled[key] = found
        while len(self._compiled) > self._limit:
            self._compiled.popitem(last=False)
        return found

    def check(self, input_shape: tuple[int, ...], n_outputs: int, classifies: bool) -> None:
        """See that the network takes the samples and gives one logit per class.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample.
        n_outputs : int
            Number of classes or targets.
        classifies : bool
            Which of the two.

        Raises
        ------
        ValueError
            Where it does not, with what was found.
        """
        name, asked = self.model.name, (input_shape, n_outputs, classifies)
        if asked in self._checked:
            return
        try:
            outputs = self.model(np.zeros((1, *input_shape), keras.config.floatx()))
        except Exception as error:
            raise ValueError(
                f"the model {name!r} does not take samples of shape {input_shape}; give data of "
                "the shape it was made for, or image_shape"
            ) from error
        found = tuple(getattr(outputs, "shape", ()))
        if found != (1, n_outputs):
            what = "classes" if classifies else "targets"
            raise ValueError(
                f"the model {name!r} gives outputs of shape {found[1:]}, but y has {n_outputs} "
                f"{what}; end it in Dense({n_outputs})"
            )
        squashing = _last_activation(self.model)
        if classifies and squashing in ("softmax", "sigmoid", "log_softmax"):
            raise ValueError(
                f"the model {name!r} ends in {squashing}, but the loss needs logits; take the "
                "activation off its last layer"
            )
        self._checked.add(asked)

    def forget(self) -> None:
        """Load everything anew at the next use, after an exception left values half loaded."""
        self._held = None
        for compiled in self._compiled.values():
            compiled.forget()

    def initial_states(self, base: Base, seed: int) -> dict[str, np.ndarray]:
        """Return the states training starts from.

        Parameters
        ----------
        base : Base
            Whose statistics are taken where it was given.
        seed : int
            Seed of the seed states, such as those of dropout.

        Returns
        -------
        dict of str to ndarray
            State path to value.
        """
        values = dict(self._initial_states)
        if base.given is not None:
            values = {p: _array(v) for p, (_, v) in _layout.states(base.given).items()}
        if base.kept:
            stored = base.stored(self.layout, self.frozen)
            values |= {p: stored[p] for p in values if p in stored}
        rng = np.random.default_rng(seed)
        for path, (info, variable) in self._states.items():
            if info.kind == "seed":
                draw = rng.integers(0, 2**31 - 1, size=variable.shape)
                values[path] = (draw * [1, 0]).astype(values[path].dtype)
        return values


class CompiledModel:
    """A partial model of one structure and selector with its compiled functions.

    Attributes
    ----------
    network : Network
        The network below.
    model : PartialModel
        The model whose delta is loaded, trained and taken out.
    predictor : Predictor
        Computes outputs.
    """

    def __init__(
        self, network: Network, base: Base, selection: Selection, frozen: str, statistics: Any
    ):
        self.network = network
        self.frozen = frozen
        with isolated(0):
            self.model = PartialModel(
                network.model,
                selection,
                frozen=frozen,
                seed=base.seed,
                freeze_statistics=statistics,
            )
        self.predictor = Predictor(self.model)
        self._prefixes: dict[Stage, prefix.Prefix | None] = {}
        self._rests: dict[Stage, Predictor] = {}
        self._trainers: OrderedDict[tuple, Trainer] = OrderedDict()
        self._held: Delta | None = None

    def load(self, base: Base, selection: Selection, delta: Delta) -> None:
        """Make the network compute as a base with a delta on it.

        Parameters
        ----------
        base : Base
            The base.
        selection : Selection
            What is trained; of the same form as the one compiled for.
        delta : Delta
            Trainable parameters and states.
        """
        self.network.hold(base)
        if self._held is delta:
            return
        self._held = None
        self.model.set_selection(selection, base.seed)
        self.model.load_delta(delta)
        self._held = delta

    def forget(self) -> None:
        """Load anew at the next use."""
        self._held = None

    def prefix(self, stage: Stage) -> prefix.Prefix | None:
        """Return the frozen beginning of the network in a stage.

        Parameters
        ----------
        stage : Stage
            Which trainable weights do not move.

        Returns
        -------
        Prefix or None
            None where the first layers with weights move.
        """
        key = replace(stage, from_prefix=False)
        if key not in self._prefixes:
            self._prefixes[key] = prefix.find(self.model, self._route(key))
        return self._prefixes[key]

    def _route(self, stage: Stage) -> Route:
        stored = self.model.layers_with_stored_statistics(stage.still, stage.finished)
        network = None
        if stage.from_prefix:
            found = self.prefix(stage)
            assert found is not None
            network = found.rest
        return Route(network, stage.still, tuple(stored))

    def predictor_of(self, stage: Stage) -> Predictor:
        """Return what computes outputs in a stage, from the data its trainer takes.

        Parameters
        ----------
        stage : Stage
            The stage.

        Returns
        -------
        Predictor
            From samples, or from the outputs of the frozen beginning.
        """
        if not stage.from_prefix:
            return self.predictor
        key = replace(stage, by_weight=False)
        if key not in self._rests:
            self._rests[key] = Predictor(self.model, self._route(stage))
        return self._rests[key]

    def trainer(
        self, optimizer: keras.optimizers.Optimizer, loss: str, stage: Stage | None = None
    ) -> Trainer:
        """Return the compiled training of this model, slots reset.

        Parameters
        ----------
        optimizer : keras.optimizers.Optimizer
            A fresh optimizer; used on the first call with its settings, and only compared later.
        loss : str
            Name of a loss of `frozenfit.training.backends`.
        stage : Stage or None, default=None
            What moves; None moves all that is learned.

        Returns
        -------
        Trainer
            Ready for the first step.
        """
        stage = stage or Stage()
        key = (_optimizer_key(optimizer), loss, stage)
        if key not in self._trainers:
            with isolated(0):
                route = self._route(stage)
                self._trainers[key] = Trainer(self.model, optimizer, loss, route, stage.by_weight)
        self._trainers.move_to_end(key)
        while len(self._trainers) > _TRAINERS:
            self._trainers.popitem(last=False)
        trainer = self._trainers[key]
        trainer.reset()
        self._held = None
        return trainer


class Workspace:
    """A bounded pool of live networks, least recently used first out.

    Parameters
    ----------
    limit : int, default=8
        How many networks are kept, and how many partial models on each.

    Notes
    -----
    A network is borrowed: while one fit trains in it, another thread or a callback that predicts
    gets another network of the same structure.
    """

    def __init__(self, limit: int = 8):
        self.limit = limit
        self._lock = threading.Lock()
        self._free: list[tuple[tuple, Network]] = []

    @contextmanager
    def check_out(self, base: Base) -> Iterator[Network]:
        """Lend a network with the structure of a base, built where none is free.

        Parameters
        ----------
        base : Base
            The base.

        Yields
        ------
        Network
            For the caller alone until the block ends.
        """
        key = (*base.key, keras.distribution.distribution())
        network = self._take(key, base) or Network(base, self.limit)
        try:
            yield network
        except BaseException:
            network.forget()
            raise
        finally:
            with self._lock:
                self._free.append((key, network))
                del self._free[: -self.limit]

    def _take(self, key: tuple, base: Base) -> Network | None:
        with self._lock:
            for i in reversed(range(len(self._free))):
                if self._free[i][0] == key and self._free[i][1].matches(base):
                    return self._free.pop(i)[1]
        return None

    def clear(self) -> None:
        """Forget every network that is not in use."""
        with self._lock:
            self._free.clear()


workspace = Workspace()


def clear_workspace() -> None:
    """Forget all compiled networks and free their memory.

    Fits, folds, trials and members of the same shapes share compiled networks; a bounded number
    is kept. Fitted estimators are not affected: their next call compiles again.

    Examples
    --------
    >>> import frozenfit
    >>> frozenfit.clear_workspace()
    """
    workspace.clear()


def _last_activation(model: keras.Model) -> str:
    _, layer = _layout.leaf_layers(model)[-1]
    activation = getattr(layer, "activation", None)
    return getattr(activation, "__name__", type(layer).__name__).lower()


def _forms_key(selection: Selection) -> tuple:
    """Say what the compiled code depends on: indices and masks are loaded, so only their size."""
    return tuple((p, *_form_key(form)) for p, form in computed_forms(selection).items())


def _form_key(form: forms.Form) -> tuple:
    if isinstance(form, forms.Leading):
        return ("leading", form.axis, form.count)
    if isinstance(form, forms.Indices):
        return ("indices", form.axis, len(form.indices))
    if isinstance(form, forms.Mask):
        return ("mask", int(form.array.sum()))
    return (type(form).__name__,)


def _optimizer_key(optimizer: keras.optimizers.Optimizer) -> tuple:
    config = dict(optimizer.get_config())
    config.pop("learning_rate", None)
    config.pop("name", None)
    return type(optimizer), json.dumps(config, sort_keys=True, default=str)


def _array(variable: Any) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(variable))
