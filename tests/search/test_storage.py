"""Storages: continuing a study, and rejecting foreign data and unreachable places."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from search_fakes import Hopeless, Quick
from sklearn.datasets import load_iris

from frozenfit.search import FreezeSearchCV, open_storage, storages
from frozenfit.search.tickets import Tickets
from frozenfit.utils.describe import describe, digest

optuna = pytest.importorskip("optuna")
X, y = load_iris(return_X_y=True)


def searched(**settings):
    settings = {"estimator": Quick(), "n_trials": 3, "cv": 3, "random_state": 0, **settings}
    return FreezeSearchCV(**settings)


@pytest.fixture(params=["journal.log", "study.db", "sqlite:///{}/other.sqlite3", "memory"])
def storage(request, tmp_path):
    if request.param == "memory":
        return optuna.storages.InMemoryStorage()
    name = request.param
    return name.format(tmp_path) if "://" in name else tmp_path / name


def test_a_study_is_continued(storage):
    first = searched(storage=storage).fit(X, y)
    second = searched(storage=storage, n_trials=5).fit(X, y)
    assert [t.number for t in second.study_.trials] == [0, 1, 2, 3, 4]
    assert second.cv_results_["params"][:3] == first.cv_results_["params"]


def test_a_complete_study_runs_no_trial(tmp_path):
    place = tmp_path / "journal.log"
    first = searched(storage=place).fit(X, y)
    again = searched(storage=place).fit(X, y)
    assert len(again.study_.trials) == 3
    assert again.best_params_ == first.best_params_


def test_the_default_study_name(tmp_path):
    place = tmp_path / "journal.log"
    assert searched(storage=place).fit(X, y).study_.study_name == "frozenfit"
    assert searched(storage=place, study_name="b").fit(X, y).study_.study_name == "b"


def test_sql_storages_have_heartbeats(tmp_path):
    opened = open_storage(tmp_path / "study.db", heartbeat=7)
    assert opened.get_heartbeat_interval() == 7
    assert opened.grace_period == 14


def score_of_first_class(estimator, X, y):
    return float(np.mean(estimator.predict(X)[y == 0] == 0))


OTHER_SEARCHES = {
    "noise for X": ({}, (np.random.default_rng(0).normal(size=X.shape), y), "in: X. Values"),
    "one X": ({}, (np.where(X == X[0, 0], X + 1e-9, X), y), "in: X. Values"),
    "other targets": ({}, (X, np.roll(y, 1)), "in: y, splits"),
    "fewer samples": ({}, (X[1:], y[1:]), "in: X, y, splits"),
    "other splits": ({"cv": 2}, (X, y), "in: splits. Values"),
    "other scorer": (
        {"scoring": "balanced_accuracy"},
        (X, y),
        r"scoring \(None, not 'balanced_accuracy'\)",
    ),
    "callable scorer": ({"scoring": score_of_first_class}, (X, y), "score_of_first_class"),
    "other directions": ({"directions": {"trainable": "minimize"}}, (X, y), "directions"),
    "other estimator": ({"estimator": Hopeless()}, (X, y), r"estimator \(Quick, not Hopeless\)"),
    "other parameter": (
        {"estimator": Quick(epochs=2)},
        (X, y),
        r"parameter 'epochs' \(1, not 2\)",
    ),
    "other space": (
        {"space": {"frozen": "zero"}},
        (X, y),
        r"part of the space 'frozen' \(.*, not 'zero'\)",
    ),
    "a part less": (
        {"space": {"leave": ("learning_rate",)}},
        (X, y),
        r"'learning_rate' \(.*, not absent\)",
    ),
}


@pytest.mark.parametrize("case", OTHER_SEARCHES)
def test_a_study_of_another_search_is_refused_with_what_differs(tmp_path, case):
    changes, data, message = OTHER_SEARCHES[case]
    storage = tmp_path / "journal.log"
    first = searched(storage=storage).fit(X, y)
    with pytest.raises(ValueError, match=f"differs.*{message}.*Give another `study_name`"):
        searched(**{"storage": storage, "n_trials": 5, **changes}).fit(*data)
    again = searched(storage=storage).fit(X, y)
    assert len(again.study_.trials) == 3 and again.best_score_ == first.best_score_


def test_sample_weights_belong_to_the_mark(tmp_path):
    searched(storage=tmp_path / "journal.log").fit(X, y)
    with pytest.raises(ValueError, match="differs in: sample_weight"):
        searched(storage=tmp_path / "journal.log").fit(X, y, sample_weight=np.arange(150.0))


@pytest.mark.parametrize(
    "same",
    [
        np.asfortranarray,
        np.ndarray.tolist,
        lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    ],
)
def test_a_mark_does_not_depend_on_the_layout_of_the_data(same):
    array = np.asarray(same(X))
    assert digest(array) == digest(X)


def test_settings_without_effect_on_values_continue_a_study(tmp_path):
    storage = tmp_path / "journal.log"
    searched(storage=storage).fit(X, y)
    other = searched(storage=storage, n_trials=4, random_state=1, n_jobs=1, verbose=0)
    assert len(other.fit(X, y).study_.trials) == 4


DESCRIBE = """
import numpy as np
from functools import partial
from sklearn.metrics import f1_score, make_scorer
from frozenfit.utils.describe import describe
def outer(k):
    return lambda e, X, y: k if e in {"a", "b", "c"} else 0
