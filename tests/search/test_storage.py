"""Storages: continuing a study, and rejecting foreign data and unreachable places."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from search_fakes import Hopeless, Quick
from sklearn.datasets import load_iris

from frozenfit.search import FreezeSearchCV, open_storage

optuna = pytest.importorskip("optuna")
X, y = load_iris(return_X_y=True)


def searched(estimator=None, **settings):
    settings = {"n_trials": 3, "cv": 3, "random_state": 0, **settings}
    return FreezeSearchCV(estimator or Quick(), **settings)


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


def test_a_study_on_other_targets_is_refused(tmp_path):
    place = tmp_path / "journal.log"
    searched(storage=place).fit(X, y)
    with pytest.raises(ValueError, match="with other targets or splits. Give another `study_name`"):
        searched(storage=place).fit(X[1:], y[1:])


def test_a_study_with_other_directions_is_refused(tmp_path):
    place = tmp_path / "journal.log"
    searched(storage=place).fit(X, y)
    with pytest.raises(ValueError, match="with other directions"):
        searched(storage=place, directions={"trainable": "minimize"}).fit(X, y)


def test_a_study_for_another_estimator_is_refused(tmp_path):
    place = tmp_path / "journal.log"
    searched(storage=place).fit(X, y)
    with pytest.raises(ValueError, match="for another estimator: Quick, not Hopeless"):
        searched(Hopeless(), storage=place).fit(X, y)


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


@pytest.mark.parametrize(
    "where", ["{}/missing/journal.log", "sqlite:///{}/missing/study.db", "nosuch://host/study"]
)
def test_an_unreachable_storage_raises_one_sentence(tmp_path, where):
    with pytest.raises(ValueError, match="cannot be opened") as error:
        open_storage(where.format(tmp_path))
    assert "\n" not in str(error.value)


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
