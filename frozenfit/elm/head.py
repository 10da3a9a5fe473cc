"""What an ELM learns: one linear head for each ridge, and two numbers for probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.linalg import LinAlgError

from frozenfit.elm import calibration, device, hidden, leaving, ridge
from frozenfit.elm.config import ALPHAS, Config
from frozenfit.elm.hidden import Frozen
from frozenfit.elm.sample import Sample

__all__ = ["Head", "as_targets", "fit_head", "in_float32", "views"]

# Calibrates where the strength is given: two numbers need no more rows.
_CALIBRATED_ON = 4096
# Standard errors by which a strength must be worse on the first rows to be given up.
_SURELY = 4.0

Parts = list[np.ndarray]  # features that lie side by side

_TOO_LARGE = (
    "the features are too large for a decomposition; scale the columns of X, or give an "
    "activation that grows more slowly"
)


@dataclass(frozen=True)
class Head:
    """A learned output.

    Attributes
    ----------
    coefs : tuple of ndarray, shape (m, k)
        One for each ridge.
    intercepts : tuple of ndarray, shape (k,)
        The same.
    alphas : tuple of float
        Ridge strengths, relative to the mean eigenvalue of the centered Gram.
    beta, gamma : float
        Calibration of a classifier.
    low, high : ndarray, shape (k,)
        Range of a regressor's targets, in which predictions stay.
    loo_score : float or None
        Mean leave-one-out log loss, or leave-one-out R2 of a regressor; None where there was
        nothing to choose and nothing to calibrate.
    """

    coefs: tuple[np.ndarray, ...]
    intercepts: tuple[np.ndarray, ...]
    alphas: tuple[float, ...]
    beta: float = 1.0
    gamma: float = 0.0
    low: Any = None
    high: Any = None
    best_score: float | None = None

    def outputs(self, frozen: Frozen, X: Any, classifies: bool) -> np.ndarray:
        """Compute logits or predictions.

        Parameters
        ----------
        frozen : Frozen
            The frozen part the head was fitted on.
        X : ndarray or CSR
            Samples.
        classifies : bool
            Which of the two.

        Returns
        -------
        ndarray of float64, shape (n, k)
        """
        total = np.zeros((X.shape[0], len(self.intercepts[0])))
        for parts, coef, intercept in zip(
            device.groups(frozen, X), self.coefs, self.intercepts, strict=True
        ):
            start = 0
            for part in parts:
                total += part @ coef[start : start + part.shape[1]].astype(part.dtype)
                start += part.shape[1]
            total += intercept
        total /= len(self.coefs)
        if classifies:
            return calibration.logits(total, self.beta, self.gamma)
        return np.clip(total, self.low, self.high)


def as_targets(config: Config, y: np.ndarray) -> np.ndarray:
    """Return regression targets, or 1 for a sample's class and -1 for the others."""
    if not config.classifies:
        return y
    T = np.full((len(y), config.n_outputs), -1.0)
    T[np.arange(len(y)), y] = 1.0
    return T


def views(config: Config, X: Any) -> list[Any]:
    """Return samples, and mirrored ones where images are learned with their mirror images."""
    if not config.flip:
        return [X]
    images = X.reshape(-1, *config.image_shape)
    return [images, images[:, :, ::-1]]


def fit_head(
    config: Config,
    frozen: Frozen,
    sample: Sample,
    w: np.ndarray,
    sums: tuple[ridge.Sums, ...] | None,
    span: tuple[Any, Any],
    kept: list[list[list[np.ndarray]]] | None = None,
) -> Head:
    """Choose ridge strengths, solve and calibrate.

    Parameters
    ----------
    config : Config
        The settings.
    frozen : Frozen
        The frozen part.
    sample : Sample
        Rows to leave out one at a time.
    w : ndarray, shape (n,)
        Their weights in the fit.
    sums : tuple of Sums or None
        Over all rows; None where the sample holds all of them and they are fewer than features.
    span : (ndarray, ndarray)
        Range of regression targets.
    kept : list of list of list of ndarray, default=None
        The rows' features in blocks, for each ridge, in parts, where they were kept.

    Returns
    -------
    Head
    """
    n = len(sample)
    if _is_fixed(config) and sums is not None and config.loo_rows is not None:
        n = min(n, _CALIBRATED_ON)
    T, y, w = as_targets(config, sample.y[:n]), sample.y[:n], w[:n]
    relative = w / w.mean()
    solved = []
    for number in range(len(frozen.widths)):

        def blocks(number: int = number) -> Iterator[Parts | tuple[Parts, ...]]:
            size = config.rows(max(frozen.widths))
            for i, start in enumerate(range(0, n, size)):
                if kept is not None:
                    yield [part[: n - start] for part in kept[i][number]]
                    continue
                found = [
                    device.groups(frozen, view)[number]
                    for view in views(config, sample.X[start : min(start + size, n)])
                ]
                yield found[0] if len(found) == 1 else tuple(found)

        total = None if sums is None else sums[number]
        solved.append(_solve(config, frozen.dtype, total, blocks, T, w, relative, y))
    coefs, intercepts, alphas, left = zip(*solved, strict=True)
    made = (coefs, intercepts, alphas)
    if not all(np.isfinite(coef).all() for coef in coefs):
        raise ValueError(
            "the ridge has no finite solution; give a larger alpha, or an activation that "
            "grows more slowly"
        )
    if not config.classifies:
        score = None if left[0] is None else _r2(np.mean(left, axis=0), T, relative)
        return Head(*made, low=span[0], high=span[1], best_score=score)
    scores = np.mean(left, axis=0).astype(np.float64)
    beta, gamma = calibration.calibrate(scores, y, relative)
    losses = calibration.row_losses(calibration.logits(scores, beta, gamma), y)
    loss = float(np.mean(relative * losses))
    return Head(*made, beta=beta, gamma=gamma, best_score=loss)


