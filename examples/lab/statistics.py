"""Means over seeds, paired differences with their intervals, and the rule for verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

RELATIONS = ("larger", "smaller", "equal", "not smaller")


class Spread(NamedTuple):
    """Mean and standard deviation of a sample; the latter is NaN for a single value."""

    mean: float
    sd: float
    n: int


class Difference(NamedTuple):
    """Mean of a paired difference over seeds, with the 95 % interval of Student's t."""

    mean: float
    low: float
    high: float
    n: int


def spread(values: Sequence[float]) -> Spread:
    """Return mean and standard deviation (ddof=1)."""
    sample = np.asarray(values, float)
    sd = float(sample.std(ddof=1)) if len(sample) > 1 else float("nan")
    return Spread(float(sample.mean()), sd, len(sample))


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> Difference:
    """Compare two arms, given as values by seed, over the seeds that both have.

    With one common seed the interval is unbounded, and with none the mean is NaN as well.
    """
    seeds = sorted(first.keys() & second.keys())
    gaps = np.array([first[seed] - second[seed] for seed in seeds])
    if len(gaps) < 2:
        mean = float(gaps[0]) if len(gaps) else float("nan")
        return Difference(mean, -np.inf, np.inf, len(gaps))
    mean, n = float(gaps.mean()), len(gaps)
    half = float(stats.t.ppf(0.975, n - 1) * gaps.std(ddof=1) / n**0.5)
    return Difference(mean, mean - half, mean + half, n)


def verdict(difference: Difference, relation: str, margin: float = 0.01) -> str:
    """Judge a claim about a difference by a fixed rule.

    Parameters
    ----------
    difference : Difference
        First arm minus second arm.
    relation : {"larger", "smaller", "equal", "not smaller"}
        The claimed relation of the first arm to the second one.
    margin : float, default=0.01
        Differences up to the margin do not matter. It is stated before the runs.

    Returns
    -------
    {"reproduced", "contradicted", "equal", "undetermined"}
        "larger" and "smaller" are reproduced if the interval lies on the claimed side of 0,
        contradicted if it lies on the other side, and "equal" if it contains 0 and lies within the
        margin. "equal" and "not smaller" are reproduced if the interval lies within (above minus)
        the margin, and contradicted if it lies outside (below) it. Anything else is undetermined.
    """
    if relation not in RELATIONS:
        raise ValueError(f"`relation` must be one of {RELATIONS}, got {relation!r}.")
    _, low, high, _ = difference
    within = -margin < low and high < margin
    if relation == "equal":
        outside = low > margin or high < -margin
        return "reproduced" if within else "contradicted" if outside else "undetermined"
    if relation == "not smaller":
        return (
            "reproduced" if low > -margin else "contradicted" if high < -margin else "undetermined"
        )
    side = "larger" if low > 0 else "smaller" if high < 0 else None
    if side is not None:
        return "reproduced" if side == relation else "contradicted"
    return "equal" if within else "undetermined"


def binomial_error(accuracy: float, n: int) -> float:
    """Return the standard error of an accuracy that was measured on `n` test samples."""
    return (accuracy * (1 - accuracy) / n) ** 0.5
