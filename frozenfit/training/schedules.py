"""The learning rate of every step; freezing over time: which layers learn when, and how fast."""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import keras
import numpy as np

NAMES = ("cosine", "steps")
_DROPS = (0.5, 0.75)
_DROP_FACTOR = 0.1
_POWERS = {"linear": 1, "squared": 2, "cubic": 3}
_TIE = 1e-9  # two times nearer than this are one


def rates(schedule: Any, learning_rate: float, start: int, steps: int, total: int) -> np.ndarray:
    """Return the learning rates of consecutive steps.

    Parameters
    ----------
    schedule : None, {"cosine", "steps"} or keras LearningRateSchedule
        None keeps the rate; "cosine" lets it fall to 0 at the end of the fit; "steps" divides it
        by 10 at a half and at three quarters of the fit, as the published CIFAR runs do.
    learning_rate : float
        Rate at the beginning; a Keras schedule brings its own.
    start, steps : int
        First step, counted over the whole fit, and how many.
    total : int
        Steps of the whole fit.

    Returns
    -------
    ndarray of float32, shape (steps,)
        The rates.

    Examples
    --------
    >>> from frozenfit.training.schedules import rates
    >>> rates("steps", 1.0, 0, 4, 4).tolist()
    [1.0, 1.0, 0.10000000149011612, 0.009999999776482582]
    """
    at = np.arange(start, start + steps)
    if schedule is None:
        return np.full(steps, learning_rate, np.float32)
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        values = [float(keras.ops.convert_to_numpy(schedule(step))) for step in at]
        return np.asarray(values, np.float32)
    done = at / total
    if schedule == "cosine":
        factor = 0.5 * (1 + np.cos(np.pi * done))
    else:
        factor = _DROP_FACTOR ** (done[:, None] >= _DROPS).sum(axis=1)
    return (learning_rate * factor).astype(np.float32)


@dataclass(frozen=True)
class FreezeOut:
    """Freeze layers one after the other, the first layers first.

    Layer i of 0..L learns until the time ``t_i`` of the run, at a rate that falls to 0 along a
    cosine of its own: ``rate * (1 + cos(pi * t / t_i)) / 2``. The last layer learns to the end.

    Parameters
    ----------
    t0 : float, default=0.8
        Where the first layer stops, as a fraction of the run before `how` is applied; the default
        is the authors', with "cubic" 0.512 of the run. Their table puts the saving of
        DenseNet-76 at a fifth for it.
    how : {"linear", "squared", "cubic"}, default="cubic"
        Power of the times, which lie evenly between `t0` and 1 before.
    scale_lr : bool, default=True
        Divide a layer's rate by its time, so that every layer is moved as much in all. That is
        a factor of 2 for the first layer at the default `t0`, 8 at .5 and 37 at .3, which a
        network without normalization may not survive.
    phases : int, default=4
        In how many stretches finished layers leave the computation: each stretch is compiled.

    Notes
    -----
    Brock, Lim, Ritchie and Weston (2017), "FreezeOut: Accelerate Training by Progressively
    Freezing Layers", arXiv:1706.04983. It saves time in trying designs; the best final accuracy
    is had without it.

    Examples
    --------
    >>> from frozenfit.training.schedules import FreezeOut
    >>> FreezeOut(0.8).freeze_times(6).round(4).tolist()
    [0.512, 0.5927, 0.6815, 0.7787, 0.8847, 1.0]
    """

    t0: float = 0.8
    how: str = "cubic"
    scale_lr: bool = True
    phases: int = 4

    falls = True  # brings a fall of the rate of its own
    finishes = True  # a layer that rests has learned

    def __post_init__(self) -> None:
        """Check the parameters."""
        if not 0 < self.t0 <= 1:
            raise ValueError(f"t0 must be in (0, 1], a fraction of the run, found {self.t0!r}")
        if self.how not in _POWERS:
            raise ValueError(f"how must be one of {', '.join(_POWERS)}, found {self.how!r}")
        _check_count("phases", self.phases)

    def freeze_times(self, n_layers: int) -> np.ndarray:
        """Return when each layer stops, as a fraction of the run.

        Parameters
        ----------
        n_layers : int
            How many layers learn.

        Returns
        -------
        ndarray of float64, shape (n_layers,)
            The last one is 1.
        """
        return (
            np.linspace(self.t0, 1, n_layers) ** _POWERS[self.how] if n_layers > 1 else np.ones(1)
        )

    def rates(self, n_layers: int, at: np.ndarray) -> np.ndarray:
        """Return the learning rates of all layers as multiples of the base rate.

        Parameters
        ----------
        n_layers : int
            How many layers learn.
        at : ndarray, shape (n,)
            Fractions of the run done.

        Returns
        -------
        ndarray of float64, shape (n, n_layers)
            0 after a layer's time.
        """
        times = self.freeze_times(n_layers)
        done = np.minimum(np.asarray(at)[:, None] / times, 1)
        return 0.5 * (1 + np.cos(np.pi * done)) / (times if self.scale_lr else 1)

    def moving(self, n_layers: int, at: float) -> np.ndarray:
        """Say which layers learn in the stretch that begins at a time.

        Parameters
        ----------
        n_layers : int
            How many layers learn at some time.
        at : float
            Fraction of the run done.

        Returns
        -------
        ndarray of bool, shape (n_layers,)
            Layers stop at the beginning of a stretch only.
        """
        times = self.freeze_times(n_layers)
        borders = np.linspace(times[0], 1, self.phases, endpoint=False)
        passed = borders[borders <= at + _TIE]
        return times > passed[-1] + _TIE if len(passed) else np.ones(n_layers, bool)

    def check(self, epochs: int) -> None:
        """See that so many epochs can follow it: any number can."""


