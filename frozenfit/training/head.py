"""The end of a classifier's network: logits in place of probabilities, and one output for two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from frozenfit.layout import steps

_SQUASHING = ("softmax", "sigmoid", "log_softmax", "log_sigmoid")


def to_logits(model: keras.Model, n_logits: int) -> keras.Model:
    """Take the activation off the end of a network, and give it an output for each class.

    Parameters
    ----------
    model : keras.Model
        A network that nothing else uses. Its last layer may be changed.
    n_logits : int
        Number of classes or labels. Where it is 2 and the network has a single output, that is
        the logit of the second class; the logit of the first is 0.

    Returns
    -------
    keras.Model
        The network itself, or one of its layers and further layers without weights. A network
        whose last operation cannot be found, or is used elsewhere in it too, is returned as it is.
    """
    ends = _ends(model)
    if not ends or len(model.inputs) > 1:
        return model
    last = ends[-1].operation
    output: Any = model.outputs[0]
    if squashing(last) is not None:
        if not getattr(last, "weights", ()):
            output = _without_last(ends)
        elif not any(end.is_shared for end in ends):
            last.activation = keras.activations.linear
    if n_logits == 2 and output.shape[1:] == (1,):
        none = keras.layers.Rescaling(0.0, name="logit_of_first_class")(output)
        output = keras.layers.Concatenate(name="logits")([none, output])
    if output is model.outputs[0]:
        return model
    return keras.Model(model.inputs[0], output, name=model.name)


def squashing(operation: Any) -> str | None:
    """Return the name of the activation of a last operation that makes probabilities, or None."""
    activation = getattr(operation, "activation", None)
    name = getattr(activation, "__name__", type(operation).__name__.lower())
    return name if name in _SQUASHING else None


@dataclass(frozen=True)
class _End:
    """The call that computes the only output of a network.

    Attributes
    ----------
    operation : keras.Operation
        A layer, a nested model or a function of `keras.ops`.
    arguments : SymbolicArguments
        What it is called with.
    is_shared : bool
        Whether the network calls it elsewhere too.
    """

    operation: Any
    arguments: Any
    is_shared: bool


def _ends(model: Any) -> list[_End]:
    """Return the end of a network, then that of the nested model which it is, and so on."""
    ends = []
    while len(getattr(model, "outputs", None) or ()) == 1:
        operation, node, _ = model.outputs[0]._keras_history
        calls = sum(step.operation is operation for step in steps(model))
        ends.append(_End(operation, operation._inbound_nodes[node].arguments, calls > 1))
        model = operation
    # A subclassed model ends in something that is not known.
    return [] if isinstance(model, keras.Model) else ends


def _without_last(ends: list[_End]) -> Any:
    """Return the output of a network without its last operation, which is left as it is."""
    arguments = ends[-1].arguments
    output = arguments.keras_tensors[0]
    for end in reversed(ends[:-1]):
        model = end.operation
        inputs = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
        # Under its name, on which the paths of its weights depend.
        shorter = keras.Model(inputs, output, name=model.name)
        output = shorter(*end.arguments.args, **end.arguments.kwargs)
    return output
