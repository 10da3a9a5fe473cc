"""Where a Keras model keeps its weights and states, in which order, and under which paths.

A `Survey` walks through a built model once. Its `layout` is plain data that selectors are applied
to; `frozenfit.layer_kinds` defines what the axes of a weight mean. Keras has no public way to ask
which variables a layer owns or which layers it contains, so this module reads a few of its private
attributes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import keras
from keras import layers as kl

from frozenfit import layer_kinds
from frozenfit.selectors import Layout, WeightInfo

__all__ = ["StateInfo", "Step", "Survey", "describe", "steps"]

# Path of the variables that a model itself owns; its name is part of no path.
_MODEL = "model"


@dataclass(frozen=True)
class StateInfo:
    """One variable of a model that was created non-trainable.

    Attributes
    ----------
    path : str
        Unique in the model, such as ``"norm/moving_mean"``.
    kind : str
        ``"statistic"`` for a floating-point state of a normalization, ``"seed"`` for the state of
        a random generator, ``"other"`` for anything else.
    layer : str
        Path of the layer that owns it.
    """

    path: str
    kind: str
    layer: str


@dataclass(frozen=True, eq=False)
class Step:
    """One call of an operation in the graph of a model.

    Attributes
    ----------
    operation : keras.Operation
        A layer, a nested model or a function of `keras.ops`.
    inputs, outputs : tuple of KerasTensor
        What it takes and gives.
    has_options : bool
        Whether it is called with arguments by name, except for `training`, which a model sets.
    """

    operation: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    has_options: bool


def describe(model: keras.Model) -> Layout:
    """Describe every trainable weight of a model.

    Parameters
    ----------
    model : keras.Model
        A built Functional, Sequential, nested or subclassed model.

    Returns
    -------
    Layout
        The `layout` of a `Survey` of the model.

    Raises
    ------
    TypeError
        If `model` is not a Keras model.
    ValueError
        If it is not built.

    See Also
    --------
    Survey : The variables themselves, the states and the layers.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="d")], name="net")
    >>> [(w.path, w.role, w.output_axes) for w in describe(model).weights]
    [('d/kernel', 'kernel', (1,)), ('d/bias', 'bias', (0,))]
    """
    return Survey(model).layout


class Survey:
    """The weights, states and layers of one built Keras model or layer, found in a single walk.

    A survey is a snapshot: it does not see layers that are added, or ``trainable`` flags that are
    switched, after it was made. It holds the variables themselves, not their values.

    Parameters
    ----------
    model : keras.Model
        A built Functional, Sequential, nested or subclassed model.

    Attributes
    ----------
    model : keras.Model or keras.Layer
        The model.
    layout : Layout
        ``weights`` in the order of ``model.trainable_variables``; ``layers``, those that own one,
        in topological order (for a subclassed model, whose order is unknown, in the order of
        creation); ``heads``, for each output the nearest layer that has a kernel. Where several
        are equally near, as before a concatenation, all of them are heads. In a layer that does
        not show its sublayers' graph the last one created is the head. A layer that is not a
        model has no head, because other layers follow it.
    trainable : dict of str to keras.Variable
        Trainable variables by path, in the order of ``layout.weights``. A path consists of the
        names of the layers around a variable, without that of the model itself, and of its own
        name; where two variables share a path, the second gets ``"#2"`` appended, and so on. For
        an automatic name, which is another one when the model is built again, stands the
        attribute that holds the layer or the variable.
    frozen : dict of str to keras.Variable
        Weights of layers with ``trainable=False`` by path.
    states : dict of str to keras.Variable
        Variables created non-trainable, in the order of ``model.variables``. The state of a random
        generator is named after its layer, because Keras numbers the generators of a process.
    state_infos : dict of str to StateInfo
        What each state is.
    layers : dict of str to keras.Layer
        Layers that own variables or contain no other layer, in topological order. Nested models
        are flattened, a shared layer is listed once, and inputs are left out.

    Raises
    ------
    TypeError
        If `model` is not a Keras model or layer.
    ValueError
        If it is not built.

    Examples
    --------
    >>> import keras
    >>> x = keras.Input((4,))
    >>> y = keras.layers.BatchNormalization(name="norm")(keras.layers.Dense(3, name="d")(x))
    >>> survey = Survey(keras.Model(x, y))
    >>> list(survey.trainable)
    ['d/kernel', 'd/bias', 'norm/gamma', 'norm/beta']
    >>> list(survey.states)
    ['norm/moving_mean', 'norm/moving_variance']
    >>> list(survey.layers), list(survey.statistic_layers)
    (['d', 'norm'], ['norm'])
    """

    def __init__(self, model: keras.Model | keras.Layer):
        if not isinstance(model, keras.Layer):
            raise TypeError(f"`model` must be a built keras.Model, got {type(model).__name__}.")
        if not model.built:
            raise ValueError(
                f"`model` must be a built keras.Model, but {model.name!r} has no weights yet. "
                "Call it once on a batch of data, or start it with a keras.Input."
            )
        self.model = model
        root = _MODEL if isinstance(model, keras.Model) else model.name
        leaves = _walk(model, None, root, set(), True)
        self._leaves = [leaf for leaf in leaves if _is_leaf(leaf, model)]
        self._owners = _find_owners(self._leaves)
        self._seeds: set[int] = set()
        # A wrapper may hold the weight of a frozen layer as a non-trainable attribute: what any
        # layer tracks as trainable is a weight, frozen or not.
        self._tracked: dict[int, Any] = {}
        for leaf in self._leaves:
            self._seeds.update(id(generator.state) for generator in leaf.layer._seed_generators)
            self._tracked.update((id(v), v) for v in leaf.layer._trainable_variables)
        self._paths = self._name_variables(model)
        self.trainable = {self._paths[id(v)]: v for v in model.trainable_variables}
        self.states: dict[str, Any] = {}
        self.state_infos: dict[str, StateInfo] = {}
        for variable in model.variables:
            if id(variable) not in self._tracked:
                info = self._state_info(variable)
                self.states[info.path], self.state_infos[info.path] = variable, info
        known = {id(v) for v in (*self.trainable.values(), *self.states.values())}
        self.frozen = {self._paths[id(v)]: v for v in model.variables if id(v) not in known}
        self.layers = {leaf.path: leaf.layer for leaf in self._leaves}

    @property
    def weights(self) -> dict[str, Any]:
        """Every variable that is not a state: those in `trainable`, then those in `frozen`."""
        return self.trainable | self.frozen

    @property
    def variables(self) -> list[Any]:
        """All variables: trainable, then states, then those the user froze."""
        return [*self.trainable.values(), *self.states.values(), *self.frozen.values()]

    @cached_property
    def layout(self) -> Layout:
        """The trainable weights as plain data, which selectors are applied to."""
        infos = {key: self._info(key) for key in self._tracked}
        with_kernel = {
            id(self._owners[key].layer) for key, info in infos.items() if info.role == "kernel"
        }
        layers = self.layers.values()
        with_kernel |= {id(layer) for layer in layers if layer_kinds.has_fixed_kernel(layer)}
        weights = tuple(infos[id(variable)] for variable in self.model.trainable_variables)
        owning = {info.layer for info in weights}
        path_of = {id(layer): path for path, layer in self.layers.items()}
        heads = _heads(self.model, with_kernel) if isinstance(self.model, keras.Model) else []
        return Layout(
            weights=weights,
            layers=tuple(path for path in self.layers if path in owning),
            heads=tuple(path_of[id(layer)] for layer in heads),
            frozen=tuple(infos[id(variable)] for variable in self.frozen.values()),
        )

    @cached_property
    def statistic_layers(self) -> dict[str, keras.Layer]:
        """The layers that own moving statistics, in topological order."""
        owners = {info.layer for info in self.state_infos.values() if info.kind == "statistic"}
        return {path: layer for path, layer in self.layers.items() if path in owners}

    @cached_property
    def steps(self) -> list[Step]:
        """The steps of `steps` for this model."""
        return steps(self.model)

    def _name_variables(self, model: keras.Model) -> dict[int, str]:
        """Return the path of every variable, and make the paths of the leaves unique."""
        scopes = {id(leaf): leaf.path for leaf in self._leaves}
        unique = _Unique()
        for leaf in self._leaves:
            leaf.path = unique(leaf.path)
        unique, paths = _Unique(), {}
        for variable in model.variables:
            leaf, name = self._owners[id(variable)], variable.name
            if id(variable) in self._seeds:
                scope = leaf.path
            else:
                scope, name = scopes[id(leaf)], _variable_name(variable, leaf.layer)
            paths[id(variable)] = unique(f"{scope}/{name}")
        return paths

    def _info(self, key: int) -> WeightInfo:
        """Describe one weight."""
        variable, leaf = self._tracked[key], self._owners[key]
        shape = tuple(int(size) for size in variable.shape)
        axes = layer_kinds.axes(leaf.layer, leaf.parent, variable.name, len(shape))
        return WeightInfo(
            path=self._paths[key],
            shape=shape,
            layer=leaf.path,
            layer_type=layer_kinds.type_name(leaf.layer),
            role=axes.role,
            output_axes=axes.output,
            input_axes=axes.input,
            spatial_axes=axes.spatial,
            gates=axes.gates,
            groups=axes.groups,
            initializer=layer_kinds.initializer(leaf.layer, variable.name),
        )

    def _state_info(self, variable: Any) -> StateInfo:
        path, owner = self._paths[id(variable)], self._owners[id(variable)]
        kind = _state_kind(variable, owner.layer, id(variable) in self._seeds)
        return StateInfo(path, kind, owner.path)


def steps(model: keras.Model) -> list[Step]:
    """Return the graph of a Functional or Sequential model, in an order of computation.

    Parameters
    ----------
    model : keras.Model
        A built model; nested models are single steps.

    Returns
    -------
    list of Step
        The inputs first; empty for a subclassed model, which shows no graph.

    Examples
    --------
    >>> import keras
    >>> x = keras.Input((4,))
    >>> [type(s.operation).__name__ for s in steps(keras.Model(x, keras.layers.Dense(2)(x)))]
    ['InputLayer', 'Dense']
    """
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs, model.outputs)
    if not _is_functional(model):
        return []
    return [
        Step(
            node.operation,
            tuple(node.input_tensors),
            tuple(node.output_tensors),
            _has_options(node.arguments.kwargs),
        )
        for _, nodes in sorted(model._nodes_by_depth.items(), reverse=True)
        for node in nodes
    ]


def _has_options(kwargs: dict[str, Any]) -> bool:
    return any(value is not None for name, value in kwargs.items() if name != "training")


class _Leaf:
    """A layer that owns variables or holds no other layer, its parent, and its unique path."""

    def __init__(self, layer: Any, parent: Any, path: str):
        self.layer, self.parent, self.path = layer, parent, path


class _Unique:
    """Appends "#2", "#3" to names that come again."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def __call__(self, name: str) -> str:
        self._seen[name] = self._seen.get(name, 0) + 1
        return name if self._seen[name] == 1 else f"{name}#{self._seen[name]}"


