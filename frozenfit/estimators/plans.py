"""The plan of a training run, made from the parameters of an estimator and checked as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from frozenfit.training import augmentation, epoch_count, optimizers
from frozenfit.training.callbacks import KerasCallbacks
from frozenfit.training.data import Data
from frozenfit.training.loop import Plan
from frozenfit.training.metrics import Metrics
from frozenfit.training.objective import Objective, make_loss
from frozenfit.training.schedules import FreezeSchedule, as_freeze_schedule

if TYPE_CHECKING:
    from frozenfit.estimators.base import FitData
    from frozenfit.estimators.partial_base import PartialNet
    from frozenfit.training.streamed import AnyData


def make_plan(estimator: PartialNet, fit_data: FitData, validation: AnyData | None) -> Plan:
    """Return the settings of a run, after checking them against each other.

    Parameters
    ----------
    estimator : PartialNet
        The estimator, with the attributes of the data set.
    fit_data : FitData
        Training data.
    validation : Data, StreamedData or None
        Validation samples.

    Returns
    -------
    Plan
        Where `is_piloted`, the number of epochs is that of the longest pilot run.

    Raises
    ------
    ValueError
        If the run cannot follow a schedule.
    """
    epochs = epoch_count.MOST if isinstance(estimator.epochs, str) else estimator.epochs
    epochs = 1 if fit_data.one_pass else epochs
    lr_schedule = _lr_schedule(estimator, fit_data.one_pass)
    freeze_schedule = as_freeze_schedule(estimator.freeze_schedule)
    # A rate that decays may start higher.
    decays = lr_schedule is not None or getattr(freeze_schedule, "lowers_lr", False)
    automatic = optimizers.automatic_rate(decays)

    def make() -> tuple[keras.optimizers.Optimizer, float, Any]:
        settings = estimator.optimizer, estimator.learning_rate, estimator.weight_decay
        return optimizers.make(*settings, automatic)

    # An optimizer is built for the variables of one phase, so the plan gets the function that
    # creates it.
    optimizer, rate, schedule_of_optimizer = make()
    lr_schedule = schedule_of_optimizer or lr_schedule
    if freeze_schedule is not None:
        _check_freeze_schedule(freeze_schedule, fit_data, epochs, lr_schedule, optimizer)
    return Plan(
        optimizer=lambda: make()[0],
        objective=Objective(fit_data.task, make_loss(estimator.loss, fit_data.task)),
        metrics=_metrics(estimator, fit_data),
        epochs=epochs,
        batch_size=estimator.batch_size,
        learning_rate=rate,
        lr_schedule=lr_schedule,
        freeze_schedule=freeze_schedule,
        cache_features=False if fit_data.is_streamed else estimator.cache_features,
        # `partial_fit` sees a part of the samples only.
        refresh_statistics=False if fit_data.one_pass else estimator.refresh_statistics,
        augment=augmentation.make(estimator.augment, estimator.input_shape_),
        validation=validation,
        patience=estimator.patience if stops_early(estimator, fit_data) else None,
        callbacks=KerasCallbacks(estimator.callbacks),
    )


def stops_early(estimator: PartialNet, fit_data: FitData) -> bool:
    """Return whether the validation loss may end a run.

    Parameters
    ----------
    estimator : PartialNet
        The estimator.
    fit_data : FitData
        Training data.

    Returns
    -------
    bool
        False in `partial_fit`, which is one epoch.
    """
    return estimator.early_stopping and not fit_data.one_pass


def is_piloted(estimator: PartialNet, fit_data: FitData) -> bool:
    """Return whether a pilot run chooses the number of epochs.

    Parameters
    ----------
    estimator : PartialNet
        The estimator.
    fit_data : FitData
        Training data.

    Returns
    -------
    bool
        True for ``epochs="auto"`` on a table, unless a schedule or validation ends the run.
    """
    fixed = estimator.epochs != "auto" or estimator.early_stopping
    # The samples that a pilot run holds out must be new to the network.
    if fixed or estimator.freeze_schedule is not None or fit_data.one_pass or fit_data.resume:
        return False
    return isinstance(fit_data.data, Data) and epoch_count.is_piloted(fit_data.data)


def needs_steps(estimator: PartialNet, one_pass: bool) -> bool:
    """Return whether the number of steps must be known before a run.

    Parameters
    ----------
    estimator : PartialNet
        The estimator.
    one_pass : bool
        Whether `partial_fit` was called.

    Returns
    -------
    bool
        True where a schedule depends on when training ends.
    """
    freeze_schedule = as_freeze_schedule(estimator.freeze_schedule)
    has_end = freeze_schedule is not None and freeze_schedule.needs_end
    return has_end or isinstance(_lr_schedule(estimator, one_pass), str)


def check_streams(estimator: PartialNet, one_pass: bool, validated: bool) -> None:
    """Raise a ValueError where a source of batches does not allow what the parameters ask for.

    Parameters
    ----------
    estimator : PartialNet
        The estimator.
    one_pass : bool
        Whether `partial_fit` was called.
    validated : bool
        Whether validation data are given.

    Raises
    ------
    ValueError
        If samples would have to be split, or features cached.
    """
    if estimator.early_stopping and not validated and not one_pass:
        raise ValueError(
            "`early_stopping=True` requires `X_val` where X is a source of batches, which "
            "cannot be split. Pass validation data as X_val, or set early_stopping=False."
        )
    if estimator.cache_features not in ("auto", False):
        raise ValueError(
            f"`cache_features={estimator.cache_features!r}` requires arrays, because a source of "
            "batches decides the order and may change the samples in each epoch. Use "
            "cache_features='auto', or arrays or memory maps as X and X_val."
        )


def _metrics(estimator: PartialNet, fit_data: FitData) -> Metrics:
    scale: tuple = ()
    if fit_data.task == "regression":
        regressor: Any = estimator
        scale = regressor._target_mean, regressor._target_scale
    metrics = Metrics(estimator.metrics, fit_data.task, *scale)
    metrics.check(fit_data.n_outputs)
    return metrics


def _lr_schedule(estimator: PartialNet, one_pass: bool) -> Any:
    """Return the schedule with "auto" resolved: cosine decay for automatic rates in `fit`."""
    lr_schedule = estimator.lr_schedule
    if lr_schedule == "auto":
        automatic = estimator.learning_rate == "auto" and isinstance(estimator.optimizer, str)
        freeze_schedule = as_freeze_schedule(estimator.freeze_schedule)
        decays = getattr(freeze_schedule, "lowers_lr", False)
        return "cosine" if automatic and not decays and not one_pass else None
    if one_pass and isinstance(lr_schedule, str):
        raise ValueError(
            f"`lr_schedule={lr_schedule!r}` depends on when training ends, which is not "
            "known in `partial_fit`. Use lr_schedule='auto', None or a Keras schedule."
        )
    return lr_schedule


def _check_freeze_schedule(
    freeze_schedule: FreezeSchedule,
    fit_data: FitData,
    epochs: int,
    lr_schedule: Any,
    optimizer: keras.optimizers.Optimizer,
) -> None:
    """Raise a ValueError where this fit cannot follow the freeze schedule."""
    if fit_data.one_pass and freeze_schedule.needs_end:
        raise ValueError(
            f"`freeze_schedule={freeze_schedule!r}` depends on when training ends, which is not "
            "known in `partial_fit`. Use freeze_schedule=None or LayerwiseRates."
        )
    if freeze_schedule.lowers_lr and lr_schedule is not None:
        raise ValueError(
            f"`freeze_schedule={freeze_schedule!r}` decays the learning rate of each layer and "
            f"requires `lr_schedule` to be None or 'auto', got {lr_schedule!r}."
        )
    if optimizer.use_ema:
        raise ValueError(
            "`freeze_schedule` cannot be combined with an optimizer that averages weights over "
            "all steps. Use an optimizer with use_ema=False."
        )
    freeze_schedule.check(epochs)
