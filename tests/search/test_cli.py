"""The command ``frozenfit search``."""

from __future__ import annotations

import signal
import sqlite3
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_iris

from frozenfit import cli
from frozenfit.cli import main
from frozenfit.search import FreezeSearchCV, open_storage
from frozenfit.search.objectives import METRICS
from frozenfit.search.spaces import make_space

from search_fakes import Quick  # isort: skip

optuna = pytest.importorskip("optuna")


def made(words, estimator=None, **settings):
    """The search that a command line describes."""
    _, commands = cli._make_parser()
    arguments = commands["search"].parse_args(words)
    return cli.search.make_search(estimator or Quick(), arguments, settings)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--objectives", "acuracy"], "Unknown metric 'acuracy'"),
        (["--constraints", "trainable < 5"], "such as 'trainable <= 750'"),
        (["--constraints", "trainable <= nan"], "such as 'trainable <= 750'"),
        (["--report", "missing/report.html"], "cannot write 'missing/report.html'"),
        (["--trials-per-worker", "0"], "--trials-per-worker must be at least 1"),
        (["--workers", "2"], "--storage journal.log"),
        (["--workers", "0"], "--workers"),
        (["--trials", "0"], "--trials"),
        (["--folds", "1"], "--folds"),
        (["--storage", "missing/folder/j.log"], "cannot be opened"),
    ],
)
def test_invalid_options_fail_in_one_line_before_data_is_loaded(
    words, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("frozenfit.datasets.load", None)  # calling it would be a TypeError
    assert main(["search", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and "Traceback" not in error


def test_given_parameters_are_not_searched():
    search = made([], Quick(trainable=0.3), trainable=0.3)
    assert set(make_space(search.estimator, **search.space).parts) == {"frozen", "learning_rate"}


def test_options_become_parameters_of_the_search():
    words = "--trials 7 --folds 4 --objectives score bytes"
    search = made(words.split(), random_state=5)
    assert (search.n_trials, search.cv, search.random_state) == (7, 4, 5)
    assert search.directions == {"score": "maximize", "bytes": "minimize"}


def test_the_metrics_are_those_of_the_search():
    assert cli.search._DIRECTIONS == METRICS


@pytest.fixture
def quick(monkeypatch):
    """The command with a quick classifier on a small data set."""
    X, y = load_iris(return_X_y=True)
    data = SimpleNamespace(X_train=X, y_train=y, X_test=X, y_test=y, name="iris", split="all")
    monkeypatch.setattr(cli.search, "make_classifier", lambda settings: Quick())
    monkeypatch.setattr(cli.search, "load_data", lambda arguments: data)
    monkeypatch.setattr(cli.search, "print_result", lambda *arguments: None)


def test_a_damaged_database_fails_in_one_line(tmp_path, quick, capsys):
    path = tmp_path / "study.db"
    words = ["search", "--folds", "2", "--verbose", "0", "--storage", str(path), "--trials"]
    assert main([*words, "2"]) == 0
    with sqlite3.connect(path) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'trials'"
        (page,) = connection.execute(query).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(bytes(size))
    capsys.readouterr()
    assert main([*words, "4"]) == 2
    error = capsys.readouterr().err
    assert "malformed" in error and "--storage" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "interrupted, nothing was saved"),
        (["--storage", "j.log"], "interrupted; the same command continues the study"),
    ],
)
def test_sigterm_interrupts_the_command(words, message, quick, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(Quick, "fit", lambda *arguments: signal.raise_signal(signal.SIGTERM))
    assert main(["search", "--folds", "2", "--verbose", "0", *words]) == 130
    assert message in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before is signal.SIG_DFL
    if words:
        study = optuna.load_study(study_name="frozenfit", storage=open_storage("j.log"))
        assert study.trials[0].state.name == "FAIL"


def test_the_command_reports_the_standard_error(quick, capsys):
    assert main(["search", "--folds", "3", "--trials", "2", "--verbose", "0"]) == 0
    X, y = load_iris(return_X_y=True)
    found = FreezeSearchCV(Quick(), n_trials=2, cv=3).fit(X, y)
    folds = [found.cv_results_[f"split{i}_test_score"][found.best_index_] for i in range(3)]
    expected = f"{np.mean(folds):.4f} over 3 folds, standard error "
    expected += f"{np.std(folds, ddof=1) / np.sqrt(3):.4f}"
    assert expected in capsys.readouterr().out
