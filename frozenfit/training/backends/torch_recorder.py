"""Training steps and predictions on torch recorded as flat lists of tensor operations.

Most of a small step on torch is Python: Keras's layers, its optimizer, autograd's graph. A step
is always the same operations on the same tensors, so it is recorded once per shape of batch, and
then only the operations are run. The variables themselves take part, not copies of them.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import keras

from frozenfit.training.backends.torch_draws import (
    generator_states,
    recorded_draws,
    restore_generators,
)
from frozenfit.training.backends.torch_shortcuts import shorten

# Recording costs as much as this many steps, so that it never more than doubles a short fit.
PATIENCE = 64
_SHAPES = 4
# While a step is recorded, torch.fx stands in for methods of torch.nn.Module.
_recording = threading.Lock()


class Recorder:
    """Takes training steps or predicts, and records what is called often for a shape.

    Parameters
    ----------
    step : callable
        Takes a step on tensors (rate, x, y, weight, moves, scale): changes variables in place and
        returns a list of tensors.
    changed : list of keras.Variable
        What a step may change.
    read : list of keras.Variable
        What else it reads.
    other : callable or None, default=None
        Returns other arguments for the recording, and may change the values of `changed`, which
        are restored. None changes the arguments of a training step.
    draws : bool, default=False
        Whether a step draws random numbers. It is called on a private random stream then.
    patience : int or None, default=None
        Number of steps of a shape before its step is recorded; None means 64.
    """

    def __init__(
        self,
        step: Callable,
        changed: Sequence[Any],
        read: Sequence[Any],
        other: Callable | None = None,
        draws: bool = False,
        patience: int | None = None,
    ):
        self._step, self._changed, self._other = step, list(changed), other or _other
        self._patience = PATIENCE if patience is None else patience
        self.draws = draws
        self._variables = [*changed, *read]
        self._tensors = self._storages = []
        self._shapes: OrderedDict[tuple, _OfShape] = OrderedDict()

    def stepper(self, batch: Sequence[Any], kind: Hashable = None) -> Callable:
        """Return the function that takes steps on batches like this one.

        Parameters
        ----------
        batch : sequence of tensors
            The arguments of a step.
        kind : hashable, default=None
            What the operations of a step depend on besides the shapes of its arguments.

        Returns
        -------
        callable
            Does exactly what the step does.
        """
        # A recording refers to tensors and to views of them, so it is invalid where a variable has
        # got another one, as when a model is moved to another device.
        current = [v.value for v in self._variables]
        storages = [tensor.data_ptr() for tensor in current]
        if storages != self._storages or any(
            a is not b for a, b in zip(current, self._tensors, strict=True)
        ):
            self._tensors, self._storages = current, storages
            self._shapes.clear()
        key = kind, *((tuple(a.shape), a.dtype, a.device) for a in batch)
        found = self._shapes.pop(key, None) or self._of_shape()
        self._shapes[key] = found
        while len(self._shapes) > _SHAPES:
            self._shapes.popitem(last=False)
        return found.recorded if found.proved and found.recorded else found

    def _of_shape(self) -> _OfShape:
        return _OfShape(self._step, self._changed, self._other, self.draws, self._patience)


class _OfShape:
    """The steps of one shape of batch: plain ones, then a recorded one that has to prove itself."""

    def __init__(
        self, step: Callable, changed: list[Any], other: Callable, draws: bool, patience: int
    ):
        self._step, self._changed, self._other, self._draws = step, changed, other, draws
        self._patience = patience
        self._plain = 0
        self._refused = False
        self.recorded: Callable | None = None
        self.proved = False

    def __call__(self, *batch: Any) -> Sequence[Any]:
        if self.proved and self.recorded:
            return self.recorded(*batch)
        if self._refused or self._plain < self._patience:
            self._plain += 1
            return self._step(*batch)
        if self.recorded is None:
            self.recorded = self._tried(lambda: record(self._step, self._other(*batch)))
            return self._step(*batch)
        # Recorded at other values than it is held against the plain step with, so that a number
        # read out of a tensor and written into the recording is found.
        found = self._tried(lambda: self._outcome(self.recorded, batch))
        sums, values = self._outcome(self._step, batch)
        pairs = zip((*sums, *values), (*found[0], *found[1]) if found else (), strict=False)
        self.proved = found is not None and all(_same(a, b) for a, b in pairs)
        self._refused = not self.proved
        return sums

    def _tried(self, attempt: Callable) -> Any:
        """Try something that takes a step, and take the step back; None where it fails."""
        import torch

        before, generators = self._values(), self._generators()
        try:
            return attempt()
        except Exception:
            # Not every network can be recorded: the plain step is as right.
            self._refused = True
            return None
        finally:
            with torch.no_grad():
                for variable, value in zip(self._changed, before, strict=True):
                    variable.value.copy_(value)
            if generators:
                restore_generators(generators)

    def _outcome(self, step: Any, batch: Sequence[Any]) -> tuple[Sequence[Any], list[Any]]:
        return step(*batch), [*self._values(), *self._generators()]

    def _generators(self) -> list[Any]:
        return generator_states() if self._draws else []

    def _values(self) -> list[Any]:
        return [v.value.detach().clone() for v in self._changed]


def _other(rate: Any, x: Any, y: Any, weight: Any, moves: Any, scale: Any) -> tuple:
    return 0.7 * rate, x.flip(0), y.flip(0), 0.5 * weight.flip(0), moves.flip(0), 0.9 * scale


def _same(a: Any, b: Any) -> bool:
    return bool(((a == b) | ((a != a) & (b != b))).all())


def record(step: Callable, batch: Sequence[Any]) -> Callable:
    """Take a step and return its tensor operations as a function.

    Parameters
    ----------
    step : callable
        Changes variables in place and returns a list of tensors.
    batch : sequence of tensors
        Its arguments.

    Returns
    -------
    callable
        Of the same arguments, on the same variables.
    """
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    with _recording, recorded_draws():
        # A partial, for torch.fx counts a method's self among the arguments.
        module = make_fx(functools.partial(step))(*batch)
    # Before `shorten`, whose functions do not say that they change something.
    module.graph.eliminate_dead_code()
    _take_views(module)
    shorten(module)
    graph, held = module.graph, {}
    first = next(iter(graph.nodes))
    for node in list(graph.nodes):
        if node.op == "get_attr":
            if node.target not in held:
                with graph.inserting_before(first):
                    held[node.target] = graph.placeholder(node.target)
            _replace(graph, node, held[node.target])
    code = graph.python_code("module")
    scope = dict(code.globals)
    exec(code.src, scope)
    values = [getattr(module, name) for name in held]
    return torch.no_grad()(functools.partial(scope["forward"], None, *values))


def _take_views(module: Any) -> None:
    """Take the views of variables once, and leave out views that are equal to their argument.

    A variable is changed in place, so that a view of it always has its present values.
    """
    import torch

    names = "detach", "view", "t", "permute", "expand", "unsqueeze"
    views = {getattr(torch.ops.aten, name).default for name in names}
    views |= {torch.ops.aten.slice.Tensor, torch.ops.aten.transpose.int}
    graph = module.graph
    for node in list(graph.nodes):
        if _copies_a_constant(node):
            _replace(graph, node, node.args[0])
            continue
        if node.target not in views:
            continue
        (source,) = node.all_input_nodes
        if _layout(node) == _layout(source):
            _replace(graph, node, source)
        elif source.op == "get_attr":
            with torch.no_grad():
                view = node.target(getattr(module, source.target), *node.args[1:], **node.kwargs)
            module.register_buffer(f"view_{node.name}", view)
            with graph.inserting_before(node):
                taken = graph.get_attr(f"view_{node.name}")
            taken.meta = dict(node.meta)
            _replace(graph, node, taken)
    for node in [n for n in graph.nodes if n.op == "get_attr" and not n.users]:
        graph.erase_node(node)


def _layout(node: Any) -> Any:
    """Return shape, strides and dtype of a tensor; the node itself where they are unknown."""
    value = node.meta.get("val")
    return node if value is None else (value.shape, value.stride(), value.dtype)


def _replace(graph: Any, node: Any, other: Any) -> None:
    node.replace_all_uses_with(other)
    graph.erase_node(node)


def _copies_a_constant(node: Any) -> bool:
    import torch

    return node.target is torch.ops.aten.lift_fresh_copy.default and not any(
        _changes_something(user) for user in node.users
    )


def _changes_something(node: Any) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable


def can_be_recorded(model: keras.Model, optimizer: Any) -> bool:
    """Return whether all steps of a network are the same operations.

    Parameters
    ----------
    model : keras.Model
        The network that is trained.
    optimizer : keras.optimizers.Optimizer
        Its optimizer.

    Returns
    -------
    bool
        False where something may act by what it counts or sees: a Lambda, code that is not
        Keras's, layers that augment images, weights that are overwritten by their average now and
        then.
    """
    if optimizer.ema_overwrite_frequency:
        return False
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return False
    kinds = type(optimizer).__mro__
    own = [k for k in kinds if not k.__module__.startswith(("keras.", "torch.", "frozenfit."))]
    if own != [object]:
        return False
    return is_always_the_same(model) and not any(map(_augments, _parts(model)))


def is_always_the_same(model: keras.Model) -> bool:
    """Return whether every prediction of a network runs the same operations.

    Parameters
    ----------
    model : keras.Model
        The network.

    Returns
    -------
    bool
        False where a layer is a Lambda or not one of Keras.
    """
    return all(map(_is_keras_alone, _parts(model)))


def draws_random_numbers(model: keras.Model) -> bool:
    """Return whether layers of a network draw random numbers in training.

    Parameters
    ----------
    model : keras.Model
        The network.

    Returns
    -------
    bool
        True with dropout, for instance.
    """
    return any(map(_draws, _parts(model)))


def _parts(model: Any) -> Iterator[Any]:
    """Yield the operations and layers of a network, those inside others too."""
    yield from getattr(model, "operations", ())
    yield from model._flatten_layers(include_self=True)


def _is_keras_alone(part: Any) -> bool:
    given = [v for v in vars(part).values() if callable(v)]
    return not isinstance(part, keras.layers.Lambda) and all(
        _module(v).startswith(("keras.", "torch.")) for v in (type(part), *given)
    )


def _draws(part: Any) -> bool:
    """Return whether a layer draws random numbers; a recurrent cell always has a seed."""
    rates = [getattr(part, name, None) for name in ("dropout", "recurrent_dropout")]
    return hasattr(part, "seed_generator") and rates != [0, 0]


def _augments(part: Any) -> bool:
    """Return whether a layer augments images in training: some choose operations in Python."""
    return hasattr(part, "generator") and ".preprocessing." in _module(type(part))


def _module(value: Any) -> str:
    return getattr(value, "__module__", None) or ""