def _walk(layer: Any, parent: Any, path: str, seen: set[int], configured: bool) -> Iterator[_Leaf]:
    """Visit a layer, then those inside it, each once.

    Paths are made of the names of the layers around a layer. Those of Keras's variables also
    depend on whether a model was built by code or from its configuration.
    """
    # A shared layer is visited once.
    if id(layer) in seen or isinstance(layer, kl.InputLayer):
        return
    seen.add(id(layer))
    yield _Leaf(layer, parent, path)
    configured = configured and _configures_names(layer)
    is_whole_model = parent is None and isinstance(layer, keras.Model)
    prefix = "" if is_whole_model else f"{path}/"
    for place, child in enumerate(_children(layer)):
        name = child.name if configured else _lasting_name(child, layer, place)
        yield from _walk(child, layer, prefix + name, seen, configured)


def _configures_names(layer: Any) -> bool:
    """Return whether the configuration of a layer has the names of the layers inside it."""
    containers = (keras.Sequential, kl.Wrapper, kl.Bidirectional, kl.RNN, kl.StackedRNNCells)
    is_container = isinstance(layer, containers) or _is_functional(layer)
    return is_container and type(layer).__module__.startswith("keras.")


def _lasting_name(layer: Any, parent: Any, place: int) -> str:
    """Return a name of a layer that is the same whenever its parent is built again.

    A layer of the user's own creates the layers inside it anew, and Keras numbers automatic names
    by what the process built before. In their place stands the attribute of the parent.
    """
    kind = type(layer).__name__
    if not _is_automatic(layer.name, kind):
        return layer.name
    return _attribute(parent, layer) or f"{place}_{kind}"