@dataclass(frozen=True)
class GradualUnfreeze:
    """Learn the layers nearest the outputs first, and let the others join in steps.

    Parameters
    ----------
    steps : int, default=3
        How many times a group of layers joins; the groups are equally large.
    until : float, default=0.5
        When the last group joins, as a fraction of the run.

    Notes
    -----
    Howard and Ruder (2018), "Universal Language Model Fine-tuning for Text Classification",
    arXiv:1801.06146, let one group of layers join each epoch. The head first protects pretrained
    features from the large first gradients of a new head (Kumar et al. 2022, arXiv:2202.10054).

    Examples
    --------
    >>> from frozenfit.training.schedules import GradualUnfreeze
    >>> GradualUnfreeze(steps=2, until=0.5).start_times(3).tolist()
    [0.5, 0.25, 0.0]
    """

    steps: int = 3
    until: float = 0.5

    falls = False
    finishes = False

    def __post_init__(self) -> None:
        """Check the parameters."""
        _check_count("steps", self.steps)
        if not 0 < self.until < 1:
            raise ValueError(
                f"until must be in (0, 1), a fraction of the run, found {self.until!r}"
            )

    def start_times(self, n_layers: int) -> np.ndarray:
        """Return when each layer joins, as a fraction of the run.

        Parameters
        ----------
        n_layers : int
            How many layers learn.

        Returns
        -------
        ndarray of float64, shape (n_layers,)
            The last one is 0.
        """
        order = np.arange(n_layers)[::-1]
        if n_layers > self.steps:
            group = order * (self.steps + 1) // n_layers
        else:
            group = order * self.steps // max(1, n_layers - 1)
        return self.until * group / self.steps

    def rates(self, n_layers: int, at: np.ndarray) -> np.ndarray:
        """Return 1 for all layers: those that wait are left out, not slowed down.

        Parameters
        ----------
        n_layers : int
            How many layers learn.
        at : ndarray, shape (n,)
            Fractions of the run done.

        Returns
        -------
        ndarray of float64, shape (n, n_layers)
            Ones.
        """
        return np.ones((len(at), n_layers))

    def moving(self, n_layers: int, at: float) -> np.ndarray:
        """Say which layers learn at a time.

        Parameters
        ----------
        n_layers : int
            How many layers learn at some time.
        at : float
            Fraction of the run done.

        Returns
        -------
        ndarray of bool, shape (n_layers,)
            Those that have joined.
        """
        return self.start_times(n_layers) <= at + _TIE

    def check(self, epochs: int) -> None:
        """See that there is an epoch for each step.

        Parameters
        ----------
        epochs : int
            Length of the run.

        Raises
        ------
        ValueError
            Where two groups would join at once.
        """
        if self.until * epochs < self.steps:
            needed = int(np.ceil(self.steps / self.until))
            raise ValueError(
                f"{self!r} is longer than the run: its {self.steps} steps in the first "
                f"{self.until:.0%} need at least {needed} epochs, found {epochs}"
            )


