"""The trained output of an ELM: one linear head per ridge, and the calibration of probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.linalg import LinAlgError

from frozenfit.elm import calibration, device, leave_one_out, ridge
from frozenfit.elm.config import ALPHAS, Config
from frozenfit.elm.frozen import Frozen, choose_product_dtype
from frozenfit.elm.sample import Sample
from frozenfit.training.objective import Task

__all__ = ["Head", "as_targets", "fit_head", "multiplies_in_float32", "views"]

# Rows for the calibration where alpha is given: two numbers need no more.
_CALIBRATION_ROWS = 4096
# Standard errors by which an alpha must be worse on the first rows to be dropped.
_STANDARD_ERRORS = 4.0

Parts = list[np.ndarray]  # features that lie side by side

_TOO_LARGE = (
    "The features are too large for a decomposition. Scale the columns of X, or use an "
    "activation that grows more slowly."
)


@dataclass(frozen=True)
class Head:
    """A trained output.

    Attributes
    ----------
    coefs : tuple of ndarray of shape (n_features, n_outputs)
        Coefficients of each ridge.
    intercepts : tuple of ndarray of shape (n_outputs,)
        Intercepts of each ridge.
    alphas : tuple of float
        Regularization strengths, relative to the mean eigenvalue of the centered Gram matrix.
    beta, gamma : float, or ndarray of shape (n_outputs,)
        Calibration of a classifier; of each label where a sample has several.
    low, high : ndarray of shape (n_outputs,) or None
        Range of the training targets of a regressor, to which predictions are clipped.
    best_score : float or None
        Negative mean leave-one-out log loss of a classifier, over samples and labels, and
        leave-one-out R2 of a regressor. None
        where there was nothing to choose and nothing to calibrate.
    """

    coefs: tuple[np.ndarray, ...]
    intercepts: tuple[np.ndarray, ...]
    alphas: tuple[float, ...]
    beta: Any = 1.0
    gamma: Any = 0.0
    low: Any = None
    high: Any = None
    best_score: float | None = None

    def outputs(self, frozen: Frozen, X: Any) -> np.ndarray:
        """Compute logits or predictions.

        Parameters
        ----------
        frozen : Frozen
            The frozen part that the head was fitted on.
        X : ndarray or CSR array
            Samples.

        Returns
        -------
        ndarray of float64 of shape (n_samples, n_outputs)
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
        if frozen.config.classifies:
            return self.logits(total, frozen.config.task)
        return np.clip(total, self.low, self.high)

    def logits(self, scores: np.ndarray, task: Task) -> np.ndarray:
        """Compute the logits of a classifier from the mean output of its ridges."""
        if task == "multilabel":
            return calibration.label_logits(scores, self.beta, self.gamma)
        return calibration.logits(scores, self.beta, self.gamma)


def as_targets(config: Config, y: np.ndarray) -> np.ndarray:
    """Return regression targets, or 1 for the class or labels of a sample and -1 for the others."""
    if config.task == "regression":
        return y
    if config.task == "multilabel":
        return 2.0 * y - 1.0
    T = np.full((len(y), config.n_outputs), -1.0)
    T[np.arange(len(y)), y] = 1.0
    return T


def views(config: Config, X: Any) -> list[Any]:
    """Return the samples, and their mirror images where ``augment="flip"``."""
    if not config.flip:
        return [X]
    images = X.reshape(-1, *config.image_shape)
    return [images, images[:, :, ::-1]]


def multiplies_in_float32(frozen: Frozen, rows: int) -> bool:
    """Return whether leave-one-out over this number of rows uses float32 for every ridge."""
    kinds = [choose_product_dtype(frozen.dtype, rows, n) for n in frozen.n_features]
    return all(kind == "float32" for kind in kinds)


