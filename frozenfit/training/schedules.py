"""Schedules: the learning rate of every step, and which layers are trained when."""

from __future__ import annotations

import ast
import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import keras
import numpy as np

from frozenfit.utils.arrays import to_numpy
from frozenfit.utils.names import did_you_mean

LR_SCHEDULES = ("cosine", "steps")
_DROPS = (0.5, 0.75)
_DROP_FACTOR = 0.1
_POWERS = {"linear": 1, "squared": 2, "cubic": 3}
# Progress and times are computed in different ways, so that equal ones may differ by rounding.
_TIE = 1e-9


def rates(
    schedule: str | keras.optimizers.schedules.LearningRateSchedule | None,
    learning_rate: float,
    start: int,
    steps: int,
    total: int,
) -> np.ndarray:
    """Return the learning rates of consecutive steps.

    Parameters
    ----------
    schedule : {"cosine", "steps"}, keras LearningRateSchedule or None
        None keeps the rate constant. "cosine" decays it to 0 at the end of the fit. "steps"
        divides it by 10 after half and after three quarters of the fit, as the published
        CIFAR-10 recipes do.
    learning_rate : float
        Rate of the first step; a Keras schedule has its own.
    start : int
        Number of steps of the fit before the first one returned.
    steps : int
        Number of rates to return.
    total : int
        Number of steps of the whole fit.

    Returns
    -------
    ndarray of float32, shape (steps,)
        The rates.

    Examples
    --------
    >>> from frozenfit.training.schedules import rates
    >>> rates("steps", 1.0, 0, 4, 4).round(3).tolist()
    [1.0, 1.0, 0.10000000149011612, 0.009999999776482582]
    """
    steps_done = np.arange(start, start + steps)
    if schedule is None:
        return np.full(steps, learning_rate, np.float32)
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        values = [float(to_numpy(schedule(step))) for step in steps_done]
        return np.asarray(values, np.float32)
    progress = steps_done / total
    if schedule == "cosine":
        factor = 0.5 * (1 + np.cos(np.pi * progress))
    else:
        factor = _DROP_FACTOR ** (progress[:, None] >= _DROPS).sum(axis=1)
    return (learning_rate * factor).astype(np.float32)


class FreezeSchedule(ABC):
    """Base class of schedules: which layers are trained when, and at which learning rate.

    Derive from it to define your own schedule: implement `active` and, if layers differ in their
    learning rate, `multipliers`. Layers are numbered from the input to the output; only layers
    with trainable parameters count. `progress` is the completed fraction of the run, from 0 to 1.

    A schedule must be a pure function of its arguments: the same call returns the same values,
    because predictions of the saving, resumed runs and the compiled phases rely on it. A
    subclass that is a frozen dataclass with plain fields can be compared, printed, written as
    text and stored in a file.

    Attributes
    ----------
    lowers_lr : bool, default=False
        Whether `multipliers` decays the learning rates, so that no other decay is needed.
    finishes : bool, default=False
        Whether inactive layers are finished, as in FreezeOut, and not waiting to be trained.
        Finished batch normalizations keep their moving statistics.
    needs_end : bool, default=True
        Whether the schedule depends on `progress`, so that it cannot be used by `partial_fit`,
        which does not know when training ends.

    See Also
    --------
    FreezeOut : Freeze layers one after another, from the input on.
    GradualUnfreeze : Train the head first, then more and more layers.
    LayerwiseRates : Smaller learning rates towards the input.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import numpy as np
    >>> from frozenfit import FreezeSchedule
    >>> @dataclass(frozen=True)
    ... class HeadFirst(FreezeSchedule):
    ...     start: float = 0.5
    ...
    ...     def active(self, n_layers, progress):
    ...         layers = np.full(n_layers, progress >= self.start)
    ...         layers[-1] = True
    ...         return layers
    >>> HeadFirst().active(3, 0.0).tolist()
    [False, False, True]
    """

    lowers_lr: bool = False
    finishes: bool = False
    needs_end: bool = True

    @abstractmethod
    def active(self, n_layers: int, progress: float) -> np.ndarray:
        """Return which layers are trained in an epoch.

        Parameters
        ----------
        n_layers : int
            Number of layers with trainable parameters.
        progress : float
            Completed fraction of the run at the beginning of the epoch.

        Returns
        -------
        ndarray of bool, shape (n_layers,)
            True for active layers, at least one. Each new combination is compiled once.
        """

    def multipliers(self, n_layers: int, progress: np.ndarray) -> np.ndarray:
        """Return the learning rates of all layers as multiples of the base rate.

        Parameters
        ----------
        n_layers : int
            Number of layers with trainable parameters.
        progress : ndarray of shape (n,)
            Completed fraction of the run before each step.

        Returns
        -------
        ndarray of float64, shape (n, n_layers)
            Multiples of the base rate: 1, unless a subclass overrides this method.
        """
        return np.ones((len(progress), n_layers))

    def check(self, epochs: int) -> None:  # noqa: B027
        """Raise a ValueError if a run of this length cannot follow the schedule.

        Parameters
        ----------
        epochs : int
            Number of epochs in the run. Any number is accepted unless a subclass overrides this
            method.
        """


