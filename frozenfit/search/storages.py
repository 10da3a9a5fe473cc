"""Where studies are kept: opening storages, and studies that other processes share."""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from frozenfit.search._optional import load_optuna

DEFAULT_NAME = "frozenfit"
_MARK = "frozenfit"
_SQLITE_ENDINGS = (".db", ".sqlite", ".sqlite3")
_ENGINE = {"connect_args": {"timeout": 60}}  # seconds to wait for the lock of SQLite
_RETRIES = 3


def open_storage(storage: Any, *, heartbeat: int = 60) -> Any:
    """Open a storage for studies.

    Parameters
    ----------
    storage : str, path-like, optuna storage or None
        None keeps the study in memory; an URL such as ``sqlite:///study.db`` or ``redis://...``
        names a database; a path ending in ``.db`` or ``.sqlite`` a SQLite file; any other path a
        journal file, which many processes can write to.
    heartbeat : int, default=60
        Seconds between two signs of life of a running trial, on SQL storages. A trial without
        any for twice as long is given to another process, at most three times. A journal has no
        such signs: the trial of a dead process stays "running" there and is left alone.

    Returns
    -------
    optuna.storages.BaseStorage or None
        The storage.

    Raises
    ------
    ValueError
        If it cannot be reached, or holds something else than Optuna's studies.

    Examples
    --------
    >>> open_storage(None) is None
    True
    """
    optuna = load_optuna()
    if storage is None or isinstance(storage, optuna.storages.BaseStorage):
        return storage
    text = os.fspath(storage)
    try:
        with _quiet():
            return _open(text, heartbeat, optuna)
    except ImportError:
        raise
    except Exception as error:
        raise ValueError(
            f"the storage {_without_password(text)!r} cannot be used: {_sentence(error)}; give the "
            "path of a journal file in a folder that exists, or the URL of a database such as "
            "sqlite:///study.db"
        ) from error


def _open(text: str, heartbeat: int, optuna: Any) -> Any:
    if re.match(r"rediss?://", text):
        from optuna.storages.journal import JournalRedisBackend

        return optuna.storages.JournalStorage(JournalRedisBackend(text))
    if "://" not in text and Path(text).suffix in _SQLITE_ENDINGS:
        text = f"sqlite:///{text}"
    if "://" in text:
        _check_tables(text)
        storage = optuna.storages.RDBStorage(
            text,
            engine_kwargs=_ENGINE if text.startswith("sqlite") else None,
            heartbeat_interval=heartbeat,
            grace_period=2 * heartbeat,
            heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(
                max_retry=_RETRIES
            ),
        )
        in_a_file = storage.engine.url.database not in (None, "", ":memory:")
        if storage.engine.dialect.name == "sqlite" and in_a_file:
            _let_one_in(storage.engine)
        return storage
    from optuna.storages.journal import JournalFileBackend

    _check_journal(Path(text))
    return optuna.storages.JournalStorage(JournalFileBackend(text))


def _let_one_in(engine: Any) -> None:
    """Let one process at a time read and write in SQLite, or two may take the same trial.

    SQLite has no ``SELECT ... FOR UPDATE``, on which Optuna relies for that. This is SQLAlchemy's
    way to begin transactions with the lock that SQLite has.
    """
    from sqlalchemy import event

    @event.listens_for(engine, "connect")
    def _leave_begin_to_us(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()


def _check_tables(url: str) -> None:
    """See that a database is empty or Optuna's, before Optuna adds its tables to it."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(url)
    try:
        tables = sqlalchemy.inspect(engine).get_table_names()
    finally:
        engine.dispose()
    if tables and not {"studies", "trials", "version_info"} <= set(tables):
        raise ValueError(f"it holds other tables ({', '.join(sorted(tables)[:3])}) and no studies")


def _check_journal(path: Path) -> None:
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {str(path.parent)!r}")
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("rb") as file:
        if not file.read(20).startswith(b'{"op_code"'):
            raise ValueError("the file is no journal of Optuna's")


@contextmanager
def _quiet() -> Iterator[None]:
    """Ignore that Optuna calls heartbeats and names of metrics experimental: they have tests."""
    optuna = load_optuna()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split()).split(" (Background on this error")[0]
    return text.rstrip(".;")[:200] or type(error).__name__


def _without_password(text: str) -> str:
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", text)


def open_study(
    storage: Any, name: str | None, directions: dict[str, str], mark: dict[str, Any], **tools: Any
) -> Any:
    """Open the study of a search, or make it.

    Parameters
    ----------
    storage : optuna storage or None
        Where it is kept.
    name : str or None
        Its name; None is ``"frozenfit"`` in a storage that outlives the process.
    directions : dict of str to str
        Metric to direction.
    mark : dict
        What tells this search from others: all that must agree between its processes.
    **tools : object
        Sampler and pruner.

    Returns
    -------
    optuna.Study
        With the mark on it.

    Raises
    ------
    ValueError
        If the study there was made by something else, or for another search.
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
        f"the study {study.study_name!r} was not made by FreezeSearchCV; give another study_name"
    )


def _found_mark(study: Any) -> dict[str, Any] | None:
    """Return the mark of a study, None for a new one."""
    for _ in range(10):
        mark = study.user_attrs.get(_MARK)
        if mark is not None:
            return mark
        if not study.get_trials(deepcopy=False):
            return None
        time.sleep(0.05)  # another process may be about to mark what it made
    raise _foreign(study)


def _check_mark(name: str, found: dict[str, Any], mark: dict[str, Any]) -> None:
    words = {
        "estimator": "for another estimator",
        "directions": "with other directions",
        "splits": "on other targets or splits",
    }
    for key, value in mark.items():
        if found.get(key) != value:
            what = words.get(key, f"with other {key}")
            told = "" if key == "splits" else f": {found.get(key)}, not {value}"
            raise ValueError(
                f"the study {name!r} was made {what}{told}; give another study_name, or the "
                "settings it was made with"
            )
