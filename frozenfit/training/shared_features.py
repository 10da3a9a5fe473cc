"""Features of a frozen prefix, computed once for all fits of an ensemble or of a search.

Inside a block of `sharing`, fits and predictions whose networks begin with equal frozen layers and
that get equal samples use the same features. They are found by the content of weights and
samples, so that members, trials and folds need not know of each other, and features of other
samples than those asked for are never used.
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


def features(prefix: Prefix, structure: tuple, data: Data, limit: int) -> Data:
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
        Number of bytes that all stored features may take; the oldest are dropped beyond it.

    Returns
    -------
    Data
        The same targets and weights, with the features as inputs.
    """
    if not is_sharing() or prefix.bytes(len(data)) > limit:
        return prefix.features(data)
    key = _key(prefix, structure, data)
    with _lock:
        found = _stored.get(key)
    if found is None:
        # Two threads may compute the same features, rather than wait for each other.
        found = prefix.features(data).X
        with _lock:
            _stored[key] = found
            while len(_stored) > 1 and sum(X.nbytes for X in _stored.values()) > limit:
                _stored.popitem(last=False)
    with _lock:
        if key in _stored:
            _stored.move_to_end(key)
    return replace(data, X=found, y=data.y[data.rows], rows=np.arange(len(data)), dtype=None)


def _key(prefix: Prefix, structure: tuple, data: Data) -> bytes:
    digest = sha256(repr((structure, prefix.place)).encode())
    digest.update(digest_arrays(dict(prefix.values())))
    for x, _, _ in data.parts():
        digest.update(digest_arrays({"": x}))
    return digest.digest()
