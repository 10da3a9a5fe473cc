"""Base class of PartialNetClassifier and PartialNetRegressor."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, Literal

import keras
import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from frozenfit.delta import Delta
from frozenfit.estimators import fit_checks, plans, stored
from frozenfit.estimators.base import FitData, NetworkEstimator, TrainingInterrupted
from frozenfit.estimators.bases import make_base
from frozenfit.estimators.fit_signature import signature
from frozenfit.estimators.fitted_part import FittedPart
from frozenfit.estimators.tasks import EpochTasks
from frozenfit.frozen_values import is_drawable, partly_frozen
from frozenfit.isolation import spawn
from frozenfit.parameter_table import ParameterTable
from frozenfit.partial import PartialModel
from frozenfit.selectors import Context, Selection, Selector, as_selector, forms
from frozenfit.training import epoch_count, sent_model
from frozenfit.training.base import Base
from frozenfit.training.checkpoint import Checkpoint, CheckpointFile
from frozenfit.training.data import Data, split
from frozenfit.training.fisher import diagonal_fisher
from frozenfit.training.loop import Plan, TrainResult, train
from frozenfit.training.network import CompiledModel, Network
from frozenfit.training.optimizers import OptimizerState
from frozenfit.training.progress import EpochProgress
from frozenfit.training.schedules import LR_SCHEDULES, FreezeSchedule
from frozenfit.training.streamed import AnyData
from frozenfit.training.workspace import workspace
from frozenfit.types import (
    Augmentation,
    CheckpointLike,
    FreezeScheduleLike,
    FrozenValues,
    LearningRateSchedule,
    Loss,
    MetricList,
    Optimizer,
    RandomState,
    Shape,
    Trainable,
    WeightInit,
)
from frozenfit.types import KerasCallbacks as KerasCallbackList
from frozenfit.types import Network as NetworkLike
from frozenfit.utils import sent_once
from frozenfit.utils.scikit_learn import Interval, StrOptions, clone_parametrized


def part_seeds(seed: int) -> dict[str, int]:
    """Return the seeds of the random streams of one fit.

    Each name has an independent stream, so that a change of one, such as an earlier stop, does not
    affect the others.
    """
    return spawn(seed, "base", "selector", "states", "split", "batches")


class PartialNet(NetworkEstimator):
    """Base class of the two estimators; stores a base and a delta instead of a Keras model."""

    _takes_integers = True
    base_: Base
    history_: dict[str, list[float]]
    n_iter_: int
    freeze_fraction_: float
    part_: FittedPart
    callbacks_: list[keras.callbacks.Callback]
    _fitted_as: dict[str, Any]
    _n_outputs_: int

    _parameter_constraints: dict = {
        "model": [str, callable, keras.Model, Base, NetworkEstimator, FrozenEstimator],
        "model_params": [dict, None],
        "trainable": [Real, str, Selector],
        "frozen": [StrOptions({"auto", "random", "zero", "keep"})],
        "weight_init": [str, keras.initializers.Initializer, None],
        "epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "loss": [str, keras.losses.Loss, callable],
        "metrics": [list, tuple, None],
        "optimizer": [str, keras.optimizers.Optimizer],
        "learning_rate": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "lr_schedule": [
            StrOptions({"auto", *LR_SCHEDULES}),
            keras.optimizers.schedules.LearningRateSchedule,
            None,
        ],
        "freeze_schedule": [FreezeSchedule, str, None],
        "freeze_statistics": [StrOptions({"auto"}), "boolean"],
        "refresh_statistics": [StrOptions({"auto"}), "boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "augment": [str, list, tuple, keras.Layer, None],
        "image_shape": [list, tuple, None],
        "cache_features": [StrOptions({"auto", "disk"}), "boolean"],
        "callbacks": [list, tuple, keras.callbacks.Callback, None],
        "checkpoint": [str, os.PathLike, Checkpoint, None],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        model: NetworkLike = "mlp",
        *,
        model_params: dict[str, Any] | None = None,
        trainable: Trainable = 0.1,
        frozen: FrozenValues = "auto",
        weight_init: WeightInit = None,
        epochs: int | Literal["auto"] = "auto",
        batch_size: int = 32,
        loss: Loss = "auto",
        metrics: MetricList = None,
        optimizer: Optimizer = "adam",
        learning_rate: float | Literal["auto"] = "auto",
        weight_decay: float = 0.0,
        lr_schedule: LearningRateSchedule = "auto",
        freeze_schedule: FreezeScheduleLike = None,
        freeze_statistics: bool | Literal["auto"] = "auto",
        refresh_statistics: bool | Literal["auto"] = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 5,
        augment: Augmentation = None,
        image_shape: Shape | None = None,
        cache_features: bool | Literal["auto", "disk"] = "auto",
        callbacks: KerasCallbackList = None,
        checkpoint: CheckpointLike = None,
        warm_start: bool = False,
        random_state: RandomState = None,
        verbose: int = 0,
    ):
        self.model = model
        self.model_params = model_params
        self.trainable = trainable
        self.frozen = frozen
        self.weight_init = weight_init
        self.epochs = epochs
        self.batch_size = batch_size
        self.loss = loss
        self.metrics = metrics
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.lr_schedule = lr_schedule
        self.freeze_schedule = freeze_schedule
        self.freeze_statistics = freeze_statistics
        self.refresh_statistics = refresh_statistics
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.augment = augment
        self.image_shape = image_shape
        self.cache_features = cache_features
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the callbacks of the last fit, which may hold open files."""
        state: Any = super().__getstate__()
        state = {name: value for name, value in state.items() if name != "callbacks_"}
        return state | {"model": sent_model.referenced(self.model)}

    def __sklearn_clone__(self) -> Any:
        """Return an unfitted copy on the same `model`, where that is a network.

        No fit changes a given network, so that clones can share it: a search on a large network
        holds it once, and a network with layers that Keras cannot copy can be searched on too. A
        fitted estimator stays fitted. The workers of a dask cluster receive the network once.
        """
        _send(self.model)
        shared = isinstance(self.model, keras.Model | NetworkEstimator)
        if not shared:
            return clone_parametrized(self)
        bare = copy.copy(self)
        bare.model = "mlp"
        clone: Any = clone_parametrized(bare)
        clone.model = self.model
        return clone

    def _train(self, fit_data: FitData) -> None:
        train_part(self, fit_data, part_seeds(fit_data.seed))

    def _asked(self) -> dict[str, Any]:
        """Return the parameters that determine what is trained, to detect changes between fits."""
        params = dict(self.model_params or {})
        return {
            "model": self.model,
            "model_params": params,
            "trainable": self.trainable,
            "freeze_statistics": self.freeze_statistics,
        }

    def _check_same_network(self) -> None:
        """Raise a ValueError where the network has changed since the last fit."""
        now = self._asked()
        for name in ("model", "model_params"):
            if now[name] is not self._fitted_as[name] and now[name] != self._fitted_as[name]:
                raise ValueError(
                    f"`{name}` cannot change between fits that continue: it was "
                    f"{self._fitted_as[name]!r}, got {now[name]!r}. Restore it, or fit with "
                    "warm_start=False."
                )

    def _start(
        self, fit_data: FitData, network: Network, base: Base, seeds: dict[str, int]
    ) -> FittedPart:
        """Return the part to train, with the delta that training starts from."""
        state_seed = seeds["states"]
        if fit_data.resume:
            if self._asked() == self._fitted_as:
                return self.part_
            seeds = self.part_.seeds
        context = Context(
            seed=seeds["selector"],
            values=network.values(base),
            fisher=lambda: diagonal_fisher(network, base, fit_data.data.first, fit_data.task),
        )
        selection = as_selector(self.trainable).resolve(network.layout, context)
        frozen, statistics = self._mode(base)
        if fit_data.resume:
            if not network.is_copy:
                raise ValueError(
                    f"`trainable` cannot change between fits of the model {network.model.name!r}, "
                    "because the model cannot be copied. Pass it as a callable."
                )
            if self.freeze_statistics == self._fitted_as["freeze_statistics"]:
                statistics = self.part_.statistics
            # Trained parameters that are frozen from here on keep their values, so the base takes
            # them: scaled kernels have the signs that their scales started at, masked ones the
            # zeros and the size of what is kept.
            selection = _continued(selection)
            base, frozen = base.with_values(dict(self.model_.assembled())), "keep"
        elif frozen == "random" and network.is_copy:
            # A compiled model draws these values itself, which several members of an ensemble
            # share; only values that no seed gives back need a base.
            if not all(map(is_drawable, partly_frozen(selection))):
                base, frozen = base.with_random_frozen(selection, network.survey), "keep"
        states = network.initial_states(base, state_seed)
        compiled = network.compiled(base, selection, frozen, statistics)
        delta = compiled.weights.initial_delta(selection, network.values(base), states)
        return FittedPart(base, selection, frozen, statistics, seeds, delta)

    def _mode(self, base: Base) -> tuple[str, bool | str]:
        """Return `frozen` and `freeze_statistics` as arguments of PartialModel.

        The values of a base drawn from a seed are random already, so "random" becomes "keep"
        there.
        """
        frozen = self.frozen
        if frozen == "auto" or (frozen == "random" and not base.pretrained):
            frozen = "keep"
        statistics = self.freeze_statistics
        if statistics == "auto" and not (base.pretrained and frozen == "keep"):
            statistics = False
        return frozen, statistics

    def _run(
        self,
        fit_data: FitData,
        compiled: CompiledModel,
        part: FittedPart,
        seeds: Mapping[str, int],
    ) -> TrainResult:
        data, plan = self._data_and_plan(fit_data, seeds)
        if plans.is_piloted(self, fit_data):
            assert isinstance(data, Data)  # a source of batches cannot be split
            rng = np.random.default_rng(seeds["split"])
            plan.epochs = epoch_count.choose(compiled, data, plan, rng)
            part.load(compiled.network)
        optimizer_state = self._optimizer_state_to_load(part)
        if fit_data.checkpoint is not None:
            about = signature(self, fit_data, part, optimizer_state)
            plan.checkpoint = CheckpointFile(fit_data.checkpoint, about)

        def attributes(history: dict[str, list[float]], delta: Delta | None) -> dict[str, Any]:
            joined = self._joined_history(fit_data, history)
            now = replace(part, delta=delta or compiled.model.delta())
            return _fitted_attributes(now, joined)

        title, summary = type(self).__name__, part.selection.table().summary
        with (
            EpochProgress(plan.epochs, int(self.verbose), title, summary) as bar,
            EpochTasks(self, fit_data, plan.epochs, attributes) as tasks,
        ):
            plan.epoch_callbacks = bar, tasks
            rng = np.random.default_rng(seeds["batches"])
            result = train(compiled, data, plan, rng, optimizer_state)
            tasks.delta = result.delta
            return result

    def _data_and_plan(self, fit_data: FitData, seeds: Mapping[str, int]) -> tuple[AnyData, Plan]:
        """Return the samples to train on and the settings of the run."""
        data, validation = self._split(fit_data, np.random.default_rng(seeds["split"]))
        return data, plans.make_plan(self, fit_data, validation)

    def _needs_steps(self, one_pass: bool) -> bool:
        return plans.needs_steps(self, one_pass)

    def _check_streams(self, one_pass: bool, validated: bool) -> None:
        plans.check_streams(self, one_pass, validated)

    def _split(self, fit_data: FitData, rng: np.random.Generator) -> tuple[AnyData, AnyData | None]:
        if fit_data.validation is not None or not plans.stops_early(self, fit_data):
            return fit_data.data, fit_data.validation
        assert isinstance(fit_data.data, Data)  # `_check_streams` refuses a source
        stratify = fit_data.task == "classification"
        return split(fit_data.data, self.validation_fraction, rng, stratify)

    def _joined_history(self, fit_data: FitData, new: dict[str, list[float]]) -> dict:
        old = self.history_ if fit_data.resume else {}
        epochs, more = len(old.get("loss", [])), len(new.get("loss", []))
        return {
            name: [*old.get(name, [np.nan] * epochs), *new.get(name, [np.nan] * more)]
            for name in {**old, **new}
        }

    def _keep_optimizer_state(self, fit_data: FitData, result: TrainResult) -> None:
        """Keep the optimizer state only where training may continue: it triples the estimator."""
        if result.optimizer_state is not None and (self.warm_start or fit_data.one_pass):
            self._optimizer_state, self._optimizer_state_of = result.optimizer_state, self.optimizer
        else:
            self.__dict__.pop("_optimizer_state", None)

    def _optimizer_state_to_load(self, part: FittedPart) -> OptimizerState | None:
        """Return the optimizer state of the last call if it matches the parameters to train."""
        optimizer_state = getattr(self, "_optimizer_state", None)
        if (
            optimizer_state is None
            # By identity: `_start` returns the fitted part itself only where the same parameters
            # are trained on.
            or part is not self.part_
            or self._optimizer_state_of != self.optimizer
        ):
            return None
        return optimizer_state

    def _as_base(self) -> Base:
        """Return the trained network as a base for another estimator."""
        if not self.__sklearn_is_fitted__():
            raise ValueError(
                f"`model` must be a fitted estimator, but this {type(self).__name__} is not "
                "fitted. Fit it first. Where a parameter grid holds it, wrap it in "
                "sklearn.frozen.FrozenEstimator, because scikit-learn clones the values of a grid."
            )
        return self.part_.trained_base

    def _logits(self, X: np.ndarray) -> np.ndarray:
        return self.part_.outputs(X)

    def _fitted_state(
        self, include_frozen: bool, include_optimizer: bool = False
    ) -> tuple[dict, dict[str, np.ndarray]]:
        return stored.fitted_state(self, include_frozen, include_optimizer)

    def _restore(self, meta: dict, arrays: dict[str, np.ndarray], base: Any = None) -> None:
        set_fitted(self, stored.restore(self, meta, arrays, base), meta["history"])

    @property
    def model_(self) -> PartialModel:
        """The fitted `PartialModel`; the same object until the next fit."""
        check_is_fitted(self)
        return self.part_.model

    def to_keras(self) -> keras.Model:
        """Create a plain Keras model with trained and frozen parameters assembled.

        Returns
        -------
        keras.Model
            A new model that does not require frozenfit. A classifier's model returns logits. A
            regressor's model returns targets on the scale of training, ``(y - mean) / std`` with
            the mean and standard deviation of the training targets.
        """
        return self.model_.to_keras()

    def thin_model(self) -> keras.Model:
        """Create a plain Keras model of the units of the network that are not dead.

        With ``frozen="zero"``, a unit whose incoming weights are all frozen is zero for every
        sample. The model without these units is smaller and has the same outputs.

        Returns
        -------
        keras.Model
            A new model, as that of `to_keras`; with all units where none can be left out.

        See Also
        --------
        to_keras : The network with all units.
        """
        return self.model_.thin_model()

    def parameter_table(self) -> ParameterTable:
        """Return the number of trained parameters of each weight.

        Returns
        -------
        ParameterTable
            One row per weight of the network: path, shape, which part is trained, and the numbers
            of trained and of all parameters.
        """
        check_is_fitted(self)
        return self.part_.selection.table()

    def summary(self) -> None:
        """Print the network with the number of trained and frozen parameters of each weight."""
        check_is_fitted(self)
        self.model_.summary()
        print(f"{self.parameter_table().summary}, {self.freeze_fraction_:.2%} frozen")

    def _html_repr(self) -> str:
        html = super()._html_repr()
        fitted = self.__sklearn_is_fitted__()
        return html + self.parameter_table()._html() if fitted else html


