"""What an estimator keeps of the data: rows while they are few, sums and a sample of rows later.

As long as at most `loo_rows` distinct rows have come, they are simply kept, and a fit on them does
not depend on how they came. When more come, the frozen part is made from those seen so far and
stays; from then on rows are added to sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from frozenfit.elm import device, ridge
from frozenfit.elm.config import Config
from frozenfit.elm.head import Head, as_targets, fit_head, in_float32, views
from frozenfit.elm.hidden import Frozen, freeze, make_stage
from frozenfit.elm.sample import Sample
from frozenfit.elm.scaling import Moments, rows_of

__all__ = ["Block", "Gathered", "Memory", "cut"]

Block = tuple[Any, np.ndarray, np.ndarray]  # X, y and weights
Tick = Callable[[int], None]

_CENTRED_ON = 1024  # rows
# Features of so few rows are kept for leaving out; of more they are computed again.
_KEPT_BYTES = 2**26


def _no_tick(rows: int) -> None:
    pass


@dataclass(frozen=True)
class Memory:
    """The state of learning; every change makes a new one.

    Attributes
    ----------
    config : Config
        The settings.
    sample : Sample
        All rows, or some of them.
    frozen : Frozen or None
        Made when rows stopped being kept.
    sums : tuple of Sums or None
        From then on, one for each ridge.
    factors : ndarray or None
        Weights of the classes in `sums`.
    span : (ndarray, ndarray)
        Range of regression targets.
    """

    config: Config
    sample: Sample
    frozen: Frozen | None = None
    sums: tuple[ridge.Sums, ...] | None = None
    factors: np.ndarray | None = None
    span: tuple[Any, Any] = (None, None)

    @classmethod
    def of(cls, config: Config, block: Block) -> Memory:
        """Start from a block of rows."""
        sample = Sample.of(*block, config.loo_rows, config.seed)
        return cls(config, sample, span=_span(config, block[1]))._settled()

    @classmethod
    def of_blocks(
        cls, config: Config, blocks: Callable[[], Iterable[Block]], tick: Tick = _no_tick
    ) -> Memory:
        """Start from data that can be read twice, without holding it.

        Parameters
        ----------
        config : Config
            The settings.
        blocks : callable
            Returns an iterator over all blocks.
        tick : callable
            Told of the rows as they are dealt with in the second reading.

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
            return cls(config, gathered.sample, span=gathered.span)
        return gathered.frozen_on(config).added(blocks(), tick)

    def _settled(self) -> Memory:
        """Turn kept rows into sums where there are too many."""
        limit = self.config.loo_rows
        if self.frozen is not None or limit is None or len(self.sample) <= limit:
            return self
        whole = self.sample
        memory = self._frozen_on(None, _class_factors(self.config, _counts(self.config, whole)))
        memory = replace(memory, sample=whole.trimmed())
        return memory.added([(whole.X, whole.y, whole.weight)])

    def _frozen_on(self, moments: Moments | None, factors: np.ndarray | None) -> Memory:
        frozen = _frozen(self.config, self.sample, moments)
        sums = _empty(frozen, self.sample, self.config.n_outputs)
        return replace(self, frozen=frozen, sums=sums, factors=factors)

    def added(self, blocks: Iterable[Block], tick: Tick = _no_tick) -> Memory:
        """Return the memory with rows added to the sums alone."""
        assert self.frozen is not None and self.sums is not None
        fresh = tuple(ridge.Sums(s.center, s.n_targets) for s in self.sums)
        rows = self.config.rows(max(self.frozen.widths))
        for block in blocks:
            for X, y, w in cut(block, rows):
                _accumulate(self.config, self.frozen, fresh, X, y, _times(w, self.factors, y))
                tick(X.shape[0])
        _check_finite(fresh)
        joined = tuple(a.plus(b) for a, b in zip(self.sums, fresh, strict=True))
        return replace(self, sums=joined)

    def plus(self, block: Block) -> Memory:
        """Return the memory of these rows and a block more."""
        X, y, w = block
        new = Sample.of(X, y, w, self.config.loo_rows, self.config.seed)
        span = _joined_span(self.span, _span(self.config, y))
        if self.frozen is None:
            return replace(self, sample=self.sample.plus(new), span=span)._settled()
        memory = self.added([block])
        sample = self.sample.plus(self.sample.below_last(new)).trimmed()
        return replace(memory, sample=replace(sample, complete=False), span=span)

    def minus(self, block: Block) -> Memory:
        """Return the memory as if a block of rows had never come.

        Raises
        ------
        ValueError
            If the rows cannot have come, or nothing would be left.
        """
        X, y, w = block
        gone = Sample.of(X, y, w, self.config.loo_rows, self.config.seed)
        sample, missing = self.sample.without(gone)
        if self.frozen is None and missing:
            raise ValueError(
                f"{missing} of {len(gone)} rows to forget were never learned, or not with that "
                "weight; give rows as they were given to fit"
            )
        if not len(sample):
            raise ValueError("forgetting these rows leaves nothing to learn from; keep some rows")
        memory = replace(self, sample=sample)
        if self.frozen is None:
            return memory
        assert self.sums is not None
        empty = replace(self, sums=tuple(ridge.Sums(s.center, s.n_targets) for s in self.sums))
        parts = empty.added([block]).sums
        assert parts is not None
        left = tuple(a.plus(b, -1.0) for a, b in zip(self.sums, parts, strict=True))
        if not all(s.is_positive() and _counts_positive(self.config, s) for s in left):
            raise ValueError(
                "the rows to forget cannot all have been learned: without them the Gram matrix "
                "would not be positive; give rows as they were given to fit"
            )
        return replace(memory, sums=left)

    def solved(self, tick: Tick = _no_tick) -> tuple[Frozen, Head]:
        """Learn the head.

        Parameters
        ----------
        tick : callable
            Told of the rows as they are dealt with.

        Returns
        -------
        frozen : Frozen
        head : Head
        """
        config, sample = self.config, self.sample
        if self.frozen is not None:
            assert self.sums is not None
            w = _times(sample.weight, self.factors, sample.y)
            return self.frozen, fit_head(config, self.frozen, sample, w, self.sums, self.span)
        frozen = _frozen(config, sample, None, len(sample))
        factors = _class_factors(config, _counts(config, sample))
        w = _times(sample.weight, factors, sample.y)
        sums, kept = None, None
        if len(sample) >= max(frozen.widths) or config.flip:
            sums = _empty(frozen, sample, config.n_outputs)
            small = 4 * len(sample) * sum(frozen.widths) <= _KEPT_BYTES and not config.flip
            kept = [] if small and in_float32(frozen, len(sample)) else None
            for X, y, part in cut((sample.X, sample.y, w), config.rows(max(frozen.widths))):
                _accumulate(config, frozen, sums, X, y, part, kept)
                tick(X.shape[0])
            _check_finite(sums)
        return frozen, fit_head(config, frozen, sample, w, sums, self.span, kept)


