"""Type aliases of public parameters.

The aliases are strings at run time, so that importing this module loads no backend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import keras
    import numpy as np
    from numpy.typing import ArrayLike as ArrayLike
    from scipy import sparse
    from sklearn.base import BaseEstimator

    from frozenfit.elm.stages import FeatureStage
    from frozenfit.selectors import Selector
    from frozenfit.training.base import Base
    from frozenfit.training.checkpoint import Checkpoint
    from frozenfit.training.schedules import FreezeSchedule

Activation: TypeAlias = "str | Callable[[Any], Any]"
# A weight initialization of an ELM: its name, or a function (X, y, units, rng) -> (kernel, bias).
DenseWeights: TypeAlias = "str | Callable[..., tuple[np.ndarray, np.ndarray]]"
# The last alternative is a scikit-learn transformer, for which scikit-learn has no type.
Features: TypeAlias = "str | FeatureStage | keras.Model | BaseEstimator | None"
Path: TypeAlias = "str | PathLike[str]"
RandomState: TypeAlias = "int | np.random.RandomState | None"
# The values of the weights of a network; a mapping has them by weight path.
NetworkValues: TypeAlias = "keras.Model | Mapping[str, ArrayLike]"
# A selector, its text, or a number: see `trainable` of PartialNetClassifier.
Trainable: TypeAlias = "bool | float | int | str | Selector"
FrozenValues: TypeAlias = Literal["auto", "random", "zero", "keep"]
NetworkBuilder: TypeAlias = "Callable[..., keras.Model]"
# The last alternative is a fitted PartialNetClassifier or PartialNetRegressor.
Network: TypeAlias = "str | NetworkBuilder | keras.Model | Base | BaseEstimator"
WeightInit: TypeAlias = "str | keras.Initializer | None"
# A name, a loss of Keras, or a function of targets and outputs with one value per sample.
Loss: TypeAlias = "str | keras.losses.Loss | Callable[[Any, Any], Any]"
MetricList: TypeAlias = "Sequence[str | keras.metrics.Metric | Callable[[Any, Any], Any]] | None"
Optimizer: TypeAlias = "str | keras.optimizers.Optimizer"
LearningRateSchedule: TypeAlias = (
    'Literal["auto", "cosine", "steps"] | keras.optimizers.schedules.LearningRateSchedule | None'
)
FreezeScheduleLike: TypeAlias = "FreezeSchedule | str | None"
Augmentation: TypeAlias = "str | keras.Layer | Sequence[str | keras.Layer] | None"
KerasCallbacks: TypeAlias = "keras.callbacks.Callback | Sequence[keras.callbacks.Callback] | None"
CheckpointLike: TypeAlias = "str | PathLike[str] | Checkpoint | None"
ClassWeight: TypeAlias = 'Mapping[Any, float] | Literal["balanced"] | None'
# Samples as the user gives them: an array, a data frame, a sparse matrix, or a source of batches
# (X, y), which is an iterable or a function that returns an iterator.
SamplesLike: TypeAlias = (
    "ArrayLike | sparse.sparray | sparse.spmatrix | Iterable[Any] | Callable[[], Iterable[Any]]"
)
# Samples of any shape in memory.
Samples: TypeAlias = "np.ndarray | sparse.csr_array"
Shape: TypeAlias = "tuple[int, ...]"
