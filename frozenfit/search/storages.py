"""Opening storages, and studies that several processes share."""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from frozenfit.search._optuna import load_optuna, retry_option
from frozenfit.search.mark import differences
from frozenfit.utils.optional import MissingPackage, require

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage
    from sqlalchemy import Engine

    from frozenfit import types

DEFAULT_NAME = "frozenfit"
_MARK = "frozenfit"
_SQLITE_ENDINGS = (".db", ".sqlite", ".sqlite3")
_ENGINE = {"connect_args": {"timeout": 60}}  # seconds to wait for the lock of SQLite
_WAIT_FOR_SERVER = 10  # seconds
# A trial whose process died is run again this often; a trial that kills its process, for instance
# by taking all memory, must not do so forever.
RETRIES = 3


def open_storage(
    storage: types.Path | BaseStorage | None, *, heartbeat: int = 60
) -> BaseStorage | None:
    """Open a storage for studies.

    Parameters
    ----------
    storage : str, path-like, optuna storage or None
        None keeps the study in memory. A URL such as ``postgresql+psycopg://user@host/name``,
        ``sqlite:///study.db`` or ``redis://...`` names a database, and ``grpc://host:port`` a
        server of `optuna.storages.run_grpc_proxy_server`, which many processes can use where a
        database would have too many connections. A path that ends in ``.db``, ``.sqlite`` or
        ``.sqlite3`` is a SQLite file, for processes on one machine; any other path is a journal
        file, which processes on several machines can share.
    heartbeat : int, default=60
        Seconds between two heartbeats of a running trial in an SQL storage. If a trial has no
        heartbeat for twice as long, its process is considered dead and another process runs the
        trial again, at most three times. A journal file, Redis and a gRPC server have no
        heartbeats: the trial of a dead process stays in the state "running" and is not repeated.
        Workers of `run_workers`
        need no heartbeats, because their parent notices at once that one has died.

    Returns
    -------
    optuna.storages.BaseStorage or None
        The storage; None for None.

    Raises
    ------
    ValueError
        If the storage cannot be opened, or contains data that Optuna did not write. Such data are
        not changed.
    ImportError
        If Optuna, or what the storage requires, is not installed.

    See Also
    --------
    FreezeSearchCV : The search, whose parameter `storage` accepts the same values.
    run_workers : Search in several processes, which share a storage.

    Examples
    --------
    >>> import os, tempfile
    >>> from frozenfit.search import open_storage
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     type(open_storage(os.path.join(folder, "journal.log"))).__name__
    'JournalStorage'
    """
    optuna = load_optuna()
    if storage is None or isinstance(storage, optuna.storages.BaseStorage):
        return cast("BaseStorage | None", storage)
    text = os.fspath(cast("types.Path", storage))
    try:
        with _quiet():
            return _open(text, heartbeat, optuna)
    except MissingPackage:
        raise
    except ImportError as error:  # of a driver that SQLAlchemy imports by its name
        raise MissingPackage(
            f"The storage {_without_password(text)!r} requires {error.name or error}, which is not "
            'installed. For PostgreSQL, install psycopg with: pip install "frozenfit[postgresql]", '
            "and begin the URL with 'postgresql+psycopg://'. For another database, install this "
            "package."
        ) from error
    except Exception as error:
        raise ValueError(
            f"The storage {_without_password(text)!r} cannot be opened: {_one_line(error)}. Give "
            "the path of a journal file in an existing folder, or the URL of a database such as "
            "'sqlite:///study.db'."
        ) from error


def _open(text: str, heartbeat: int, optuna: Any) -> Any:
    if re.match(r"rediss?://", text):
        from optuna.storages.journal import JournalRedisBackend

        return optuna.storages.JournalStorage(JournalRedisBackend(text))
    if text.startswith("grpc://"):
        return _open_grpc(text, optuna)
    if "://" not in text and Path(text).suffix in _SQLITE_ENDINGS:
        text = f"sqlite:///{text}"
    if "://" in text:
        _check_tables(text)
        sqlite, in_memory = _kind_of_database(text)
        # Trials take seconds to hours. A server of many workers need not keep a connection for each
        # meanwhile, and what lies between may close it.
        on_server = {"poolclass": require("sqlalchemy", "search", "An SQL storage").NullPool}
        storage = optuna.storages.RDBStorage(
            text,
            engine_kwargs=_ENGINE if sqlite else on_server,
            # A database in memory belongs to one thread, so the thread that sends heartbeats
            # would have another one.
            heartbeat_interval=None if in_memory else heartbeat,
            grace_period=None if in_memory else 2 * heartbeat,
            **retry_option(RETRIES),
        )
        if sqlite and not in_memory:  # disposing of its engine would empty a database in memory
            _begin_with_lock(storage.engine)
        return storage
    from frozenfit.search.journal import open_journal

    return open_journal(Path(text))


