"""PartialModel: a base network that no training changes, and the delta that is trained on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from typing import Any

import keras
import numpy as np
from keras import ops

from frozenfit.delta import Delta
from frozenfit.export import plain_copy
from frozenfit.layout import Survey
from frozenfit.parameter_table import ParameterTable
from frozenfit.partial_weights import (
    PartialWeights,
    check_options,
    total_of,
)
from frozenfit.selection_config import resolve, selection_config, selection_from_config
from frozenfit.selectors import Selection, Selector
from frozenfit.thin import thin_model
from frozenfit.utils.arrays import to_numpy

__all__ = ["PartialModel"]


@keras.saving.register_keras_serializable(package="frozenfit")
class PartialModel(keras.Model):
    """A Keras model that trains selected parameters of a base network and freezes all others.

    Training never modifies the base: neither its weights nor its `trainable` flags nor its losses.
    The model owns one compact trainable variable for each weight with trainable parameters, and one
    variable for each state of the base (BatchNorm moving statistics, seed states). Nothing else is
    trainable. Optimizer state is therefore allocated for trainable parameters only, and no weight
    decay, momentum, clipping or constraint can change a frozen parameter.

    Parameters
    ----------
    base : keras.Model
        A built network, functional, Sequential, nested or subclassed, with any inputs and outputs.
    trainable : float, int, bool, str, Selector or Selection
        The parameters to train, as in `PartialNetClassifier`: a float in (0, 1] is the fraction of
        the filters (or units) of every hidden layer, an int their number; the head and batch
        normalization are trained as well. ``1.0`` and True train everything.
    frozen : {"keep", "random", "zero"}, default="keep"
        Values of the frozen parameters: those of the base; drawn from `seed` and the path of the
        weight by the initializer of its layer; or zero. With "zero", the scale and offset of a
        normalization keep the values of the base, because a scale of zero would disconnect the
        network.
    seed : int or None, default=None
        Seed of the random frozen values, and of random selectors without a seed. None means 0.
    freeze_statistics : bool or "auto", default="auto"
        Whether frozen batch normalizations keep their moving statistics and use them in training.
        "auto" does so where ``frozen="keep"`` and everything before the layer is frozen too, so
        that the features of a pretrained prefix do not change. With False every batch
        normalization uses the statistics of the batch and updates its moving statistics.
    rebuild : callable or None, default=None
        A function without arguments that returns a new network of the structure of `base`.
        `to_keras` and `export` need it where Keras cannot copy a subclassed base from its
        configuration. `save` then needs it too, registered with
        ``keras.saving.register_keras_serializable``.
    name : str or None, default=None
        Name of the model.

    Raises
    ------
    TypeError
        If `base` is not a Keras model.
    ValueError
        If `base` is not built, the selector selects no parameters, or another argument is invalid.

    See Also
    --------
    PartialNetClassifier : A scikit-learn estimator that trains such a model.
    frozenfit.layers.Partial : A partly frozen layer inside any Keras model.
    frozenfit.selectors : The rules that select the trainable parameters.

    Notes
    -----
    A saved model contains the base and the delta. `load_model`, `load_weights` and `set_weights`
    set both: as everywhere in Keras, the model then computes as the one that was saved. Nothing
    else changes a base, so that several models can share one.

    The division of all parameters into trained and frozen ones is that of Rosenfeld and Tsotsos
    (2018), "Intriguing Properties of Randomly Weighted Networks", arXiv:1802.00844.

    Examples
    --------
    >>> import keras, numpy as np
    >>> from frozenfit import PartialModel
    >>> layers = [keras.layers.Dense(8, name="hidden"), keras.layers.Dense(2, name="out")]
    >>> base = keras.Sequential([keras.Input((4,)), *layers])
    >>> model = PartialModel(base, "filters(0.25) | head()")
    >>> model.compile("adam", "mse")
    >>> history = model.fit(np.ones((6, 4)), np.ones((6, 2)), verbose=0)
    >>> [(row.path, row.trainable, row.total) for row in model.parameter_table()]
    [('hidden/kernel', 8, 32), ('hidden/bias', 2, 8), ('out/kernel', 16, 16), ('out/bias', 2, 2)]
    """

    def __init__(
        self,
        base: keras.Model | Survey,
        trainable: Selector | Selection | str | float | int,
        *,
        frozen: str = "keep",
        seed: int | None = None,
        freeze_statistics: bool | str = "auto",
        rebuild: Callable[[], keras.Model] | None = None,
        name: str | None = None,
    ):
        _check_base(base)
        check_options(frozen, freeze_statistics)
        survey = base if isinstance(base, Survey) else Survey(base)
        # Without autocast: under mixed precision on torch it silently stops moving statistics.
        super().__init__(dtype=survey.model.dtype_policy, autocast=False, name=name)
        seed = 0 if seed is None else int(seed)
        self._rebuild = rebuild
        self._shown_metrics: list = []
        self._given = trainable
        self._partial = PartialWeights(
            survey,
            resolve(trainable, survey, seed),
            frozen=frozen,
            seed=seed,
            freeze_statistics=freeze_statistics,
            add_weight=self.add_weight,
        )
        # There is nothing left to build: the base is built, and Keras would call `build` with a
        # shape.
        self.built = True

    @property
    def base(self) -> keras.Model:
        """The base network, which no training modifies.

        It is not a sublayer in the sense of Keras: setting `trainable` here, or using this model
        as a layer of another one, must neither change the flags of the base nor train its weights.
        """
        return self._partial.base

    @property
    def selection(self) -> Selection:
        """Which parameters are trained."""
        return self._partial.selection

    @property
    def layers(self) -> list:
        """The layers of the base; their variables have the values of the base."""
        return self.base.layers

    @property
    def input_shape(self) -> Any:
        """Shape of the input of the base, or a list or dict of shapes."""
        return self.base.input_shape

    @property
    def output_shape(self) -> Any:
        """Shape of the output of the base, or a list or dict of shapes."""
        return self.base.output_shape

    def train_step(self, *args: Any) -> Any:
        """Take one training step of Keras's `fit`.

        Parameters
        ----------
        *args : object
            The arguments of the backend.

        Returns
        -------
        dict of str to tensor, or tuple
            What `keras.Model.train_step` returns on the backend.
        """
        if keras.config.backend() != "jax":
            return super().train_step(*args)
        with self._partial.reading(args[0][1][len(self._partial.states) :]):
            return super().train_step(*args)

    def _get_jax_state(self, purge_model_variables: bool = False, **groups: bool) -> tuple:
        """Return the state for Keras's loop on JAX, with copies of the arrays of the base.

        Keras donates and purges the arrays it is given. A callback, or another thread, that uses
        the base meanwhile would read invalid memory.
        """
        state = list(super()._get_jax_state(**groups))  # pyright: ignore
        if purge_model_variables and groups.get("non_trainable_variables"):
            place, own = int(groups.get("trainable_variables", False)), len(self._partial.states)
            state[place] = [*state[place][:own], *map(ops.copy, state[place][own:])]
        return tuple(state)

    @property
    def trainable_variables(self) -> list:
        """The trainable parameters: one compact variable for each weight that has any."""
        return list(self._partial.compact.values()) if self.trainable else []

    @property
    def trainable_weights(self) -> list:
        """The same as `trainable_variables`."""
        return self.trainable_variables

    @property
    def non_trainable_variables(self) -> list:
        """The states and indices of the delta, random frozen values, and the base's variables."""
        return [*self._partial.state_variables, *self._partial.fixed_variables]

    @property
    def non_trainable_weights(self) -> list:
        """The same as `non_trainable_variables`."""
        return self.non_trainable_variables

    def get_weights(self) -> list[np.ndarray]:
        """Return the values of the delta, then those of the weights of the base.

        Returns
        -------
        list of ndarray
            As many as `set_weights` takes.
        """
        return [*super().get_weights(), *self.base.get_weights()]

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Set the delta and the weights of the base.

        Parameters
        ----------
        weights : sequence of ndarray
            The result of `get_weights` of a model with the same structure.
        """
        own = len(self.weights)
        super().set_weights(weights[:own])
        self.base.set_weights(weights[own:])
        self._partial.read_selection()

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Load the variables of the delta, as Keras does for each layer of a file.

        Parameters
        ----------
        store : mapping of str to array
            The variables by number.
        """
        super().load_own_variables(store)
        self._partial.read_selection()

    def count_params(self) -> int:
        """Return the number of parameters of the network, frozen and trainable.

        Returns
        -------
        int
            That of the base.
        """
        return self.base.count_params()

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Compute the outputs of the base with the trainable parameters written into its weights.

        Parameters
        ----------
        inputs : tensor, or a dict or list of tensors
            Inputs of the base.
        training : bool or None, default=None
            Whether layers such as Dropout and BatchNormalization run in training mode.

        Returns
        -------
        tensor, or a dict or list of tensors
            The outputs.
        """
        outputs, states, losses = self._partial.apply(inputs, training)
        for variable, value in states:
            variable.assign(value)
        if losses:
            # One new tensor: Keras distinguishes losses by identity, and would count those that
            # the base has recorded twice.
            self.add_loss(total_of(losses))
        return outputs

    @property
    def stored_statistics(self) -> tuple[str, ...]:
        """Paths of the batch normalizations that use their moving statistics in training."""
        chosen = {id(layer) for layer in self._partial.inference_layers}
        layers = self._partial.survey.statistic_layers
        return tuple(path for path, layer in layers.items() if id(layer) in chosen)

    def delta(self) -> Delta:
        """Copy the trainable parameters and states of this model.

        Returns
        -------
        Delta
            The values as NumPy arrays.
        """
        return self._partial.delta()

    def load_delta(self, delta: Delta) -> None:
        """Set the trainable parameters and states of this model.

        Parameters
        ----------
        delta : Delta
            The result of `delta` of a model with the same base and selection.

        Raises
        ------
        ValueError
            If names or shapes differ from those of this model, which is then left unchanged.
        """
        self._partial.load_delta(delta)

    def assembled(self) -> Iterator[tuple[str, np.ndarray]]:
        """Iterate over the weights and states that the network computes with.

        Yields
        ------
        path : str
            Path of the weight or state.
        value : ndarray
            Its whole value, frozen and trainable parameters.
        """
        yield from self._partial.assembled()

    def to_keras(self) -> keras.Model:
        """Convert to a plain Keras model that does not depend on this package.

        Returns
        -------
        keras.Model
            A new model with the architecture of the base and the assembled weights.

        Raises
        ------
        ValueError
            If Keras cannot copy the base from its configuration and `rebuild` was not given.
        """
        survey = self._partial.survey
        values = [value for _, value in self.assembled()]
        values += [to_numpy(variable) for variable in survey.frozen.values()]
        return plain_copy(survey, values, self._partial.seed, self._rebuild)

    def thin_model(self) -> keras.Model:
        """Convert to a plain Keras model without the units that are zero for every sample.

        With ``frozen="zero"``, units whose incoming weights are all frozen are zero. They are
        followed through batch normalization, activations, merging, pooling, reshaping, depthwise
        convolutions and dropout, and stay where they cannot be followed.

        Returns
        -------
        keras.Model
            A new model with the outputs of `to_keras` to float tolerance, without a part of the
            channels and units; with all of them where none is zero, or where the base is not a
            Functional or Sequential model that Keras can copy from its configuration.

        Raises
        ------
        ValueError
            If the base cannot be built again, see `to_keras`.

        Examples
        --------
        >>> import keras
        >>> from frozenfit import PartialModel
        >>> layers = [keras.layers.Dense(8, "relu"), keras.layers.Dense(2)]
        >>> base = keras.Sequential([keras.Input((4,)), *layers])
        >>> model = PartialModel(base, "filters(0.25) | head()", frozen="zero")
        >>> model.to_keras().count_params(), model.thin_model().count_params()
        (58, 16)
        """
        survey = self._partial.survey
        frozen = {path: to_numpy(variable) for path, variable in survey.frozen.items()}
        values = dict(self.assembled()) | frozen
        thin = thin_model(survey, values, self._partial.seed)
        return self.to_keras() if thin is None else thin

    def export(self, filepath: str | PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Export the plain model of `to_keras`, with trained and frozen parameters assembled.

        Parameters
        ----------
        filepath : str or path-like
            Where to write it.
        *args : object
            Further arguments of ``keras.Model.export``: the format and its options.
        **kwargs : object
            The same by name.

        Raises
        ------
        ValueError
            If the base cannot be built again, see `to_keras`.
        """
        self.to_keras().export(filepath, *args, **kwargs)

    def parameter_table(self) -> ParameterTable:
        """Return the number of trainable parameters of each weight.

        Returns
        -------
        ParameterTable
            One row per weight of the base, in the order of the base: path, shape, which part is
            trainable, and the numbers of trainable and of all parameters.
        """
        return self.selection.table()

    @property
    def metrics(self) -> list:
        """Metrics of Keras's ``fit``, and those shown to callbacks while an estimator trains."""
        return [*super().metrics, *self._shown_metrics]

    def get_config(self) -> dict[str, Any]:
        """Return the configuration: that of the base, the selector as text, and the options.

        Returns
        -------
        dict
            What `from_config` takes.

        Raises
        ------
        ValueError
            If the base has no Keras configuration, and `rebuild` is not a registered function.
        """
        partial = self._partial
        return {
            "name": self.name,
            "base": self._base_config(),
            **selection_config(self._given, partial.selection),
            "frozen": partial.frozen,
            "seed": partial.seed,
            "freeze_statistics": partial.freeze_statistics,
            "trainable": self.trainable,
        }

    def _base_config(self) -> dict[str, Any]:
        rebuild, serialize = self._rebuild, keras.saving.serialize_keras_object
        config: Any
        name = getattr(rebuild, "__name__", None)
        if name is not None and keras.saving.get_registered_name(rebuild) != name:
            config = serialize(rebuild)
            return config
        try:
            config = serialize(self.base)
        except Exception as error:  # Keras lets whatever the configuration of a layer raises pass
            raise ValueError(
                f"`base` {self.base.name!r} has no Keras configuration. Implement its get_config, "
                "or pass PartialModel a `rebuild` function that is registered with "
                "keras.saving.register_keras_serializable."
            ) from error
        # A base that its user compiled for something else is loaded as a network alone.
        config.pop("compile_config", None)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> PartialModel:
        """Build a model from its configuration, with new values.

        Parameters
        ----------
        config : dict
            The result of `get_config`.

        Returns
        -------
        PartialModel
            Its base has initial values; `load_weights` sets those of a file.
        """
        found: Any = keras.saving.deserialize_keras_object(config["base"])
        rebuild = None if isinstance(found, keras.Model) else found
        base = found if rebuild is None else rebuild()
        _check_base(base)
        survey = Survey(base)
        model = cls(
            survey,
            selection_from_config(config, survey, config["seed"]),
            frozen=config["frozen"],
            seed=config["seed"],
            freeze_statistics=config["freeze_statistics"],
            rebuild=rebuild,
            name=config["name"],
        )
        if config["selector"] is not None:
            model._given = config["selector"]
        model.trainable = config["trainable"]
        return model

    def summary(
        self,
        line_length: int | None = None,
        positions: Sequence[float] | None = None,
        print_fn: Callable[[str], object] | None = None,
        **kwargs: Any,
    ) -> None:
        """Print the summary of the base with the numbers of trainable and frozen parameters.

        The table of the weights with trainable parameters follows.

        Parameters
        ----------
        line_length : int, default=None
            Length of the printed lines.
        positions : sequence of float, default=None
            Positions of the columns, as fractions of the length of a line.
        print_fn : callable, default=None
            Function that is called with the text; None means ``print``.
        **kwargs : object
            Further arguments of `keras.Model.summary`.
        """
        show = print if print_fn is None else print_fn
        lines: list[str] = []
        self.base.summary(
            line_length=line_length, positions=positions, print_fn=lines.append, **kwargs
        )
        # Keras counts by the flags of the base, which are those of its user.
        network, _, _ = "".join(lines).partition(" Total params:")
        total = self.count_params()
        trainable = sum(int(np.prod(v.shape)) for v in self.trainable_variables)
        show(
            f"{network} Total params: {total:,}\n Trainable params: {trainable:,}\n "
            f"Non-trainable params: {total - trainable:,}"
        )
        show(str(self.parameter_table()))
        if self.stored_statistics:
            show(f"moving statistics used in training: {', '.join(self.stored_statistics)}")


def weights_of(model: PartialModel) -> PartialWeights:
    """Return the assembled weights of a model, for the code that trains it.

    Parameters
    ----------
    model : PartialModel
        The model.

    Returns
    -------
    PartialWeights
    """
    return model._partial


def show_metrics(model: PartialModel, metrics: list) -> None:
    """Let callbacks find metrics in ``model.metrics``, though the model is not compiled.

    Parameters
    ----------
    model : PartialModel
        The model.
    metrics : list of keras.metrics.Metric
        The metrics.
    """
    model._shown_metrics = metrics


def _check_base(base: Any) -> None:
    if isinstance(base, Survey):
        base = base.model
    if not isinstance(base, keras.Model):
        raise TypeError(f"`base` must be a keras.Model, got {type(base).__name__}.")
    if not base.built:
        raise ValueError(
            f"`base` must be a built model, but {base.name!r} has no weights yet. Call it on an "
            "input, or call build(input_shape)."
        )
