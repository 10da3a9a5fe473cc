"""The examples of docs/extending.md fulfill the contracts that the page names."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from network_contract import NetworkContract
from schedule_contract import ScheduleContract
from selector_contract import SelectorContract
from stage_contract import StageContract

PAGE = Path(__file__).resolve().parents[1] / "docs" / "extending.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def definitions(number: int) -> dict[str, Any]:
    """Return what a block defines, without the use of it that begins with the data."""
    # The page is run by another test too, under this name: a class is registered once only.
    namespace: dict[str, Any] = {"__name__": "__main__"}
    code = re.split(r"^(?:X, y = |print\()", BLOCKS[number], flags=re.MULTILINE)[0]
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code, PAGE.name, "exec"), namespace)
    return namespace


Budget = definitions(0)["Budget"]
definitions(1)
ProbeThenTune = definitions(2)["ProbeThenTune"]
RandomProducts = definitions(3)["RandomProducts"]
# Pickle looks a class up in the module that defines it, as in a notebook.
for defined in (Budget, ProbeThenTune, RandomProducts):
    setattr(sys.modules["__main__"], defined.__name__, defined)


class TestBudget(SelectorContract):
    invalid = ("budget()", "budget(n=0)", "budget(n=1.5)", "budget(n='a')", "budget(n=1, m=2)")

    @pytest.fixture(params=[10, 100, 5000])
    def selector(self, request):
        return Budget(request.param)


class TestResidualMLP(NetworkContract):
    name = "residual_mlp"
    input_shape = (8,)
    params = {"width": 16}


class TestProbeThenTune(ScheduleContract):
    schedule = ProbeThenTune(0.25)


class TestRandomProducts(StageContract):
    stage = RandomProducts(10)
    X = np.random.default_rng(0).normal(size=(30, 6)).astype("float32")