def _open_grpc(url: str, optuna: Any) -> Any:
    for package in ("grpc", "google.protobuf"):
        require(package, "grpc", "A storage behind gRPC")
    parts = urlsplit(url)
    if not parts.hostname or not parts.port or parts.path.strip("/"):
        raise ValueError("its form is 'grpc://host:port'")
    proxy = optuna.storages.GrpcStorageProxy(host=parts.hostname, port=parts.port)
    try:
        proxy.wait_server_ready(timeout=_WAIT_FOR_SERVER)
    except ConnectionError:
        raise ValueError(f"no server answers within {_WAIT_FOR_SERVER} seconds") from None
    return proxy


def _kind_of_database(url: str) -> tuple[bool, bool]:
    """Return whether a database is SQLite, and whether it is SQLite in memory."""
    parts = require("sqlalchemy", "search", "An SQL storage").make_url(url)
    sqlite = parts.get_backend_name() == "sqlite"
    return sqlite, sqlite and parts.database in (None, "", ":memory:")


def _begin_with_lock(engine: Engine) -> None:
    """Make every transaction of a SQLite database begin with the write lock.

    To claim a waiting trial, Optuna reads its state and then writes it, and relies on
    ``SELECT ... FOR UPDATE`` to keep other processes out in between. SQLite ignores this clause: by
    default it takes its lock at the first write, so two processes can both read "waiting" and run
    the same trial. With ``BEGIN IMMEDIATE`` the lock is taken before the first read. The two hooks
    are SQLAlchemy's documented way to change how a SQLite transaction begins.
    """
    event = require("sqlalchemy", "search", "An SQL storage").event

    @event.listens_for(engine, "connect")
    def _disable_own_begin(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver does not emit BEGIN itself

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()  # connections opened before have no hooks


def _check_tables(url: str) -> None:
    """Check that a database is empty or Optuna's, before Optuna adds its tables to it."""
    sqlalchemy = require("sqlalchemy", "search", "An SQL storage")
    engine = sqlalchemy.create_engine(url)
    try:
        tables = sqlalchemy.inspect(engine).get_table_names()
    finally:
        engine.dispose()
    if tables and not {"studies", "trials", "version_info"} <= set(tables):
        raise ValueError(f"it has other tables ({', '.join(sorted(tables)[:3])}) and no studies")


@contextmanager
def _quiet() -> Iterator[None]:
    """Ignore that Optuna marks heartbeats and metric names as experimental; tests cover both."""
    optuna = load_optuna()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()).split(" (Background on this error")[0]
    return text.rstrip(".;")[:200] or type(error).__name__


def _without_password(text: str) -> str:
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", text)


def open_study(
    storage: BaseStorage | None,
    name: str | None,
    directions: dict[str, str],
    mark: dict[str, Any],
    **tools: Any,
) -> optuna.Study:
    """Open the study of a search, or create it.

    Parameters
    ----------
    storage : optuna storage or None
        The storage.
    name : str or None
        Name of the study; None is ``"frozenfit"`` in a storage.
    directions : dict of str to str
        The objectives.
    mark : dict
        Properties that must agree between all processes that share the study.
    **tools : object
        The sampler and the pruner.

    Returns
    -------
    optuna.Study
        The study; a new one gets the mark.

    Raises
    ------
    ValueError
        If the existing study was not created by FreezeSearchCV, or for another search.
    """
    optuna = load_optuna()
    if name is None and storage is not None:
        name = DEFAULT_NAME
    with _quiet():
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=list(directions.values()),
            load_if_exists=True,
            **tools,
        )
    found = _found_mark(study)
    if found is None and [d.name.lower() for d in study.directions] == [*directions.values()]:
        study.set_user_attr(_MARK, mark)
        with _quiet():
            study.set_metric_names(list(directions))
    elif found is None:
        raise _foreign(study)
    else:
        _check_mark(study.study_name, found, mark)
    return study


def _foreign(study: Any) -> ValueError:
    return ValueError(
        f"The study {study.study_name!r} was not created by FreezeSearchCV. Give another "
        "`study_name`."
    )


def _found_mark(study: Any) -> dict[str, Any] | None:
    """Return the mark of a study, or None for a new one.

    A study is created and marked in two transactions. A study with trials but without a mark may
    be between the two in another process, so it is read again before it counts as foreign.
    """
    for _ in range(10):
        mark = study.user_attrs.get(_MARK)
        if mark is not None:
            return mark
        if not study.get_trials(deepcopy=False):
            return None
        time.sleep(0.05)
    raise _foreign(study)


def _check_mark(name: str, found: dict[str, Any], mark: dict[str, Any]) -> None:
    differing = differences(found, mark)
    if differing:
        raise ValueError(
            f"The study {name!r} was created by a search that differs in: {', '.join(differing)}. "
            "Values of different searches cannot be compared. Give another `study_name`, or the "
            "data and settings of the study."
        )
