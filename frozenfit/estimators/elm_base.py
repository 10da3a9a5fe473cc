"""What the ELM estimators share: parameters, kinds of input data, and fitted attributes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from frozenfit.elm import activations, keras_model, store, stream, weights
from frozenfit.elm.config import Config
from frozenfit.elm.frozen import Frozen
from frozenfit.elm.head import Head
from frozenfit.elm.memory import Block, Memory, Tick, cut
from frozenfit.elm.stages import FeatureStage, as_stage
from frozenfit.elm.weight_scale import fixed_weight_scale
from frozenfit.estimators.base import FitData, NetworkEstimator
from frozenfit.estimators.counting import LabelCounts
from frozenfit.estimators.stored import data_state, restore_data
from frozenfit.estimators.tasks import EpochTasks
from frozenfit.parameter_table import ParameterTable
from frozenfit.training.data import Data
from frozenfit.training.objective import Task
from frozenfit.training.sources import Source, as_source, numbered, refuse_beside, with_targets
from frozenfit.utils.progress import ProgressBar
from frozenfit.utils.scikit_learn import HasMethods, Interval, StrOptions, check_sample_weight

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import ArrayLike

_PREDICTED_FEATURES = 2**22  # computed at a time
_BAR_DELAY = 3.0  # seconds


class RandomLayers(NetworkEstimator):
    """Base of the estimators with frozen random layers: their parameters and checks."""

    hidden_layer_sizes: Any
    activation: Any
    features: Any
    feature_params: Any
    weight_init: Any
    image_shape: Any
    batch_size: int

    _keeps_sparse = True
    _parameter_constraints: dict = {
        "hidden_layer_sizes": [list, tuple, Interval(Integral, 1, None, closed="left")],
        "activation": [str, callable],
        "features": [None, str, FeatureStage, keras.Model, HasMethods(["fit", "transform"])],
        "feature_params": [dict, None],
        "weight_init": [str, list, tuple, callable],
        "weight_scale": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "direct_links": [StrOptions({"auto"}), "boolean"],
        "readout": [StrOptions({"last", "all", "each"})],
        "scale": [StrOptions({"auto", "columns", "common"}), None],
        "clip": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "dtype": [StrOptions({"auto", "float64", "float32"})],
        "image_shape": [list, tuple, None],
        "random_state": ["random_state"],
    }

    def _config(self, n_outputs: int, task: Task, seed: int, y: Any) -> Config:
        sizes = self._layer_sizes()
        stage = as_stage(self.features, self.feature_params)
        if not sizes and stage.passes_samples:
            raise ValueError(
                "`hidden_layer_sizes` must contain at least one layer where `features` computes "
                f"nothing, got hidden_layer_sizes=() and features={self.features!r}."
            )
        activations.check(self.activation)
        weights.check(self.weight_init)
        input_shape = tuple(int(n) for n in self.input_shape_)
        stage.check(input_shape)
        class_weight = getattr(self, "class_weight", None)
        if isinstance(class_weight, dict):
            weigh: Any = getattr(self, "_weight_of_classes")  # noqa: B009 - a classifier has it
            class_weight = weigh(class_weight, y, np.ones(len(y)))
        config = Config(
            input_shape=input_shape,
            n_outputs=n_outputs,
            task=task,
            seed=seed,
            hidden_layer_sizes=sizes,
            stage=stage,
            **{name: getattr(self, name) for name in _SAME if hasattr(self, name)},
            class_weight=class_weight,
            flip=getattr(self, "augment", None) == "flip",
        )
        if config.flip:
            config.image_shape  # noqa: B018 - raises where samples are not images
        return config

    def _layer_sizes(self) -> tuple[int, ...]:
        given: Any = self.hidden_layer_sizes
        sizes = (given,) if isinstance(given, Integral) else tuple(given)
        if not all(isinstance(n, Integral) and int(n) >= 1 for n in sizes):
            raise ValueError(
                f"`hidden_layer_sizes` must be an int >= 1 or a tuple of them, got {given!r}."
            )
        return tuple(int(n) for n in sizes)

    def _as_samples(self, X: Any, reset: bool) -> Any:
        return super()._as_samples(sparse.csr_array(X) if sparse.issparse(X) else X, reset)


class ELM(RandomLayers):
    """Base of classifier and regressor: frozen layers and a ridge that is solved by `Memory`."""

    loo_rows: int | None
    verbose: Any

    _parameter_constraints: dict = {
        **RandomLayers._parameter_constraints,
        "weight_scale": [StrOptions({"auto", "loo"}), Interval(Real, 0, None, closed="neither")],
        "alpha": [
            StrOptions({"loo"}),
            Interval(Real, 0, None, closed="neither"),
            list,
            tuple,
            np.ndarray,
        ],
        "loo_rows": [Interval(Integral, 2, None, closed="left"), None],
        "augment": [StrOptions({"flip"}), None],
        "verbose": ["verbose"],
    }

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether `fit` or `partial_fit` has succeeded."""
        return hasattr(self, "_solved")

    def _config(self, n_outputs: int, task: Task, seed: int, y: Any) -> Config:
        alpha: Any = getattr(self, "alpha", "loo")
        if np.ndim(alpha) and (not len(alpha) or not np.all(np.asarray(alpha, float) > 0)):
            raise ValueError(
                f"`alpha` must be 'loo', a float > 0 or a non-empty list of them, got {alpha!r}."
            )
        if task == "multilabel":
            super()._balanced(y, None)  # raises where there are class weights
        return super()._config(n_outputs, task, seed, y)

    # Input data

    def _balanced(self, y, weight):
        # Class weights are part of the configuration. As sample weights they would enter the
        # scaling of columns, and equal rows of partial_fit would be merged with other weights.
        return weight

    def _collected(self, X, y, weight):
        weight = np.ones(len(y)) if weight is None else weight
        return Data(X, y, np.arange(len(y)), weight)

    def _learn_in_another_way(self, X, y, sample_weight, X_val, *, one_pass, classes_known):
        source = as_source(X)
        if source is not None:
            _refuse_validation(X_val)
            refuse_beside(source, y, sample_weight)
            self._refuse_one_pass(one_pass, f"a {source.name}")
            self._fit_batches(source, classes_known)
        elif stream.is_dask(X):
            self._refuse_one_pass(one_pass, "a dask array")
            self._fit_dask(X, y, sample_weight, classes_known)
        elif stream.is_map(X) and y is not None and not one_pass and self._is_long(X):
            self._fit_map(X, y, sample_weight, classes_known)
        else:
            return False
        return True

    def _is_long(self, X: Any) -> bool:
        return self.loo_rows is not None and len(X) > self.loo_rows and X.dtype.kind in "fui"

    def _prepared(
        self, X: Any, y: Any, sample_weight: Any, reset: bool, classes_known: bool = False
    ) -> Block:
        """Validate a batch as `fit` does."""
        X, y = self._check_data(X, y, reset=reset)
        X, y, weight = self._weighted(X, y, sample_weight)
        y = self._encode(y, reset=reset and not classes_known)
        samples = self._as_samples(X, reset=reset)
        return samples, y, np.ones(len(y)) if weight is None else weight

    def _progress(self, total: int | None) -> ProgressBar:
        return ProgressBar(type(self).__name__, total, bool(self.verbose), _BAR_DELAY)

    def _fit_batches(self, source: Source, classes_known: bool) -> None:
        # That of the class: the estimator may have been fitted to other targets before.
        labeled = type(self)._task == "classification" and not classes_known
        if labeled and not source.one_shot and (labels := _labels(source)) is not None:
            self.classes_, classes_known = labels, True
        memory = None
        with self._progress(None) as bar:
            tick = _counter(bar)
            for number, (X, y, weight) in enumerate(with_targets(source)):
                with numbered(number):
                    block = self._prepared(X, y, weight, memory is None, classes_known)
                    if memory is None:
                        y = self._all_targets() if classes_known else block[1]
                        memory = Memory.of(self._config_of(y, self._fit_seed()), block)
                    else:
                        memory = memory.plus(block)
                tick(len(block[1]))
        if memory is None:
            raise ValueError(f"A {source.name} must yield at least one batch (X, y), got none.")
        self._store(memory, solve=True)

    def _fit_dask(self, X: Any, y: Any, sample_weight: Any, classes_known: bool) -> None:
        if y is None:
            raise ValueError("`y` must be given with a dask array, got None.")
        shape = tuple(int(n) for n in X.shape[1:])
        if not shape:
            raise ValueError("X must be 2-dimensional, got a dask array with one axis.")
        first = self._first_rows(X, y)
        self._prepared(*first, None, True, classes_known)
        classes = None
        if self._task == "classification":
            classes = getattr(self, "classes_") if classes_known else stream.dask_labels(y)  # noqa: B009
            self.classes_ = classes
        given = X, y, sample_weight, classes, tuple(self.input_shape_)
        blocks = stream.dask_blocks(*given, self._task)
        config = self._config_of(self._all_targets(), self._fit_seed())
        self._store(stream.sum_blocks(config, blocks), solve=True)

    def _first_rows(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        rows = int(X.chunks[0][0]) if X.chunks[0][0] == X.chunks[0][0] else 1
        few = slice(0, max(1, min(rows, 10)))
        return np.asarray(X[few].compute()), np.asarray(y[few])

    def _fit_map(self, X: np.memmap, y: Any, sample_weight: Any, classes_known: bool) -> None:
        if len(y) != len(X):
            raise ValueError(
                f"X and y must have the same number of rows, got {len(X)} and {len(y)}."
            )
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, X, ensure_non_negative=True)
        y = np.asarray(y)
        self._prepared(X[: self.batch_size], y[: self.batch_size], None, True, classes_known)
        if self._task == "classification" and not classes_known:
            self.classes_ = np.unique(y)

        def prepare(rows: slice) -> Block:
            w = None if sample_weight is None else sample_weight[rows]
            return self._prepared(X[rows], y[rows], w, reset=False)

        def blocks() -> Iterator[Block]:
            return stream.map_blocks(X, self.batch_size, prepare)

        config = self._config_of(self._all_targets(), self._fit_seed())
        with self._progress(len(X)) as bar:
            self._store(Memory.of_blocks(config, blocks, _counter(bar)), solve=True)

    def _refuse_one_pass(self, one_pass: bool, what: str) -> None:
        if one_pass:
            raise ValueError(
                f"X must be one batch as an array in partial_fit, got {what}. Pass it to fit."
            )

    def _config_of(self, y: np.ndarray, seed: int) -> Config:
        """Return the configuration for encoded targets."""
        self._plain_targets()
        n_outputs = self._n_outputs(y, False)
        return self._config(n_outputs, self._task, seed, y)

    def _all_targets(self) -> np.ndarray:
        """Return encoded targets that contain every class, or one row of several targets."""
        if self._task == "regression":
            return np.zeros((1, getattr(self, "_n_targets")))  # noqa: B009 - a regressor has it
        classes = getattr(self, "classes_")  # noqa: B009 - a classifier has it
        if self._task == "multilabel":
            return np.zeros((1, len(classes)), np.float32)
        return np.arange(len(classes))

    def _plain_targets(self) -> None:
        """Keep targets on their scale: the ridge subtracts their means itself."""

    def _scaled(self, data, reset):
        self._plain_targets()
        return data

    # Fitting

    def _train(self, fit_data: FitData) -> None:
        _refuse_validation(fit_data.validation)
        data: Any = fit_data.data  # arrays: sources were learned in another way
        block = (data.X, data.y, data.weight)
        if fit_data.resume and fit_data.one_pass:
            if self._memory is None:
                raise ValueError(_NO_SUMS.format("partial_fit"))
            self._store(self._memory.plus(block), solve=False)
            return
        config = self._config(fit_data.n_outputs, fit_data.task, fit_data.seed, data.y)
        if fit_data.one_pass:
            self._store(Memory.of(config, block), solve=False)
            return
        with EpochTasks(self, fit_data, 1, self._attributes_so_far) as tasks:
            tasks.epoch_begin(0)
            self._fit_arrays(config, block)
            tasks.epoch_end(0, {})

    def _fit_arrays(self, config: Config, block: Block) -> None:
        X, y, w = block
        size = config.batch_size

        def blocks() -> Iterator[Block]:
            return cut(block, size)

        limit = config.loo_rows
        with self._progress(len(y)) as bar:
            tick = _counter(bar)
            if limit is None or len(y) <= limit:
                memory = Memory.of(config, block)
            else:
                memory = Memory.of_blocks(config, blocks, tick)
            self._store(memory, solve=True, tick=tick)

    def _attributes_so_far(self, history: Any, delta: Any) -> dict[str, Any]:
        names = ("_memory", "_solved", "n_iter_", "_n_outputs_")
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    def _store(self, memory: Memory, solve: bool, tick: Tick | None = None) -> None:
        """Store a memory; solve for the head now, or when it is first needed."""
        self._n_outputs_ = memory.config.n_outputs
        solved = _Solved(memory.config)
        if solve:
            solved.solve(memory, tick)
        self._memory, self._solved, self.n_iter_ = memory, solved, 1

    def _current(self) -> tuple[Frozen, Head]:
        check_is_fitted(self)
        return self._solved.get(self._memory)

    def unlearn(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Remove rows from the fit, as if they had never been part of it.

        Up to `loo_rows` distinct rows, the result is that of a fit without the rows. Beyond that,
        the sums over the rows are exact up to rounding, and the rest is approximate: alpha and
        the calibration of probabilities come from the stored sample without these rows, which is
        smaller than the sample of a new fit. The scaling, frozen weights made from data, class
        weights and the range of regression targets do not change. Only a new fit removes every
        trace of the rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples as they were passed to `fit` or `partial_fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Labels or targets of the samples.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples in the fit.

        Returns
        -------
        self
            The estimator.

        Raises
        ------
        ValueError
            If the rows cannot have been part of the fit, or no row would be left.

        Warns
        -----
        UserWarning
            If more than `loo_rows` distinct rows have been fitted.

        See Also
        --------
        partial_fit : Add rows to the fit.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from frozenfit import ELMClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = ELMClassifier(50, random_state=0).fit(X, y)
        >>> without = ELMClassifier(50, random_state=0).fit(X[10:], y[10:])
        >>> clf = clf.unlearn(X[:10], y[:10])
        >>> bool((clf.predict(X) == without.predict(X)).all())
        True
        """
        check_is_fitted(self)
        if self._memory is None:
            raise ValueError(_NO_SUMS.format("unlearn"))
        with self._restored_on_error():
            block = self._prepared(X, y, sample_weight, reset=False)
            memory = self._memory.minus(block)
            solved = _Solved(memory.config)
            solved.solve(memory)
            self._memory, self._solved = memory, solved
        if memory.frozen is not None:
            warnings.warn(_APPROXIMATE, UserWarning, stacklevel=2)
        return self

    # Prediction and fitted attributes

    def _logits(self, X):
        frozen, head = self._current()
        rows = max(256, _PREDICTED_FEATURES // max(frozen.n_features))
        parts = [
            head.outputs(frozen, X[start : start + rows]) for start in range(0, X.shape[0], rows)
        ]
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    @property
    def alpha_(self) -> float | np.ndarray:
        """Regularization strength relative to the mean eigenvalue; an array with several ridges."""
        alphas = self._current()[1].alphas
        return alphas[0] if len(alphas) == 1 else np.array(alphas)

    @property
    def weight_scale_(self) -> float:
        """The weight scale of the frozen layers, given or chosen."""
        return fixed_weight_scale(self._current()[0].config)

    @property
    def best_score_(self) -> float | None:
        """Leave-one-out score at `alpha_`: negative log loss of a classifier, R2 of a regressor.

        Larger is better. None for a regressor with a fixed alpha.
        """
        return self._current()[1].best_score

    @property
    def freeze_fraction_(self) -> float:
        """Fraction of the parameters that are frozen."""
        table = self.parameter_table()
        return 1 - table.trainable / table.total

    def parameter_table(self) -> ParameterTable:
        """Return the number of trained parameters of each weight.

        Returns
        -------
        ParameterTable
            One row per weight, the frozen layers first, then the heads.
        """
        return ParameterTable(store.parameter_table(*self._current()))

    def to_keras(self) -> keras.Model:
        """Return a plain Keras model that computes the same.

        Returns
        -------
        keras.Model
            A new model that does not depend on this package. It returns the logits of a
            classifier, or the predictions of a regressor.

        Raises
        ------
        ValueError
            If `features` has no Keras form, as a scikit-learn transformer.
        """
        return keras_model.build(*self._current())

    def _html_repr(self) -> str:
        html = super()._html_repr()
        fitted = self.__sklearn_is_fitted__()
        return html + self.parameter_table()._html() if fitted else html

    def _fitted_state(self, include_frozen: bool, include_optimizer: bool = False):
        frozen, head = self._current()
        meta, arrays = store.write(frozen, head, include_frozen)
        return meta | {"data": data_state(self)}, arrays

    def _restore(self, meta, arrays, base=None):
        restore_data(self, meta["data"])
        y = self._all_targets()
        config = self._config(self._n_outputs_, self._task, int(meta["seed"]), y)
        solved = _Solved(config)
        solved.pair = store.read(config, meta, arrays)
        self._memory, self._solved, self.n_iter_ = None, solved, 1


_NO_SUMS = (
    "{} needs the sums over the rows, which an estimator that was loaded from a file does not "
    "have. Fit it again, or pickle the estimator instead."
)

_APPROXIMATE = (
    "More than `loo_rows` distinct rows have been fitted, so `unlearn` removes rows exactly from "
    "the sums but not from the scaling, from frozen weights made from data, or from the choice of "
    "alpha and the calibration. Fit again without the rows, or with a larger `loo_rows`, for an "
    "exact result."
)

# Parameters of the estimators that a Config takes as they are.
_SAME = (
    "activation",
    "weight_init",
    "weight_scale",
    "direct_links",
    "readout",
    "scale",
    "clip",
    "alpha",
    "loo_rows",
    "batch_size",
    "dtype",
)


class _Solved:
    """Frozen part and head, computed when they are first needed.

    An object that `partial_fit` replaces: a series of batches costs one decomposition at its end.
    """

    def __init__(self, config: Config):
        self.config = config
        self.pair: tuple[Frozen, Head] | None = None

    def solve(self, memory: Memory, tick: Tick | None = None) -> tuple[Frozen, Head]:
        self.pair = memory.solved(tick) if tick is not None else memory.solved()
        return self.pair

    def get(self, memory: Any) -> tuple[Frozen, Head]:
        return self.solve(memory) if self.pair is None else self.pair


def _refuse_validation(given: Any) -> None:
    if given is not None:
        raise ValueError(
            "`X_val` and `y_val` must be None: they have no effect, since a closed-form fit is not "
            "stopped early."
        )


def _labels(source: Source) -> np.ndarray | None:
    """Pass over a source to find its classes; return None where y is a matrix."""
    counts = LabelCounts()
    for _, y, weight in with_targets(source):
        if y.ndim == 2 and y.shape[1] > 1:
            return None
        counts.add(y.ravel(), weight)
    return counts.labels


def _counter(bar: ProgressBar) -> Tick:
    """Return a function that adds numbers of rows to a bar."""
    completed = 0

    def tick(rows: int) -> None:
        nonlocal completed
        completed += rows
        bar.update(completed)

    return tick
