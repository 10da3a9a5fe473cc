"""Members learn the published numbers of entries: Table 4 of Rosenfeld & Tsotsos 2018.

Five members on DenseNet-BC-100-12 for CIFAR-10, counted without training.
"""

from __future__ import annotations

from functools import cache

import keras
import numpy as np
import pytest

from frozenfit import architectures
from frozenfit.estimators.ensemble_members import member_selectors
from frozenfit.layout import describe
from frozenfit.selectors import as_selector


@cache
def densenet():
    with pytest.MonkeyPatch.context() as patch:
        # Values do not matter here, and JAX would compile the drawing of each shape.
        patch.setattr(keras.initializers.VarianceScaling, "__call__", zeros)
        return describe(architectures.build("densenet", (32, 32, 3), 10))


def zeros(initializer, shape, dtype=None):
    return keras.ops.convert_to_tensor(np.zeros(shape, dtype))


@pytest.mark.parametrize(
    ("trainable", "published"),
    [
        ("head() | batch_norm()", 137_090),
        (0.1, 450_980),
        (0.4, 1_528_505),
        (0.7, 2_664_470),
        (1.0, 3_845_810),
    ],
)
def test_five_members_train_the_published_number_of_parameters(trainable, published):
    layout = densenet()
    selectors = member_selectors(trainable, "same", 5, seed=0)
    assert sum(as_selector(s).resolve(layout).n_trainable for s in selectors) == published
