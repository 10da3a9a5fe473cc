"""The registry of architectures, which maps a name to the function that builds the network."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import keras

from frozenfit.utils.names import did_you_mean

__all__ = ["build", "find", "names", "parameters", "register"]

_Builder = TypeVar("_Builder", bound=Callable[..., keras.Model])
_BUILDERS: dict[str, Callable[..., keras.Model]] = {}


def register(name: str) -> Callable[[_Builder], _Builder]:
    """Register a function that builds a network under a name.

    Parameters
    ----------
    name : str
        The name: letters, digits and underscores.

    Returns
    -------
    callable
        A decorator that returns the function unchanged. The function takes ``input_shape`` and
        ``n_outputs``, then any other parameters, and returns a ``keras.Model`` of logits.

    Raises
    ------
    ValueError
        If the name is not an identifier, or another function is registered under it. A function
        with the same module and qualified name may be registered again, so that a notebook cell
        can run twice.
    TypeError
        If the decorated object is not a function of at least two arguments.

    See Also
    --------
    build : Build a network by name.

    Examples
    --------
    >>> @register("one_layer")
    ... def one_layer(input_shape, n_outputs, *, use_bias=True):
    ...     inputs = keras.Input(input_shape)
    ...     return keras.Model(inputs, keras.layers.Dense(n_outputs, use_bias=use_bias)(inputs))
    >>> build("one_layer", (4,), 3, use_bias=False).count_params()
    12
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"`name` must consist of letters, digits and underscores, got {name!r}.")

    def decorate(function: _Builder) -> _Builder:
        if not callable(function) or len(inspect.signature(function).parameters) < 2:
            raise TypeError(
                "An architecture must be a function (input_shape, n_outputs, **params), "
                f"got {function!r}."
            )
        known = _BUILDERS.get(name)
        # By name rather than by identity: a notebook cell that runs again defines another function.
        if known is not None and _identity(known) != _identity(function):
            raise ValueError(
                f"The architecture {name!r} is already registered by {'.'.join(_identity(known))}. "
                "Choose another name."
            )
        _BUILDERS[name] = function
        return function

    return decorate


def build(name: str, input_shape: Sequence[int], n_outputs: int, **params: Any) -> keras.Model:
    """Build a network by name.

    Parameters
    ----------
    name : str
        One of `names`.
    input_shape : sequence of int
        Shape of one sample, such as ``(64,)`` or ``(32, 32, 3)``, channels last.
    n_outputs : int
        Number of outputs: the classes, or the targets of a regression.
    **params
        The parameters of the architecture; `parameters` returns them.

    Returns
    -------
    keras.Model
        The network, whose outputs of shape ``(batch, n_outputs)`` are logits.

    Raises
    ------
    ValueError
        If the name or a parameter is unknown, or a value is invalid.
    TypeError
        If a registered function does not return a model.

    See Also
    --------
    names : Return the registered names.
    parameters : Return the parameters of an architecture and their defaults.

    Examples
    --------
    >>> build("mlp", (64,), 10, hidden_layer_sizes=(32,)).count_params()
    2410
    """
    function = find(name)
    _check_params(name, params)
    shape = _checked_shape(name, input_shape)
    if isinstance(n_outputs, bool) or not hasattr(n_outputs, "__index__") or n_outputs < 1:
        raise ValueError(f"`n_outputs` of {name} must be an int >= 1, got {n_outputs!r}.")
    model = function(shape, int(n_outputs), **params)
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"The architecture {name!r} must return a keras.Model, got {type(model).__name__}."
        )
    return model


def names() -> tuple[str, ...]:
    """Return the registered names in alphabetical order.

    Returns
    -------
    tuple of str
        The names that `build` and the parameter `model` of `PartialNetClassifier` accept.

    See Also
    --------
    register : Add a network.
    parameters : Return the parameters of a network and their defaults.

    Examples
    --------
    >>> "mlp" in names(), "lenet5" in names()
    (True, True)
    """
    return tuple(sorted(_BUILDERS))


def parameters(name: str) -> dict[str, Any]:
    """Return the parameters of an architecture and their defaults.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    dict of str to object
        The defaults by name, in the order of the signature. Required parameters are not included.

    Raises
    ------
    ValueError
        If the name is unknown.

    See Also
    --------
    build : Build a network with values for these parameters.

    Examples
    --------
    >>> parameters("wide_resnet")
    {'depth': 28, 'width': 10, 'dropout': 0}
    """
    found = _signature(find(name))
    return {key: p.default for key, p in found.items() if p.default is not p.empty}


def find(name: str) -> Callable[..., keras.Model]:
    """Return the function registered under a name.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    callable
        The function that builds the network.

    Raises
    ------
    ValueError
        If the name is unknown.

    See Also
    --------
    build : Build a network by name, after checking its parameters.

    Examples
    --------
    >>> find("mlp")((4,), 2, hidden_layer_sizes=(3,)).count_params()
    23
    """
    if name not in _BUILDERS:
        raise ValueError(f"There is no architecture {name!r}. {did_you_mean(name, names())}")
    return _BUILDERS[name]


def _signature(function: Callable[..., keras.Model]) -> dict[str, inspect.Parameter]:
    """Return the parameters after ``input_shape`` and ``n_outputs``."""
    return dict(list(inspect.signature(function).parameters.items())[2:])


def _check_params(name: str, params: dict[str, Any]) -> None:
    signature = _signature(_BUILDERS[name])
    kinds = {parameter.kind for parameter in signature.values()}
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    named = {key: p for key, p in signature.items() if p.kind not in variadic}
    known = ", ".join(named) or "none"
    unknown = [key for key in params if key not in named]
    if unknown and inspect.Parameter.VAR_KEYWORD not in kinds:
        hint = did_you_mean(unknown[0], named) if named else "It has no parameters."
        raise ValueError(f"{name} has no parameter {unknown[0]!r}. {hint}")
    missing = [key for key, p in named.items() if p.default is p.empty and key not in params]
    if missing:
        raise ValueError(
            f"{name} requires the parameter {', '.join(map(repr, missing))}. "
            f"Its parameters are {known}."
        )


def _checked_shape(name: str, input_shape: Sequence[int]) -> tuple[int, ...]:
    try:
        shape = tuple(size.__index__() for size in input_shape)
    except (TypeError, AttributeError):
        shape = ()
    if not shape or min(shape) < 1:
        raise ValueError(
            f"`input_shape` of {name} must be the shape of one sample, a sequence of int >= 1 "
            f"such as (64,) or (32, 32, 3), got {input_shape!r}."
        )
    return shape


def _identity(function: Callable[..., Any]) -> tuple[str, str]:
    return function.__module__, getattr(function, "__qualname__", repr(function))
