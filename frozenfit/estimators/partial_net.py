"""PartialNetClassifier and PartialNetRegressor: train a selected part of a Keras network."""

from __future__ import annotations

from typing import Any, Literal

from frozenfit.estimators.classifier import NetworkClassifier
from frozenfit.estimators.partial_base import PartialNet
from frozenfit.estimators.regressor import NetworkRegressor
from frozenfit.types import (
    Augmentation,
    ClassWeight,
    FreezeScheduleLike,
    FrozenValues,
    KerasCallbacks,
    LearningRateSchedule,
    Network,
    Optimizer,
    RandomState,
    Shape,
    Trainable,
    WeightInit,
)
from frozenfit.utils.scikit_learn import StrOptions

# Local names of the classifier's constructor that are not parameters of the base class.
_OWN_NAMES = ("self", "__class__", "class_weight")


class PartialNetClassifier(PartialNet, NetworkClassifier):
    """A classifier that trains selected parameters of a neural network and freezes all others.

    The network returns logits and is trained on the softmax cross-entropy, weighted by sample and
    class weights.

    Parameters
    ----------
    model : str, callable, keras.Model or Base, default="mlp"
        The network. A name from `frozenfit.architectures.names`: "mlp" for flat features;
        "lenet5", "alexnet", "vgg19", "resnet", "wide_resnet" or "densenet" for images;
        "application" for the networks of `keras.applications`. A callable
        ``f(input_shape, n_outputs, **model_params) -> keras.Model`` without a final activation.
        A built `keras.Model`, which is never modified. The `base_` of a fitted estimator, which
        both estimators then share. Prefer a callable to a built model: ``clone`` copies a model,
        so each fold of a cross-validation compiles its own.
    model_params : dict or None, default=None
        Further arguments of a named or callable network. A single argument is set as
        ``model_params__width``.
    trainable : float, int, True, str or Selector, default=0.1
        The parameters to train. A float in (0, 1] is the fraction of the filters (or units) of
        every hidden layer, an int their number; the head and batch normalization are trained as
        well. ``1`` therefore trains one filter of each layer, while ``1.0`` and True train
        everything. Strings and selectors are described in `frozenfit.selectors`. A tenth of the
        filters is the published setting; train more where accuracy matters more than the size of
        the trained part, less where many networks share a base.
    frozen : {"auto", "random", "zero", "keep"}, default="auto"
        Values of the frozen parameters: drawn from `random_state`, zero, or the values that the
        network came with. "auto" is "keep" for a given model and "random" for any other.
    weight_init : str, keras.Initializer or None, default=None
        Initializer of the kernels; None uses those of the layers. Requires a model given by name
        or as a callable.
    epochs : int, default=20
        Number of passes over the training data.
    batch_size : int, default=32
        Number of samples per training step.
    optimizer : str or keras.optimizers.Optimizer, default="adam"
        A name, or an optimizer whose settings are copied for each fit. Optimizer state is
        allocated for trainable parameters only.
    learning_rate : float or "auto", default="auto"
        "auto" is the learning rate of an optimizer object. For an optimizer given by name it is
        0.01, or 0.006 in a network with convolutions, or 0.003 without learning-rate decay.
    weight_decay : float, default=0.0
        Decoupled weight decay of the trainable parameters.
    lr_schedule : {"auto", "cosine", "steps"}, keras LearningRateSchedule or None, default="auto"
        Schedule of the learning rate; None keeps it constant. "auto" is "cosine", a decay to 0,
        where `learning_rate` is automatic too, and None for a rate or an optimizer of your choice
        and in `partial_fit`. The names require a known number of epochs, so `partial_fit` refuses
        them.
    freeze_schedule : FreezeSchedule, str or None, default=None
        When, and at which learning rate, each trainable layer is trained: `FreezeOut`,
        `GradualUnfreeze` or `LayerwiseRates` of `frozenfit.training.schedules`, or the call as a
        string, such as ``"FreezeOut(0.5)"``. `history_` then also has the seconds of each epoch
        and the predicted and measured savings.
    freeze_statistics : bool or "auto", default="auto"
        Whether frozen batch normalizations keep their moving statistics. "auto" keeps them in a
        given model where everything before the layer is frozen too, and nowhere else.
    early_stopping : bool, default=False
        Whether to stop when the validation loss has not improved for `patience` epochs, and to
        restore the best trained parameters. The loss is computed on `X_val`, `y_val` of `fit`, or
        on `validation_fraction` of the training data.
    validation_fraction : float, default=0.1
        Fraction of the training data that `early_stopping` holds out where `fit` is given no
        validation data.
    patience : int, default=5
        Number of epochs without improvement before training stops.
    class_weight : dict, "balanced" or None, default=None
        Weight of each label; labels that the dict lacks have weight 1. "balanced" gives every
        class the same total weight.
    augment : str, keras.Layer, list of them or None, default=None
        Augmentation of the training images: ``"crop"``, ``"flip"``, ``"crop+flip"``, or Keras
        layers.
    image_shape : tuple of int or None, default=None
        Shape (height, width, channels) of samples that are given as flat rows.
    cache_features : bool or "auto", default="auto"
        Whether to compute the output of a frozen prefix of the network once per fit and keep it
        in memory. "auto" does so where it takes at most a quarter of the machine's memory and no
        augmentation or random layer comes before; True raises an error where this is impossible.
        The trained parameters are equal up to rounding.
    callbacks : keras.callbacks.Callback, list of them or None, default=None
        Keras callbacks, copied for each fit. Use ``set_callbacks`` for scikit-learn's callbacks.
    warm_start : bool, default=False
        Whether `fit` continues from the fitted weights. `trainable` may change between fits; the
        network may not.
    random_state : int, RandomState or None, default=None
        Determines the frozen values, random selectors, the order of batches and dropout. None
        uses fresh entropy and leaves NumPy's global stream unchanged.
    verbose : int, default=0
        1 shows a progress bar, 2 also prints a line per epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels.
    n_features_in_ : int
        Number of features of a sample.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where X had string names for all of them.
    input_shape_ : tuple of int
        Shape of one sample as the network receives it.
    base_ : Base
        The network before training; it is never modified and can be shared.
    model_ : PartialModel
        The fitted Keras model; the same object until the next fit.
    history_ : dict of str to list of float
        Loss and accuracy of each epoch, and ``val_`` metrics where there were validation data (NaN
        in the epochs of fits without).
    n_iter_ : int
        Number of completed epochs.
    freeze_fraction_ : float
        Number of frozen parameters over the number of all parameters.

    See Also
    --------
    PartialNetRegressor : The same for regression.
    CheapEnsembleClassifier : Several classifiers on one base.
    frozenfit.PartialModel : The Keras model that the estimator trains.
    frozenfit.save : Store a fitted estimator; the file has the trained parameters only.

    Notes
    -----
    X has the shape (n_samples, n_features), or (n_samples, height, width, channels) for images.
    Arrays of ``keras.config.floatx()`` and uint8 are used unchanged, any other dtype is converted
    to floatx. Features are not scaled: use, for instance, `StandardScaler` in a pipeline.

    Training runs on the device that Keras uses, a GPU where the backend finds one.

    Rosenfeld and Tsotsos (2018), "Intriguing Properties of Randomly Weighted Networks",
    arXiv:1802.00844, show that a small trained part of a random network generalizes well.

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
        model: Network = "mlp",
        *,
        model_params: dict[str, Any] | None = None,
        trainable: Trainable = 0.1,
        frozen: FrozenValues = "auto",
        weight_init: WeightInit = None,
        epochs: int = 20,
        batch_size: int = 32,
        optimizer: Optimizer = "adam",
        learning_rate: float | Literal["auto"] = "auto",
        weight_decay: float = 0.0,
        lr_schedule: LearningRateSchedule = "auto",
        freeze_schedule: FreezeScheduleLike = None,
        freeze_statistics: bool | Literal["auto"] = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 5,
        class_weight: ClassWeight = None,
        augment: Augmentation = None,
        image_shape: Shape | None = None,
        cache_features: bool | Literal["auto"] = "auto",
        callbacks: KerasCallbacks = None,
        warm_start: bool = False,
        random_state: RandomState = None,
        verbose: int = 0,
    ):
        # Every argument but `class_weight` is a parameter of the base class too.
        shared = {k: v for k, v in locals().items() if k not in _OWN_NAMES}
        super().__init__(**shared)
        self.class_weight = class_weight


class PartialNetRegressor(PartialNet, NetworkRegressor):
    """A regressor that trains selected parameters of a neural network and freezes all others.

    The network is trained on the mean squared error, averaged over the targets. Targets are
    standardized for training, and predictions are returned on the original scale.

    Parameters
    ----------
    model : str, callable, keras.Model or Base, default="mlp"
        The network. A name from `frozenfit.architectures.names`: "mlp" for flat features;
        "lenet5", "alexnet", "vgg19", "resnet", "wide_resnet" or "densenet" for images;
        "application" for the networks of `keras.applications`. A callable
        ``f(input_shape, n_outputs, **model_params) -> keras.Model`` without a final activation.
        A built `keras.Model`, which is never modified. The `base_` of a fitted estimator, which
        both estimators then share. Prefer a callable to a built model: ``clone`` copies a model,
        so each fold of a cross-validation compiles its own.
    model_params : dict or None, default=None
        Further arguments of a named or callable network. A single argument is set as
        ``model_params__width``.
    trainable : float, int, True, str or Selector, default=0.1
        The parameters to train. A float in (0, 1] is the fraction of the filters (or units) of
        every hidden layer, an int their number; the head and batch normalization are trained as
        well. ``1`` therefore trains one filter of each layer, while ``1.0`` and True train
        everything. Strings and selectors are described in `frozenfit.selectors`. A tenth of the
        filters is the published setting; train more where accuracy matters more than the size of
        the trained part, less where many networks share a base.
    frozen : {"auto", "random", "zero", "keep"}, default="auto"
        Values of the frozen parameters: drawn from `random_state`, zero, or the values that the
        network came with. "auto" is "keep" for a given model and "random" for any other.
    weight_init : str, keras.Initializer or None, default=None
        Initializer of the kernels; None uses those of the layers. Requires a model given by name
        or as a callable.
    epochs : int, default=20
        Number of passes over the training data.
    batch_size : int, default=32
        Number of samples per training step.
    optimizer : str or keras.optimizers.Optimizer, default="adam"
        A name, or an optimizer whose settings are copied for each fit. Optimizer state is
        allocated for trainable parameters only.
    learning_rate : float or "auto", default="auto"
        "auto" is the learning rate of an optimizer object. For an optimizer given by name it is
        0.01, or 0.006 in a network with convolutions, or 0.003 without learning-rate decay.
    weight_decay : float, default=0.0
        Decoupled weight decay of the trainable parameters.
    lr_schedule : {"auto", "cosine", "steps"}, keras LearningRateSchedule or None, default="auto"
        Schedule of the learning rate; None keeps it constant. "auto" is "cosine", a decay to 0,
        where `learning_rate` is automatic too, and None for a rate or an optimizer of your choice
        and in `partial_fit`. The names require a known number of epochs, so `partial_fit` refuses
        them.
    freeze_schedule : FreezeSchedule, str or None, default=None
        When, and at which learning rate, each trainable layer is trained: `FreezeOut`,
        `GradualUnfreeze` or `LayerwiseRates` of `frozenfit.training.schedules`, or the call as a
        string, such as ``"FreezeOut(0.5)"``. `history_` then also has the seconds of each epoch
        and the predicted and measured savings.
    freeze_statistics : bool or "auto", default="auto"
        Whether frozen batch normalizations keep their moving statistics. "auto" keeps them in a
        given model where everything before the layer is frozen too, and nowhere else.
    early_stopping : bool, default=False
        Whether to stop when the validation loss has not improved for `patience` epochs, and to
        restore the best trained parameters. The loss is computed on `X_val`, `y_val` of `fit`, or
        on `validation_fraction` of the training data.
    validation_fraction : float, default=0.1
        Fraction of the training data that `early_stopping` holds out where `fit` is given no
        validation data.
    patience : int, default=5
        Number of epochs without improvement before training stops.
    augment : str, keras.Layer, list of them or None, default=None
        Augmentation of the training images: ``"crop"``, ``"flip"``, ``"crop+flip"``, or Keras
        layers.
    image_shape : tuple of int or None, default=None
        Shape (height, width, channels) of samples that are given as flat rows.
    cache_features : bool or "auto", default="auto"
        Whether to compute the output of a frozen prefix of the network once per fit and keep it
        in memory. "auto" does so where it takes at most a quarter of the machine's memory and no
        augmentation or random layer comes before; True raises an error where this is impossible.
        The trained parameters are equal up to rounding.
    callbacks : keras.callbacks.Callback, list of them or None, default=None
        Keras callbacks, copied for each fit. Use ``set_callbacks`` for scikit-learn's callbacks.
    warm_start : bool, default=False
        Whether `fit` continues from the fitted weights. `trainable` may change between fits; the
        network may not.
    random_state : int, RandomState or None, default=None
        Determines the frozen values, random selectors, the order of batches and dropout. None
        uses fresh entropy and leaves NumPy's global stream unchanged.
    verbose : int, default=0
        1 shows a progress bar, 2 also prints a line per epoch.

    Attributes
    ----------
    n_features_in_ : int
        Number of features of a sample.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where X had string names for all of them.
    input_shape_ : tuple of int
        Shape of one sample as the network receives it.
    base_ : Base
        The network before training; it is never modified and can be shared.
    model_ : PartialModel
        The fitted Keras model; the same object until the next fit.
    history_ : dict of str to list of float
        Loss of each epoch, and ``val_`` metrics where there were validation data (NaN in
        the epochs of fits without).
    n_iter_ : int
        Number of completed epochs.
    freeze_fraction_ : float
        Number of frozen parameters over the number of all parameters.

    See Also
    --------
    PartialNetClassifier : The same for classification.
    CheapEnsembleRegressor : Several regressors on one base.
    frozenfit.PartialModel : The Keras model that the estimator trains.
    frozenfit.save : Store a fitted estimator; the file has the trained parameters only.

    Notes
    -----
    The notes of `PartialNetClassifier` on the shape and dtype of X and on devices apply here too.

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
