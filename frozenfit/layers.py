"""Keras layers that train a part of their weights, and a last layer with fixed directions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from frozenfit.delta import check_form, positions, read_trained
from frozenfit.fixed_head import FixedHead
from frozenfit.frozen_values import draw_weight, is_drawable
from frozenfit.isolation import (
    forget_losses,
    fresh_paths,
    initial_value,
    set_initial_value,
)
from frozenfit.layout import Survey
from frozenfit.parameter_table import ParameterTable
from frozenfit.partial_weights import (
    PartialWeights,
    check_options,
    constant,
    total_of,
    variable_name,
)
from frozenfit.selection_config import resolve, selection_config, selection_from_config
from frozenfit.selectors import Selection, Selector, forms
from frozenfit.utils.arrays import to_numpy

__all__ = ["FixedHead", "Partial"]


@keras.saving.register_keras_serializable(package="frozenfit")
class Partial(keras.Layer):
    """A layer that trains selected parameters of another layer and freezes all others.

    It is used wherever the other layer could be: in Functional, Sequential and subclassed models,
    with Keras's own ``compile`` and ``fit``. The selected parameters are compact trainable
    variables, so that optimizer state is allocated for them alone; all others are non-trainable.

    Parameters
    ----------
    layer : keras.Layer
        A layer or model with weights. It is copied from its configuration, with its values if it
        has any, and is itself unchanged.
    trainable_part : float, int, bool, str, Selector or Selection
        The parameters to train, as `trainable` of `PartialModel`. A layer that is not a model has
        no head, because other layers follow it: ``filters(0.1)`` selects units of a single Dense.
    frozen : {"random", "keep", "zero"}, default="random"
        Values of the frozen parameters: drawn from `seed` and the path of the weight by the
        initializer of its layer; those of `layer`, for one that was trained before; or zero. With
        "zero", the scale and offset of a normalization keep their values. With "random", a weight
        of a new layer whose initializer is unknown, such as the bias of an LSTM, keeps the values
        that Keras drew.
    seed : int or None, default=None
        Seed of the random frozen values, and of random selectors without a seed. None means 0.
        Layers with equal names and shapes draw equal values from one seed.
    freeze_statistics : bool or "auto", default="auto"
        Whether frozen batch normalizations inside `layer` keep their moving statistics, as in
        `PartialModel`.
    **kwargs : object
        Further arguments of `keras.Layer`: `name`, `trainable`.

    Raises
    ------
    TypeError
        If `layer` is not a Keras layer.
    ValueError
        If `layer` cannot be copied from its configuration, or an option is invalid. When the layer
        is built: if it has no weights, the selector selects none of them, or a constraint needs
        the whole of a weight that is trained in part.

    See Also
    --------
    frozenfit.PartialModel : A partly frozen network as a Keras model.
    frozenfit.selectors : The rules that select the trainable parameters.

    Examples
    --------
    >>> import keras, numpy as np
    >>> from frozenfit.layers import Partial
    >>> hidden = Partial(keras.layers.Dense(8, name="hidden"), "filters(0.25)")
    >>> model = keras.Sequential([keras.Input((4,)), hidden, keras.layers.Dense(2)])
    >>> model.compile("adam", "mse")
    >>> history = model.fit(np.ones((6, 4)), np.ones((6, 2)), verbose=0)
    >>> [(row.path, row.trainable, row.total) for row in hidden.parameter_table()]
    [('hidden/kernel', 8, 32), ('hidden/bias', 2, 8)]
    """

    def __init__(
        self,
        layer: keras.Layer,
        trainable_part: Selector | Selection | str | float | int,
        frozen: str = "random",
        seed: int | None = None,
        *,
        freeze_statistics: bool | str = "auto",
        **kwargs: Any,
    ):
        if not isinstance(layer, keras.Layer):
            raise TypeError(f"`layer` must be a keras.Layer, got {type(layer).__name__}.")
        check_options(frozen, freeze_statistics)
        layer = _copy(layer)
        # Keras reads the arguments of a layer from the signature of `call`: those of the copy.
        object.__setattr__(self, "call", _with_signature(layer.call, self._call))
        # Without autocast: under mixed precision the copy casts its assembled weights itself.
        super().__init__(autocast=False, **{"dtype": layer.dtype_policy, **kwargs})
        self.layer = layer
        self.frozen, self.freeze_statistics = frozen, freeze_statistics
        self.seed = 0 if seed is None else int(seed)
        self.supports_masking = layer.supports_masking
        self._given: Any = trainable_part
        self._partial: _Weights | None = None
        # Values that were trained or set are there to be replaced; initial ones are random already.
        self._is_new = not layer.built
        if layer.built:
            self.build()

    def _maybe_build(self, call_spec: Any) -> None:
        """Build the copy from the shapes of a call, as Keras would build the layer itself."""
        if not self.built:
            with fresh_paths():
                self.layer._maybe_build(call_spec)
            self.build()

    def build(self, input_shape: Any = None) -> None:
        """Create the variables.

        Parameters
        ----------
        input_shape : tuple of int or None, default=None
            Shape of the input; not needed where the layer is built already.

        Raises
        ------
        ValueError
            See the class.
        """
        layer = self.layer
        if not layer.built:
            with fresh_paths():
                layer.build(input_shape)
        survey = Survey(layer)
        if not survey.trainable:
            raise ValueError(f"`layer` must have trainable weights, but {layer.name!r} has none.")
        self._partial = _Weights(
            survey,
            _resolved(self._given, survey, self.seed),
            frozen=self.frozen,
            seed=self.seed,
            freeze_statistics=self.freeze_statistics,
            add_weight=self.add_weight,
            is_new=self._is_new,
        )
        self._partial.set_flags(self.trainable)

    def get_build_config(self) -> dict[str, Any] | None:
        """Return how the copy was built.

        Returns
        -------
        dict or None
            What `build_from_config` takes; None before the layer is built.
        """
        return {"layer": self.layer.get_build_config()} if self.built else None

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build the layer as `get_build_config` describes.

        Parameters
        ----------
        config : dict
            Its result.
        """
        if self.built:
            return
        with fresh_paths():
            self.layer.build_from_config(config["layer"])
        self.build()

    @property
    def trainable(self) -> bool:
        """Whether the selected parameters are trained."""
        return keras.Layer.trainable.fget(self)  # pyright: ignore

    @trainable.setter
    def trainable(self, value: bool) -> None:
        keras.Layer.trainable.fset(self, value)  # pyright: ignore
        # Keras has switched the flags of all weights of the copy.
        if self._partial is not None:
            self._partial.set_flags(self.trainable)

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        """Call the copy with the trainable parameters written into its weights."""
        partial = self._partial
        assert partial is not None  # Keras builds a layer before it calls it
        outputs, states, losses = partial.run(
            lambda: self.layer(*args, **kwargs),
            partial.inference_layers,
            kwargs.get("training", True),
        )
        for variable, value in states:
            variable.assign(value)
        # The losses are passed on as one new tensor, see PartialModel.
        forget_losses(self.layer)
        if losses:
            self.add_loss(total_of(losses))
        return outputs

    def compute_mask(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the mask of the output as the copy does.

        Parameters
        ----------
        *args : object
            Inputs and their mask.
        **kwargs : object
            The same by name.

        Returns
        -------
        tensor or None
            The mask.
        """
        return self.layer.compute_mask(*args, **kwargs)

    @property
    def selection(self) -> Selection:
        """Which parameters are trained; known once the layer is built."""
        if self._partial is None:
            raise ValueError(f"The layer {self.name!r} is not built yet. Call it on an input.")
        return self._partial.selection

    def parameter_table(self) -> ParameterTable:
        """Return the number of trainable parameters of each weight.

        Returns
        -------
        ParameterTable
            One row per weight: path, shape, which part is trainable, and the numbers of trainable
            and of all parameters.

        Raises
        ------
        ValueError
            If the layer is not built.
        """
        return self.selection.table()

    def count_params(self) -> int:
        """Return the number of parameters, frozen and trainable.

        Returns
        -------
        int
            That of the wrapped layer.
        """
        return self.layer.count_params()

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Load the trained parameters and their positions, as Keras does for each layer of a file.

        Parameters
        ----------
        store : mapping of str to array
            The variables by number.
        """
        super().load_own_variables(store)
        if self._partial is not None:
            self._partial.read_selection()

    def get_config(self) -> dict[str, Any]:
        """Return the configuration: that of the wrapped layer, the selector, and the options.

        Returns
        -------
        dict
            What `from_config` takes.
        """
        selection = None if self._partial is None else self._partial.selection
        layer: Any = keras.saving.serialize_keras_object(self.layer)
        for state in ("build_config", "compile_config"):
            layer.pop(state, None)
        return {
            "name": self.name,
            "trainable": self.trainable,
            "layer": layer,
            "trainable_part": selection_config(self._given, selection),
            "frozen": self.frozen,
            "seed": self.seed,
            "freeze_statistics": self.freeze_statistics,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Partial:
        """Create a layer from its configuration.

        Parameters
        ----------
        config : dict
            The result of `get_config`.

        Returns
        -------
        Partial
            A new layer.
        """
        return cls(**{**config, "layer": keras.saving.deserialize_keras_object(config["layer"])})


class _Weights(PartialWeights):
    """Weights in the variables of the layer itself, wherever these can be used.

    What is trained as a whole stays the variable of the layer, frozen values are written into the
    others, and the states are those of the layer.
    """

    def __init__(self, *args: Any, is_new: bool, **kwargs: Any):
        self._is_new = is_new
        super().__init__(*args, **kwargs)

    def _make_variables(self) -> None:
        for path, form in self.computed.items():
            variable = self.survey.trainable[path]
            if isinstance(form, forms.Everything):
                self.compact[path] = variable
                continue
            if isinstance(form, forms.Subspace):
                raise ValueError(
                    "`trainable_part` of `Partial` cannot be a subspace, which is one of several "
                    f"layers, got subspace({form.d}). Use PartialModel for the whole network."
                )
            check_form(path, form, variable.constraint, self.frozen)
            start = initial_value(variable)  # before the frozen values replace it
            if self.frozen != "keep":
                self._set_frozen(path, variable)
            if not isinstance(form, forms.Nothing):
                self._make_compact(path, form, variable, start)
        self.states = dict(self.survey.states)

    def _set_frozen(self, path: str, variable: Any) -> None:
        info = self.selection.layout[path]
        if self.frozen == "random":
            if self._is_new and not is_drawable(info):
                return  # Keras has drawn it
            set_initial_value(variable, lambda: draw_weight(info, self.seed))
        elif not self.keeps_values(path):
            set_initial_value(variable, lambda: np.zeros(info.shape, np.float32))

    def _make_compact(self, path: str, form: Any, variable: Any, start: Callable[[], Any]) -> None:
        index = None
        if isinstance(form, forms.Indices | forms.Mask):
            index = positions(form)
            self.index[path] = self._add_weight(
                name=variable_name(f"index/{path}"),
                shape=index.shape,
                dtype="int32",
                initializer=lambda shape, dtype=None: ops.convert_to_tensor(index),
                trainable=False,
            )
        shape = forms.compact_shape(form, tuple(variable.shape))
        self.compact[path] = self._add_weight(
            name=variable_name(f"trained/{path}"),
            shape=shape,
            dtype=variable.dtype,
            initializer=lambda shape, dtype=None: _start_of(form, variable, start, index),
            autocast=False,
            constraint=_constraint_of_part(path, form, variable),
        )

    def _penalties(self, whole: Mapping[str, Any]) -> list:
        # Keras adds those of the layer's own trainable variables.
        own = self.survey.trainable
        others = {p: v for p, v in own.items() if self.compact.get(p) is not v}
        return [v.regularizer(whole[p]) for p, v in others.items() if v.regularizer is not None]

    def _frozen(self, path: str) -> Any:
        return constant(self.survey.trainable[path])

    def set_flags(self, trainable: bool) -> None:
        """Let Keras train the compact variables and no others."""
        chosen = {id(variable) for variable in self.compact.values()}
        for variable in (*self.base.variables, *self.compact.values()):
            variable.trainable = trainable and id(variable) in chosen


def _copy(layer: keras.Layer) -> keras.Layer:
    """Return a layer with the configuration of another one, and its values if it has any."""
    try:
        with fresh_paths():
            if isinstance(layer, keras.Model):
                copy = keras.models.clone_model(layer)
            else:
                copy = type(layer).from_config(layer.get_config())
            if layer.built and not copy.built:
                copy.build_from_config(layer.get_build_config())
    except Exception as error:  # Keras lets whatever the configuration of a layer raises pass
        raise ValueError(
            f"`layer` {layer.name!r} cannot be copied from its configuration. Implement its "
            "get_config, or wrap the layers inside it."
        ) from error
    if layer.built:
        for target, variable in zip(copy.variables, layer.variables, strict=True):
            target.assign(to_numpy(variable))
    return copy


def _with_signature(original: Callable, replacement: Callable) -> Callable:
    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        return replacement(*args, **kwargs)

    return call


def _start_of(form: Any, variable: Any, start: Callable[[], Any], index: Any) -> Any:
    """Return the values at which the training of a part of a weight starts."""
    if isinstance(form, forms.Scales):
        return ops.convert_to_tensor(form.start(tuple(variable.shape)), dtype=variable.dtype)
    if isinstance(form, forms.KernelForm):
        kernel = np.zeros(tuple(variable.shape), np.float32)  # its shape alone is read
        return ops.convert_to_tensor(form.start(kernel), dtype=variable.dtype)
    return read_trained(form, start(), index)


def _resolved(given: Any, survey: Survey, seed: int) -> Selection:
    if isinstance(given, Mapping):  # from a configuration
        return selection_from_config(given, survey, seed)
    return resolve(given, survey, seed)


def _constraint_of_part(path: str, form: Any, variable: Any) -> Any:
    """Return the constraint of a weight for its trainable parameters.

    Keras shows a constraint the trainable parameters alone, on JAX nothing else can be read. A norm
    over other axes than that of the selected positions is the same for a part of them.
    """
    constraint = variable.constraint
    if constraint is None or isinstance(constraint, keras.constraints.NonNeg):
        return constraint
    axes = getattr(constraint, "axis", None)
    if axes is not None and not isinstance(form, forms.Mask):
        if form.axis not in ([axes] if isinstance(axes, int) else axes):
            return constraint
    raise ValueError(
        f"The constraint {type(constraint).__name__} of {path!r} needs the whole weight, but "
        "`trainable_part` trains a part of it. Train the weight completely or not at all, remove "
        "the constraint, or use PartialModel."
    )
