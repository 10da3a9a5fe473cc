"""The command ``frozenfit search``."""

from __future__ import annotations

import pytest

from frozenfit import cli
from frozenfit.cli import main
from frozenfit.search.objectives import METRICS
from frozenfit.search.spaces import make_space

from search_fakes import Quick  # isort: skip

pytest.importorskip("optuna")


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
