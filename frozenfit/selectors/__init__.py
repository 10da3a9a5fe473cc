"""Selectors: rules that choose the trainable parameters of a network, in NumPy only.

A `Selector` is resolved against the `Layout` of a network; the result is a `Selection`, which
assigns one form (`Everything`, `Nothing`, `Leading`, `Indices` or `Mask`) to each weight. `parse`
reads a selector from text.
"""

from . import forms
from .core import Selector
from .forms import Form, Selection
from .kinds import Everything, Indices, Leading, Mask, Nothing
from .parse import as_selector, parse
from .slices import (
    batch_norm,
    between,
    biases,
    block,
    columns,
    conv_filters,
    disjoint,
    everything,
    filters,
    first,
    fisher,
    head,
    inputs,
    kernels,
    last,
    layers,
    magnitude,
    mask,
    movement,
    norms,
    nothing,
    random,
    rows,
    where,
)
from .weights import Context, Layout, WeightInfo

__all__ = [
    "Context",
    "Everything",
    "Form",
    "Indices",
    "Layout",
    "Leading",
    "Mask",
    "Nothing",
    "Selection",
    "Selector",
    "WeightInfo",
    "as_selector",
    "batch_norm",
    "between",
    "biases",
    "block",
    "columns",
    "conv_filters",
    "disjoint",
    "everything",
    "filters",
    "first",
    "fisher",
    "forms",
    "head",
    "inputs",
    "kernels",
    "last",
    "layers",
    "magnitude",
    "mask",
    "movement",
    "norms",
    "nothing",
    "parse",
    "random",
    "rows",
    "where",
]
