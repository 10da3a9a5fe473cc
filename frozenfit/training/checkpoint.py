"""Checkpoints of training: the state after an epoch in a file, from which a killed fit continues.

A checkpoint contains what the remaining epochs depend on, except for what the fit run again
computes by itself. A fit that continues therefore ends with the weights of an uninterrupted one,
bit for bit. The file has the form of that of a fitted estimator: JSON and arrays with a digest, no
pickle.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from frozenfit.delta import Delta
from frozenfit.partial import PartialModel
from frozenfit.training.backends import Trainer
from frozenfit.utils import atomic_write, container
from frozenfit.utils.describe import differing_items

_CLASS = "checkpoint"
_DATA = "data"
_ANEW = "Remove the file to train from the beginning."


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often `fit` writes its state to a file, so that a killed fit can continue.

    Parameters
    ----------
    path : str or path-like
        The file. Each fit needs a separate file; the members of an ensemble use names derived from
        it.
    every : int, default=1
        Number of epochs between two writes.
    keep : bool, default=False
        Whether the file stays when `fit` ends. The same fit run again then trains no further epoch.

    Raises
    ------
    TypeError, ValueError
        If a value has the wrong type or `every` is less than 1.

    See Also
    --------
    PartialNetClassifier : Its parameter `checkpoint` takes the object, or only the path.
    frozenfit.save : Store an estimator after a fit.

    Examples
    --------
    >>> from frozenfit import Checkpoint, PartialNetClassifier
    >>> checkpoint = Checkpoint("training.checkpoint", every=5)
    >>> clf = PartialNetClassifier(checkpoint=checkpoint, random_state=0)
    """

    path: str | os.PathLike[str]
    every: int = 1
    keep: bool = False

    def __post_init__(self):
        """Validate the values."""
        if not isinstance(self.path, str | os.PathLike):
            raise TypeError(f"`path` must be a str or path-like, got {self.path!r}.")
        if not isinstance(self.every, Integral) or isinstance(self.every, bool) or self.every < 1:
            raise ValueError(f"`every` must be an int >= 1, got {self.every!r}.")
        if not isinstance(self.keep, bool):
            raise TypeError(f"`keep` must be a bool, got {self.keep!r}.")

    def part(self, name: str) -> Checkpoint:
        """Return the checkpoint of one part of a fit, such as a member of an ensemble.

        Parameters
        ----------
        name : str
            Name of the part, which is inserted before the extension of the path.

        Returns
        -------
        Checkpoint
            It keeps its file, because the whole fit still needs it when the part is trained.

        Examples
        --------
        >>> from frozenfit import Checkpoint
        >>> Checkpoint("training.checkpoint").part("member-3").path
        'training.member-3.checkpoint'
        """
        path = Path(os.fsdecode(self.path))
        return Checkpoint(str(path.with_name(f"{path.stem}.{name}{path.suffix}")), self.every, True)

    def remove(self) -> None:
        """Remove the file, if it exists."""
        Path(os.fsdecode(self.path)).unlink(missing_ok=True)


def as_checkpoint(checkpoint: Any) -> Checkpoint | None:
    """Return the `Checkpoint` that a path stands for; None and checkpoints are returned as is."""
    if checkpoint is None or isinstance(checkpoint, Checkpoint):
        return checkpoint
    return Checkpoint(checkpoint)


@dataclass
class Progress:
    """How far a run of training is: what its loop changes, besides the variables of the model.

    Attributes
    ----------
    epochs : int
        Number of completed epochs.
    stopped : bool
        Whether training ended after these epochs.
    phase_start : int
        Epoch in which the current phase began.
    first_step, step : int
        Number of steps before this run, and now.
    history : dict of str to list of float
        One value per epoch for each metric.
    full_epoch_seconds : list of float
        Duration of the epochs in which all layers were active.
    best : Delta or None
        The best delta so far with early stopping.
    best_loss : float
        Its validation loss.
    epochs_waited : int
        Number of epochs since then.
    """

    epochs: int = 0
    stopped: bool = False
    phase_start: int = 0
    first_step: int = 0
    step: int = 0
    history: dict[str, list[float]] = field(default_factory=dict)
    full_epoch_seconds: list[float] = field(default_factory=list)
    best: Delta | None = None
    best_loss: float = np.inf
    epochs_waited: int = 0

    def improves(self, loss: float) -> bool:
        """Take in the validation loss of an epoch; return whether it is the lowest one so far."""
        better = loss < self.best_loss
        self.best_loss = loss if better else self.best_loss
        self.epochs_waited = 0 if better else self.epochs_waited + 1
        return better


# JSON has these; floats are stored as arrays, which keep their bits and can be infinite.
_COUNTS = ("epochs", "stopped", "phase_start", "first_step", "step", "epochs_waited")


