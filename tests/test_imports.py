"""The modules import each other one way, and a backend is named in a few files only."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "frozenfit"
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))

BACKENDS = {"tensorflow", "jax", "jaxlib", "torch"}
BACKEND_FILES = {"slices.py", "training/backends/", "isolation.py", "estimators/elm.py"}

# Each unit and the units it may import; a unit is a module or a folder, with its helpers.
CHAIN = [
    ("selectors", "draws", "isolation"),
    ("layout",),
    ("partial",),
    ("slices", "thin"),
    ("training",),
    ("elm",),
    ("estimators",),
    ("search", "analysis"),
    ("cli",),
]
HELPERS = {
    "delta": "partial",
    "layer_kinds": "layout",
}


def allowed_imports() -> dict[str, set[str]]:
    allowed: dict[str, set[str]] = {"": set(), "architectures": set(), "datasets": set()}
    allowed["plots"] = set()
    below: set[str] = {"architectures"}
    for units in CHAIN:
        for unit in units:
            allowed[unit] = set(below)
        below |= set(units)
    for unit in ("selectors", "draws", "isolation", "layout", "partial"):
        allowed[unit] -= {"architectures"}
    for unit in list(allowed):
        allowed[unit] |= {"utils", "types"}
    allowed["utils"], allowed["types"] = set(), {"selectors", "training", "elm"}
    allowed["storage"] = {
        "utils",
        "types",
        "selectors",
        "isolation",
        "architectures",
        "partial",
        "training",
        "elm",
        "estimators",
    }
    allowed["search"] |= {"plots"}
    allowed["cli"] |= {"storage", "datasets", "plots"}
    return allowed


ALLOWED = allowed_imports()


def unit_of(parts: tuple[str, ...]) -> str:
    """The unit of a dotted name below frozenfit; "" is the package itself."""
    first = parts[0] if parts else ""
    return HELPERS.get(first, first)


def unit_of_file(path: str) -> str:
    first = path.split("/")[0].removesuffix(".py")
    return unit_of(() if first == "__init__" else (first,))


def imported(path: str) -> Iterator[tuple[str, ...]]:
    """Every absolute name a module imports, at its top, inside functions and for types alike."""
    tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
    here = ("frozenfit", *Path(path).with_suffix("").parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield tuple(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            start = here[: len(here) - node.level] if node.level else ()
            module = tuple(node.module.split(".")) if node.module else ()
            for alias in node.names:
                yield (*start, *module, alias.name)


def is_unit(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def test_there_are_modules_to_check():
    assert "storage/files.py" in MODULES and "selectors/slices.py" in MODULES


@pytest.mark.parametrize("path", MODULES)
def test_every_module_has_a_place_in_the_order(path):
    assert unit_of_file(path) in ALLOWED


@pytest.mark.parametrize("path", MODULES)
def test_imports_go_one_way(path):
    unit = unit_of_file(path)
    ours = [name[1:] for name in imported(path) if name[0] == "frozenfit"]
    used = {unit_of(name) for name in ours if name and is_unit(name[0])}
    assert used - {unit} <= ALLOWED[unit]


@pytest.mark.parametrize("path", [p for p in MODULES if not p.startswith(tuple(BACKEND_FILES))])
def test_a_backend_is_imported_in_the_files_for_it_only(path):
    assert not BACKENDS & {name[0] for name in imported(path)}


@pytest.mark.parametrize("path", [p for p in MODULES if unit_of_file(p) in ("selectors", "draws")])
def test_subsets_and_draws_need_no_keras(path):
    assert "keras" not in {name[0] for name in imported(path)}


def test_importing_the_package_loads_no_backend_and_no_keras():
    code = "import sys, frozenfit; print(frozenfit.__version__, *sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE.parent,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
    )
    loaded = set(run.stdout.split()[1:])
    assert "frozenfit" in loaded
    assert not loaded & (BACKENDS | {"keras", "sklearn"})