@dataclass(frozen=True)
class FreezeOut(FreezeSchedule):
    """Freeze layers one after another, from the input on.

    Layer i of 0..L is trained until the time ``t_i`` of the run, at a rate that decays to 0 along
    a cosine: ``rate * (1 + cos(pi * t / t_i)) / 2``. The last layer is trained to the end.

    Parameters
    ----------
    t0 : float, default=0.8
        Time at which training of the first layer ends, as a fraction of the run, before `how` is
        applied. The default is that of the authors, who report that it saves a fifth of the
        training time of DenseNet-76; with "cubic" it is 0.512 of the run.
    how : {"linear", "squared", "cubic"}, default="cubic"
        Power that is applied to times spaced evenly between `t0` and 1.
    scale_lr : bool, default=True
        Whether to divide the rate of a layer by its time, so that all layers have the same sum of
        rates. The rate of the first layer is multiplied by 2 at the default `t0`, by 8 at 0.5 and
        by 37 at 0.3, at which training of a network without normalization may diverge.
    phases : int, default=4
        Number of phase boundaries. The layers are divided into one more group of equal size; at
        each boundary a group is finished and removed from the computation, and the last one is
        trained to the end. Each phase is compiled once.

    See Also
    --------
    FreezeSchedule : Base class of all schedules.

    Notes
    -----
    Brock, Lim, Ritchie and Weston (2017), "FreezeOut: Accelerate Training by Progressively
    Freezing Layers", arXiv:1706.04983. It shortens runs that explore designs; the best final
    accuracy is reached without it.

    Examples
    --------
    >>> from frozenfit import FreezeOut
    >>> FreezeOut(0.8).freeze_times(6).round(4).tolist()
    [0.512, 0.5927, 0.6815, 0.7787, 0.8847, 1.0]
    """

    t0: float = 0.8
    how: str = "cubic"
    scale_lr: bool = True
    phases: int = 4

    lowers_lr = True
    finishes = True

    def __post_init__(self) -> None:
        """Validate the parameters."""
        if not 0 < self.t0 <= 1:
            raise ValueError(
                f"`t0` must be a float in (0, 1], a fraction of the run, got {self.t0!r}."
            )
        if self.how not in _POWERS:
            raise ValueError(
                f"`how` must be one of {', '.join(map(repr, _POWERS))}, got {self.how!r}."
            )
        _check_count("phases", self.phases)

    def freeze_times(self, n_layers: int) -> np.ndarray:
        """Return when training of each layer ends, as a fraction of the run.

        Parameters
        ----------
        n_layers : int
            Number of layers with trainable parameters.

        Returns
        -------
        ndarray of float64, shape (n_layers,)
            Times in increasing order; the last one is 1.
        """
        if n_layers == 1:
            return np.ones(1)
        return np.linspace(self.t0, 1, n_layers) ** _POWERS[self.how]

    def multipliers(self, n_layers: int, progress: np.ndarray) -> np.ndarray:
        """Return the learning rates of all layers as multiples of the base rate.

        Parameters
        ----------
        n_layers : int
            Number of layers with trainable parameters.
        progress : ndarray of shape (n,)
            Completed fraction of the run before each step.

        Returns
        -------
        ndarray of float64, shape (n, n_layers)
            Multiples of the base rate; 0 after the time of a layer.
        """
        times = self.freeze_times(n_layers)
        done = np.minimum(np.asarray(progress)[:, None] / times, 1)
        return 0.5 * (1 + np.cos(np.pi * done)) / (times if self.scale_lr else 1)

    def active(self, n_layers: int, progress: float) -> np.ndarray:
        """Return which layers are trained in an epoch.

        Parameters
        ----------
        n_layers : int
            Number of layers with trainable parameters.
        progress : float
            Completed fraction of the run at the beginning of the epoch.

        Returns
        -------
        ndarray of bool, shape (n_layers,)
            True until the first phase boundary after the time of a layer.
        """
        times = self.freeze_times(n_layers)
        # At the time of the last layer of each group; the last group is trained to the end.
        groups = np.array_split(times, self.phases + 1)[:-1]
        boundaries = np.array([group[-1] for group in groups if len(group) and group[-1] < 1])
        passed = boundaries[boundaries <= progress + _TIE]
        return times > passed[-1] + _TIE if len(passed) else np.ones(n_layers, bool)


