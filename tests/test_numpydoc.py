"""The docstrings of the public API pass numpydoc's validation."""

from __future__ import annotations

import importlib
import inspect
import types

import pytest

import frozenfit

validate = pytest.importorskip("numpydoc.validate").validate

PACKAGES = (
    "frozenfit",
    "frozenfit.analysis",
    "frozenfit.architectures",
    "frozenfit.datasets",
    "frozenfit.elm",
    "frozenfit.estimators",
    "frozenfit.layers",
    "frozenfit.plots",
    "frozenfit.search",
    "frozenfit.selectors",
    "frozenfit.storage",
)
IGNORED = {
    "ES01": "a summary of one line describes most functions completely",
}
IGNORED_OF_METHODS = {
    "SA01": "the docstring of the class refers to related objects, as in scikit-learn",
    "EX01": "the docstring of the class has the example, as in scikit-learn",
}


def documented(value: object) -> bool:
    """Whether a value has its own docstring, unlike constants and type aliases."""
    kinds = (types.FunctionType, property, classmethod, staticmethod)
    return inspect.isclass(value) or isinstance(value, kinds)


def public_names() -> list[str]:
    """Return the public classes and functions, each by the first package that has it."""
    found: dict[int, str] = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            if documented(value) and value.__module__.startswith("frozenfit"):
                found.setdefault(id(value), f"{package}.{name}")
    return list(found.values())


def public_members(name: str) -> list[str]:
    """Return the public methods and properties of a class that this package defines."""
    package, _, attribute = name.rpartition(".")
    kind = getattr(importlib.import_module(package), attribute)
    if not inspect.isclass(kind):
        return []
    members = {
        member: f"{name}.{member}"
        for base in kind.__mro__
        if base.__module__.startswith("frozenfit")
        for member, value in vars(base).items()
        if not member.startswith("_") and documented(value) and not inspect.isclass(value)
    }
    return list(members.values())


def findings(name: str, ignored: dict[str, str]) -> list[str]:
    errors = validate(name)["errors"]
    return [f"{code}: {text}" for code, text in errors if code not in ignored]


@pytest.mark.parametrize("name", public_names())
def test_a_public_docstring_is_complete(name):
    found = {name: findings(name, IGNORED)}
    for member in public_members(name):
        found[member] = findings(member, IGNORED | IGNORED_OF_METHODS)
    wrong = [f"{each}: {text}" for each, texts in found.items() for text in texts]
    assert not wrong, "\n".join(wrong)


def test_every_public_package_is_checked():
    assert {f"frozenfit.{name}" for name in frozenfit._MODULES} <= set(PACKAGES)
