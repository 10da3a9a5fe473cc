"""Activations of a network that are dropped after the last layer that reads them.

Keras keeps the outputs of all layers until a network is computed. Compiled functions do not; on
torch they are most of the memory of a prediction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras


@contextmanager
def dropped_early(network: Any) -> Iterator[None]:
    """Let a network on torch drop each activation when no other layer reads it.

    Outputs have the same bits. As in `isolation.inference_mode`, an attribute of the instances is
    replaced for the duration of the block.

    Parameters
    ----------
    network : keras.Model or callable
        A network. What is not Functional or Sequential in it is computed as Keras does.

    Yields
    ------
    None
        Until the block ends.
    """
    graphs = list(_graphs(network)) if keras.config.backend() == "torch" else []
    for graph in graphs:
        graph.__dict__["_run_through_graph"] = partial(_run, graph)
    try:
        yield
    finally:
        for graph in graphs:
            graph.__dict__.pop("_run_through_graph", None)


def _graphs(network: Any) -> Iterator[Any]:
    """Yield the Functional models of a network: itself, nested ones, those inside Sequential."""
    if not isinstance(network, keras.Model):
        return
    for part in network._flatten_layers(include_self=True):
        graph = getattr(part, "_functional", part)
        if hasattr(graph, "_nodes_by_depth"):
            yield graph


def _run(graph: Any, inputs: Any, operation_fn: Callable, call_fn: Callable | None = None) -> Any:
    """Compute a graph as Keras does, node by node, without what was read for the last time."""
    nodes = [
        node
        for _, level in sorted(graph._nodes_by_depth.items(), reverse=True)
        for node in level
        if node.operation and not node.is_input
    ]
    readers = Counter(id(x) for node in nodes for x in node.input_tensors)
    readers.update(map(id, graph.outputs))
    values = dict(zip(map(id, graph.inputs), keras.tree.flatten(inputs), strict=False))
    for node in nodes:
        args, kwargs = node.arguments.fill_in(values)
        operation = operation_fn(node.operation)
        outputs = call_fn(operation, *args, **kwargs) if call_fn else operation(*args, **kwargs)
        values.update(zip(map(id, node.outputs), keras.tree.flatten(outputs), strict=False))
        readers.subtract(map(id, node.input_tensors))
        for x in (*node.input_tensors, *node.outputs):
            if not readers[id(x)]:
                values.pop(id(x), None)
        del args, kwargs, outputs
    found = [values[id(x)] for x in graph.outputs]
    return keras.tree.pack_sequence_as(graph._outputs_struct, found)
