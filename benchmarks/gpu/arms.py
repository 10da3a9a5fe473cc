"""How an arm of a plan is run: steps that are timed, or a training run that can be continued."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import device
import keras
import numpy as np
from networks import paper_network, step_flops
from plans import Arm, OutOfTime, Recipe

from frozenfit import Checkpoint, PartialNetClassifier
from frozenfit.training.checkpoint import CheckpointFile

# Steps of an epoch, epochs, and the epochs at the end that are timed: torch records a step after 64
# of them, the other backends compile in the first epoch.
STEPS, EPOCHS, TIMED = 20, 10, 5
# Seconds that scoring the test images takes at most.
SCORING = 15.0

Clock = Callable[[], float]
Images = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class EpochTimes(keras.callbacks.Callback):
    """Times the epochs of a fit."""

    def on_train_begin(self, logs: Any = None) -> None:
        """Forget the epochs of another fit."""
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Note when the epoch begins."""
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Note how long the epoch took."""
        self.seconds.append(time.perf_counter() - self.began)


@contextmanager
def epochs_until(end: float, clock: Clock) -> Iterator[list[float]]:
    """Time the epochs of a fit with a checkpoint, and end it in time.

    Callbacks cannot be combined with a checkpoint, so the writing of the checkpoint is wrapped: it
    follows each epoch, and what was written is what the next run continues from.
    """
    write, seconds, began = CheckpointFile.write, [], [clock()]

    def written(file: CheckpointFile, progress: Any, *rest: Any) -> None:
        write(file, progress, *rest)
        now = clock()
        seconds.append(now - began[0])
        began[0] = now
        if not progress.stopped and now + 1.5 * seconds[-1] > end:
            raise OutOfTime(f"{progress.epochs} epochs are done")

    with patch.object(CheckpointFile, "write", written):
        yield seconds


def estimator(arm: Arm, recipe: Recipe, epochs: int, **params: Any) -> PartialNetClassifier:
    """Return the estimator of an arm: SGD with momentum, weight decay on what is trained."""
    return PartialNetClassifier(
        paper_network,
        model_params={**recipe.params, "weight_decay": recipe.weight_decay},
        trainable=arm.trainable,
        frozen=arm.frozen,
        epochs=epochs,
        batch_size=recipe.batch_size,
        cache_features=False,
        random_state=arm.seed,
        **params,
    )


def measure_steps(arm: Arm, recipe: Recipe, tiny: bool, peak: float | None) -> dict[str, Any]:
    """Time the steps of an arm on random images; `peak` is the device's speed in TFLOP/s."""
    side, steps, epochs, timed = (8, 2, 2, 1) if tiny else (32, STEPS, EPOCHS, TIMED)
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (steps * recipe.batch_size, side, side, 3)).astype(np.uint8)
    clf = estimator(
        arm,
        recipe,
        epochs,
        optimizer=keras.optimizers.SGD(0.001, momentum=0.9),
        callbacks=[EpochTimes()],
    )
    clf.fit(X, np.arange(len(X)) % 10)
    epochs_seconds = clf.callbacks_[0].seconds
    per_step = float(np.median(epochs_seconds[-timed:])) / steps
    table = clf.parameter_table()
    result = {
        "seconds_per_step": per_step,
        "first_epoch_seconds": epochs_seconds[0],
        "batch_size": recipe.batch_size,
        "trained_parameters": sum(row.trainable for row in table),
        "peak_bytes": device.peak_bytes(),
    }
    if arm.frozen == "zero":
        return result  # the arithmetic that is needed depends on which units are dead
    trained = {row.path: row.trainable / row.total for row in table}
    flops = step_flops(clf.model_.base, trained) * recipe.batch_size
    result["gflop_per_step"] = flops / 1e9
    result["tflops"] = flops / per_step / 1e12
    result["fraction_of_peak"] = None if peak is None else result["tflops"] / peak
    return result


def train(
    arm: Arm, recipe: Recipe, images: Images, folder: Path, clock: Clock, end: float
) -> dict[str, Any]:
    """Train an arm in the paper's recipe, or continue from its checkpoint.

    Raises
    ------
    OutOfTime
        If an epoch would not end in time; the checkpoint is in `folder`.
    """
    X, y, X_test, y_test = images
    steps = -(-len(X) // recipe.batch_size) * arm.epochs
    rates = [recipe.learning_rate * recipe.factor**i for i in range(len(recipe.steps) + 1)]
    boundaries = [round(fraction * steps) for fraction in recipe.steps]
    decay: Any = keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, rates)
    folder.mkdir(parents=True, exist_ok=True)
    key = f"{arm.name} {keras.config.backend()} {keras.config.dtype_policy().name}"
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.checkpoint"
    # Kept until the record is written, so that a run killed while it scores repeats no epoch.
    began = clock()
    clf = estimator(
        arm,
        recipe,
        arm.epochs,
        optimizer=keras.optimizers.SGD(decay, momentum=0.9),
        augment="crop+flip",
        checkpoint=Checkpoint(path, keep=True),
    )
    with epochs_until(end - SCORING, clock) as seconds:
        clf.fit(X, y)
    accuracy = float(clf.score(X_test, y_test))
    return {
        "accuracy": accuracy,
        "trained_parameters": sum(row.trainable for row in clf.parameter_table()),
        "loss": [round(value, 5) for value in clf.history_["loss"]],
        "training_accuracy": [round(value, 5) for value in clf.history_["accuracy"]],
        "epochs_in_this_run": len(seconds),
        "first_epoch_seconds": seconds[0] if seconds else None,
        "seconds_per_epoch": float(np.median(seconds)) if seconds else None,
        "seconds": clock() - began,
        "peak_bytes": device.peak_bytes(),
        "checkpoint": str(path),
    }