def _is_automatic(name: str, kind: str) -> bool:
    """Return whether Keras may have made a name from that of a class, and numbered it."""
    name = re.sub("^(forward|backward)_", "", name)  # those of the layers of a Bidirectional
    plain = kind.replace("_", "").lower()
    return plain in (part.replace("_", "") for part in (name, re.sub(r"_\d+$", "", name)))


def _variable_name(variable: Any, layer: Any) -> str:
    """Return the name of a variable, or the attribute of its layer where it has none."""
    if not _is_automatic(variable.name, type(variable).__name__):
        return variable.name
    own = [id(each) for each in _own_variables(layer)]
    return _attribute(layer, variable) or f"{own.index(id(variable))}_variable"


def _attribute(owner: Any, part: Any) -> str | None:
    """Return the attribute of a layer that holds a part of it, directly or in a list or dict."""
    # On torch, layers are modules, which keep the modules inside them apart.
    attributes = {**vars(owner), **vars(owner).get("_modules", {})}
    for name in sorted(attributes, key=lambda name: (name.startswith("_"), name)):
        if name in _bookkeeping() or name.startswith("_self_"):
            continue
        if (place := _place(attributes[name], part)) is not None:
            return f"{name.lstrip('_')}{place}"
    return None


def _place(value: Any, part: Any) -> str | None:
    """Return where a part is in a value: "" for the value itself, "_0" for the first of a list."""
    if value is part:
        return ""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    for key, item in items:
        if (place := _place(item, part)) is not None:
            return f"_{key}{place}"
    return None