class Plain:
    def __init__(self): self.a, self.b = {"x", "y", "z"}, np.arange(3)
values = [outer(1), make_scorer(f1_score, average="macro"), partial(outer, k=2), Plain(),
          {"a": (1, 2.5)}, np.random.RandomState(3), outer]
print([describe(value) for value in values])
"""


def test_descriptions_are_the_same_in_all_processes():
    texts = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", DESCRIBE]
        texts.add(subprocess.check_output(command, env=environment, text=True))
    assert len(texts) == 1 and "0x" not in texts.pop()


def test_descriptions_differ_with_what_a_function_does():
    assert describe(lambda a: a + 1) != describe(lambda a: a + 2)
    assert describe(lambda a: a + 1) == describe(lambda a: a + 1)


@pytest.mark.parametrize("trials", [0, 1])
def test_a_foreign_study_is_refused(tmp_path, trials):
    url = f"sqlite:///{tmp_path}/study.db"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    foreign = optuna.create_study(storage=url, study_name="frozenfit", direction="minimize")
    foreign.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=trials)
    with pytest.raises(
        ValueError, match="was not created by FreezeSearchCV. Give another `study_name`"
    ):
        searched(storage=url).fit(X, y)


def test_a_database_of_another_program_is_refused_and_not_changed(tmp_path):
    place = tmp_path / "mine.db"
    with sqlite3.connect(place) as database:
        database.execute("create table customers (name text)")
    database.close()
    with pytest.raises(ValueError, match=r"has other tables \(customers\)"):
        open_storage(place)
    with sqlite3.connect(place) as database:
        tables = database.execute("select name from sqlite_master").fetchall()
    database.close()
    assert tables == [("customers",)]


@pytest.mark.parametrize("name", ["notes.log", "notes.db"])
def test_a_file_of_another_program_is_refused_and_not_changed(tmp_path, name):
    place = tmp_path / name
    place.write_text("dear diary, " * 20)
    with pytest.raises(ValueError, match=f"{name}' cannot be opened"):
        open_storage(place)
    assert place.read_text().startswith("dear diary")


@pytest.mark.parametrize("cut", range(1, 61))
def test_a_journal_with_an_incomplete_last_line_is_continued(tmp_path, cut):
    storage = tmp_path / "journal.log"
    searched(storage=storage, cv=2, n_trials=2, refit=False).fit(X, y)
    for n_trials in (3, 4):
        os.truncate(storage, storage.stat().st_size - cut)
        search = searched(storage=storage, cv=2, n_trials=n_trials, refit=False).fit(X, y)
        assert len(search.cv_results_["params"]) == n_trials
    assert all(json.loads(line) for line in storage.read_text().splitlines())


def test_a_journal_that_ends_in_its_first_record_is_new(tmp_path):
    storage = tmp_path / "journal.log"
    searched(storage=storage).fit(X, y)
    for size in (1, 5, 12, 40):
        os.truncate(storage, size)
        assert len(searched(storage=storage).fit(X, y).study_.trials) == 3


def test_a_line_that_a_killed_worker_left_is_cut_by_the_next_record(tmp_path):
    storage = tmp_path / "journal.log"
    study = searched(storage=storage).fit(X, y).study_
    with storage.open("ab") as file:
        file.write(b'{"op_code":5,"worker')
    study.set_user_attr("note", "appended by a process that has the journal open")
    again = searched(storage=storage).fit(X, y).study_
    assert "note" in again.user_attrs and len(again.trials) == 3


def test_a_journal_that_is_damaged_inside_raises_one_sentence(tmp_path):
    storage = tmp_path / "journal.log"
    searched(storage=storage).fit(X, y)
    lines = storage.read_bytes().splitlines(keepends=True)
    storage.write_bytes(b"".join([*lines[:5], lines[5][:10] + b"\n", *lines[6:]]))
    with pytest.raises(ValueError, match="journal.log' is damaged before its last line") as error:
        searched(storage=storage).fit(X, y)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_only_regular_files_are_journals(tmp_path):
    os.mkfifo(tmp_path / "pipe.log")
    for path in (tmp_path / "pipe.log", tmp_path, "/dev/zero"):
        with pytest.raises(ValueError, match="is not a regular file"):
            open_storage(path)


@pytest.mark.parametrize(
    "where", ["{}/missing/journal.log", "sqlite:///{}/missing/study.db", "nosuch://host/study"]
)
def test_an_unreachable_storage_raises_one_sentence(tmp_path, where):
    with pytest.raises(ValueError, match="cannot be opened") as error:
        open_storage(where.format(tmp_path))
    assert "\n" not in str(error.value)


def test_a_missing_driver_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pg8000", None)
    with pytest.raises(
        ImportError, match="requires pg8000, which is not installed. For P"
    ) as error:
        open_storage("postgresql+pg8000://me:secret@host/study")
    assert "\n" not in str(error.value) and "secret" not in str(error.value)


@pytest.mark.parametrize("missing", ["grpc", "google.protobuf"])
def test_a_grpc_storage_names_its_extra(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r'pip install "frozenfit\[grpc\]"'):
        open_storage("grpc://localhost:13000")


@pytest.mark.parametrize("where", ["grpc://localhost", "grpc://:13000", "grpc://localhost:1/name"])
def test_the_url_of_a_grpc_storage_is_checked(where):
    pytest.importorskip("grpc")
    with pytest.raises(ValueError, match="cannot be opened: its form is 'grpc://host:port'"):
        open_storage(where)


def test_a_grpc_storage_without_a_server_raises_one_sentence(monkeypatch):
    pytest.importorskip("grpc")
    monkeypatch.setattr(storages, "_WAIT_FOR_SERVER", 0.1)
    with pytest.raises(ValueError, match="cannot be opened: no server answers within") as error:
        open_storage("grpc://localhost:1")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("where", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_database_in_memory_has_no_heartbeats_because_threads_do_not_share_it(where):
    assert open_storage(where).get_heartbeat_interval() is None
    assert len(searched(storage=where).fit(X, y).study_.trials) == 3


def test_a_password_is_not_shown():
    with pytest.raises(ValueError, match="cannot be opened") as error:
        open_storage("nosuch://me:secret@host/study")
    assert "secret" not in str(error.value)


def test_two_workers_never_take_one_trial(tmp_path):
    """SQLite alone would let a second one read "waiting" before the first has written."""
    first, second = (open_storage(str(tmp_path / "study.db")) for _ in range(2))
    study = optuna.create_study(storage=first)
    study.enqueue_trial({})
    with first.engine.begin() as connection:
        connection.exec_driver_sql("SELECT state FROM trials").all()
        with ThreadPoolExecutor() as pool:
            taken = pool.submit(second.set_trial_state_values, 1, optuna.trial.TrialState.RUNNING)
            with pytest.raises(TimeoutError):
                taken.result(timeout=1)
            connection.exec_driver_sql("UPDATE trials SET state = 'RUNNING'")
            connection.commit()
            assert taken.result(timeout=30) is False


class Brief(Quick):
    """Takes so long that other threads begin a trial meanwhile."""

    def fit(self, X, y, sample_weight=None):
        time.sleep(0.02)
        return super().fit(X, y, sample_weight)


@pytest.mark.parametrize("name", [None, "journal.log"])
def test_threads_that_share_a_study_run_exactly_n_trials(tmp_path, name):
    place = optuna.storages.InMemoryStorage() if name is None else tmp_path / name
    searches = [searched(estimator=Brief(), n_trials=5, storage=place) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda search: search.fit(X, y), searches))
    assert [t.state.name for t in found[0].study_.trials] == ["COMPLETE"] * 5


def test_a_ticket_becomes_free_when_its_trial_has_no_result():
    study, storage = optuna.create_study(), optuna.storages.InMemoryStorage()
    one, other = (Tickets(study, 1, storage) for _ in range(2))
    unrelated = Tickets(optuna.create_study(), 1, storage)
    assert one.take() and not other.try_take() and unrelated.take()
    one.give_back()
    assert other.take()
    study.tell(study.ask(), 0.0)
    other.give_back()
    unrelated.give_back()
    assert not one.take()
