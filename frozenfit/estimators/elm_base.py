"""What the ELM estimators share: parameters, ways for data to come in, and what is told after."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any

import keras
import numpy as np
from scipy import sparse
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from frozenfit.elm import activations, as_keras, stream, weights
from frozenfit.elm.config import Config
from frozenfit.elm.head import Head
from frozenfit.elm.hidden import Frozen
from frozenfit.elm.memory import Block, Memory, cut
from frozenfit.elm.progress import RowBar
from frozenfit.elm.store import read, trainable_rows, write
from frozenfit.estimators.base import FitData, NetworkEstimator
from frozenfit.estimators.report import html_table
from frozenfit.estimators.stored import data_state, restore_data
from frozenfit.estimators.tasks import EpochTasks
from frozenfit.training.data import Data

_PREDICTED = 2**22  # features computed at a time


class Hidden(NetworkEstimator):
    """Base of all that has frozen random layers: their parameters and checks."""

    hidden_layer_sizes: Any
    activation: Any
    features: Any
    weight_init: Any
    image_shape: Any
    batch_size: int

    _takes_sparse = True
    _parameter_constraints: dict = {
        "hidden_layer_sizes": [list, tuple, Interval(Integral, 1, None, closed="left")],
        "activation": [str, callable],
        "features": [None, str, keras.Model, HasMethods(["fit", "transform"])],
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

    def __sklearn_tags__(self):
        """Say that sparse matrices are possible."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # What is to be made

    def _config(self, n_outputs: int, classifies: bool, seed: int, y: Any) -> Config:
        sizes: Any = self.hidden_layer_sizes
        sizes = (sizes,) if isinstance(sizes, Integral) else tuple(sizes)
        if not all(isinstance(n, Integral) and int(n) >= 1 for n in sizes):
            raise ValueError(
                f"hidden_layer_sizes must hold integers of at least 1, found "
                f"{self.hidden_layer_sizes!r}; write for example (1000,)"
            )
        if not sizes and self.features is None:
            raise ValueError(
                "hidden_layer_sizes=() makes no features; give at least one layer, or features="
            )
        activations.check(self.activation)
        weights.check(self.weight_init)
        self._check_features()
        alpha: Any = getattr(self, "alpha", 1.0)
        if np.ndim(alpha) and (not len(alpha) or not np.all(np.asarray(alpha, float) > 0)):
            raise ValueError(
                f"alpha must be 'loo', a number above 0, or a list of them, found {alpha!r}"
            )
        class_weight = getattr(self, "class_weight", None)
        if isinstance(class_weight, dict):
            weigh: Any = getattr(self, "_weight_of_classes")  # noqa: B009 - a classifier has it
            class_weight = weigh(class_weight, y, np.ones(len(y)))
        config = Config(
            input_shape=tuple(int(n) for n in self.input_shape_),
            n_outputs=n_outputs,
            classifies=classifies,
            seed=seed,
            hidden_layer_sizes=tuple(int(n) for n in sizes),
            **{name: getattr(self, name) for name in _SAME if hasattr(self, name)},
            class_weight=class_weight,
            flip=getattr(self, "augment", None) == "flip",
        )
        if config.flip or config.features in ("receptive_fields", "patches"):
            config.image_shape  # noqa: B018  - raises where samples are no images
        return config

    def _check_features(self) -> None:
        kind = self.features
        if isinstance(kind, str) and kind not in ("receptive_fields", "patches"):
            raise ValueError(
                "features must be None, 'receptive_fields', 'patches', a scikit-learn transformer "
                f"or a Keras model, found {kind!r}"
            )

    def _as_samples(self, X: Any, reset: bool):
        if sparse.issparse(X):
            X = _as_csr(X)
            if self.image_shape is not None:
                raise ValueError("sparse X holds no images; leave out image_shape, or make X dense")
        return super()._as_samples(X, reset)