@cache
def _bookkeeping() -> frozenset[str]:
    """Return the attributes in which Keras itself lists the parts of any layer or model."""
    return frozenset(vars(keras.Layer())) | {"_operations", "_operations_by_depth"}


def _children(layer: Any) -> list[Any]:
    """Return the layers directly inside, in the order data meets them where that is known."""
    if isinstance(layer, keras.Sequential):
        return list(layer.layers)
    if not _is_functional(layer):
        return list(layer._layers)
    ordered = list(layer.layers)
    # A functional model may hold layers as attributes that its graph does not use.
    known = {id(child) for child in ordered}
    return ordered + [child for child in layer._layers if id(child) not in known]


def _is_functional(layer: Any) -> bool:
    return isinstance(layer, keras.Model) and hasattr(layer, "operations")


def _own_variables(layer: Any) -> list[Any]:
    generated = [generator.state for generator in layer._seed_generators]
    return [*layer._trainable_variables, *layer._non_trainable_variables, *generated]


def _is_leaf(leaf: _Leaf, model: keras.Model) -> bool:
    return bool(_own_variables(leaf.layer)) or (
        leaf.layer is not model and not _children(leaf.layer)
    )


def _find_owners(leaves: list[_Leaf]) -> dict[int, _Leaf]:
    """Find the leaf that made each variable.

    Several may hold it: a wrapper keeps its layer's kernel as an attribute, tied layers share one.
    The variable's path then names the layer that made it.
    """
    slices: dict[int, _Leaf] = {}
    holders: dict[int, _Leaf] = {}
    for leaf in leaves:
        for variable in _own_variables(leaf.layer):
            holders.setdefault(id(variable), leaf)
            if f"/{variable.path}".endswith(f"/{leaf.layer.name}/{variable.name}"):
                slices.setdefault(id(variable), leaf)
    return holders | slices


def _state_kind(variable: Any, layer: Any, is_seed: bool) -> str:
    if is_seed:
        return "seed"
    # The preprocessing layer Normalization keeps constants of the data, which no training moves.
    is_norm = layer_kinds.is_normalization(layer) and not isinstance(layer, kl.Normalization)
    return "statistic" if is_norm and "float" in str(variable.dtype) else "other"


def _heads(layer: Any, with_kernel: set[int]) -> list[Any]:
    """Return the layers with a kernel that are nearest the outputs of a layer or model."""
    if id(layer) in with_kernel:
        return [layer]
    if _is_functional(layer) and not isinstance(layer, keras.Sequential):
        found = [head for output in layer.outputs for head in _nearest(output, with_kernel)]
        return list({id(head): head for head in found}.values())
    for child in reversed(_children(layer)):
        if found := _heads(child, with_kernel):
            return found
    return []


def _nearest(output: Any, with_kernel: set[int]) -> list[Any]:
    """Walk a graph back from one output, step by step, to the first layers with a kernel."""
    visited, frontier = set(), [output]
    while frontier:
        found, further = [], []
        for tensor in frontier:
            operation, node_index, tensor_index = tensor._keras_history
            if (id(operation), node_index, tensor_index) in visited:
                continue
            visited.add((id(operation), node_index, tensor_index))
            if _is_functional(operation) and not isinstance(operation, keras.Sequential):
                heads = _nearest(operation.outputs[tensor_index], with_kernel)
            elif isinstance(operation, keras.Layer):
                heads = _heads(operation, with_kernel)
            else:
                heads = []
            found += heads
            if not heads:
                further += operation._inbound_nodes[node_index].input_tensors
        if found:
            return list({id(head): head for head in found}.values())
        frontier = further
    return []
