"""Which entries of a network are learned: selectors, their selectors and algebra, in NumPy alone.

`selectors` holds how to say it, `forms` what it comes to for each weight, `parse` the written form.
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