@dataclass(frozen=True)
class GradualUnfreeze(FreezeSchedule):
    """Train the layers nearest the output first, and add groups of layers step by step.

    Parameters
    ----------
    steps : int, default=3
        Number of times at which a group of layers is added; the groups are equally large.
    until : float, default=0.5
        Time at which the last group is added, as a fraction of the run.

    See Also
    --------
    FreezeSchedule : Base class of all schedules.

    Notes
    -----
    Howard and Ruder (2018), "Universal Language Model Fine-tuning for Text Classification",
    arXiv:1801.06146, add one group of layers in each epoch. Training the head first protects
    pretrained features from the large first gradients of a new head (Kumar et al. 2022,
    arXiv:2202.10054).

    Examples
    --------
    >>> from frozenfit import GradualUnfreeze
    >>> GradualUnfreeze(steps=2, until=0.5).start_times(3).tolist()
    [0.5, 0.25, 0.0]
    """

    steps: int = 3
    until: float = 0.5

    def __post_init__(self) -> None:
        """Validate the parameters."""
        _check_count("steps", self.steps)
        if not 0 < self.until < 1:
            raise ValueError(
                f"`until` must be a float in (0, 1), a fraction of the run, got {self.until!r}."
            )

    def start_times(self, n_layers: int) -> np.ndarray:
        """Return when each layer is added, as a fraction of the run.

        Parameters
        ----------
        n_layers : int
            Number of layers with trainable parameters.

        Returns
        -------
        ndarray of float64, shape (n_layers,)
            Times in decreasing order; the last one is 0.
        """
        order = np.arange(n_layers)[::-1]
        if n_layers > self.steps:
            group = order * (self.steps + 1) // n_layers
        else:
            group = order * self.steps // max(1, n_layers - 1)
        return self.until * group / self.steps

    def active(self, n_layers: int, progress: float) -> np.ndarray:
        """Return which layers are trained in an epoch.

        Parameters
        ----------
        n_layers : int
            Number of layers with trainable parameters.
        progress : float
            Completed fraction of the run at the beginning of the epoch.

        Returns
        -------
        ndarray of bool, shape (n_layers,)
            True for the layers that have been added.
        """
        return self.start_times(n_layers) <= progress + _TIE

    def check(self, epochs: int) -> None:
        """Raise a ValueError where two groups would be added in the same epoch.

        Parameters
        ----------
        epochs : int
            Number of epochs in the run.
        """
        if self.until * epochs < self.steps:
            needed = int(np.ceil(self.steps / self.until))
            raise ValueError(
                f"{self!r} adds {self.steps} groups of layers in the first {self.until:.0%} of "
                f"the run and needs `epochs` >= {needed}, got {epochs}. Use more epochs, fewer "
                "steps or a later `until`."
            )


