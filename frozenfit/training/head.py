"""The end of a classifier's network: logits in place of probabilities, and one output for two."""

from __future__ import annotations

from typing import Any

import keras

_SQUASHING = ("softmax", "sigmoid", "log_softmax", "log_sigmoid")


def to_logits(model: keras.Model, n_logits: int) -> keras.Model:
    """Take the activation off the end of a network, and give it an output for each class.

    Parameters
    ----------
    model : keras.Model
        A network that nothing else uses. Its last layer is changed.
    n_logits : int
        Number of classes or labels. Where it is 2 and the network has a single output, that is
        the logit of the second class; the logit of the first is 0.

    Returns
    -------
    keras.Model
        The network itself, or one of its layers and further layers without weights. A network
        whose last operation cannot be found is returned as it is.
    """
    last = _last_operation(model)
    if last is None:
        return model
    output: Any = model.outputs[0]
    if squashing(last) is not None:
        if hasattr(last, "activation"):
            last.activation = keras.activations.linear
        elif output._keras_history.operation is last:
            output = last.input
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


def _last_operation(model: keras.Model) -> Any:
    """Return the operation that computes the only output of a network, inside nested networks."""
    while hasattr(model, "outputs") and len(model.outputs or ()) == len(model.inputs or ()) == 1:
        operation = model.outputs[0]._keras_history.operation
        if not isinstance(operation, keras.Model):
            return operation
        model = operation
    return None