def fit_head(
    config: Config,
    frozen: Frozen,
    sample: Sample,
    w: np.ndarray,
    sums: tuple[ridge.Sums, ...] | None,
    target_range: tuple[Any, Any],
    kept: list[list[list[np.ndarray]]] | None = None,
) -> Head:
    """Choose alpha, solve the ridges and calibrate.

    Parameters
    ----------
    config : Config
        The settings.
    frozen : Frozen
        The frozen part.
    sample : Sample
        Rows for leave-one-out.
    w : ndarray of shape (n_samples,)
        Weights of these rows in the fit.
    sums : tuple of Sums or None
        Over all rows; None where the sample is all of them and they are fewer than features.
    target_range : tuple of ndarray
        Minimum and maximum of regression targets.
    kept : list of list of list of ndarray, default=None
        The features of the rows by block, ridge and part, where they were kept in memory.

    Returns
    -------
    Head
    """
    n = len(sample)
    if _alpha_is_fixed(config) and sums is not None and config.loo_rows is not None:
        n = min(n, _CALIBRATION_ROWS)
    rows = _Rows(config, frozen, sample, w, n, kept)
    solved = [
        _solve(rows, None if sums is None else sums[number], number)
        for number in range(len(frozen.n_features))
    ]
    coefs, intercepts, alphas, scores = zip(*solved, strict=True)
    if not all(np.isfinite(coef).all() for coef in coefs):
        raise ValueError(
            "The ridge has no finite solution. Pass a larger `alpha`, or an activation that grows "
            "more slowly."
        )
    if not config.classifies:
        score = None if scores[0] is None else _r2(np.mean(scores, axis=0), rows.T, rows.relative)
        low, high = target_range
        return Head(coefs, intercepts, alphas, low=low, high=high, best_score=score)
    mean = np.mean(scores, axis=0).astype(np.float64)
    beta, gamma = rows.calibrated(mean)
    head = Head(coefs, intercepts, alphas, beta=beta, gamma=gamma)
    losses = rows.losses(head.logits(mean, config.task))
    return replace(head, best_score=-float(np.mean(rows.relative * losses)))


class _Rows:
    """The rows for leave-one-out, and losses of their scores."""

    def __init__(self, config: Config, frozen: Frozen, sample: Sample, w, n: int, kept: Any):
        self.config, self.frozen, self.sample, self.kept, self.n = config, frozen, sample, kept, n
        self.y, self.w = sample.y[:n], w[:n]
        self.T = as_targets(config, self.y)
        self.relative = self.w / self.w.mean()

    def blocks(self, number: int) -> Iterator[Parts | tuple[Parts, ...]]:
        """Yield the features of one ridge; a tuple of two where rows have mirror images."""
        size = self.config.block_rows(max(self.frozen.n_features))
        for i, start in enumerate(range(0, self.n, size)):
            if self.kept is not None:
                yield [part[: self.n - start] for part in self.kept[i][number]]
                continue
            X = self.sample.X[start : min(start + size, self.n)]
            parts = [device.groups(self.frozen, v)[number] for v in views(self.config, X)]
            yield parts[0] if len(parts) == 1 else tuple(parts)

    def best(self, scores: np.ndarray) -> int:
        """Return the alpha of the lowest leave-one-out error, the largest of equal ones."""
        if len(scores) == 1:
            return 0
        if self.config.classifies:
            errors = [error for error, _ in self._at_best_temperature(scores, len(self.y))]
        else:
            errors = [float(rows.mean()) for rows in self._squared_errors(scores, len(self.y))]
        # The grid is ascending; of equal errors the strongest regularization is the safer choice.
        return len(errors) - 1 - int(np.argmin(errors[::-1]))

    def candidates(self, scores: np.ndarray) -> np.ndarray:
        """Return the alphas that are not clearly worse than the best on the first rows."""
        n = scores.shape[1]  # the sample is in random order, so the first rows represent all
        if self.config.classifies:
            betas = [beta for _, beta in self._at_best_temperature(scores, n)]
            # Twice, for labels: their two scores are -s and s.
            times = 2 if self.config.task == "multilabel" else 1
            rows = [
                self.relative[:n] * self.losses(times * beta * each)
                for beta, each in zip(betas, scores, strict=True)
            ]
        else:
            rows = list(self._squared_errors(scores, n))
        errors = np.array(rows)
        # Paired differences: the rows that are hard for every alpha cancel.
        worse = errors - errors[np.argmin(errors.mean(axis=1))]
        standard_error = worse.std(axis=1) / np.sqrt(worse.shape[1])
        return np.flatnonzero(worse.mean(axis=1) <= _STANDARD_ERRORS * standard_error)

    def _squared_errors(self, scores: np.ndarray, n: int) -> Iterator[np.ndarray]:
        """Yield the squared errors of the rows per alpha, relative to the targets' variances."""
        T, w = self.T[:n], self.relative[:n]
        variance = np.average((T - np.average(T, axis=0, weights=w)) ** 2, 0, w)
        share = w[:, None] / np.where(variance > 0, variance, 1.0)
        return ((share * (T - each) ** 2).mean(axis=1) for each in scores)

    def _at_best_temperature(self, scores: np.ndarray, n: int) -> list[tuple[float, float]]:
        """Return log loss and inverse temperature per alpha."""
        pairs, beta = [], 1.0
        for each in scores:
            problem = each, self.y[:n], self.relative[:n]
            if self.config.task == "multilabel":
                problem = calibration.as_two_classes(*problem)
            error, beta = calibration.log_loss_at_best_temperature(*problem, beta)
            pairs.append((error, beta))
        return pairs

    def calibrated(self, scores: np.ndarray) -> tuple[Any, Any]:
        """Return beta and gamma of a classifier."""
        if self.config.task == "classification":
            return calibration.calibrate(scores, self.y, self.relative)
        each = [
            calibration.calibrate(
                *calibration.as_two_classes(scores[:, [k]], self.y[:, [k]], self.relative)
            )
            for k in range(scores.shape[1])
        ]
        beta, gamma = np.array(each).T
        return beta, gamma

    def losses(self, logits: np.ndarray) -> np.ndarray:
        """Return the log loss of each of the first rows, the mean over the labels."""
        y = self.y[: len(logits)]
        if self.config.task == "classification":
            return calibration.row_losses(logits, y)
        signs = 1.0 - 2.0 * y
        return np.logaddexp(0.0, signs * logits).mean(axis=1)


