"""PartialNetClassifier and PartialNetRegressor: learn a chosen part of any Keras network."""

from __future__ import annotations

from typing import Any

from sklearn.utils._param_validation import StrOptions

from frozenfit.estimators.base import NetworkClassifier, NetworkRegressor
from frozenfit.estimators.partial_base import PartialNet


class PartialNetClassifier(PartialNet, NetworkClassifier):
    """X."""

    _parameter_constraints = {
        **PartialNet._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        model: Any = "mlp",
        *,
        model_params: dict[str, Any] | None = None,
        learned: Any = 0.1,
        fill: str = "auto",
        weight_init: Any = None,
        epochs: int = 10,
        batch_size: int = 32,
        optimizer: Any = "adam",
        learning_rate: float | str = "auto",
        weight_decay: float = 0.0,
        schedule: Any = None,
        freeze_statistics: bool | str = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 5,
        class_weight: Any = None,
        augment: Any = None,
        image_shape: tuple[int, ...] | None = None,
        callbacks: Any = None,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ):
        super().__init__(
            model,
            model_params=model_params,
            learned=learned,
            fill=fill,
            weight_init=weight_init,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            schedule=schedule,
            freeze_statistics=freeze_statistics,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            patience=patience,
            augment=augment,
            image_shape=image_shape,
            callbacks=callbacks,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight


class PartialNetRegressor(PartialNet, NetworkRegressor):
    """X."""
