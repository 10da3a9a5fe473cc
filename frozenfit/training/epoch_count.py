"""The number of epochs for ``epochs="auto"``, chosen by a pilot run on tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import keras
import numpy as np

from frozenfit.training.callbacks import KerasCallbacks
from frozenfit.training.data import Data, split
from frozenfit.training.loop import Plan, train
from frozenfit.training.metrics import Metrics
from frozenfit.training.network import CompiledModel

# Measured on ten tables, see docs/defaults.md.
MOST = 20
_FEWEST_SAMPLES = 500
_HELD_OUT = 0.1
# In the pilot run the learning rate is still high at its best epoch; a run that decays it to 0 over
# so few epochs overfits a little later. For the same reason the pilot run never stops early: the
# loss may rise at high rates and reach its minimum only when the rate has decayed.
_MORE = 2


def is_piloted(data: Data) -> bool:
    """Return whether the number of epochs is chosen by a pilot run.

    Parameters
    ----------
    data : Data
        The training samples, of the dtype of the network.

    Returns
    -------
    bool
        True for tables of numbers with at least 500 distinct samples. With fewer samples
        the losses of two epochs do not differ reliably; other data cost too much to train twice.
    """
    is_table = data.X.ndim == 2 and data.dtype == keras.config.floatx()
    return is_table and len(data) >= _FEWEST_SAMPLES


def choose(compiled: CompiledModel, data: Data, plan: Plan, rng: np.random.Generator) -> int:
    """Train on nine tenths of the samples, and find the epoch with the lowest loss on the others.

    Parameters
    ----------
    compiled : CompiledModel
        A model with base and delta loaded. Afterwards it holds other parameters.
    data : Data
        The training samples.
    plan : Plan
        Settings of the run whose number of epochs is chosen; `epochs` is the largest.
    rng : numpy.random.Generator
        Source of the split and of the batch orders of the pilot run.

    Returns
    -------
    int
        The number of epochs, two more than the best one of the pilot run.

    Raises
    ------
    KeyboardInterrupt
        If the user interrupted the pilot run.
    """
    training, pilot = pilot_run(data, plan, rng)
    result = train(compiled, training, pilot, rng)
    if result.interrupted:
        raise KeyboardInterrupt
    return best_number(result.history, plan.epochs)


def pilot_run(data: Data, plan: Plan, rng: np.random.Generator) -> tuple[Data, Plan]:
    """Return the samples and the settings of a pilot run.

    Parameters
    ----------
    data : Data
        The training samples.
    plan : Plan
        Settings of the run whose number of epochs is chosen.
    rng : numpy.random.Generator
        Source of the split.

    Returns
    -------
    training : Data
        Nine tenths of the samples.
    pilot : Plan
        A run of all epochs that is evaluated on the others.
    """
    task = plan.objective.task
    # With so few classes, at least one has two samples, which a stratified split requires.
    stratify = task == "classification" and 2 * len(np.unique(data.y[data.rows])) <= len(data)
    training, validation = split(data, _HELD_OUT, rng, stratify)
    pilot = replace(
        plan,
        validation=validation,
        patience=None,
        refresh_statistics=False,
        metrics=Metrics(None, task),
        callbacks=KerasCallbacks(None),
        epoch_callbacks=(),
        checkpoint=None,
    )
    return training, pilot


def best_number(history: Mapping[str, Sequence[float]], most: int) -> int:
    """Return the number of epochs that the history of a pilot run recommends.

    Parameters
    ----------
    history : mapping of str to sequence of float
        Its metrics.
    most : int
        The largest number.

    Returns
    -------
    int
        Two more than the epoch with the lowest validation loss.
    """
    losses = np.asarray(history["val_loss"])
    best = int(np.argmin(np.where(np.isfinite(losses), losses, np.inf)))
    return min(most, best + 1 + _MORE)
