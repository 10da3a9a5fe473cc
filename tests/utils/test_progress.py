"""The progress bar of a notebook, with IPython replaced by a recorder."""

from __future__ import annotations

import builtins
import re
import sys
import types

import pytest
from estimator_data import classifier, table

from frozenfit.utils import notebook_bar
from frozenfit.utils.progress import ProgressBar


@pytest.fixture
def pages(monkeypatch):
    """The pages that a notebook is sent, each of which replaces the one before."""
    sent = []

    class Handle:
        update = staticmethod(sent.append)

    def display(page, display_id):
        assert display_id is True
        sent.append(page)
        return Handle

    module = types.ModuleType("IPython.display")
    module.HTML, module.display = str, display
    shell = type("ZMQInteractiveShell", (), {})  # the name by which rich knows a notebook
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)  # importing it raises ImportError
    monkeypatch.setattr(builtins, "get_ipython", shell, raising=False)
    return sent


def test_a_fit_in_a_notebook_shows_a_bar_without_ipywidgets(pages, capsys):
    classifier(verbose=2).fit(*table())
    assert "PartialNetClassifier <progress" in pages[0]
    assert 'value="2" max="2"' in pages[-1] and "loss" in pages[-1]
    said = capsys.readouterr().out
    assert "epoch 2/2" in said and "trained 32 of 67 parameters" in said
    assert "PartialNetClassifier" not in said


def test_the_notebook_is_sent_few_pages(pages, monkeypatch):
    monkeypatch.setattr(notebook_bar, "_SECONDS", 1e9)
    with ProgressBar("rows", 1000) as bar:
        for completed in range(1000):
            bar.update(completed + 1, "<fast>")
    assert len(pages) == 2
    assert "1,000/1,000" in pages[-1] and "&lt;fast&gt;" in pages[-1]


def test_a_bar_without_a_total_counts(pages, monkeypatch):
    monkeypatch.setattr(notebook_bar, "_SECONDS", 0.0)
    with ProgressBar("rows", None) as bar:
        bar.update(7)
    assert re.fullmatch(r"<div>rows <progress></progress> 7 0:00:0\d</div>", pages[-1])


def test_a_disabled_bar_shows_nothing(pages):
    classifier(verbose=0).fit(*table())
    assert pages == []
