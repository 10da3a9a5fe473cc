"""The pool of live networks that fits, folds, trials and members share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import keras

from frozenfit.training.base import Base
from frozenfit.training.network import Network
from frozenfit.utils.processes import check_not_forked


class Workspace:
    """A bounded pool of live networks, least recently used first out.

    Parameters
    ----------
    limit : int, default=8
        Maximum number of networks in the pool, and of compiled models on each.
    thin : bool, default=True
        Whether a network with frozen zeros is trained, and predicts, without its dead units. The
        results are the same to float tolerance.

    Notes
    -----
    A network has one user at a time: while a fit trains on it, another thread, or a callback that
    predicts, gets another network of the same structure.
    """

    def __init__(self, limit: int = 8, thin: bool = True):
        self.limit, self.thin = limit, thin
        self._lock = threading.Lock()
        self._free: list[tuple[tuple, Network]] = []

    @contextmanager
    def check_out(self, base: Base) -> Iterator[Network]:
        """Lend a network with the structure of a base, built where none is free.

        Parameters
        ----------
        base : Base
            The base.

        Yields
        ------
        Network
            For the caller alone until the block ends.

        Raises
        ------
        RuntimeError
            In a process that was forked after networks were used, on TensorFlow and JAX.
        """
        check_not_forked()
        key = (*base.key, keras.distribution.distribution())
        network = self._take(key, base) or Network(base, self.limit)
        try:
            yield network
        except BaseException:
            network.invalidate()
            raise
        finally:
            with self._lock:
                self._free.append((key, network))
                del self._free[: -self.limit]

    def _take(self, key: tuple, base: Base) -> Network | None:
        with self._lock:
            for i in reversed(range(len(self._free))):
                if self._free[i][0] == key and self._free[i][1].matches(base):
                    return self._free.pop(i)[1]
        return None

    def clear(self) -> None:
        """Forget every network that is not in use."""
        with self._lock:
            self._free.clear()


workspace = Workspace()


def clear_workspace() -> None:
    """Forget all compiled networks and free their memory.

    Fits, folds, trials and members of the same shapes share compiled networks; a bounded number
    is kept. Fitted estimators are not affected: their next call compiles again.

    See Also
    --------
    PartialNetClassifier : An estimator whose fits share compiled networks.

    Examples
    --------
    >>> import frozenfit
    >>> frozenfit.clear_workspace()
    """
    workspace.clear()