class CheckpointFile:
    """The file of one run of training.

    Parameters
    ----------
    checkpoint : Checkpoint
        Path and settings.
    signature : dict of str to dict of str to str
        Everything that the trained weights depend on, by group and name. The file of another fit is
        refused.

    Raises
    ------
    ValueError
        If the path cannot be written, or contains something else than a checkpoint of this fit.
    """

    def __init__(self, checkpoint: Checkpoint, signature: Mapping[str, Mapping[str, str]]):
        self.checkpoint = checkpoint
        self._signature = {group: dict(texts) for group, texts in signature.items()}
        atomic_write.check_target(checkpoint.path)
        self._found = self._read()

    def _read(self) -> container.Record | None:
        if not os.path.exists(self.checkpoint.path):
            return None
        try:
            record = container.from_file(self.checkpoint.path)
        except container.StorageError as error:
            raise self._error(f"cannot be continued: {error}") from error
        if record.class_name != _CLASS:
            raise self._error(f"is a file of a {record.class_name}, and no checkpoint")
        if found := _differences(record.parameters, self._signature):
            raise self._error(
                f"is the checkpoint of another fit, which differs in {'; '.join(found)}",
                "Fit with the settings and data of that fit, or remove the file to train from the "
                "beginning.",
            )
        return record

    def _error(self, what: str, remedy: str = _ANEW) -> ValueError:
        return ValueError(f"`checkpoint`={os.fspath(self.checkpoint.path)!r} {what}. {remedy}")

    def restore(self, model: PartialModel, rng: np.random.Generator) -> Progress:
        """Load the state of the model and of the loop's random generator, if there is a file.

        Parameters
        ----------
        model : PartialModel
            The model in training.
        rng : numpy.random.Generator
            Source of batch orders and augmentations.

        Returns
        -------
        Progress
            That of the file, or a new one.
        """
        if self._found is None:
            return Progress()
        try:
            progress = _progress_of(self._found)
            if progress.best is not None:
                # Loading compares names and shapes, and reading gives the order of the model.
                model.load_delta(progress.best)
                progress.best = model.delta()
            model.load_delta(_delta_of(self._found.arrays, "delta"))
            rng.bit_generator.state = self._found.fitted["rng"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._damaged() from error
        return progress

    def restore_trainer(self, trainer: Trainer) -> bool:
        """Load the state of the optimizer and of the backend's random stream, if there is a file.

        Parameters
        ----------
        trainer : Trainer
            The trainer of the phase that the file was written in.

        Returns
        -------
        bool
            Whether there is a file.
        """
        if self._found is None:
            return False
        arrays = self._found.arrays
        state = list(_group(arrays, "optimizer").values())
        now = trainer.optimizer_state()
        if [a.shape for a in state] != [a.shape for a in now]:
            raise self._damaged()
        trainer.load_optimizer_state(state)
        trainer.load_random_state(_group(arrays, "random"))
        self._found = None  # as large as the optimizer, and not needed any more
        return True

    def _damaged(self) -> ValueError:
        return self._error("cannot be continued: its state is not that of this fit")

    def write(
        self, progress: Progress, model: PartialModel, trainer: Trainer, rng: np.random.Generator
    ) -> None:
        """Write the state after an epoch, where a write is due.

        Parameters
        ----------
        progress : Progress
            State of the loop.
        model : PartialModel
            The model in training.
        trainer : Trainer
            The trainer of the current phase.
        rng : numpy.random.Generator
            Source of batch orders and augmentations.
        """
        # After the last epoch, the file is needed only where it is kept.
        due = progress.epochs % self.checkpoint.every == 0
        if not (self.checkpoint.keep if progress.stopped else due):
            return
        arrays = {
            **_arrays_of(model.delta(), "delta"),
            **({} if progress.best is None else _arrays_of(progress.best, "best")),
            **{f"optimizer/{i:06}": a for i, a in enumerate(trainer.optimizer_state())},
            **{f"random/{name}": a for name, a in trainer.random_state().items()},
            **{f"history/{name}": np.asarray(v, float) for name, v in progress.history.items()},
            "full_epoch_seconds": np.asarray(progress.full_epoch_seconds, float),
            "best_loss": np.asarray(progress.best_loss, float),
        }
        fitted = {name: getattr(progress, name) for name in _COUNTS}
        fitted |= {"rng": rng.bit_generator.state, "has_best": progress.best is not None}
        fitted["metrics"] = list(progress.history)
        plain = {name: container.plain_array(name, array) for name, array in arrays.items()}
        record = container.Record(_CLASS, self._signature, fitted, plain)
        atomic_write.write(container.to_bytes(record), self.checkpoint.path)

    def end(self) -> None:
        """Remove the file after training, unless it is kept."""
        if not self.checkpoint.keep:
            self.checkpoint.remove()


def _differences(stored: Mapping[str, Any], own: Mapping[str, Mapping[str, str]]) -> list[str]:
    if set(stored) != set(own):
        return ["the version of its description"]
    found = []
    for group, texts in own.items():
        if group == _DATA:  # digests are of no use to a reader
            found += [name for name in texts if stored[group].get(name) != texts[name]]
        else:
            found += differing_items(group, stored[group], texts)
    return found


def _arrays_of(delta: Delta, name: str) -> dict[str, np.ndarray]:
    trained = {f"{name}/trained/{path}": value for path, value in delta.trained.items()}
    return trained | {f"{name}/states/{path}": value for path, value in delta.states.items()}


def _delta_of(arrays: Mapping[str, np.ndarray], name: str) -> Delta:
    return Delta(_group(arrays, f"{name}/trained"), _group(arrays, f"{name}/states"))


def _group(arrays: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    prefix = f"{name}/"
    return {n.removeprefix(prefix): arrays[n] for n in sorted(arrays) if n.startswith(prefix)}


def _progress_of(record: container.Record) -> Progress:
    arrays = record.arrays
    return Progress(
        **{name: record.fitted[name] for name in _COUNTS},
        history={name: arrays[f"history/{name}"].tolist() for name in record.fitted["metrics"]},
        full_epoch_seconds=arrays["full_epoch_seconds"].tolist(),
        best=_delta_of(arrays, "best") if record.fitted["has_best"] else None,
        best_loss=float(arrays["best_loss"]),
    )
