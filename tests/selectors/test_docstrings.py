"""The docstrings of public selectors are complete, and their examples run and show a selection."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest
from numpydoc.validate import validate

from frozenfit import selectors
from frozenfit.selectors.registry import find, registered

MODULES = [module.name for module in pkgutil.iter_modules(selectors.__path__)]
# Extended summaries and the type of a return value in words are not required.
NOT_REQUIRED = {"ES01", "GL01", "RT02", "RT04", "RT05", "SA04"}


def public_names() -> list[str]:
    names = [name for name in selectors.__all__ if name != "forms"]
    names += [f"forms.{name}" for name in vars(selectors.forms) if name[0].islower()]
    # ParameterTable and its rows are defined elsewhere.
    home = f"{selectors.__name__}."
    names = [name for name in names if getattr(_object(name), "__module__", "").startswith(home)]
    methods = [
        f"{name}.{method}"
        for name in names
        if inspect.isclass(_object(name))
        for method, value in vars(_object(name)).items()
        if not method.startswith("_") and isinstance(value, staticmethod | type(lambda: None))
    ]
    return names + methods


def _object(name: str):
    value = selectors
    for part in name.split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("name", public_names())
def test_the_docstring_is_complete(name):
    errors = validate(f"frozenfit.selectors.{name}")["errors"]
    assert [error for error in errors if error[0] not in NOT_REQUIRED] == []


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name):
    module = importlib.import_module(f"frozenfit.selectors.{name}")
    result = doctest.testmod(module)
    assert not result.failed


@pytest.mark.parametrize(
    "name", [name for name in registered() if find(name).__module__.startswith("frozenfit.")]
)
def test_the_example_of_a_selector_shows_a_selection(name):
    docstring = inspect.getdoc(find(name)) or ""
    assert f"{name}(" in docstring.partition("Examples")[2]
    assert "trainable   total" in docstring.partition("Examples")[2]
