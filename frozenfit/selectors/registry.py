"""The selectors that may occur in text, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar

from frozenfit.utils.names import did_you_mean

from .selector import Selector

Registered = TypeVar("Registered", bound=Callable[..., Selector])

_SELECTORS: dict[str, Callable[..., Selector]] = {}


def register(name: str) -> Callable[[Registered], Registered]:
    """Register a selector under a name, so that it can be written as text.

    A registered selector is parsed from a string, suggested in errors, and stored in files. The
    module that registers it must be imported before a text or a file that names it is read.

    Parameters
    ----------
    name : str
        The name: letters, digits and underscores.

    Returns
    -------
    callable
        A decorator that returns what it decorates: a class derived from `Selector` that is a frozen
        dataclass, or a function that returns a selector. A file can call it with any literal
        arguments, so that it must check them.

    Raises
    ------
    ValueError
        If the name is not an identifier, or another selector is registered under it. A class or
        function with the same module and qualified name may be registered again, so that a
        notebook cell can run twice.
    TypeError
        If the decorated object is neither a function nor a selector class, or the class is not a
        frozen dataclass.

    See Also
    --------
    Selector : The base class.
    where : Select by a function that is not stored.

    Examples
    --------
    >>> from frozenfit import selectors as fs
    >>> @fs.register("hidden_biases")
    ... def hidden_biases():
    ...     return fs.biases() - fs.head()
    >>> print(fs.parse("hidden_biases()").resolve(fs.example_layout()))
    weight         shape          form     trainable   total
    conv1/bias     (6,)           all              6       6
    conv2/bias     (16,)          all             16      16
    dense1/bias    (120,)         all            120     120
    dense2/bias    (84,)          all             84      84
    sum                           0.51%          226  44,426
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"`name` must consist of letters, digits and underscores, got {name!r}.")

    def decorate(selector: Registered) -> Registered:
        _check(selector, name)
        # A notebook cell that runs again defines the same class anew, which is not equal to the
        # first.
        known = _SELECTORS.get(name)
        if known is not None and _origin(known) != _origin(selector):
            raise ValueError(
                f"The selector {name!r} is already registered by {'.'.join(_origin(known))}. "
                "Choose another name."
            )
        _SELECTORS[name] = selector
        return selector

    return decorate


def _check(selector: object, name: str) -> None:
    """Check what is registered, and give a class the comparison and the text of selectors."""
    if inspect.isfunction(selector):
        return
    if not (inspect.isclass(selector) and issubclass(selector, Selector)):
        raise TypeError(
            f"A selector must be a function or a class derived from Selector, got {selector!r}."
        )
    # Only the parameters of the class itself count: a subclass of a dataclass inherits the others.
    params = vars(selector).get("__dataclass_params__")
    if params is None or not params.frozen:
        raise TypeError(
            f"{selector.__name__} must be a frozen dataclass. Write @dataclass(frozen=True) "
            "between @register(...) and the class."
        )
    # A dataclass generates a comparison for which 1 == 1.0, and a repr without the registered name.
    for method in ("__eq__", "__hash__", "__repr__"):
        setattr(selector, method, getattr(Selector, method))
    selector._name = name


def _origin(selector: Callable[..., Selector]) -> tuple[str, str]:
    return selector.__module__, selector.__qualname__


def registered() -> tuple[str, ...]:
    """Return the names of the registered selectors.

    Returns
    -------
    tuple of str
        In alphabetical order.

    See Also
    --------
    register : Register a selector.

    Examples
    --------
    >>> from frozenfit.selectors import registered
    >>> "filters" in registered()
    True
    """
    return tuple(sorted(_SELECTORS))


def find(name: str) -> Callable[..., Selector]:
    """Return the registered selector with this name, or raise a ValueError that suggests one."""
    if name in _SELECTORS:
        return _SELECTORS[name]
    suggestion = did_you_mean(name, registered())
    if not suggestion.startswith("Did you mean"):
        suggestion += (
            " A selector of your own is found after the module that registers it is imported."
        )
    raise ValueError(f"There is no selector {name!r}. {suggestion}")