@dataclass(frozen=True)
class LayerwiseRates:
    """Give each layer a smaller learning rate than the one after it.

    Parameters
    ----------
    decay : float, default=0.9
        Factor from one layer to the layer before it; the last layer has the full rate. Published
        fine-tuning uses 0.65 to 0.95, ULMFiT 1 / 2.6.

    Notes
    -----
    Howard and Ruder (2018), arXiv:1801.06146; Sun et al. (2019), arXiv:1905.05583.

    Examples
    --------
    >>> import numpy as np
    >>> from frozenfit.training.schedules import LayerwiseRates
    >>> LayerwiseRates(0.5).rates(3, np.zeros(1)).tolist()
    [[0.25, 0.5, 1.0]]
    """

    decay: float = 0.9

    falls = False
    finishes = False

    def __post_init__(self) -> None:
        """Check the parameters."""
        if not 0 < self.decay <= 1:
            raise ValueError(f"decay must be in (0, 1], found {self.decay!r}")

    def rates(self, n_layers: int, at: np.ndarray) -> np.ndarray:
        """Return the learning rates of all layers as multiples of the base rate.

        Parameters
        ----------
        n_layers : int
            How many layers learn.
        at : ndarray, shape (n,)
            Fractions of the run done.

        Returns
        -------
        ndarray of float64, shape (n, n_layers)
            The same at all times.
        """
        return np.tile(self.decay ** np.arange(n_layers)[::-1], (len(at), 1))

    def moving(self, n_layers: int, at: float) -> np.ndarray:
        """Say which layers learn at a time: all.

        Parameters
        ----------
        n_layers : int
            How many layers learn.
        at : float
            Fraction of the run done.

        Returns
        -------
        ndarray of bool, shape (n_layers,)
            True.
        """
        return np.ones(n_layers, bool)

    def check(self, epochs: int) -> None:
        """See that so many epochs can follow it: any number can."""


FREEZINGS = (FreezeOut, GradualUnfreeze, LayerwiseRates)


def as_freeze_schedule(value: Any) -> Any:
    """Return a way of freezing over time, parsed where it is written as text.

    Parameters
    ----------
    value : str, FreezeOut, GradualUnfreeze, LayerwiseRates or None
        A text is the call that makes one, as on a command line or in a file of settings.

    Returns
    -------
    FreezeOut, GradualUnfreeze, LayerwiseRates or None

    Raises
    ------
    ValueError
        If the text is no such call.

    Examples
    --------
    >>> from frozenfit.training.schedules import as_freezing
    >>> as_freezing("FreezeOut(0.5, how='linear')")
    FreezeOut(t0=0.5, how='linear', scale_lr=True, phases=4)
    """
    if not isinstance(value, str):
        return value
    kinds = {kind.__name__: kind for kind in FREEZINGS}
    try:
        call = ast.parse(value.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError(value)
        kind = kinds[call.func.id]
        args = [ast.literal_eval(arg) for arg in call.args]
        named = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
        inspect.signature(kind).bind(*args, **named)
    except (KeyError, SyntaxError, TypeError, ValueError):
        raise ValueError(
            f"freeze_schedule={value!r} is none of {', '.join(kinds)} with its parameters; write for "
            "example 'FreezeOut(0.5)'"
        ) from None
    return kind(*args, **named)


def _check_count(name: str, value: Any) -> None:
    if not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, found {value!r}")