def _r2(scores: np.ndarray, T: np.ndarray, w: np.ndarray) -> float | None:
    mean = np.average(T, axis=0, weights=w)
    spread = (w[:, None] * (T - mean) ** 2).sum(axis=0)
    error = (w[:, None] * (T - scores) ** 2).sum(axis=0)
    known = spread > 0
    return float(np.mean(1 - error[known] / spread[known])) if known.any() else None


def _solve(
    config: Config,
    dtype: str,
    sums: ridge.Sums | None,
    blocks: Callable[[], Iterator[Parts | tuple[Parts, ...]]],
    T: np.ndarray,
    w: np.ndarray,
    relative: np.ndarray,
    y: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, float, Any]:
    """Return coefficients, intercept, strength and leave-one-out scores of one ridge."""
    if sums is not None and _is_fixed(config):
        alpha = float(config.alpha)
        coef, intercept, whitened = ridge.solve_at(sums, alpha)
        if not config.classifies:
            return coef, intercept, alpha, None
        if whitened is not None:
            kind = hidden.products_in(dtype, len(T), len(coef))
            left = leaving.leave_one_out(whitened, blocks, T, w, np.zeros(1), kind)[0]
            return coef, intercept, alpha, left
    if sums is None:
        A = np.concatenate([np.hstack(cast(Parts, parts)) for parts in blocks()])
        if not np.isfinite(A).all():
            raise ValueError(_TOO_LARGE)
        solution = ridge.decompose_rows(A, T, w)
    else:
        solution = _decomposed(sums)
    alphas = _grid(config)
    kind = hidden.products_in(dtype, len(T), len(solution.mean))

    def narrow(left: np.ndarray) -> np.ndarray:
        first = slice(0, left.shape[1])
        return _in_question(config, left, T[first], relative[first], y[first])

    kept, left = leaving.race(solution, blocks, T, w, alphas, kind, narrow)
    best = _best(config, left, T, relative, y)
    alpha = float(alphas[kept[best]])
    return *solution.head(alpha), alpha, left[best]


def _is_fixed(config: Config) -> bool:
    return not isinstance(config.alpha, str) and np.ndim(config.alpha) == 0


def _decomposed(sums: ridge.Sums) -> ridge.Solution:
    try:
        return ridge.decompose(sums)
    except (LinAlgError, ValueError) as error:
        raise ValueError(_TOO_LARGE) from error


def in_float32(frozen: Frozen, rows: int) -> bool:
    """Tell whether every ridge of so many rows leaves them out by products in float32."""
    kinds = [hidden.products_in(frozen.dtype, rows, width) for width in frozen.widths]
    return all(kind == "float32" for kind in kinds)


def _grid(config: Config) -> np.ndarray:
    if isinstance(config.alpha, str):
        return ALPHAS
    return np.sort(np.atleast_1d(np.asarray(config.alpha, np.float64)))


def _best(config: Config, left: np.ndarray, T, relative, y) -> int:
    """Return the strength of the least leave-one-out error, the strongest of equal ones."""
    if len(left) == 1:
        return 0
    if not config.classifies:
        errors = [float(rows.mean()) for rows in _squared(left, T, relative)]
    else:
        errors = [error for error, _ in _at_best_temperature(left, y, relative)]
    return len(errors) - 1 - int(np.argmin(errors[::-1]))


def _squared(left: np.ndarray, T: np.ndarray, relative: np.ndarray) -> Iterator[np.ndarray]:
    """Yield each strength's squared errors of the rows, every target on its own scale."""
    spread = np.average((T - np.average(T, axis=0, weights=relative)) ** 2, 0, relative)
    share = relative[:, None] / np.where(spread > 0, spread, 1.0)
    return ((share * (T - scores) ** 2).mean(axis=1) for scores in left)


def _at_best_temperature(left: np.ndarray, y, relative) -> list[tuple[float, float]]:
    found, beta = [], 1.0
    for scores in left:
        error, beta = calibration.log_loss_at_best_temperature(scores, y, relative, beta)
        found.append((error, beta))
    return found


def _in_question(config: Config, left: np.ndarray, T, relative, y) -> np.ndarray:
    """Return the strengths that are not surely worse than the best on some rows."""
    if config.classifies:
        betas = [beta for _, beta in _at_best_temperature(left, y, relative)]
        pairs = zip(betas, left, strict=True)
        rows = [relative * calibration.row_losses(beta * scores, y) for beta, scores in pairs]
    else:
        rows = list(_squared(left, T, relative))
    errors = np.array(rows)
    worse = errors - errors[np.argmin(errors.mean(axis=1))]
    error = worse.std(axis=1) / np.sqrt(worse.shape[1])
    return np.flatnonzero(worse.mean(axis=1) <= _SURELY * error)
