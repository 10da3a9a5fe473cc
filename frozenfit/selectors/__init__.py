"""Selectors: rules that choose the trainable parameters of a network, in NumPy only.

A `Selector` is resolved against the `Layout` of a network; the result is a `Selection`, which
assigns one form to each weight: `Everything`, `Nothing`, `Leading`, `Indices`, `Mask`, `Scales`,
`Subspace`, `LowRank` or `Supermask`. `parse` reads a selector from text.
"""

from frozenfit.parameter_table import ParameterTable, TableRow

from . import forms
from .context import Context
from .example_layouts import example_layout
from .forms import Everything, Form, Indices, Leading, Mask, Nothing
from .functions import where
from .layout import Layout
from .lora import lora
from .lora_form import LowRank
from .masks import mask
from .parse import as_selector, parse
from .registry import register, registered
from .roles import batch_norm, biases, everything, kernels, norms, nothing
from .sampling import disjoint, random
from .scale_form import Scales
from .scales import scales
from .scores import fisher, magnitude, movement
from .selection import Selection
from .selector import Selector
from .slices import columns, conv_filters, filters, inputs, rows
from .subspace_form import Subspace
from .subspaces import subspace
from .supermask import supermask
from .supermask_form import Supermask
from .weight_info import WeightInfo
from .whole_layers import between, block, first, head, last, layers

__all__ = [
    "Context",
    "Everything",
    "Form",
    "Indices",
    "Layout",
    "Leading",
    "LowRank",
    "Mask",
    "Nothing",
    "ParameterTable",
    "Scales",
    "Selection",
    "Selector",
    "Subspace",
    "Supermask",
    "TableRow",
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
    "example_layout",
    "filters",
    "first",
    "fisher",
    "forms",
    "head",
    "inputs",
    "kernels",
    "last",
    "layers",
    "lora",
    "magnitude",
    "mask",
    "movement",
    "norms",
    "nothing",
    "parse",
    "random",
    "register",
    "registered",
    "rows",
    "scales",
    "subspace",
    "supermask",
    "where",
]