@dataclass(frozen=True)
class LayerwiseRates(FreezeSchedule):
    """Train each layer at a smaller learning rate than the layer after it.

    Parameters
    ----------
    decay : float, default=0.9
        Ratio of the rates of a layer and the layer after it; the last layer has the full rate.
        Published fine-tuning recipes use 0.65 to 0.95, ULMFiT 1 / 2.6.

    See Also
    --------
    FreezeSchedule : Base class of all schedules.

    Notes
    -----
    Howard and Ruder (2018), arXiv:1801.06146; Sun et al. (2019), arXiv:1905.05583.

    Examples
    --------
    >>> import numpy as np
    >>> from frozenfit import LayerwiseRates
    >>> LayerwiseRates(0.5).multipliers(3, np.zeros(1)).tolist()
    [[0.25, 0.5, 1.0]]
    """

    decay: float = 0.9

    needs_end = False

    def __post_init__(self) -> None:
        """Validate the parameters."""
        if not 0 < self.decay <= 1:
            raise ValueError(f"`decay` must be a float in (0, 1], got {self.decay!r}.")

    def multipliers(self, n_layers: int, progress: np.ndarray) -> np.ndarray:
        """Return the learning rates of all layers as multiples of the base rate.

        Parameters
        ----------
        n_layers : int
            Number of layers with trainable parameters.
        progress : ndarray of shape (n,)
            Completed fraction of the run before each step.

        Returns
        -------
        ndarray of float64, shape (n, n_layers)
            Multiples of the base rate, the same at all times.
        """
        return np.tile(self.decay ** np.arange(n_layers)[::-1], (len(progress), 1))

    def active(self, n_layers: int, progress: float) -> np.ndarray:
        """Return that all layers are trained in every epoch.

        Parameters
        ----------
        n_layers : int
            Number of layers with trainable parameters.
        progress : float
            Completed fraction of the run.

        Returns
        -------
        ndarray of bool, shape (n_layers,)
            True everywhere.
        """
        return np.ones(n_layers, bool)


def schedule_classes() -> dict[str, type[FreezeSchedule]]:
    """Return the concrete subclasses of FreezeSchedule that exist, by class name.

    Returns
    -------
    dict of str to type
        The classes. Of two with the same name, the one that was defined first.

    Examples
    --------
    >>> from frozenfit.training.schedules import schedule_classes
    >>> "FreezeOut" in schedule_classes()
    True
    """
    # A class of the user is found without registration; one that is defined again in a notebook
    # must not hide a built-in class.
    classes: dict[str, type[FreezeSchedule]] = {}
    pending = FreezeSchedule.__subclasses__()
    while pending:
        each = pending.pop(0)
        if not inspect.isabstract(each):
            classes.setdefault(each.__name__, each)
        pending += each.__subclasses__()
    return classes


def as_freeze_schedule(value: FreezeSchedule | str | None) -> FreezeSchedule | None:
    """Return a freeze schedule, which may be given as text.

    Parameters
    ----------
    value : FreezeSchedule, str or None
        A schedule, or the text of the call that creates one, as on a command line.

    Returns
    -------
    FreezeSchedule or None
        The schedule.

    Raises
    ------
    ValueError
        If the text is not such a call.

    Examples
    --------
    >>> from frozenfit.training.schedules import as_freeze_schedule
    >>> as_freeze_schedule("FreezeOut(0.5, how='linear')")
    FreezeOut(t0=0.5, how='linear', scale_lr=True, phases=4)
    """
    if not isinstance(value, str):
        return value
    classes, name = schedule_classes(), value.partition("(")[0].strip()
    try:
        call = ast.parse(value.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError(value)
        kind = classes[call.func.id]
        args = [ast.literal_eval(arg) for arg in call.args]
        named = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
        inspect.signature(kind).bind(*args, **named)
    except (KeyError, SyntaxError, TypeError, ValueError):
        hint = "" if name in classes else f" {did_you_mean(name, classes)}"
        raise ValueError(
            "`freeze_schedule` must be a FreezeSchedule, None, or the text of a call that creates "
            f"one, such as 'FreezeOut(0.5)', got {value!r}.{hint}"
        ) from None
    return kind(*args, **named)


def _check_count(name: str, value: Any) -> None:
    if not isinstance(value, Integral) or value < 1:
        raise ValueError(f"`{name}` must be an int >= 1, got {value!r}.")
