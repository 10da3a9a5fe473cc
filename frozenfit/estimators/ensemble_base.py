"""Base class of the cheap ensembles: one base, and members that are deltas on it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, Self

import keras
import numpy as np
from sklearn.utils.validation import check_is_fitted

from frozenfit.estimators import stored_ensemble
from frozenfit.estimators.base import FitData, NetworkEstimator, TrainingInterrupted
from frozenfit.estimators.bases import make_base
from frozenfit.estimators.ensemble_members import check_members, member_selectors
from frozenfit.estimators.ensemble_settings import (
    check_settings,
    make_together,
    refuse_if_joint,
    stops_together,
)
from frozenfit.estimators.ensemble_training import Together, train_members
from frozenfit.estimators.member_outputs import member_outputs
from frozenfit.estimators.partial_base import (
    PartialNet,
    part_seeds,
    train_part,
)
from frozenfit.estimators.plans import stops_early
from frozenfit.isolation import spawn
from frozenfit.parameter_table import ParameterTable
from frozenfit.training import shared_features
from frozenfit.training.base import Base
from frozenfit.training.data import Data, split
from frozenfit.training.optimizers import OptimizerState
from frozenfit.training.streamed import AnyData
from frozenfit.training.workspace import workspace
from frozenfit.types import RandomState, Trainable
from frozenfit.utils.scikit_learn import Interval, StrOptions, callback_context

if TYPE_CHECKING:
    from frozenfit.types import ArrayLike, SamplesLike

# Attributes that an ensemble derives from its data and copies to its members.
_OF_THE_DATA = (
    "n_features_in_",
    "feature_names_in_",
    "input_shape_",
    "classes_",
    "_task",
    "_target_mean",
    "_target_scale",
    "_single_target",
    "_n_targets",
)
# Parameters of the estimator that cannot change between fits that continue.
_FIXED = ("model", "model_params", "weight_init", "trainable", "frozen", "freeze_statistics")


# Parts of a fit that have separate checkpoints.
_BASE_PART = "base"


def _member_part(number: int) -> str:
    return f"member-{number}"


def _for_part(fit_data: FitData, name: str) -> FitData:
    """Return training data with the checkpoint of one part of the ensemble."""
    checkpoint = fit_data.checkpoint
    return fit_data if checkpoint is None else replace(fit_data, checkpoint=checkpoint.part(name))


class CheapEnsemble(NetworkEstimator):
    """Base class of the two ensembles; a subclass sets `_member_class`."""

    _takes_integers = True
    _member_class: type[PartialNet]
    base_: Base
    estimators_: list[Any]
    base_history_: dict[str, list[float]]
    history_: dict[str, list[float]]
    temperature_: float
    _joint_optimizer: tuple[Any, OptimizerState] | None
    _numbers: list[int]
    _seeds: dict[str, int]
    _made: int
    _fitted_as: dict[str, Any]

    _parameter_constraints: dict = {
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "base": [StrOptions({"trained", "frozen", "joint"})],
        "base_epochs": [Interval(Integral, 1, None, closed="left")],
        "members": [StrOptions({"same", "disjoint", "adapters"}), list, tuple],
        "stopping": [StrOptions({"auto", "members", "ensemble"})],
        "vectorize": [StrOptions({"auto"}), "boolean"],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: PartialNet | None = None,
        n_estimators: int = 5,
        *,
        base: str = "trained",
        base_epochs: int = 1,
        members: str | Sequence[Trainable] = "same",
        stopping: str = "auto",
        vectorize: bool | Literal["auto"] = "auto",
        warm_start: bool = False,
        random_state: RandomState = None,
        verbose: int = 0,
    ):
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.base = base
        self.base_epochs = base_epochs
        self.members = members
        self.stopping = stopping
        self.vectorize = vectorize
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @property
    def _settings(self) -> PartialNet:
        return self._member_class() if self.estimator is None else self.estimator

    def set_params(self, **params: Any):
        """Set parameters; ``estimator__name`` sets a parameter of the members.

        Parameters
        ----------
        **params : object
            Parameter names and values. Where `estimator` is None, setting one of its parameters
            creates it with the defaults.

        Returns
        -------
        self
            The ensemble.
        """
        nested = any(name.startswith("estimator__") for name in params)
        if nested and "estimator" not in params and self.estimator is None:
            self.estimator = self._member_class()
        return super().set_params(**params)

    def _fit_data(self, *args: Any, **kwargs: Any) -> FitData:
        # Members are trained without `fit`, which would validate the parameters.
        self._settings._validate_params()
        return super()._fit_data(*args, **kwargs)

    def _needs_steps(self, one_pass: bool) -> bool:
        # `partial_fit` trains the base as `fit` does.
        trains_base = self.base == "trained" and not self.__sklearn_is_fitted__()
        return self._settings._needs_steps(one_pass and not trains_base)

    def _check_streams(self, one_pass: bool, validated: bool) -> None:
        self._settings._check_streams(one_pass, validated)

    def _settings_fitted(self) -> dict[str, Any]:
        """Return the parameters that cannot change between fits that continue."""
        settings = {f"estimator__{name}": getattr(self._settings, name) for name in _FIXED}
        return settings | {"base": self.base, "members": self.members}

    def _train(self, fit_data: FitData) -> None:
        self._n_outputs_ = fit_data.n_outputs
        check_settings(self)
        if fit_data.resume:
            self._go_on(fit_data)
            return
        seeds = spawn(fit_data.seed, "base", "selector", "held_out", "members")
        training, held_out = self._hold_out(fit_data, seeds)
        settings = self._settings
        trainer = self._part(settings.model, settings.model_params, settings.weight_init, 1.0)
        base = make_base(trainer, fit_data, part_seeds(seeds["base"])["base"])
        selectors = member_selectors(
            settings.trainable, self.members, self.n_estimators, seeds["selector"]
        )
        with workspace.check_out(base) as network:
            network.check(self.input_shape_, fit_data.n_outputs, fit_data.task)
            training = training.for_network(network, getattr(self, "feature_names_in_", None))
            if self.base != "frozen" and not network.is_copy:
                raise ValueError(
                    f"`base={self.base!r}` requires a model that can be copied, which "
                    f"{network.model.name!r} cannot. Use base='frozen', or pass the model as a "
                    "callable."
                )
            check_members(selectors, self.members, network, base, seeds["selector"])
        self._seeds, self._made, self.history_, self._joint_optimizer = seeds, 0, {}, None
        self._fitted_as = self._settings_fitted()
        with self._tasks(fit_data, len(selectors) + (self.base == "trained")) as task:
            base = self._trained_base(base, training, task)
            members = [self._member(base, trainable, i) for i, trainable in enumerate(selectors)]
            numbers = list(range(len(members)))
            self._finish(base, [], members, numbers, training, held_out, task)

    def _go_on(self, fit_data: FitData) -> None:
        """Continue the training of the members, and create those that are missing."""
        now = self._settings_fitted()
        for name, then in self._fitted_as.items():
            if now[name] is not then and now[name] != then:
                raise ValueError(
                    f"`{name}` cannot change between fits that continue: it was {then!r}, got "
                    f"{now[name]!r}. Restore it, or fit with warm_start=False."
                )
        more = self.n_estimators - len(self.estimators_)
        if more < 0 and not fit_data.one_pass:
            raise ValueError(
                f"`n_estimators` must be at least {len(self.estimators_)}, the number of fitted "
                f"members, got {self.n_estimators}. Call remove_member, or fit with "
                "warm_start=False."
            )
        more = 0 if fit_data.one_pass else more
        if more and self.base == "joint":
            raise ValueError(
                f"`n_estimators` must be {len(self.estimators_)}, the number of fitted members, "
                f"in a fit that continues with base='joint', got {self.n_estimators}: the kernels "
                "are trained for the members that there are. Fit with warm_start=False."
            )
        fresh = self._more_members(more, None) if more else []
        training, held_out = self._hold_out(fit_data, self._seeds)
        # Copies, because the fitted members must be unchanged where this fit fails.
        members = [copy.copy(member) for member in self.estimators_]
        for member in members:
            settings = self._part(member.model, None, None, member.trainable).get_params(deep=False)
            member.set_params(**settings | {"random_state": member.random_state})
        numbers = [*self._numbers, *range(self._made, self._made + more)]
        with self._tasks(fit_data, len(numbers)) as task:
            self._finish(self.base_, [], members + fresh, numbers, training, held_out, task)

    def _finish(
        self,
        base: Base,
        kept: list[PartialNet],
        members: list[PartialNet],
        numbers: list[int],
        training: FitData,
        held_out: AnyData | None,
        task: Any,
    ) -> None:
        """Train members and add them to those in `kept`, which do not change."""
        new = numbers[len(kept) :]
        together = make_together(self)
        if together is not None and self._joint_optimizer is not None:
            optimizer, state = self._joint_optimizer
            together.optimizer_state = state if optimizer == self._settings.optimizer else None
        done, stopped = self._run(members, new, training, task, together)
        if together is not None and not kept:
            self._take_training(together, training)
        rest = [m for m in members[len(done) :] if hasattr(m, "n_iter_")]
        members_now = [*kept, *done, *rest]
        # The members have trained their base.
        base = members_now[0].base_ if self._fitted_as["base"] == "joint" else base
        self._take_in(base, members_now, numbers[: len(members_now)])
        self._made = max([self._made, *(number + 1 for number in numbers)])
        self._after_members(held_out)
        if stopped is not None:
            raise TrainingInterrupted(
                f"training was interrupted at member {len(done)} of {len(members)}; the ensemble "
                "is fitted with the members trained so far"
            ) from stopped
        # Only now: trained members keep their files while others are in training.
        checkpoint = training.checkpoint
        if checkpoint is not None and not checkpoint.keep:
            for part in (_BASE_PART, *map(_member_part, new)):
                checkpoint.part(part).remove()

    def _take_training(self, together: Together, fit_data: FitData) -> None:
        """Set what training in one pass returned besides the members."""
        self.history_ = together.history
        continues = self.warm_start or fit_data.one_pass
        state = together.optimizer_state if continues else None
        self._joint_optimizer = None if state is None else (self._settings.optimizer, state)

    def _run(
        self,
        members: list[PartialNet],
        numbers: list[int],
        fit_data: FitData,
        task: Any,
        together: Together | None,
    ) -> tuple[list[PartialNet], KeyboardInterrupt | None]:
        data_of_members, seeds = [], []
        for member, number in zip(members, numbers, strict=True):
            seed, own = member._fit_seed(), _for_part(fit_data, _member_part(number))
            data_of_members.append(replace(own, seed=seed, resume=hasattr(member, "n_iter_")))
            # Members share the seed of random selectors, so that members="same" selects the
            # same parameters for all; the other seeds differ.
            seeds.append(part_seeds(seed) | {"selector": self._seeds["selector"]})
        done: list[PartialNet] = []
        training = train_members(members, data_of_members, seeds, together)
        try:
            # Members whose frozen layers agree compute the features of these layers once.
            with shared_features.sharing():
                for member in members:
                    with task("member", member):
                        next(training)
                    done.append(member)
        except KeyboardInterrupt as stop:
            if isinstance(stop, TrainingInterrupted):
                done.append(members[len(done)])
            if not done:
                raise
            return done, stop
        return done, None

    def _take_in(self, base: Base, members: list[PartialNet], numbers: list[int]) -> None:
        """Set the fitted attributes derived from base and members."""
        first = members[0].part_.selection
        for member in members[1:]:
            if member.part_.selection == first:  # one shared object: smaller pickles
                member.part_ = replace(member.part_, selection=first)
        self.base_, self.estimators_, self._numbers = base, members, list(numbers)
        self.n_iter_ = max(member.n_iter_ for member in members)
        self.n_trainable_ = sum(member.part_.selection.n_trainable for member in members)
        self.freeze_fraction_ = 1 - self.n_trainable_ / (first.total * len(members))

    def _after_members(self, held_out: AnyData | None) -> None:
        """Fit what depends on the trained members, such as a temperature."""

    def _average(self, outputs: np.ndarray) -> np.ndarray:
        """Compute the outputs of the ensemble from those of the members, (members, n, k)."""
        return outputs.mean(axis=0)

    @property
    def _calibrates(self) -> bool:
        """Whether samples are held out for something that depends on the trained members."""
        return False

    def _hold_out(self, fit_data: FitData, seeds: dict[str, int]) -> tuple[FitData, AnyData | None]:
        """Split off samples on which neither base nor members are trained, where they are needed.

        They calibrate the ensemble, and end the training of all its members.
        """
        if fit_data.validation is not None:
            return fit_data, fit_data.validation
        stops = stops_together(self) and stops_early(self._settings, fit_data)
        if not (stops or self._calibrates):
            return fit_data, None
        assert isinstance(fit_data.data, Data)  # `_check_streams` refuses a source
        rng = np.random.default_rng(seeds["held_out"])
        fraction = self._settings.validation_fraction
        # Before the base is trained: a temperature fitted on samples of training would be too low.
        stratify = fit_data.task == "classification"
        training, held_out = split(fit_data.data, fraction, rng, stratify=stratify)
        validation = held_out if stops else None
        return replace(fit_data, data=training, validation=validation), held_out

    def _part(self, model: Any, model_params: Any, weight_init: Any, trainable: Any) -> PartialNet:
        """Create a PartialNet with the settings of `estimator` and the attributes of the data."""
        settings = self._settings
        # Not cloned: a copy of a given Keras model would be another base.
        part = type(settings)(**settings.get_params(deep=False))
        part.set_params(model=model, model_params=model_params, weight_init=weight_init)
        part.set_params(trainable=trainable, warm_start=self.warm_start, verbose=self.verbose)
        part.set_params(checkpoint=None)  # `_for_part` gives each member a separate file
        known = {name: self.__dict__[name] for name in _OF_THE_DATA if name in self.__dict__}
        part.__dict__.update(known, _n_outputs_=self._n_outputs_)
        return part

    def _member(self, base: Base, trainable: Any, number: int) -> PartialNet:
        member = self._part(base, None, None, trainable)
        # The seed depends on the number alone, so members added later equal those of one fit.
        names = [str(i) for i in range(number + 1)]
        return member.set_params(random_state=spawn(self._seeds["members"], *names)[names[-1]])

    def _trained_base(self, base: Base, fit_data: FitData, task: Any) -> Base:
        """Train the whole base for `base_epochs`, and return the result as a new base."""
        if self.base != "trained":
            self.base_history_ = {}
            return base
        trainer = self._part(base, None, None, 1.0)
        trainer.set_params(epochs=self.base_epochs, early_stopping=False, warm_start=False)
        trainer.set_params(freeze_schedule=None, cache_features="auto")
        seed = self._seeds["base"]
        try:
            with task("base", trainer):
                own = _for_part(fit_data, _BASE_PART)
                plain = replace(own, seed=seed, one_pass=False)
                train_part(trainer, plain, part_seeds(seed))
        except TrainingInterrupted as stop:  # no member is trained yet, so nothing is fitted
            raise KeyboardInterrupt(*stop.args) from stop
        self.base_history_ = trainer.history_
        delta = trainer.part_.delta
        return base.with_values({**delta.trained, **delta.states})

    @contextmanager
    def _tasks(self, fit_data: FitData, count: int) -> Iterator[Any]:
        """Report the fit to scikit-learn's callbacks; yield ``task(name, part)`` for its parts."""
        root = None if fit_data.one_pass else callback_context(self, count)
        if root is not None:
            root.call_on_fit_task_begin(estimator=self, **fit_data.callback_args)

        @contextmanager
        def task(name: str, part: PartialNet) -> Iterator[None]:
            try:
                if root is None:
                    yield
                    return
                inner = root.subcontext(task_name=name)
                inner.call_on_fit_task_begin(estimator=self, **fit_data.callback_args)
                with inner.propagate_callback_context(part):
                    yield
                inner.call_on_fit_task_end(estimator=self, **fit_data.callback_args)
            finally:
                for left in ("_callback_fit_ctx", "_skl_callbacks_to_teardown"):
                    part.__dict__.pop(left, None)

        yield task
        if root is not None:
            fitted = dict(self.__dict__)
            root.call_on_fit_task_end(
                estimator=self, reconstruction_attributes=fitted, **fit_data.callback_args
            )

    def _more_members(self, count: int, selectors: Sequence[Any] | None) -> list[PartialNet]:
        how = self.members if selectors is None else selectors
        if selectors is None and not isinstance(how, str):
            raise ValueError(
                f"`members` is a list of {len(how)} selectors, which has none for {count} further "
                "members. Pass one for each as add_members(..., members=[...])."
            )
        seed, taken = self._seeds["selector"], [member.trainable for member in self.estimators_]
        trainable = member_selectors(
            self._settings.trainable, how, count, seed, parts=self.n_estimators, taken=taken
        )
        with workspace.check_out(self.base_) as network:
            check_members(trainable, how, network, self.base_, seed)
        return [self._member(self.base_, one, self._made + i) for i, one in enumerate(trainable)]

    def add_members(
        self,
        n: int,
        X: SamplesLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        members: Sequence[Trainable] | None = None,
    ) -> Self:
        """Train further members on the same base; fitted members do not change.

        Parameters
        ----------
        n : int
            Number of members to add.
        X, y, sample_weight : array-like
            Training data as in `fit`, or a source of batches as `X` alone. With the data of `fit`,
            the members equal those of a larger `n_estimators`, bit for bit with
            ``vectorize=False``.
        members : list of selectors, default=None
            Parameters that each new member trains; required if the parameter `members` is a list.

        Returns
        -------
        self
            The ensemble.

        Raises
        ------
        ValueError
            If the length of the list is not `n`, disjoint members would overlap, or the base was
            trained jointly with its members.
        """
        check_is_fitted(self)
        refuse_if_joint(self, "add_members")
        if isinstance(n, bool) or not isinstance(n, Integral) or n < 1:
            raise ValueError(f"`n` must be an int >= 1, got {n!r}.")
        with self._restored_on_error():
            fit_data = self._fit_data(X, y, sample_weight, None, None, resume=True)
            fresh = self._more_members(int(n), members)
            training, held_out = self._hold_out(fit_data, self._seeds)
            numbers = [*self._numbers, *range(self._made, self._made + len(fresh))]
            with self._tasks(replace(fit_data, one_pass=True), 0) as task:
                kept = list(self.estimators_)
                self._finish(self.base_, kept, fresh, numbers, training, held_out, task)
        return self

    def remove_member(self, i: int) -> Self:
        """Remove a member; the others do not change.

        Parameters
        ----------
        i : int
            Index of the member; the indices of those after it decrease by one.

        Returns
        -------
        self
            The ensemble.

        Raises
        ------
        ValueError
            If the member does not exist, it is the only one, or the base was trained jointly with
            its members.
        """
        check_is_fitted(self)
        refuse_if_joint(self, "remove_member")
        count = len(self.estimators_)
        if isinstance(i, bool) or not isinstance(i, Integral) or not 0 <= int(i) < count:
            raise ValueError(f"`i` must be an int from 0 to {count - 1}, got {i!r}.")
        if count == 1:
            raise ValueError("The only member cannot be removed. Call add_members first.")
        keep = [k for k in range(count) if k != i]
        members = [self.estimators_[k] for k in keep]
        numbers = [self._numbers[k] for k in keep]
        self._take_in(self.base_, members, numbers)
        return self

    def _chosen(self, n_members: Any) -> list[PartialNet]:
        count = len(self.estimators_)
        if n_members is None:
            return self.estimators_
        whole = isinstance(n_members, Integral) and not isinstance(n_members, bool)
        if not whole or not 1 <= int(n_members) <= count:
            raise ValueError(
                f"`n_members` must be an int from 1 to {count}, the number of members, got "
                f"{n_members!r}."
            )
        return self.estimators_[:n_members]

    def _member_logits(self, X: np.ndarray, n_members: Any = None) -> np.ndarray:
        """Compute the outputs of each member, shape (members, n, n_outputs)."""
        parts = [member.part_ for member in self._chosen(n_members)]
        return member_outputs(parts, X).astype(np.float64)

    def _outputs_of_members(self, X: Any) -> np.ndarray:
        """Compute the outputs of each member for an array or a source."""
        return self._over_samples(X, self._member_logits, axis=1)

    def parameter_table(self, member: int = 0) -> ParameterTable:
        """Return the number of parameters that a member trains of each weight.

        Parameters
        ----------
        member : int, default=0
            Index of the member.

        Returns
        -------
        ParameterTable
            One row per weight of the network.
        """
        check_is_fitted(self)
        return self.estimators_[member].parameter_table()

    def to_keras(self) -> keras.Model:
        """Create a plain Keras model of all members, each with a copy of the base.

        Returns
        -------
        keras.Model
            A new model that does not require frozenfit. The outputs are those of
            `PartialNetClassifier.to_keras` or `PartialNetRegressor.to_keras`.
        """
        check_is_fitted(self)
        x = keras.Input(self.input_shape_)
        outputs = []
        for i, member in enumerate(self.estimators_):
            network = member.to_keras()
            network.name = f"member{i}"
            outputs.append(network(x))
        return keras.Model(x, self._joined(keras.ops.stack(outputs)), name="ensemble")

    def _joined(self, outputs: Any) -> Any:
        """Combine the outputs of the members, a Keras tensor (members, n, n_outputs)."""
        return keras.ops.mean(outputs, axis=0)

    def _fitted_state(
        self, include_frozen: bool, include_optimizer: bool = False
    ) -> tuple[dict, dict[str, np.ndarray]]:
        return stored_ensemble.fitted_state(self, include_frozen, include_optimizer)

    def _restore(self, meta: dict, arrays: dict[str, np.ndarray], base: Any = None) -> None:
        stored_ensemble.restore(self, meta, arrays, base)
