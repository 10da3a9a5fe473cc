"""PartialNetClassifier and PartialNetRegressor: learn a chosen part of any Keras network."""

from __future__ import annotations

from typing import Any

from sklearn.utils._param_validation import StrOptions

from frozenfit.estimators.classifier import NetworkClassifier
from frozenfit.estimators.partial_base import PartialNet
from frozenfit.estimators.regressor import NetworkRegressor


class PartialNetClassifier(PartialNet, NetworkClassifier):
    """A classifier that learns a chosen part of a neural network and freezes the rest.

    Parameters
    ----------
    model : str, callable or keras.Model, default="mlp"
        The network: a name from `frozenfit.architectures`, a callable
        ``f(input_shape, n_outputs, **model_params) -> keras.Model`` of logits, or a built model.
        A callable is the better way in: a `keras.Model` object is copied by ``clone``, so each
        fold compiles its own.
    model_params : dict or None, default=None
        Further arguments of a named or callable network, reachable one by one as
        ``model_params__width``.
    trainable : float, int, str or Selector, default=0.1
        What is trained: see `frozenfit.selectors`. A fraction or a count of the filters (of the
        convolutions where there are any, else of every hidden layer), together with the head
        and batch norm; 1.0 learns everything. A tenth of the filters is the published setting
        that keeps most of the accuracy.
    frozen : {"auto", "random", "zero", "keep"}, default="auto"
        What the rest holds: random values drawn from the seed, zero, or the values the network
        came with. "auto" keeps those of a given model and is random for any other.
    weight_init : str, keras initializer or None, default=None
        Initial distribution of the kernels in place of the network's own.
    epochs : int, default=20
        Passes over the training data.
    batch_size : int, default=32
        Samples of one step.
    optimizer : str or keras.optimizers.Optimizer, default="adam"
        A name, or an optimizer whose settings are copied for each fit. It keeps slots only for
        what is trained.
    learning_rate : float or "auto", default="auto"
        "auto" is the rate of an optimizer object; for a name 0.01, with convolutions 0.006, and
        0.003 where no schedule lets it fall (docs/defaults.md has the measurements).
    weight_decay : float, default=0.0
        Decoupled weight decay of trainable parameters.
    lr_schedule : {"auto", "cosine", "steps"}, keras LearningRateSchedule or None, default="auto"
        How the learning rate goes on; None keeps it. "auto" lets it fall to 0 along a cosine
        where the rate is automatic too, and keeps a rate of your own; `partial_fit`, which
        cannot know the end, keeps it. ``partial_fit`` takes no name here, for it
        cannot know when training ends.
    freeze_schedule : FreezeOut, GradualUnfreeze, LayerwiseRates, str or None, default=None
        Which of the learned layers learn when, and how fast (`frozenfit.training.schedules`), or
        the call that makes one as text, such as ``"FreezeOut(0.5)"``.
        `history_` then has the seconds of each epoch, the predicted saving and the measured one.
    freeze_statistics : bool or "auto", default="auto"
        Whether frozen batch normalizations keep their stored statistics. "auto" does so in a
        given model for those frozen with everything before them, and nowhere else.
    early_stopping : bool, default=False
        Stop when the validation loss has not improved for `patience` epochs, and put back the
        best trainable parameters. Watches `X_val, y_val` of `fit`, or a part of the training data.
    validation_fraction : float, default=0.1
        That part.
    patience : int, default=5
        Epochs without improvement before stopping.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, by label.
    augment : str, keras.Layer, list of them or None, default=None
        Changes of the training images: ``"crop"``, ``"flip"``, ``"crop+flip"``, or Keras layers.
    image_shape : tuple of int or None, default=None
        Shape (height, width, channels) of the samples that come as flat rows.
    cache_features : bool or "auto", default="auto"
        Whether the output of a frozen beginning of the network, statistics included, is computed
        once per fit and kept in memory. "auto" does so where it takes at most a quarter of the
        machine's memory and no augmentation or random layer comes before; True refuses to go
        without. What is trained differs in the last bits only.
    callbacks : keras.callbacks.Callback, list of them or None, default=None
        Copied for each fit. scikit-learn's callbacks are set by ``set_callbacks``.
    warm_start : bool, default=False
        Whether `fit` goes on from the fitted weights. `trainable` may change in between: all
        weights are then as they were, and other entries are learned. The network may not.
    random_state : int, RandomState or None, default=None
        Decides the frozen values, the selector, the order of batches, dropout. None takes fresh
        entropy and leaves NumPy's global stream alone.
    verbose : int, default=0
        1 shows a progress bar, 2 a line per epoch besides.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels.
    n_features_in_ : int
        Number of features of a sample.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where X had string names for all.
    input_shape_ : tuple of int
        Shape of one sample as the network takes it.
    base_ : Base
        The network nobody changes; shared by whatever is learned on it.
    model_ : PartialModel
        The fitted Keras model; the same object until the next fit.
    history_ : dict of str to list of float
        Loss and accuracy of each epoch, and ``val_`` figures where something was watched (NaN in
        epochs without).
    n_iter_ : int
        Epochs done.
    freeze_fraction_ : float
        Frozen entries divided by all trainable ones.

    See Also
    --------
    PartialNetRegressor : The same for targets.
    PartialModel : The Keras model below.

    Notes
    -----
    Rosenfeld and Tsotsos (2018), "Intriguing Properties of Randomly Weighted Networks",
    arXiv:1802.00844: a small learned part of a random network generalizes well.

    Inputs are used as they are: scale them, for instance by `StandardScaler` in a pipeline.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from frozenfit import PartialNetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = PartialNetClassifier(trainable=0.1, random_state=0).fit(X / 16, y)
    >>> bool(clf.score(X / 16, y) > 0.95), round(clf.freeze_fraction_, 2)
    (True, 0.78)
    """

    _parameter_constraints = {
        **PartialNet._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        model: Any = "mlp",
        *,
        model_params: dict[str, Any] | None = None,
        trainable: Any = 0.1,
        frozen: str = "auto",
        weight_init: Any = None,
        epochs: int = 20,
        batch_size: int = 32,
        optimizer: Any = "adam",
        learning_rate: float | str = "auto",
        weight_decay: float = 0.0,
        lr_schedule: Any = "auto",
        freeze_schedule: Any = None,
        freeze_statistics: bool | str = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 5,
        class_weight: Any = None,
        augment: Any = None,
        image_shape: tuple[int, ...] | None = None,
        cache_features: bool | str = "auto",
        callbacks: Any = None,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ):
        super().__init__(
            model,
            model_params=model_params,
            trainable=trainable,
            frozen=frozen,
            weight_init=weight_init,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            lr_schedule=lr_schedule,
            freeze_schedule=freeze_schedule,
            freeze_statistics=freeze_statistics,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            patience=patience,
            augment=augment,
            image_shape=image_shape,
            cache_features=cache_features,
            callbacks=callbacks,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight


class PartialNetRegressor(PartialNet, NetworkRegressor):
    """A regressor that learns a chosen part of a neural network and freezes the rest.

    Targets are standardized for training, and predictions are put back on their scale.

    Parameters
    ----------
    model : str, callable or keras.Model, default="mlp"
        The network: a name from `frozenfit.architectures`, a callable
        ``f(input_shape, n_outputs, **model_params) -> keras.Model`` of logits, or a built model.
        A callable is the better way in: a `keras.Model` object is copied by ``clone``, so each
        fold compiles its own.
    model_params : dict or None, default=None
        Further arguments of a named or callable network, reachable one by one as
        ``model_params__width``.
    trainable : float, int, str or Selector, default=0.1
        What is trained: see `frozenfit.selectors`. A fraction or a count of the filters (of the
        convolutions where there are any, else of every hidden layer), together with the head
        and batch norm; 1.0 learns everything. A tenth of the filters is the published setting
        that keeps most of the accuracy.
    frozen : {"auto", "random", "zero", "keep"}, default="auto"
        What the rest holds: random values drawn from the seed, zero, or the values the network
        came with. "auto" keeps those of a given model and is random for any other.
    weight_init : str, keras initializer or None, default=None
        Initial distribution of the kernels in place of the network's own.
    epochs : int, default=20
        Passes over the training data.
    batch_size : int, default=32
        Samples of one step.
    optimizer : str or keras.optimizers.Optimizer, default="adam"
        A name, or an optimizer whose settings are copied for each fit. It keeps slots only for
        what is trained.
    learning_rate : float or "auto", default="auto"
        "auto" is the rate of an optimizer object; for a name 0.01, with convolutions 0.006, and
        0.003 where no schedule lets it fall (docs/defaults.md has the measurements).
    weight_decay : float, default=0.0
        Decoupled weight decay of trainable parameters.
    lr_schedule : {"auto", "cosine", "steps"}, keras LearningRateSchedule or None, default="auto"
        How the learning rate goes on; None keeps it. "auto" lets it fall to 0 along a cosine
        where the rate is automatic too, and keeps a rate of your own; `partial_fit`, which
        cannot know the end, keeps it. ``partial_fit`` takes no name here, for it
        cannot know when training ends.
    freeze_schedule : FreezeOut, GradualUnfreeze, LayerwiseRates, str or None, default=None
        Which of the learned layers learn when, and how fast (`frozenfit.training.schedules`), or
        the call that makes one as text, such as ``"FreezeOut(0.5)"``.
        `history_` then has the seconds of each epoch, the predicted saving and the measured one.
    freeze_statistics : bool or "auto", default="auto"
        Whether frozen batch normalizations keep their stored statistics. "auto" does so in a
        given model for those frozen with everything before them, and nowhere else.
    early_stopping : bool, default=False
        Stop when the validation loss has not improved for `patience` epochs, and put back the
        best trainable parameters. Watches `X_val, y_val` of `fit`, or a part of the training data.
    validation_fraction : float, default=0.1
        That part.
    patience : int, default=5
        Epochs without improvement before stopping.
    augment : str, keras.Layer, list of them or None, default=None
        Changes of the training images: ``"crop"``, ``"flip"``, ``"crop+flip"``, or Keras layers.
    image_shape : tuple of int or None, default=None
        Shape (height, width, channels) of the samples that come as flat rows.
    cache_features : bool or "auto", default="auto"
        Whether the output of a frozen beginning of the network, statistics included, is computed
        once per fit and kept in memory. "auto" does so where it takes at most a quarter of the
        machine's memory and no augmentation or random layer comes before; True refuses to go
        without. What is trained differs in the last bits only.
    callbacks : keras.callbacks.Callback, list of them or None, default=None
        Copied for each fit. scikit-learn's callbacks are set by ``set_callbacks``.
    warm_start : bool, default=False
        Whether `fit` goes on from the fitted weights. `trainable` may change in between: all
        weights are then as they were, and other entries are learned. The network may not.
    random_state : int, RandomState or None, default=None
        Decides the frozen values, the selector, the order of batches, dropout. None takes fresh
        entropy and leaves NumPy's global stream alone.
    verbose : int, default=0
        1 shows a progress bar, 2 a line per epoch besides.

    Attributes
    ----------
    n_features_in_ : int
        Number of features of a sample.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where X had string names for all.
    input_shape_ : tuple of int
        Shape of one sample as the network takes it.
    base_ : Base
        The network nobody changes; shared by whatever is learned on it.
    model_ : PartialModel
        The fitted Keras model; the same object until the next fit.
    history_ : dict of str to list of float
        Loss and accuracy of each epoch, and ``val_`` figures where something was watched (NaN in
        epochs without).
    n_iter_ : int
        Epochs done.
    freeze_fraction_ : float
        Frozen entries divided by all trainable ones.

    See Also
    --------
    PartialNetClassifier : The same for classes, with more on the method.

    Notes
    -----
    The loss is the mean squared error, averaged over the targets.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from frozenfit import PartialNetRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), PartialNetRegressor(random_state=0)).fit(X, y)
    >>> bool(model.score(X, y) > 0.4)
    True
    """
