"""Which entries of a network are learned: subsets, their makers and algebra, in NumPy alone.

`makers` holds how to say it, `forms` what it comes to for each weight, `parse` the written form.
"""

from . import forms
from .core import Subset
from .forms import Form, Resolved
from .kinds import Everything, Indices, Leading, Mask, Nothing
from .makers import (
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
from .parse import as_subset, parse
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
    "Resolved",
    "Subset",
    "WeightInfo",
    "as_subset",
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
