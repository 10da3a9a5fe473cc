"""The phase of an epoch, and what the epoch runs on: samples, or features of a frozen prefix."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from frozenfit.training import prefix
from frozenfit.training.data import Data
from frozenfit.training.network import CompiledModel
from frozenfit.training.phases import Phase, PhasePlan
from frozenfit.training.prefix import Prefix
from frozenfit.training.shared_features import is_sharing
from frozenfit.training.streamed import AnyData


class EpochInputs:
    """Follows the phases of a run, and computes the output of the frozen prefix once for each.

    Where the prefix grows from one phase to the next, as in FreezeOut, the features of the next
    phase are computed from those of the phase before. A run that continues from a checkpoint
    passes through the earlier phases again, so that its features have the same bits.

    Parameters
    ----------
    compiled : CompiledModel
        The model that is trained.
    phases : PhasePlan
        The phases of the run.
    samples, validation : Data or StreamedData
        Training samples, and those that are evaluated after each epoch or None.
    cache : bool, "auto" or "disk", default=False
        Whether features are cached. True raises an error where they cannot be; "disk" stores in
        a temporary file what would take too much memory.
    augmented : bool, default=False
        Whether training samples change from epoch to epoch, so that they have no features.

    Attributes
    ----------
    phase : Phase or None
        The phase that was entered last.
    """

    def __init__(
        self,
        compiled: CompiledModel,
        phases: PhasePlan,
        samples: AnyData,
        validation: AnyData | None,
        cache: bool | str = False,
        augmented: bool = False,
    ):
        self._compiled, self._phases = compiled, phases
        self._cache, self._augmented = cache, augmented
        self._samples: tuple[Any, Any] = (samples, validation)
        self._loaded = self._samples
        self.phase: Phase | None = None
        # What leads from the loaded inputs to those of the phase.
        self._pending: list[Prefix] = []
        self._file = ExitStack()

    def enter(self, epoch: int) -> bool:
        """Enter the phase of an epoch.

        Parameters
        ----------
        epoch : int
            Number of the epoch, from 0. Epochs are entered in order.

        Returns
        -------
        bool
            Whether it is another phase than the one before.

        Raises
        ------
        ValueError
            If features must be cached, and cannot be.
        """
        planned, before = self._phases.phase(epoch), self.phase
        if before is not None and replace(before, from_prefix=False) == planned:
            return False
        found = self._prefix(planned)
        grown = found is not None and self._has_grown(planned, found)
        # The features of a single epoch save nothing, unless most of them exist.
        cached = self._caches(found, several=grown or self._phases.epochs - epoch > 1)
        self.phase = replace(planned, from_prefix=cached)
        if not (cached and grown):
            self.close()
            self._loaded, self._pending = self._samples, []
        if cached:
            step = self._compiled.prefix(planned, after=before if grown else None)
            self._pending += [step] if step is not None else []
        return True

    def _prefix(self, phase: Phase) -> Prefix | None:
        return None if not self._cache or self._augmented else self._compiled.prefix(phase)

    def _has_grown(self, planned: Phase, found: Prefix) -> bool:
        """Return whether a prefix continues that of the phase before, whose features exist."""
        before = self.phase
        if before is None or not before.from_prefix or not before.waiting <= planned.waiting:
            return False
        earlier = self._compiled.prefix(before)
        assert earlier is not None
        # Both are in memory for a moment.
        return self._bytes(found) + self._bytes(earlier) <= prefix.memory_limit()

    def _caches(self, found: Prefix | None, several: bool) -> bool:
        """Return whether the features at the end of a prefix are computed once."""
        required = self._cache is True
        if found is None:
            if required and self.phase is None and self._phases.schedule is None:
                raise ValueError(
                    "`cache_features=True` requires a frozen prefix, but an augmentation, a "
                    "random layer, batch statistics or a trainable parameter comes before every "
                    "frozen layer with weights. Use cache_features='auto'."
                )
            return False
        size, limit = self._bytes(found), prefix.memory_limit()
        if size > limit and required:
            raise ValueError(
                f"`cache_features=True` would store {size / 2**30:.1f} GiB of features, more than "
                f"a quarter of the memory of this machine, {limit / 2**30:.1f} GiB. Use "
                "cache_features='disk', cache_features='auto' or fewer samples."
            )
        return (several or required) and (size <= limit or self._cache == "disk")

    def _bytes(self, found: Prefix) -> int:
        return found.bytes(sum(len(data) for data in self._samples if data is not None))

    def load(self) -> tuple[Any, Any]:
        """Compute the inputs of the phase.

        Returns
        -------
        data, validation : Data or StreamedData
            What the layers that are left are trained and evaluated on.
        """
        for step in self._pending:
            self._loaded = tuple(
                None if data is None else self._features(step, data) for data in self._loaded
            )
        self._pending = []
        return self._loaded

    def _features(self, step: Prefix, data: Data) -> Data:
        assert self.phase is not None
        on_disk = self._bytes(step) > prefix.memory_limit()
        # No other fit has the values of layers that were trained in this one.
        if self.phase.finished or (on_disk and not is_sharing()):
            features = step.features(data, on_disk)
            if on_disk:
                self._file.callback(features.X.close)
            return features
        return self._compiled.features(step, data, on_disk=self._cache == "disk")

    def close(self) -> None:
        """Delete the files of features."""
        self._file.close()
