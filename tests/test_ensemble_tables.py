"""The tables of docs/ensembles.md are those of the stored records."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def tables():
    path = ROOT / "benchmarks" / "ensemble_tables.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_the_tables_of_the_records():
    page = (ROOT / "docs" / "ensembles.md").read_text(encoding="utf-8")
    module = tables()
    assert [place[2] for place in module.PLACE.finditer(page)] == list(module.TABLES)
    assert module.filled(page) == page  # else run the script with --write
