"""Imports go one way, without circles, and a backend is named in a few files only."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "frozenfit"
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
}

# Each unit may import the units before it; a unit is a module or a folder of the package.
CHAIN = [
    ["utils", "types", "activations"],
    ["parameter_table", "fixed_head"],
    [
        *("selectors", "draws", "isolation", "gradients", "unit_rules"),
        *("architectures", "datasets", "table_encoder", "token_encoder"),
    ],
    ["layer_kinds", "convolutions", "scaled_products", "low_rank_products"],
    ["layout"],
    ["delta", "export", "frozen_values", "statistics", "dead_units", "projections"],
    ["selection_config", "slices", "thin", "subspaces"],
    ["partial_weights"],
    ["partial", "layers"],
    ["training"],
    ["elm"],
    ["estimators"],
    ["storage", "plots"],
    ["search", "analysis"],
    ["cli"],
]
# For type checkers alone: the aliases name classes of later units.
TYPES_ONLY = {"types"}
BACKENDS = {"tensorflow", "jax", "jaxlib", "torch"}
BACKEND_MODULES = ("training.backends.", "isolation", "gradients", "estimators.elm")
NO_KERAS = ("selectors", "draws")


def imports(path: Path, top_level: bool = False) -> Iterator[str]:
    """Yield the absolute dotted names that a module imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    here = ["frozenfit", *path.relative_to(PACKAGE).with_suffix("").parts]
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = here[: len(here) - node.level] if node.level else []
            module = [*start, *([node.module] if node.module else [])]
            yield from (".".join([*module, alias.name]) for alias in node.names)


def module_of(name: str) -> str | None:
    """The module of this package that a dotted name is in, without the package's name."""
    parts = name.split(".")
    if parts[0] != "frozenfit":
        return None
    for end in range(len(parts), 1, -1):
        if ".".join(parts[1:end]) in MODULES:
            return ".".join(parts[1:end])
    return None


def test_imports_go_one_way_between_the_packages():
    rank = {unit: place for place, units in enumerate(CHAIN) for unit in units}
    assert set(rank) == {name.partition(".")[0] for name in MODULES}
    wrong = []
    for name, path in MODULES.items():
        unit = name.partition(".")[0]
        for target in filter(None, map(module_of, imports(path))):
            other = target.partition(".")[0]
            if other != unit and rank[other] >= rank[unit] and unit not in TYPES_ONLY:
                wrong.append(f"{name} imports {target}")
    assert not wrong


def test_no_circle_of_modules_within_a_package():
    graph = {
        name: {t for t in map(module_of, imports(path, top_level=True)) if t and t != name}
        for name, path in MODULES.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for target in graph[name]:
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_backends_and_dependencies_are_where_they_belong():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [*declared["dependencies"], *sum(declared["optional-dependencies"].values(), [])]
    allowed = {_plain(name.split(">")[0].split("[")[0]) for name in named}
    distributions = packages_distributions()
    for name, path in MODULES.items():
        tops = {target.partition(".")[0] for target in imports(path)}
        if not name.startswith(BACKEND_MODULES):
            assert not tops & BACKENDS, name
        if name.startswith(NO_KERAS):
            assert "keras" not in tops, name
        for top in tops - set(sys.stdlib_module_names) - {"frozenfit", "__future__"} - BACKENDS:
            assert {_plain(d) for d in distributions[top]} & allowed, f"{name} imports {top}"


def _plain(distribution: str) -> str:
    return distribution.strip().lower().replace("_", "-")


def test_importing_the_package_loads_no_backend_and_every_module_loads_alone():
    code = """
import os, sys
import frozenfit
assert frozenfit.selectors.filters(0.1)
assert not {"keras", "sklearn", "tensorflow", "jax", "torch"} & set(sys.modules)
import importlib
for name in sys.argv[1:]:  # the other packages, once for all children
    importlib.import_module("frozenfit." + name)
for name in [name for name in sys.modules if name.partition(".")[0] == "frozenfit"]:
    del sys.modules[name]
for name in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        try:
            __import__("frozenfit." + name)
        except BaseException as error:
            print(name, repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, name
"""
    # Children are forked after other packages are loaded, so that each is cheap; they compute
    # nothing, so that no backend hangs in them.
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    names = [name for name in MODULES if not name.endswith("__main__")]
    run = subprocess.run(
        [sys.executable, "-c", code, *names], capture_output=True, text=True, env=environment
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_public_name_is_there():
    import frozenfit

    for name in frozenfit.__all__:
        assert getattr(frozenfit, name) is not None, name


def test_a_missing_backend_names_the_installed_ones():
    code = "import frozenfit; frozenfit.PartialNetClassifier"
    environment = {**os.environ, "KERAS_BACKEND": "no_such_backend", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert "Keras has no backend named 'no_such_backend'" in run.stderr
    assert "Set the environment variable KERAS_BACKEND to '" in run.stderr