@dataclass(frozen=True)
class Gathered:
    """What the first reading of data collects; that of two parts adds up.

    Attributes
    ----------
    sample : Sample
        Rows to leave out, and to make the frozen part from.
    moments : Moments or None
        Of the columns, where no other stage comes first.
    counts : ndarray or None
        Weight of each class.
    span : (ndarray, ndarray)
        Range of regression targets.
    """

    sample: Sample
    moments: Moments | None
    counts: np.ndarray | None
    span: tuple[Any, Any]

    @classmethod
    def of(cls, config: Config, block: Block) -> Gathered:
        """Collect from one block."""
        X, y, w = block
        sample = Sample.of(X, y, w, config.loo_rows, config.seed)
        moments = None
        if config.features in (None, "receptive_fields"):
            moments = Moments(rows_of(X).shape[1])
            moments.add(rows_of(X), w)
        return cls(sample.trimmed(), moments, _counts(config, sample), _span(config, y))

    def plus(self, other: Gathered) -> Gathered:
        """Collect from both."""
        new = self.sample.below_last(other.sample)
        complete = self.sample.complete and len(new) == len(other.sample)
        joined = self.sample.plus(replace(new, complete=other.sample.complete and complete))
        moments = self.moments
        if moments is not None and other.moments is not None:
            moments = moments.plus(other.moments)
        counts = None if self.counts is None else self.counts + other.counts
        return Gathered(joined.trimmed(), moments, counts, _joined_span(self.span, other.span))

    def frozen_on(self, config: Config) -> Memory:
        """Make the frozen part, and empty sums."""
        memory = Memory(config, self.sample, span=self.span)
        return memory._frozen_on(self.moments, _class_factors(config, self.counts))


def _frozen(config: Config, sample: Sample, moments: Moments | None, n_rows: int = 0) -> Frozen:
    stage = make_stage(config, sample.X, sample.y)
    return freeze(config, sample.X, sample.y, sample.weight, moments, stage, n_rows)


def _empty(frozen: Frozen, sample: Sample, k: int) -> tuple[ridge.Sums, ...]:
    near = device.groups(frozen, sample.X[:_CENTRED_ON])
    with np.errstate(over="ignore", invalid="ignore"):
        means = [[part.mean(axis=0, dtype=np.float64) for part in parts] for parts in near]
    return tuple(ridge.Sums(np.concatenate(mean), k) for mean in means)


def _accumulate(config, frozen, sums, X, y, w, kept: list | None = None) -> None:
    T = as_targets(config, y)
    seen = views(config, X)
    with np.errstate(over="ignore", invalid="ignore"):  # told in words by _check_finite
        for view in seen:
            found = device.groups(frozen, view)
            if kept is not None:
                kept.append([[A.astype(np.float32, copy=False) for A in parts] for parts in found])
            for total, parts in zip(sums, found, strict=True):
                total.add(parts, T, w / len(seen))


def _check_finite(sums: tuple[ridge.Sums, ...]) -> None:
    for total in sums:
        if not (np.isfinite(total.gram).all() and np.isfinite(total.cross).all()):
            raise ValueError(
                "the sums over the rows are too large for float64; scale X or y, or give an "
                "activation that grows more slowly"
            )


def cut(block: Block, size: int) -> Iterator[Block]:
    """Yield a block in pieces of `size` rows."""
    X, y, w = block
    for start in range(0, len(y), size):
        part = slice(start, start + size)
        yield X[part], y[part], w[part]


def _counts(config: Config, sample: Sample) -> np.ndarray | None:
    if not config.classifies:
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
    """Tell whether no class has a negative weight."""
    slack = 1e-6 * max(sums.weight, 1.0)
    return not config.classifies or bool(np.all(sums.weight + sums.targets >= -slack))


def _span(config: Config, y: np.ndarray) -> tuple[Any, Any]:
    return (None, None) if config.classifies else (y.min(axis=0), y.max(axis=0))


def _joined_span(a: tuple[Any, Any], b: tuple[Any, Any]) -> tuple[Any, Any]:
    return (None, None) if a[0] is None else (np.minimum(a[0], b[0]), np.maximum(a[1], b[1]))
