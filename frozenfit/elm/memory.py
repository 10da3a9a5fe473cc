"""What an estimator keeps of the data: rows while they are few, sums and a sample of rows later.

Up to `loo_rows` distinct rows are kept, and a fit on them does not depend on the order or the
batches in which they arrived. When there are more, the frozen part is made from the rows seen so
far and stays as it is; from then on rows are added to sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from frozenfit.elm import device, ridge
from frozenfit.elm.config import Config
from frozenfit.elm.frozen import Frozen, freeze
from frozenfit.elm.head import Head, as_targets, fit_head, multiplies_in_float32, views
from frozenfit.elm.sample import Sample
from frozenfit.elm.scaling import Moments, rows_of
from frozenfit.elm.weight_scale import choose_weight_scale

__all__ = ["Block", "Gathered", "Memory", "cut"]

Block = tuple[Any, np.ndarray, np.ndarray]  # X, y and weights
Tick = Callable[[int], None]  # receives the number of rows that have been processed

_CENTER_ROWS = 1024
# Features up to this size are kept for leave-one-out; larger ones are computed twice.
_KEPT_BYTES = 2**26


def _no_tick(rows: int) -> None:
    """Ignore progress."""


@dataclass(frozen=True)
class Memory:
    """The state of a fit.

    It is immutable: every change returns a new one, so that a failed change is harmless.

    Attributes
    ----------
    config : Config
        The settings.
    sample : Sample
        All rows, or some of them.
    frozen : Frozen or None
        The frozen part, once there are more than `loo_rows` rows.
    sums : tuple of Sums or None
        Sums over all rows for each ridge, from then on.
    factors : ndarray or None
        Weights of the classes in `sums`. They stay as they are then, since a sum cannot be
        weighted again.
    target_range : tuple of ndarray
        Minimum and maximum of regression targets.
    """

    config: Config
    sample: Sample
    frozen: Frozen | None = None
    sums: tuple[ridge.Sums, ...] | None = None
    factors: np.ndarray | None = None
    target_range: tuple[Any, Any] = (None, None)

    @classmethod
    def of(cls, config: Config, block: Block) -> Memory:
        """Start from a block of rows."""
        sample = Sample.of(*block, config.loo_rows, config.seed)
        return cls(config, sample, target_range=_range(config, block[1]))._summed_if_many()

    @classmethod
    def of_blocks(
        cls, config: Config, blocks: Callable[[], Iterable[Block]], tick: Tick = _no_tick
    ) -> Memory:
        """Start from data that can be read twice, without keeping it in memory.

        Parameters
        ----------
        config : Config
            The settings.
        blocks : callable
            Returns an iterator over all blocks.
        tick : callable
            Called with the number of rows of each block in the second pass.

        Returns
        -------
        Memory
        """
        gathered: Gathered | None = None
        for block in blocks():
            part = Gathered.of(config, block)
            gathered = part if gathered is None else gathered.plus(part)
        assert gathered is not None
        if gathered.sample.complete:
            return cls(config, gathered.sample, target_range=gathered.target_range)
        return gathered.freeze(config).added(blocks(), tick)

    def _summed_if_many(self) -> Memory:
        """Turn kept rows into sums where there are more than `loo_rows`."""
        limit = self.config.loo_rows
        if self.frozen is not None or limit is None or len(self.sample) <= limit:
            return self
        whole = self.sample
        memory = self.freeze(None, _class_factors(self.config, _counts(self.config, whole)))
        memory = replace(memory, sample=whole.trimmed())
        return memory.added([(whole.X, whole.y, whole.weight)])

    def freeze(self, moments: Moments | None, factors: np.ndarray | None) -> Memory:
        """Return the memory with the frozen part made from its sample, and empty sums."""
        frozen = _freeze(self.config, self.sample, moments)
        sums = _empty_sums(frozen, self.sample, self.config.n_outputs)
        return replace(self, frozen=frozen, sums=sums, factors=factors)

    def added(self, blocks: Iterable[Block], tick: Tick = _no_tick) -> Memory:
        """Return the memory with rows added to the sums; the sample stays as it is."""
        assert self.frozen is not None and self.sums is not None
        fresh = tuple(ridge.Sums(s.center, s.n_targets) for s in self.sums)
        rows = self.config.block_rows(max(self.frozen.n_features))
        for block in blocks:
            for X, y, w in cut(block, rows):
                _accumulate(self.config, self.frozen, fresh, X, y, _times(w, self.factors, y))
                tick(X.shape[0])
        _check_finite(fresh)
        joined = tuple(a.plus(b) for a, b in zip(self.sums, fresh, strict=True))
        return replace(self, sums=joined)

    def plus(self, block: Block) -> Memory:
        """Return the memory of these rows and of another block."""
        X, y, w = block
        new = Sample.of(X, y, w, self.config.loo_rows, self.config.seed)
        target_range = _join_ranges(self.target_range, _range(self.config, y))
        if self.frozen is None:
            joined = replace(self, sample=self.sample.plus(new), target_range=target_range)
            return joined._summed_if_many()
        memory = self.added([block])
        sample = self.sample.plus(self.sample.below_last(new)).trimmed()
        sample = replace(sample, complete=False)
        return replace(memory, sample=sample, target_range=target_range)

    def minus(self, block: Block) -> Memory:
        """Return the memory as if a block of rows had never been added.

        Raises
        ------
        ValueError
            If the rows cannot have been added, or no row would be left.
        """
        X, y, w = block
        gone = Sample.of(X, y, w, self.config.loo_rows, self.config.seed)
        sample, missing = self.sample.without(gone)
        if self.frozen is None and missing:
            raise ValueError(
                f"{missing} of {len(gone)} rows to unlearn were not part of the fit, or not with "
                "this weight. Pass rows, targets and weights as they were passed to fit."
            )
        if not len(sample):
            raise ValueError("Unlearning these rows leaves no row to fit on. Keep some rows.")
        memory = replace(self, sample=sample)
        if self.frozen is None:
            # The sample is all rows, so the range without the removed targets can be computed.
            return replace(memory, target_range=_range(self.config, sample.y))
        assert self.sums is not None
        empty = replace(self, sums=tuple(ridge.Sums(s.center, s.n_targets) for s in self.sums))
        parts = empty.added([block]).sums
        assert parts is not None
        sums = tuple(a.plus(b, -1.0) for a, b in zip(self.sums, parts, strict=True))
        # Most rows are not stored, so only the result shows whether they were added: sums over rows
        # are positive semidefinite.
        if not all(s.is_positive() and _counts_positive(self.config, s) for s in sums):
            raise ValueError(
                "The rows to unlearn cannot all have been part of the fit: without them the Gram "
                "matrix is not positive semidefinite. Pass rows, targets and weights as they were "
                "passed to fit."
            )
        return replace(memory, sums=sums)

    def solved(self, tick: Tick = _no_tick) -> tuple[Frozen, Head]:
        """Fit the head.

        Parameters
        ----------
        tick : callable
            Called with the number of rows of each block.

        Returns
        -------
        frozen : Frozen
        head : Head
        """
        config, sample = self.config, self.sample
        if self.frozen is not None:
            assert self.sums is not None
            w = _times(sample.weight, self.factors, sample.y)
            head = fit_head(config, self.frozen, sample, w, self.sums, self.target_range)
            return self.frozen, head
        frozen = _freeze(config, sample, None, len(sample))
        factors = _class_factors(config, _counts(config, sample))
        w = _times(sample.weight, factors, sample.y)
        sums, kept = None, None
        # With fewer rows than features the product of rows with rows is the smaller matrix.
        if len(sample) >= max(frozen.n_features) or config.flip:
            sums = _empty_sums(frozen, sample, config.n_outputs)
            small = 4 * len(sample) * sum(frozen.n_features) <= _KEPT_BYTES and not config.flip
            kept = [] if small and multiplies_in_float32(frozen, len(sample)) else None
            rows = config.block_rows(max(frozen.n_features))
            for X, y, part in cut((sample.X, sample.y, w), rows):
                _accumulate(config, frozen, sums, X, y, part, kept)
                tick(X.shape[0])
            _check_finite(sums)
        return frozen, fit_head(config, frozen, sample, w, sums, self.target_range, kept)


@dataclass(frozen=True)
class Gathered:
    """What the first pass over the data collects; the results of two parts can be joined.

    Attributes
    ----------
    sample : Sample
        Rows for leave-one-out, and to make the frozen part from.
    moments : Moments or None
        Of the columns, where the stage passes samples unchanged.
    counts : ndarray or None
        Total weight of each class.
    target_range : tuple of ndarray
        Minimum and maximum of regression targets.
    """

    sample: Sample
    moments: Moments | None
    counts: np.ndarray | None
    target_range: tuple[Any, Any]

    @classmethod
    def of(cls, config: Config, block: Block) -> Gathered:
        """Collect from one block."""
        X, y, w = block
        sample = Sample.of(X, y, w, config.loo_rows, config.seed)
        moments = None
        if config.stage.passes_samples:
            moments = Moments(rows_of(X).shape[1])
            moments.add(rows_of(X), w)
        return cls(sample.trimmed(), moments, _counts(config, sample), _range(config, y))

    def plus(self, other: Gathered) -> Gathered:
        """Collect from both."""
        new = self.sample.below_last(other.sample)
        complete = self.sample.complete and len(new) == len(other.sample)
        joined = self.sample.plus(replace(new, complete=other.sample.complete and complete))
        moments = self.moments
        if moments is not None and other.moments is not None:
            moments = moments.plus(other.moments)
        counts = None if self.counts is None else self.counts + other.counts
        target_range = _join_ranges(self.target_range, other.target_range)
        return Gathered(joined.trimmed(), moments, counts, target_range)

    def freeze(self, config: Config) -> Memory:
        """Return a memory with the frozen part and empty sums, for the second pass."""
        memory = Memory(config, self.sample, target_range=self.target_range)
        return memory.freeze(self.moments, _class_factors(config, self.counts))


def _freeze(config: Config, sample: Sample, moments: Moments | None, n_rows: int = 0) -> Frozen:
    config = choose_weight_scale(config, sample, _leave_one_out_score)
    return freeze(config, sample.X, sample.y, sample.weight, moments, n_rows)


def _leave_one_out_score(config: Config, sample: Sample) -> float | None:
    memory = Memory(config, sample, target_range=_range(config, sample.y))
    return memory.solved()[1].best_score


def _empty_sums(frozen: Frozen, sample: Sample, k: int) -> tuple[ridge.Sums, ...]:
    # The center is a mean over a few rows. It is subtracted before anything is summed, since the
    # Gram matrix of features far from 0 loses the digits in which they differ.
    some = device.groups(frozen, sample.X[:_CENTER_ROWS])
    with np.errstate(over="ignore", invalid="ignore"):
        means = [[part.mean(axis=0, dtype=np.float64) for part in parts] for parts in some]
    return tuple(ridge.Sums(np.concatenate(mean), k) for mean in means)


def _accumulate(config, frozen, sums, X, y, w, kept: list | None = None) -> None:
    T = as_targets(config, y)
    both = views(config, X)  # each with half of the weight, so that a sample counts once
    with np.errstate(over="ignore", invalid="ignore"):  # _check_finite raises
        for view in both:
            groups = device.groups(frozen, view)
            if kept is not None:
                kept.append([[A.astype(np.float32, copy=False) for A in parts] for parts in groups])
            for total, parts in zip(sums, groups, strict=True):
                total.add(parts, T, w / len(both))


def _check_finite(sums: tuple[ridge.Sums, ...]) -> None:
    for total in sums:
        if not (np.isfinite(total.gram).all() and np.isfinite(total.cross).all()):
            raise ValueError(
                "The sums over the rows are too large for float64. Scale X or y, or use an "
                "activation that grows more slowly."
            )


def cut(block: Block, size: int) -> Iterator[Block]:
    """Yield a block in pieces of `size` rows."""
    X, y, w = block
    for start in range(0, len(y), size):
        part = slice(start, start + size)
        yield X[part], y[part], w[part]


def _counts(config: Config, sample: Sample) -> np.ndarray | None:
    if config.task != "classification":
        return None
    return np.bincount(sample.y, sample.weight, minlength=config.n_outputs)


def _class_factors(config: Config, counts: np.ndarray | None) -> np.ndarray | None:
    if counts is None or config.class_weight is None:
        return None
    if isinstance(config.class_weight, np.ndarray):
        return config.class_weight
    even = counts.sum() / max(np.count_nonzero(counts), 1)
    return np.divide(even, counts, out=np.ones_like(counts), where=counts > 0)


def _times(w: np.ndarray, factors: np.ndarray | None, y: np.ndarray) -> np.ndarray:
    return w if factors is None else w * factors[y]


def _counts_positive(config: Config, sums: ridge.Sums) -> bool:
    """Return whether no class or label has a negative weight."""
    slack = 1e-6 * max(sums.weight, 1.0)
    return not config.classifies or bool(np.all(sums.weight + sums.targets >= -slack))


def _range(config: Config, y: np.ndarray) -> tuple[Any, Any]:
    return (None, None) if config.classifies else (y.min(axis=0), y.max(axis=0))


def _join_ranges(a: tuple[Any, Any], b: tuple[Any, Any]) -> tuple[Any, Any]:
    return (None, None) if a[0] is None else (np.minimum(a[0], b[0]), np.maximum(a[1], b[1]))