class ELM(Hidden):
    """Base of the estimators: frozen layers, then what `elm.memory` learns in closed form."""

    loo_rows: int | None
    verbose: Any

    _parameter_constraints: dict = {
        **Hidden._parameter_constraints,
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
        """Say whether something has been learned."""
        return hasattr(self, "_learned")

    # How data comes in

    def _balanced(self, y, weight):
        return weight  # class weights are part of the configuration: they must not merge rows

    def _collected(self, X, y, weight):
        weight = np.ones(len(y)) if weight is None else weight
        return Data(X, y, np.arange(len(y)), weight)

    def _learn_from_source(self, X, y, sample_weight, *, resume, one_pass):
        if stream.is_iterator(X, y):
            self._learn_from_batches(X, one_pass)
        elif stream.is_dask(X):
            self._learn_from_dask(X, y, sample_weight, one_pass)
        elif stream.is_map(X) and y is not None and not one_pass and self._is_long(X):
            self._learn_from_map(X, y, sample_weight)
        else:
            return False
        return True

    def _is_long(self, X: Any) -> bool:
        return self.loo_rows is not None and len(X) > self.loo_rows and X.dtype.kind in "fui"

    def _prepared(self, X: Any, y: Any, sample_weight: Any, reset: bool) -> Block:
        """Validate a batch as `fit` does."""
        X, y = self._check_data(X, y, reset=reset)
        X, y, weight = self._weighted(X, y, sample_weight)
        y = self._encode(y, reset=reset)
        samples = self._as_samples(X, reset=reset)
        return samples, y, np.ones(len(y)) if weight is None else weight

    def _learn_from_batches(self, batches: Any, one_pass: bool) -> None:
        self._refuse_one_pass(one_pass, "an iterator of batches")
        memory = None
        with RowBar(None, int(self.verbose), type(self).__name__) as bar:
            for batch in batches:
                if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
                    raise ValueError(
                        "an iterator must give tuples (X, y) or (X, y, sample_weight), found "
                        f"{type(batch).__name__}"
                    )
                weight = batch[2] if len(batch) == 3 else None
                block = self._prepared(batch[0], batch[1], weight, reset=memory is None)
                if memory is None:
                    memory = Memory.of(self._config_of(block[1], self._fit_seed()), block)
                else:
                    memory = memory.plus(block)
                bar(len(block[1]))
        if memory is None:
            raise ValueError("the iterator has no batches; give at least one tuple (X, y)")
        self._take(memory, solved=True)

    def _learn_from_dask(self, X: Any, y: Any, sample_weight: Any, one_pass: bool) -> None:
        self._refuse_one_pass(one_pass, "a dask array")
        if y is None:
            raise ValueError("a dask array needs its targets: fit(X, y)")
        shape = tuple(int(n) for n in X.shape[1:])
        if not shape:
            raise ValueError("X must have rows of features, found a dask array of one axis")
        first = self._first_rows(X, y)
        self._prepared(*first, None, reset=True)
        classes = None
        if hasattr(self, "classes_"):
            self.classes_ = classes = stream.dask_labels(y)
        blocks = stream.dask_blocks(X, y, sample_weight, classes, tuple(self.input_shape_))
        memory = stream.learn(self._config_of(self._all_targets(), self._fit_seed()), blocks)
        self._take(memory, solved=True)

    def _first_rows(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        rows = int(X.chunks[0][0]) if X.chunks[0][0] == X.chunks[0][0] else 1
        few = slice(0, max(1, min(rows, 10)))
        return np.asarray(X[few].compute()), np.asarray(y[few])

    def _learn_from_map(self, X: np.memmap, y: Any, sample_weight: Any) -> None:
        if len(y) != len(X):
            raise ValueError(f"X and y must have as many rows, found {len(X)} and {len(y)}")
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        y = np.asarray(y)
        self._prepared(X[: self.batch_size], y[: self.batch_size], None, reset=True)
        if hasattr(self, "classes_"):
            self.classes_ = np.unique(y)

        def prepare(rows: slice) -> Block:
            w = None if sample_weight is None else sample_weight[rows]
            return self._prepared(X[rows], y[rows], w, reset=False)

        def blocks() -> Iterator[Block]:
            return stream.map_blocks(X, self.batch_size, prepare)

        config = self._config_of(self._all_targets(), self._fit_seed())
        with RowBar(len(X), int(self.verbose), type(self).__name__) as bar:
            memory = Memory.of_blocks(config, blocks, bar)
            self._take(memory, solved=True)

    def _refuse_one_pass(self, one_pass: bool, what: str) -> None:
        if one_pass:
            raise ValueError(
                f"partial_fit takes one batch as arrays X and y, found {what}; give that to fit"
            )

    def _config_of(self, y: np.ndarray, seed: int) -> Config:
        """Make the configuration for encoded targets."""
        self._plain_targets()
        n_outputs = self._n_outputs(y, False)
        return self._config(n_outputs, y.ndim == 1, seed, y)

    def _all_targets(self) -> np.ndarray:
        """Return encoded targets that show every class, or the width of a regressor's."""
        classes = getattr(self, "classes_", None)
        if classes is not None:
            return np.arange(len(classes))
        return np.zeros((1, getattr(self, "_n_targets")))  # noqa: B009 - a regressor has it

    def _plain_targets(self) -> None:
        """Leave targets on their own scale: the ridge takes their means itself."""

    def _scaled(self, data, reset):
        self._plain_targets()
        return data

    # What is trained

    def _train(self, problem: FitData) -> None:
        if problem.validation is not None:
            raise ValueError(
                "X_val and y_val have no effect here: nothing is stopped early; leave them out"
            )
        data = problem.data
        block = (data.X, data.y, data.weight)
        if problem.resume and problem.one_pass:
            if self._memory is None:
                raise ValueError(
                    "an estimator that was loaded from a file holds no sums to add to; fit it "
                    "again, or keep it with pickle"
                )
            self._take(self._memory.plus(block), solved=False)
            return
        config = self._config(problem.n_outputs, problem.classifies, problem.seed, data.y)
        if problem.one_pass:
            self._take(Memory.of(config, block), solved=False)
            return
        with EpochTasks(self, problem, 1, self._attributes_so_far) as tasks:
            tasks.epoch_begin(0)
            self._fit_arrays(config, block)
            tasks.epoch_end(0, {})

    def _fit_arrays(self, config: Config, block: Block) -> None:
        X, y, w = block
        size = config.batch_size

        def blocks() -> Iterator[Block]:
            return cut(block, size)

        limit = config.loo_rows
        with RowBar(len(y), int(self.verbose), type(self).__name__) as bar:
            if limit is None or len(y) <= limit:
                memory = Memory.of(config, block)
            else:
                memory = Memory.of_blocks(config, blocks, bar)
            self._take(memory, solved=True, tick=bar)

    def _attributes_so_far(self, history: Any, delta: Any) -> dict[str, Any]:
        names = ("_memory", "_learned", "n_iter_", "_n_outputs_", "_config_")
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    def _take(self, memory: Memory, solved: bool, tick: Any = None) -> None:
        """Make a memory this estimator's; solve now, or where the head is first asked for."""
        self._n_outputs_ = memory.config.n_outputs
        trainable = _Learned(memory.config)
        if solved:
            trainable.solve(memory, tick)
        self._memory, self._learned, self.n_iter_ = memory, trainable, 1

    def _current(self) -> tuple[Frozen, Head]:
        check_is_fitted(self)
        return self._learned.now(self._memory)

    def forget(self, X, y, sample_weight=None):
        """Take rows out again, as if they had never come.

        The scaling of columns, and frozen weights made from data, stay as they are once more
        than `loo_rows` rows have come; until then nothing of the rows is left.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples as they were given to `fit` or `partial_fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Their labels or targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Their weights, where they had any.

        Returns
        -------
        self
            The estimator.

        Raises
        ------
        ValueError
            If the rows cannot have been learned, or nothing would be left.
        """
        check_is_fitted(self)
        if self._memory is None:
            raise ValueError(
                "an estimator that was loaded from a file holds no sums to take rows from; fit it "
                "again, or keep it with pickle"
            )
        with self._restored_on_error():
            block = self._prepared(X, y, sample_weight, reset=False)
            memory = self._memory.minus(block)
            trainable = _Learned(memory.config)
            trainable.solve(memory)
            self._memory, self._learned = memory, trainable
        return self

    # What can be asked

    def _logits(self, X):
        frozen, head = self._current()
        rows = max(256, _PREDICTED // max(frozen.widths))
        parts = [
            head.outputs(frozen, X[start : start + rows], frozen.config.classifies)
            for start in range(0, X.shape[0], rows)
        ]
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    @property
    def alpha_(self) -> Any:
        """Ridge strength, relative to the mean eigenvalue of the centered Gram; one per ridge."""
        alphas = self._current()[1].alphas
        return alphas[0] if len(alphas) == 1 else np.array(alphas)

    @property
    def best_score_(self) -> float | None:
        """Leave-one-out log loss of a classifier (less is better), or R2 of a regressor."""
        return self._current()[1].best_score

    @property
    def freeze_fraction_(self) -> float:
        """Frozen entries over all entries."""
        rows = self.parameter_table()
        return 1 - sum(row.trainable for row in rows) / sum(row.total for row in rows)

    def parameter_table(self) -> list:
        """List what is trained of every weight.

        Returns
        -------
        list of (path, shape, form, learned, total)
            The frozen layers first, then the heads.
        """
        return trainable_rows(*self._current())

    def to_keras(self) -> keras.Model:
        """Make a plain Keras model that computes the same.

        Returns
        -------
        keras.Model
            A new model that needs this package no more. A classifier's gives logits, a
            regressor's predictions.

        Raises
        ------
        ValueError
            If a scikit-learn transformer comes first, which no Keras layer stands for.
        """
        return as_keras.build(*self._current())

    def _html_repr(self) -> str:
        html = super()._html_repr()
        return html + html_table(self) if self.__sklearn_is_fitted__() else html

    def _fitted_state(self, include_frozen: bool):
        frozen, head = self._current()
        meta, arrays = write(frozen, head, include_frozen)
        return meta | {"data": data_state(self)}, arrays

    def _restore(self, meta, arrays, base=None):
        restore_data(self, meta["data"])
        y = self._all_targets()
        config = self._config(self._n_outputs_, y.ndim == 1, int(meta["seed"]), y)
        trainable = _Learned(config)
        trainable.pair = read(config, meta, arrays)
        self._memory, self._learned, self.n_iter_ = None, trainable, 1


_SAME = (
    "activation",
    "features",
    "feature_params",
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


class _Learned:
    """Frozen part and head, solved for where they are first asked for after `partial_fit`."""

    def __init__(self, config: Config):
        self.config = config
        self.pair: tuple[Frozen, Head] | None = None

    def solve(self, memory: Memory, tick: Any = None) -> tuple[Frozen, Head]:
        self.pair = memory.solved(tick) if tick is not None else memory.solved()
        return self.pair

    def now(self, memory: Any) -> tuple[Frozen, Head]:
        return self.solve(memory) if self.pair is None else self.pair


def _as_csr(X: Any) -> Any:
    return sparse.csr_array(X)