def train_part(estimator: PartialNet, fit_data: FitData, seeds: dict[str, int]) -> None:
    """Train an estimator on validated data, and set its fitted attributes.

    Parameters
    ----------
    estimator : PartialNet
        The estimator, with the attributes of the data set. The base is its `model`, where that is
        a base; ensembles train their members in this way.
    fit_data : FitData
        Training data.
    seeds : dict of str to int
        The result of `part_seeds`.

    Raises
    ------
    TrainingInterrupted
        If the user interrupted training; the estimator is fitted.
    """
    base = make_base(estimator, fit_data, seeds["base"])
    with workspace.check_out(base) as network:
        fit_data, part = start_part(estimator, fit_data, network, base, seeds)
        result = estimator._run(fit_data, part.load(network), part, seeds)
    finish_part(estimator, fit_data, part, result)


def start_part(
    estimator: PartialNet, fit_data: FitData, network: Network, base: Base, seeds: dict[str, int]
) -> tuple[FitData, FittedPart]:
    """Check data against a network, and determine what is trained.

    Parameters
    ----------
    estimator, fit_data, seeds
        Arguments of `train_part`.
    network : Network
        A network with the structure of the base.
    base : Base
        The result of `make_base`.

    Returns
    -------
    fit_data : FitData
        The same with samples of the dtype of the network.
    part : FittedPart
        What is trained, with the delta that training starts from.
    """
    network.check(estimator.input_shape_, fit_data.n_outputs, fit_data.task)
    names = getattr(estimator, "feature_names_in_", None)
    fit_data = fit_data.for_network(network, names)
    part = estimator._start(fit_data, network, base, seeds)
    if part.frozen == "zero":
        compiled, first = part.load(network), fit_data.data.first
        fit_checks.check_depends_on_samples(compiled, part, first, estimator.trainable)
    return fit_data, part


