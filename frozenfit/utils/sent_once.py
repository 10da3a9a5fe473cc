"""Large objects that the workers of a dask cluster receive once, not with every task.

joblib's dask backend sends an array that is an argument of many tasks once. What an estimator holds
is not an argument: the clone of every task would travel with the network. `send` therefore gives
the object to all workers, present and future ones, as a plugin of theirs, and the pickles that
dask makes of it afterwards are references.
"""

from __future__ import annotations

import pickle
import sys
import threading
import uuid
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary, finalize, ref

from joblib.parallel import get_active_backend

# Smaller objects travel with the tasks: a round trip to the workers costs as much.
_LEAST_BYTES = 1_000_000
_PICKLER = "distributed.protocol.pickle"
# The first part of the keys of an object that was sent or received. The second is a digest of what
# may change in it, so that an earlier state is never taken for the present one.
_names: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
# The objects that this process has sent, and the clients whose workers have them, by key.
_sent: WeakValueDictionary[str, Any] = WeakValueDictionary()
_clients: dict[str, WeakSet] = {}
# On a worker, what its plugins brought by key: a pickle, and after its first use the object.
_received: dict[str, Any] = {}
_lock = threading.RLock()


class Reference:
    """What a pickle for dask contains in place of an object that the workers have.

    Unpickling gives the object. A scheduler in a separate process has no objects: it gets the
    reference, and passes it on.

    Parameters
    ----------
    key : str
        The key of the object.
    """

    def __init__(self, key: str):
        self.key = key

    def __reduce__(self) -> tuple:
        """Return how the reference is unpickled."""
        return resolve, (self.key,)

    def __repr__(self) -> str:
        """Say what is missing, for the error that the use of a reference causes."""
        return f"<object {self.key}, which this dask worker did not receive>"


def send(value: Any, n_bytes: int, content: Callable[[], str] = str) -> None:
    """Send an object to the workers of the dask cluster that joblib uses at present.

    Nothing happens where joblib uses no cluster, where its workers have the object, and where the
    object is small.

    Parameters
    ----------
    value : object
        An object that can be pickled and weakly referenced.
    n_bytes : int
        Its size.
    content : callable, default=str
        ``f() -> str``, a digest of what may change in the object.
    """
    client = _active_client() if n_bytes >= _LEAST_BYTES else None
    if client is None:
        return
    with _lock:
        key = f"{_names.setdefault(value, uuid.uuid4().hex)}-{content()}"
        known = _clients.setdefault(key, WeakSet())
    if client in known or key in _received:
        return
    from frozenfit.utils.dask_plugin import Delivery

    client.register_plugin(Delivery(key, value), name=_plugin_name(key))
    _sent[key] = value
    known.add(client)
    finalize(value, _withdraw, key, ref(client)).atexit = False


def referenced(value: Any, content: Callable[[], str] = str) -> Any:
    """Return what the pickle that is being made contains for an object.

    Parameters
    ----------
    value : object
        The object.
    content : callable, default=str
        The argument of `send`.

    Returns
    -------
    object
        A `Reference` where dask makes the pickle and its workers have the object, else the object.
    """
    name = _names.get(value)
    if name is None or not _pickled_by_dask():
        return value
    key = f"{name}-{content()}"
    at_workers = any(client.status == "running" for client in _clients.get(key, ()))
    return Reference(key) if at_workers or key in _received else value


class SentOnce:
    """Mixin class of objects that are never changed and may be sent."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Return a reference for dask's workers, else the parts of the object."""
        found = referenced(self)
        return super().__reduce_ex__(protocol) if found is self else found.__reduce__()


def resolve(key: str) -> Any:
    """Return the object with a key; a reference where this process has none.

    Parameters
    ----------
    key : str
        Its key.

    Returns
    -------
    object
        The same object each time.
    """
    with _lock:
        value = _sent.get(key, _received.get(key))
        if isinstance(value, bytes):
            value = _received[key] = pickle.loads(value)
            _names[value] = key.partition("-")[0]
        return Reference(key) if value is None else value


def receive(key: str, payload: bytes) -> None:
    """Keep the pickle of an object on a worker; it is read when a task needs the object.

    Parameters
    ----------
    key : str
        The key of the object.
    payload : bytes
        Its pickle.
    """
    with _lock:
        # A worker in the process of its client has the object itself.
        if key not in _sent:
            _received.setdefault(key, payload)


def forget(key: str) -> None:
    """Forget an object that a worker has received.

    Parameters
    ----------
    key : str
        The key of the object.
    """
    _received.pop(key, None)


def _plugin_name(key: str) -> str:
    return f"frozenfit-{key}"


def _active_client() -> Any:
    """Return the client of the dask cluster that joblib uses in this thread, or None."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    client: Any = getattr(get_active_backend()[0], "client", None)
    # In the event loop of the client nothing can wait for the workers.
    return client if isinstance(client, distributed.Client) and not client.asynchronous else None


def _pickled_by_dask() -> bool:
    """Return whether the pickle that is being made is one of dask's messages.

    Pickles for files, other processes and caches must be complete. Neither the pickle module nor
    dask tells an object what it is pickled for, but dask's pickler is a caller.
    """
    frame = sys._getframe() if _PICKLER in sys.modules else None
    while frame is not None:
        if frame.f_globals.get("__name__") == _PICKLER:
            return True
        frame = frame.f_back
    return False


def _withdraw(key: str, client: ref) -> None:
    """Let the workers forget an object that does not exist any more."""
    with _lock:
        _clients.pop(key, None)
    cluster = client()
    if cluster is not None and cluster.status == "running":
        # From the event loop: this thread may hold any lock, because the garbage collector runs.
        cluster.loop.add_callback(cluster.unregister_worker_plugin, _plugin_name(key))
