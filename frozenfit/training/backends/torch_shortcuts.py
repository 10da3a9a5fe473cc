"""Cheaper calls of the same kernels in recorded steps on torch.

Most of the time of a small operation on torch is spent before its kernel starts: in the call of an
overload, and in the conversion of a Python number to a tensor. The results are the same bits.
"""

from __future__ import annotations

import inspect
from typing import Any


def shorten(module: Any) -> None:
    """Replace operations of a recorded graph by cheaper ones with equal results.

    Parameters
    ----------
    module : torch.fx.GraphModule
        What `make_fx` returned; it is changed in place.
    """
    numbers: dict[tuple, str] = {}
    for node in list(module.graph.nodes):
        _with_tensor(module, node, numbers)
        _shorten(node)


def each_plus(tensors: list[Any], number: Any) -> list[Any]:
    """Add a number to each of several tensors.

    Parameters
    ----------
    tensors : list of tensor
        The tensors.
    number : scalar tensor
        The number.

    Returns
    -------
    list of tensor
        What ``torch._foreach_add`` returns.
    """
    return [tensor + number for tensor in tensors]


def _with_tensor(module: Any, node: Any, numbers: dict[tuple, str]) -> None:
    """Give an operation with a Python number a tensor in its place.

    On a CPU, torch makes that tensor anew in every call, once for each tensor of a list.
    """
    import torch

    aten = torch.ops.aten
    if node.target not in (aten._foreach_mul_.Scalar, aten._foreach_add.Scalar, aten.rsub.Scalar):
        return
    first, number = node.args[:2]
    value = (first[0] if isinstance(first, list | tuple) else first).meta.get("val")
    exact = (torch.float32, torch.float64)
    if node.kwargs or len(node.args) > 2 or value is None or value.dtype not in exact:
        return
    if value.device.type != "cpu":
        return
    name = numbers.setdefault((number, value.dtype), f"number{len(numbers)}")
    module.register_buffer(name, torch.tensor(number, dtype=value.dtype))
    with module.graph.inserting_before(node):
        tensor = module.graph.get_attr(name)
    if node.target is aten.rsub.Scalar:
        node.target, node.args = torch.sub, (tensor, first)
    else:
        mutates = node.target is aten._foreach_mul_.Scalar
        node.target = getattr(torch, "_foreach_mul_") if mutates else each_plus  # noqa: B009
        node.args = first, tensor


def _shorten(node: Any) -> None:
    """Call torch's function in place of the overload: half the Python for the same kernel."""
    import torch

    if not isinstance(node.target, torch._ops.OpOverload):
        return
    name = node.target._schema.name.removeprefix("aten::")
    if node.target is torch.ops.aten._to_copy.default and set(node.kwargs) == {"dtype"}:
        node.op, node.target = "call_method", "to"
        node.kwargs = {**node.kwargs, "copy": True}
    elif inspect.isbuiltin(getattr(torch, name, None)):
        node.target = getattr(torch, name)
    elif inspect.ismethoddescriptor(getattr(torch.Tensor, name, None)):
        node.op, node.target = "call_method", name