def _r2(scores: np.ndarray, T: np.ndarray, w: np.ndarray) -> float | None:
    mean = np.average(T, axis=0, weights=w)
    total = (w[:, None] * (T - mean) ** 2).sum(axis=0)
    error = (w[:, None] * (T - scores) ** 2).sum(axis=0)
    varies = total > 0
    return float(np.mean(1 - error[varies] / total[varies])) if varies.any() else None


def _solve(
    rows: _Rows, sums: ridge.Sums | None, number: int
) -> tuple[np.ndarray, np.ndarray, float, Any]:
    """Return coefficients, intercept, alpha and leave-one-out scores of one ridge."""
    config = rows.config
    T, w, dtype = rows.T, rows.w, rows.frozen.dtype
    blocks: Callable[[], Any] = lambda: rows.blocks(number)  # noqa: E731
    if sums is not None and _alpha_is_fixed(config):
        alpha = float(config.alpha)
        coef, intercept, whitened = ridge.solve_at(sums, alpha)
        if not config.classifies:
            return coef, intercept, alpha, None
        if whitened is not None:
            kind = choose_product_dtype(dtype, len(T), len(coef))
            scores = leave_one_out.scores(whitened, blocks, T, w, np.zeros(1), kind)[0]
            return coef, intercept, alpha, scores
    solution = _decompose(sums) if sums is not None else _decompose_rows(blocks, T, w)
    alphas = _grid(config)
    kind = choose_product_dtype(dtype, len(T), len(solution.mean))
    kept, scores = leave_one_out.race(solution, blocks, T, w, alphas, kind, rows.candidates)
    best = rows.best(scores)
    alpha = float(alphas[kept[best]])
    return *solution.head(alpha), alpha, scores[best]


def _alpha_is_fixed(config: Config) -> bool:
    return not isinstance(config.alpha, str) and np.ndim(config.alpha) == 0


def _grid(config: Config) -> np.ndarray:
    if isinstance(config.alpha, str):
        return ALPHAS
    return np.sort(np.atleast_1d(np.asarray(config.alpha, np.float64)))


def _decompose(sums: ridge.Sums) -> ridge.Solution:
    try:
        return ridge.decompose(sums)
    except (LinAlgError, ValueError) as error:
        raise ValueError(_TOO_LARGE) from error


def _decompose_rows(blocks: Callable[[], Any], T: np.ndarray, w: np.ndarray) -> ridge.Solution:
    A = np.concatenate([np.hstack(cast(Parts, parts)) for parts in blocks()])
    if not np.isfinite(A).all():
        raise ValueError(_TOO_LARGE)
    return ridge.decompose_rows(A, T, w)
