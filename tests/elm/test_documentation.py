"""Each code block of docs/elm.md is complete and runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[2] / "docs" / "elm.md").read_text()
BLOCKS = dict(re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?```python\n(.*?)```", TEXT, re.M | re.S))


@pytest.mark.parametrize("title", BLOCKS)
def test_the_code_of_a_section_runs(title, capsys, monkeypatch):
    from frozenfit.elm.stages import base

    monkeypatch.setattr(base, "_named", dict(base._named))  # the example registers a stage
    exec(compile(BLOCKS[title], f"docs/elm.md: {title}", "exec"), {"__name__": "example"})
    printed = capsys.readouterr().out.split()
    assert printed


def test_every_task_has_code():
    assert len(BLOCKS) == 5