def finish_part(
    estimator: PartialNet, fit_data: FitData, part: FittedPart, result: TrainResult
) -> None:
    """Set the fitted attributes of an estimator after training.

    Parameters
    ----------
    estimator, fit_data
        Arguments of `train_part`.
    part : FittedPart
        The result of `start_part`.
    result : TrainResult
        What training returned.

    Raises
    ------
    ValueError
        If a trained parameter is not finite.
    TrainingInterrupted
        If the user interrupted training; the estimator is fitted.
    """
    # Before any attribute is set: the estimator keeps its last fit when training diverges.
    fit_checks.check_finite(result.delta)
    history = estimator._joined_history(fit_data, result.history)
    estimator._n_outputs_ = fit_data.n_outputs
    estimator._keep_optimizer_state(fit_data, result)
    set_fitted(estimator, replace(part, delta=result.delta), history)
    estimator.callbacks_ = result.callbacks
    if result.interrupted:
        raise TrainingInterrupted(
            f"training was interrupted after {estimator.n_iter_} epochs; the estimator is fitted "
            "with the parameters reached so far"
        )


def _continued(selection: Selection) -> Selection:
    """Return a selection with which training starts from the network as it is.

    Scales start at 1, and masks keep the entries with the largest values, without another factor.
    """
    kernels: dict[str, forms.Form] = {}
    for path, form in selection.items():
        if isinstance(form, forms.Scales):
            kernels[path] = replace(form, signs=None)
        elif isinstance(form, forms.Supermask):
            kernels[path] = replace(form, seed=None, rescale=False)
    return Selection({**selection.forms, **kernels}, selection.layout) if kernels else selection


