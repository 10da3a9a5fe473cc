"""A training step on TensorFlow as a function of the values of variables.

Inside a loop each reading and each assignment of a variable is an operation that nothing may be
moved across or shared over. With values in place of variables TensorFlow computes what is equal,
such as Adam's bias corrections, once for all weights, and a small step takes a third less time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from frozenfit.isolation import isolated

_ARITHMETIC = {"AssignAddVariableOp": "AddV2", "AssignSubVariableOp": "Sub"}
# Beyond this many trainable parameters arithmetic is what costs, and joining weights only copies them.
_JOINED_ENTRIES = 2**18
_ELEMENTWISE = (
    "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lion", "Nadam", "RMSprop", "SGD"
)  # fmt: skip


class PureStep:
    """A traced step without variables.

    Parameters
    ----------
    step : callable
        Reads and assigns variables; returns a list of tensors.
    specs : sequence of tf.TensorSpec
        Its arguments.

    Attributes
    ----------
    changed : list of tf.Variable
        What the step assigns.
    read : list of tf.Variable
        What else it reads.

    Raises
    ------
    ValueError
        Where the step does something else to a variable or has other effects.
    """

    def __init__(self, step: Callable, specs: Sequence[Any]):
        import tensorflow as tf

        traced = tf.function(step, autograph=False).get_concrete_function(*specs).graph
        inner = {t.op.name: outer for outer, t in traced.captures}
        handles = {id(v.handle): v for v in traced.variables}
        self._variables = {n: handles[id(o)] for n, o in inner.items() if id(o) in handles}
        self._captured = {n: o for n, o in inner.items() if n not in self._variables}
        inputs = [t.op.name for t in traced.inputs if t.op.name not in inner]
        values = self._rewrite(traced)
        self._arguments = inputs
        outputs = [values.get(_full(t.name), _full(t.name)) for t in traced.outputs]
        self._results, self._changed = outputs, self._last
        self.changed = [self._variables[n] for n in self._changed]
        self.read = [v for n, v in self._variables.items() if n not in self._changed]

    def _rewrite(self, traced: Any) -> dict[str, str]:
        """Write the graph without variables; return what stands for the readings."""
        import tensorflow as tf

        source = traced.as_graph_def()
        self._graph = graph = tf.compat.v1.GraphDef(versions=source.versions)
        graph.library.CopyFrom(source.library)
        nodes = {node.name: node for node in source.node}
        self._last: dict[str, str] = {}
        values: dict[str, str] = {}
        for operation in traced.get_operations():
            node = nodes[operation.name]
            if node.op == "Placeholder":
                continue
            inputs = [_full(i) for i in node.input if not i.startswith("^")]
            owners = [i.partition(":")[0] for i in inputs]
            owned = [o for o in owners if o in self._variables]
            inputs = [values.get(i, i) for i in inputs]
            if not owned:
                if operation.op_def.is_stateful:
                    raise ValueError(f"{node.op} has effects")
                copy = graph.node.add()
                copy.CopyFrom(node)
                copy.ClearField("input")
                copy.input.extend(inputs)
                copy.attr.pop("_class", None)
                continue
            before = self._last.get(owned[0], _full(owned[0]))
            if node.op == "ReadVariableOp":
                values[_full(node.name)] = before
            elif node.op == "AssignVariableOp":
                self._last[owned[0]] = inputs[1]
            elif node.op in _ARITHMETIC:
                new = graph.node.add(name=node.name, op=_ARITHMETIC[node.op])
                new.input.extend([before, inputs[1]])
                new.attr["T"].CopyFrom(node.attr["dtype"])
                self._last[owned[0]] = _full(node.name)
            else:
                raise ValueError(f"{node.op} takes a variable")
        return values

    def __call__(self, arguments: Sequence[Any], values: dict[int, Any]) -> tuple[list, list]:
        """Add the step to the graph under construction.

        Parameters
        ----------
        arguments : sequence of tensors
            The arguments of the step.
        values : dict of int to tensor
            Value of each variable by its id; of what is assigned before it is read none.

        Returns
        -------
        results : list of tensors
            What the step returns.
        new : list of tensors
            New values of what it changes.
        """
        import tensorflow as tf

        given = dict(zip(self._arguments, arguments, strict=True))
        given |= {n: values[id(v)] for n, v in self._variables.items() if id(v) in values}
        given = {_full(n): tf.identity(t) for n, t in (given | self._captured).items()}
        wanted = [*self._results, *self._changed.values()]
        made = [name for name in wanted if name not in given]
        used = {i for node in self._graph.node for i in node.input}
        found = tf.graph_util.import_graph_def(
            self._graph,
            input_map={name: t for name, t in given.items() if name in used},
            return_elements=made,
            name="step",
        )
        known = given | dict(zip(made, found, strict=True))
        found = [known[name] for name in wanted]
        return found[: len(self._results)], found[len(self._results) :]


def _full(name: str) -> str:
    return name if ":" in name else f"{name}:0"


class Joined:
    """An optimizer that moves all trainable parameters as one vector: one set of operations for all.

    Parameters
    ----------
    optimizer : keras.optimizers.Optimizer
        A built optimizer of whose kind one is made.
    variables : list of keras.Variable
        What it moves.

    Attributes
    ----------
    optimizer : keras.optimizers.Optimizer
        Its slots stand for those of the other, joined.
    vector : keras.Variable
        All entries.
    parts : list of (keras.Variable, list of keras.Variable)
        Variables of this one, and what each is joined of.
    """

    def __init__(self, optimizer: Any, variables: Sequence[Any]):
        self._shapes = [tuple(v.shape) for v in variables]
        self._sizes = [int(v.value.shape.num_elements()) for v in variables]
        with isolated(0):
            self.vector = keras.Variable(
                keras.ops.zeros(sum(self._sizes)), dtype=variables[0].dtype, name="trainable"
            )
            self.optimizer = type(optimizer).from_config(optimizer.get_config())
            self.optimizer.build([self.vector])
        self.parts = [(self.vector, list(variables))]
        for name, own in vars(self.optimizer).items():
            theirs = getattr(optimizer, name)
            if isinstance(own, keras.Variable):
                self.parts.append((own, [theirs]))
            elif isinstance(own, list) and own and isinstance(own[0], keras.Variable):
                if len(own) == 1 and len(theirs) == len(variables):
                    self.parts.append((own[0], list(theirs)))
        told = {id(own) for own, _ in self.parts}
        if any(id(v) not in told for v in self.optimizer.variables):
            raise ValueError("slots of another kind")

    def split(self, vector: Any) -> list[Any]:
        """Cut a vector into tensors of the variables' shapes."""
        import tensorflow as tf

        pieces = tf.split(vector, self._sizes)
        return [tf.reshape(p, s) for p, s in zip(pieces, self._shapes, strict=True)]


def join(tensors: Sequence[Any]) -> Any:
    """Join tensors to a vector."""
    import tensorflow as tf

    return tf.concat([tf.reshape(t, (-1,)) for t in tensors], axis=0)


def can_be_joined(optimizer: Any, variables: Sequence[Any]) -> bool:
    """Say whether an optimizer moves each entry by itself, and few enough to gain from joining.

    Parameters
    ----------
    optimizer : keras.optimizers.Optimizer
        An optimizer.
    variables : list of keras.Variable
        What it moves.

    Returns
    -------
    bool
        False where it looks at a whole weight, as in clipping by norm.
    """
    kind = type(optimizer)
    looks = (optimizer.clipnorm, optimizer.global_clipnorm, optimizer.use_ema)
    return (
        kind is getattr(keras.optimizers, kind.__name__, None)
        and kind.__name__ in _ELEMENTWISE
        and not any((*looks, optimizer.gradient_accumulation_steps))
        and len({v.dtype for v in variables}) == 1 < len(variables)
        and all(v.constraint is None for v in variables)
        and sum(int(v.value.shape.num_elements()) for v in variables) <= _JOINED_ENTRIES
    )
