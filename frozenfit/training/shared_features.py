"""Features of a frozen prefix, computed once for all fits of an ensemble or of a search.

Inside a block of `sharing`, fits and predictions whose networks begin with equal frozen layers and
that get equal samples use the same features. They are found by the content of weights and
samples, so that members, trials and folds need not know of each other, and features of other
samples than those requested are never used.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from frozenfit.training.feature_file import FeatureFile
from frozenfit.utils.arrays import digest_arrays

if TYPE_CHECKING:
    from frozenfit.training.data import Data
    from frozenfit.training.prefix import Prefix

_lock = threading.Lock()
_stored: OrderedDict[bytes, Any] = OrderedDict()
_blocks = 0


@contextmanager
def sharing() -> Iterator[None]:
    """Keep the features that are computed in a block until it ends.

    Blocks may be nested, and entered by several threads: the features are kept until the last of
    them ends.

    Yields
    ------
    None
        Until the block ends.
    """
    global _blocks
    with _lock:
        _blocks += 1
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1
            if not _blocks:
                _stored.clear()


def is_sharing() -> bool:
    """Return whether a block of `sharing` is active.

    Returns
    -------
    bool
        For any thread of the process.
    """
    return _blocks > 0


def features(
    prefix: Prefix, structure: tuple, data: Data, limit: int, on_disk: bool = False
) -> Data:
    """Return the features of samples, computed where no other fit of the block has done so.

    Parameters
    ----------
    prefix : Prefix
        The frozen prefix, with its values loaded.
    structure : tuple
        The key of the structure of the network.
    data : Data
        The samples.
    limit : int
        Number of bytes of memory that all stored features may take.
    on_disk : bool, default=False
        Whether features beyond the limit are stored in a `FeatureFile`, which is deleted after
        the block. Otherwise the oldest features are dropped from memory.

    Returns
    -------
    Data
        The same targets and weights, with the features as inputs.
    """
    size = prefix.bytes(len(data))
    if not is_sharing() or (size > limit and not on_disk):
        return prefix.features(data)
    key = _key(prefix, structure, data)
    with _lock:
        found = _stored.get(key)
        to_disk = on_disk and _in_memory() + size > limit
    if found is None:
        # Two threads may compute the same features, rather than wait for each other.
        found = _computed(prefix, data, to_disk)
        with _lock:
            _stored[key] = found
            while _in_memory() > limit:
                _drop_oldest(np.ndarray)
    with _lock:
        if key in _stored:
            _stored.move_to_end(key)
    return replace(data, X=found, y=data.y[data.rows], rows=np.arange(len(data)), dtype=None)


def _in_memory() -> int:
    return sum(X.nbytes for X in _stored.values() if isinstance(X, np.ndarray))


def _drop_oldest(kind: type) -> bool:
    """Drop the features of one kind that were used least recently; return whether any are stored.

    A fit that still reads them keeps them: a file is deleted with the last reference.
    """
    oldest = next((key for key, X in _stored.items() if isinstance(X, kind)), None)
    return oldest is not None and _stored.pop(oldest) is not None


def _computed(prefix: Prefix, data: Data, on_disk: bool) -> Any:
    try:
        return prefix.features(data, on_disk=on_disk).X
    except OSError:
        # The disk is full: what no fit may need again has to go first.
        with _lock:
            dropped = on_disk and _drop_oldest(FeatureFile)
        if not dropped:
            raise
    return _computed(prefix, data, on_disk)


def _key(prefix: Prefix, structure: tuple, data: Data) -> bytes:
    digest = sha256(repr((structure, prefix.place)).encode())
    digest.update(digest_arrays(dict(prefix.values())))
    for x, _, _ in data.parts():
        digest.update(digest_arrays({"": x}))
    return digest.digest()