def _send(model: Any) -> None:
    """Send a network to the workers of the dask cluster that joblib uses, where there is one."""
    inner: Any = model.estimator if isinstance(model, FrozenEstimator) else model
    if isinstance(inner, PartialNet) and inner.__sklearn_is_fitted__():
        n_bytes = sum(value.nbytes for value in inner.part_.delta.trained.values())
        sent_once.send(inner.part_, n_bytes)
        inner = inner.part_.base
    source = inner.model if isinstance(inner, Base) else inner
    if isinstance(source, keras.Model):
        sent_model.send(source)


def set_fitted(estimator: PartialNet, part: FittedPart, history: dict[str, list[float]]) -> None:
    """Set the fitted attributes of an estimator.

    Parameters
    ----------
    estimator : PartialNet
        The estimator.
    part : FittedPart
        Its trained part.
    history : dict of str to list of float
        Metrics of each epoch.
    """
    estimator.__dict__.update(_fitted_attributes(part, history))
    estimator._fitted_as = estimator._asked()


def _fitted_attributes(part: FittedPart, history: dict[str, list[float]]) -> dict[str, Any]:
    return {
        "base_": part.base,
        "part_": part,
        "history_": history,
        "n_iter_": len(history.get("loss", [])),  # none where the first epoch was interrupted
        "freeze_fraction_": part.freeze_fraction,
    }
