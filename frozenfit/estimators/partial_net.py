"""PartialNetClassifier and PartialNetRegressor: train a selected part of a Keras network."""

from __future__ import annotations

from typing import Any, Literal

from frozenfit.estimators.classifier import NetworkClassifier
from frozenfit.estimators.partial_base import PartialNet
from frozenfit.estimators.regressor import NetworkRegressor
from frozenfit.types import (
    Augmentation,
    CheckpointLike,
    ClassWeight,
    FreezeScheduleLike,
    FrozenValues,
    KerasCallbacks,
    LearningRateSchedule,
    Loss,
    MetricList,
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

    The network has one output per class, also for two classes, and is trained on the softmax cross-
    entropy of these logits, or on another `loss`, weighted by sample and class weights. A fitted
    estimator owns only what it trained; the frozen parameters come from a seed or from a network
    that several estimators can share.

    Parameters
    ----------
    model : str, callable, keras.Model, Base or fitted estimator, default="mlp"
        The network.

        - A name: "mlp" for tables; "lenet5", "alexnet", "vgg19", "resnet", "wide_resnet" or
          "densenet" for images; "text_cnn" or "gru_encoder" for rows of token ids; "series_cnn" for
          time series; "application" for the networks of `keras.applications`.
          `frozenfit.architectures.names` lists them, with those that you register.
        - A function ``f(input_shape, n_outputs, **model_params)`` that returns a built Keras model.
        - A built Keras model, such as a pretrained one. It is never modified, and clones share it.
        - A fitted estimator, whose trained network becomes the base, or the `base_` of one, which
          is its network before training. Estimators on one base share its memory.

        The network may return logits or probabilities: a softmax or sigmoid at the end is taken off
        the copy that is trained. A single output serves two classes, as the logit of the second.
    model_params : dict or None, default=None
        Arguments of a network that is given by name or as a function, such as
        ``{"hidden_layer_sizes": (128, 64)}``. ``set_params(model_params__width=2)`` sets a single
        one.
    trainable : float, int, bool, str or Selector, default=0.1
        The parameters to train. A float in (0, 1] is the fraction of the filters (or units) of
        every hidden layer, an int their number; the head and batch normalization are trained as
        well. ``1`` therefore trains one filter of each layer, while ``1.0`` and True train
        everything. A selector, or its text such as ``"filters(0.1) | head()"``, selects any other
        part: see `frozenfit.selectors`. The notes say when to use another value than 0.1.
    frozen : {"auto", "random", "zero", "keep"}, default="auto"
        Values of the frozen parameters: "random" draws them from `random_state`, "zero" sets them
        to zero, and "keep" keeps those of the given network. "auto" means "keep" for a built model
        or a fitted estimator, and "random" for any other network.
    weight_init : str, keras.Initializer or None, default=None
        Initializer of the kernels; None uses those of the layers. It requires a network that is
        given by name or as a function.
    epochs : int or "auto", default="auto"
        Number of passes over the training data. "auto" is 20, or fewer for a table of at least 500
        samples that 20 would overfit: a pilot run on nine tenths of the samples finds the epoch
        with the lowest loss on the others, and `fit` then trains on all samples for two epochs
        more than that. There is no pilot run with `early_stopping` or a `freeze_schedule`, nor
        where training continues.
    batch_size : int, default=32
        Number of samples per training step. A source of batches decides it itself.
    loss : str, keras.losses.Loss or callable, default="auto"
        The loss. "auto" is the cross-entropy of the softmax of the outputs. The name of a Keras
        loss is computed from the logits: "categorical_focal_crossentropy", for example. A loss
        object must have ``from_logits=True``, as in ``keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.1)``; a loss class of your own and a function
        ``f(y_true, y_pred)`` receive one-hot labels and logits, and return one value per sample.
        Training minimizes the mean over samples, weighted by their weights.
    metrics : list or None, default=None
        What `history_` reports besides loss and accuracy: names of Keras metrics,
        ``keras.metrics.Metric`` objects, which are copied, or functions of targets and
        predictions with one value per sample. They receive probabilities and one-hot labels (class
        indices where the name begins with "Sparse"); of two classes, those of the second one
        alone, as metrics such as ``keras.metrics.AUC`` expect.
    optimizer : str or keras.optimizers.Optimizer, default="adam"
        The name of a Keras optimizer, or an optimizer, whose configuration is copied for each
        fit. Optimizer state is allocated for trainable parameters only.
    learning_rate : float or "auto", default="auto"
        "auto" uses the learning rate of an optimizer object. For an optimizer given by name it is
        0.006, or 0.003 without learning-rate decay.
    weight_decay : float, default=0.0
        Decoupled weight decay of the trainable parameters.
    lr_schedule : {"auto", "cosine", "steps"}, LearningRateSchedule or None, default="auto"
        Schedule of the learning rate, possibly one of `keras.optimizers.schedules`; None keeps it
        constant. "cosine" decays it to 0, "steps" divides it by 10 after half and after three
        quarters of the epochs; `partial_fit` accepts neither, because it does not know the number
        of epochs. "auto" means "cosine" where `learning_rate` is automatic too, and None for a
        rate or an optimizer of your choice and in `partial_fit`.
    freeze_schedule : FreezeSchedule, str or None, default=None
        When, and at which learning rate, each trainable layer is trained: `FreezeOut`,
        `GradualUnfreeze`, `LayerwiseRates`, a schedule of your own, or the call as a string, such
        as ``"FreezeOut(0.5)"``. `history_` then also contains the seconds of each epoch and the
        predicted and measured savings.
    freeze_statistics : bool or "auto", default="auto"
        Whether frozen batch normalizations keep their moving statistics and use them in training.
        "auto" does so with ``frozen="keep"`` where everything before the layer is frozen too, and
        nowhere else.
    refresh_statistics : bool or "auto", default="auto"
        Whether `fit` ends with one pass over the training samples, without those set aside for
        validation, that replaces the moving statistics of the batch normalizations that used the
        statistics of the batch in training. Moving averages follow slowly: with Keras's momentum
        of 0.99, a few hundred steps leave them near their initial values. "auto" does so where
        ``steps * (1 - momentum) < 10``.
    early_stopping : bool, default=False
        Whether to stop when the validation loss has not improved for `patience` epochs, and to
        restore the best trained parameters. The loss is computed on `X_val` and `y_val` of `fit`,
        or on `validation_fraction` of the training data.
    validation_fraction : float, default=0.1
        Fraction of the training data that `early_stopping` sets aside if `fit` is given no
        validation data.
    patience : int, default=5
        Number of epochs without improvement before training stops.
    class_weight : dict, "balanced" or None, default=None
        Weight of each label; labels missing from the dict have weight 1. "balanced" gives every
        class the same total weight.
    augment : str, keras.Layer, list of them or None, default=None
        Augmentation of the training images: ``"crop"`` (a window at a random place of the image
        padded by 4 zeros on every side), ``"flip"`` (left to right, with probability 0.5),
        ``"crop+flip"``, or Keras layers. Crops and flips run on the device, inside the compiled
        step; layers run on the host.
    image_shape : tuple of int or None, default=None
        Shape (height, width, channels) of samples that are given as flat rows.
    cache_features : bool, "auto" or "disk", default="auto"
        Whether to compute the output of a frozen prefix of the network once per fit and keep it
        in memory. "auto" does so where it takes at most a quarter of the machine's memory and no
        augmentation or random layer precedes it; "disk" keeps what is larger in a temporary file,
        which is deleted when the fit ends; True raises an error where memory does not suffice or
        nothing can be cached. The trained parameters are equal up to rounding.
    callbacks : keras.callbacks.Callback, list of them or None, default=None
        Keras callbacks, copied for each fit. scikit-learn's callbacks are set by
        ``set_callbacks``.
    checkpoint : str, path-like, Checkpoint or None, default=None
        A file to which `fit` writes the state of training after each epoch. A fit that was killed,
        run again with the same parameters and data, continues from it and ends with the weights of
        an uninterrupted fit; other parameters or data raise an error. `fit` removes the file when
        it ends. A `Checkpoint` sets how often it is written and whether it is kept. It requires
        a `random_state`, and cannot be combined with callbacks; `partial_fit` writes none.
    warm_start : bool, default=False
        Whether `fit` continues from the fitted weights. `trainable` may change between fits; the
        network may not.
    random_state : int, RandomState or None, default=None
        Determines the random frozen values, random selectors, the order of batches and dropout.
        None uses fresh entropy and leaves NumPy's global stream unchanged.
    verbose : int, default=0
        1 shows a progress bar and prints one line about the result of a fit, 2 also prints one
        line per epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels.
    n_features_in_ : int
        Number of features of a sample.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if X had a string name for each of them.
    input_shape_ : tuple of int
        Shape of one sample as the network receives it.
    base_ : Base
        The network before training; it is never modified and can be shared.
    part_ : FittedPart
        Base, selection and trained parameters.
    model_ : PartialModel
        The fitted Keras model; the same object until the next fit.
    history_ : dict of str to list of float
        Loss, accuracy and `metrics` of each epoch, and the same with the prefix ``val_`` if there
        were validation data (NaN in the epochs of fits without).
    n_iter_ : int
        Number of completed epochs.
    freeze_fraction_ : float
        Number of frozen parameters divided by the number of all parameters of the network. Scales
        are none of the network's: each counts as one frozen parameter less.
    callbacks_ : list of keras.callbacks.Callback
        Copies of `callbacks` with their state after training; they are not pickled.

    See Also
    --------
    PartialNetRegressor : The same for regression.
    CheapEnsembleClassifier : Several classifiers on one base.
    ELMClassifier : Frozen random layers and a closed-form output layer.
    PartialModel : The Keras model that the estimator trains.
    frozenfit.save : Store a fitted estimator; the file contains the trained parameters only.
    frozenfit.load : Load a fitted estimator from a file.
    Checkpoint : How often `checkpoint` is written, and whether it is kept.

    Notes
    -----
    **Samples.** X has the shape (n_samples, n_features) for tables, (n_samples, height, width,
    channels) for images, or any other shape that the network accepts; `image_shape` turns rows
    into images. Arrays of ``keras.config.floatx()``, which is float32 by default, and of integers
    are used unchanged, and any other dtype is converted to floatx. Each batch is converted to what
    the network asks for: to integers with ``keras.Input(..., dtype="int32")`` or another integer
    dtype, where an integer out of its range is an error, else to floatx, where a warning is issued
    if integers are rounded. Of a sparse matrix, only the rows of a batch become dense at a time.
    Features are not scaled: put, for instance, `StandardScaler` before the estimator in a
    pipeline, and divide images by 255. Labels may be of any type, such as strings.

    **Another value than 0.1.** A tenth of the filters is a published setting. ``1.0`` reaches the
    highest accuracy; on ten classification tables a tenth was within 1.1 percentage points of it
    on eight and lost 2.4 points on the others. Use a smaller fraction, or
    ``"head() | batch_norm()"``, where many models share one base or files must be small, and
    ``"head()"`` to adapt a pretrained network to few samples. In a narrow network use a larger
    fraction or a count, because a tenth of a few filters is a single one. `FreezeSearchCV` of
    `frozenfit.search` searches for the value.

    **Saving.** ``frozenfit.save(clf, path)`` writes a file and ``frozenfit.load(path)`` reads it
    on any backend. `to_keras` returns a plain Keras model. Pickle and joblib work as well, but
    load only files that you trust.

    **Devices.** Training and prediction run on the device that the Keras backend uses by default,
    which is a GPU where the backend supports and finds one. The environment variable KERAS_BACKEND
    selects the backend.

    Rosenfeld and Tsotsos (2018), "Intriguing Properties of Randomly Weighted Networks",
    arXiv:1802.00844, show that a network generalizes well if a small part of it is trained and
    all other parameters are random.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from frozenfit import PartialNetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = PartialNetClassifier(trainable=0.1, random_state=0).fit(X / 16, y)
    >>> bool(clf.score(X / 16, y) > 0.95), round(clf.freeze_fraction_, 2)
    (True, 0.78)
    """

    _takes_multilabel = True
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
        epochs: int | Literal["auto"] = "auto",
        batch_size: int = 32,
        loss: Loss = "auto",
        metrics: MetricList = None,
        optimizer: Optimizer = "adam",
        learning_rate: float | Literal["auto"] = "auto",
        weight_decay: float = 0.0,
        lr_schedule: LearningRateSchedule = "auto",
        freeze_schedule: FreezeScheduleLike = None,
        freeze_statistics: bool | Literal["auto"] = "auto",
        refresh_statistics: bool | Literal["auto"] = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 5,
        class_weight: ClassWeight = None,
        augment: Augmentation = None,
        image_shape: Shape | None = None,
        cache_features: bool | Literal["auto", "disk"] = "auto",
        callbacks: KerasCallbacks = None,
        checkpoint: CheckpointLike = None,
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

    The network has one output per target and is trained on the mean squared error, averaged over
    the targets, or on another `loss`, weighted by sample weights. Targets are standardized for
    training, and predictions are returned on the original scale. A fitted estimator owns only what
    it trained; the frozen parameters come from a seed or from a network that several estimators can
    share.

    Parameters
    ----------
    model : str, callable, keras.Model, Base or fitted estimator, default="mlp"
        The network.

        - A name: "mlp" for tables; "lenet5", "alexnet", "vgg19", "resnet", "wide_resnet" or
          "densenet" for images; "text_cnn" or "gru_encoder" for rows of token ids; "series_cnn" for
          time series; "application" for the networks of `keras.applications`.
          `frozenfit.architectures.names` lists them, with those that you register.
        - A function ``f(input_shape, n_outputs, **model_params)`` that returns a built Keras
          model without a final activation.
        - A built Keras model, such as a pretrained one. It is never modified. Prefer a function:
          ``clone`` copies a model, so each fold of a cross-validation compiles its own copy.
        - A fitted estimator, whose trained network becomes the base, or the `base_` of one, which
          is its network before training. Estimators on one base share its memory.
    model_params : dict or None, default=None
        Arguments of a network that is given by name or as a function, such as
        ``{"hidden_layer_sizes": (128, 64)}``. ``set_params(model_params__width=2)`` sets a single
        one.
    trainable : float, int, bool, str or Selector, default=0.1
        The parameters to train. A float in (0, 1] is the fraction of the filters (or units) of
        every hidden layer, an int their number; the head and batch normalization are trained as
        well. ``1`` therefore trains one filter of each layer, while ``1.0`` and True train
        everything. A selector, or its text such as ``"filters(0.1) | head()"``, selects any other
        part: see `frozenfit.selectors`. The notes say when to use another value than 0.1.
    frozen : {"auto", "random", "zero", "keep"}, default="auto"
        Values of the frozen parameters: "random" draws them from `random_state`, "zero" sets them
        to zero, and "keep" keeps those of the given network. "auto" means "keep" for a built model
        or a fitted estimator, and "random" for any other network.
    weight_init : str, keras.Initializer or None, default=None
        Initializer of the kernels; None uses those of the layers. It requires a network that is
        given by name or as a function.
    epochs : int or "auto", default="auto"
        Number of passes over the training data. "auto" is 20, or fewer for a table of at least 500
        samples that 20 would overfit: a pilot run on nine tenths of the samples finds the epoch
        with the lowest loss on the others, and `fit` then trains on all samples for two epochs
        more than that. There is no pilot run with `early_stopping` or a `freeze_schedule`, nor
        where training continues.
    batch_size : int, default=32
        Number of samples per training step. A source of batches decides it itself.
    loss : str, keras.losses.Loss or callable, default="auto"
        The loss of the standardized targets. "auto" is the mean squared error; names of Keras such
        as "mean_absolute_error" and "huber", loss objects, and functions ``f(y_true, y_pred)``
        that return one value per sample are accepted too. Training minimizes the mean over samples,
        weighted by their weights.
    metrics : list or None, default=None
        What `history_` reports besides the loss: names of Keras metrics, ``keras.metrics.Metric``
        objects, which are copied, or functions of targets and predictions with one value per
        sample. They receive targets and predictions on the original scale.
    optimizer : str or keras.optimizers.Optimizer, default="adam"
        The name of a Keras optimizer, or an optimizer, whose configuration is copied for each
        fit. Optimizer state is allocated for trainable parameters only.
    learning_rate : float or "auto", default="auto"
        "auto" uses the learning rate of an optimizer object. For an optimizer given by name it is
        0.006, or 0.003 without learning-rate decay.
    weight_decay : float, default=0.0
        Decoupled weight decay of the trainable parameters.
    lr_schedule : {"auto", "cosine", "steps"}, LearningRateSchedule or None, default="auto"
        Schedule of the learning rate, possibly one of `keras.optimizers.schedules`; None keeps it
        constant. "cosine" decays it to 0, "steps" divides it by 10 after half and after three
        quarters of the epochs; `partial_fit` accepts neither, because it does not know the number
        of epochs. "auto" means "cosine" where `learning_rate` is automatic too, and None for a
        rate or an optimizer of your choice and in `partial_fit`.
    freeze_schedule : FreezeSchedule, str or None, default=None
        When, and at which learning rate, each trainable layer is trained: `FreezeOut`,
        `GradualUnfreeze`, `LayerwiseRates`, a schedule of your own, or the call as a string, such
        as ``"FreezeOut(0.5)"``. `history_` then also contains the seconds of each epoch and the
        predicted and measured savings.
    freeze_statistics : bool or "auto", default="auto"
        Whether frozen batch normalizations keep their moving statistics and use them in training.
        "auto" does so with ``frozen="keep"`` where everything before the layer is frozen too, and
        nowhere else.
    refresh_statistics : bool or "auto", default="auto"
        Whether `fit` ends with one pass over the training samples, without those set aside for
        validation, that replaces the moving statistics of the batch normalizations that used the
        statistics of the batch in training. Moving averages follow slowly: with Keras's momentum
        of 0.99, a few hundred steps leave them near their initial values. "auto" does so where
        ``steps * (1 - momentum) < 10``.
    early_stopping : bool, default=False
        Whether to stop when the validation loss has not improved for `patience` epochs, and to
        restore the best trained parameters. The loss is computed on `X_val` and `y_val` of `fit`,
        or on `validation_fraction` of the training data.
    validation_fraction : float, default=0.1
        Fraction of the training data that `early_stopping` sets aside if `fit` is given no
        validation data.
    patience : int, default=5
        Number of epochs without improvement before training stops.
    augment : str, keras.Layer, list of them or None, default=None
        Augmentation of the training images: ``"crop"`` (a window at a random place of the image
        padded by 4 zeros on every side), ``"flip"`` (left to right, with probability 0.5),
        ``"crop+flip"``, or Keras layers. Crops and flips run on the device, inside the compiled
        step; layers run on the host.
    image_shape : tuple of int or None, default=None
        Shape (height, width, channels) of samples that are given as flat rows.
    cache_features : bool, "auto" or "disk", default="auto"
        Whether to compute the output of a frozen prefix of the network once per fit and keep it
        in memory. "auto" does so where it takes at most a quarter of the machine's memory and no
        augmentation or random layer precedes it; "disk" keeps what is larger in a temporary file,
        which is deleted when the fit ends; True raises an error where memory does not suffice or
        nothing can be cached. The trained parameters are equal up to rounding.
    callbacks : keras.callbacks.Callback, list of them or None, default=None
        Keras callbacks, copied for each fit. scikit-learn's callbacks are set by
        ``set_callbacks``.
    checkpoint : str, path-like, Checkpoint or None, default=None
        A file to which `fit` writes the state of training after each epoch. A fit that was killed,
        run again with the same parameters and data, continues from it and ends with the weights of
        an uninterrupted fit; other parameters or data raise an error. `fit` removes the file when
        it ends. A `Checkpoint` sets how often it is written and whether it is kept. It requires
        a `random_state`, and cannot be combined with callbacks; `partial_fit` writes none.
    warm_start : bool, default=False
        Whether `fit` continues from the fitted weights. `trainable` may change between fits; the
        network may not.
    random_state : int, RandomState or None, default=None
        Determines the random frozen values, random selectors, the order of batches and dropout.
        None uses fresh entropy and leaves NumPy's global stream unchanged.
    verbose : int, default=0
        1 shows a progress bar and prints one line about the result of a fit, 2 also prints one
        line per epoch.

    Attributes
    ----------
    n_features_in_ : int
        Number of features of a sample.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if X had a string name for each of them.
    input_shape_ : tuple of int
        Shape of one sample as the network receives it.
    base_ : Base
        The network before training; it is never modified and can be shared.
    part_ : FittedPart
        Base, selection and trained parameters.
    model_ : PartialModel
        The fitted Keras model; the same object until the next fit.
    history_ : dict of str to list of float
        Loss and `metrics` of each epoch, and the same with the prefix ``val_`` if there were
        validation data (NaN in the epochs of fits without).
    n_iter_ : int
        Number of completed epochs.
    freeze_fraction_ : float
        Number of frozen parameters divided by the number of all parameters of the network. Scales
        are none of the network's: each counts as one frozen parameter less.
    callbacks_ : list of keras.callbacks.Callback
        Copies of `callbacks` with their state after training; they are not pickled.

    See Also
    --------
    PartialNetClassifier : The same for classification.
    CheapEnsembleRegressor : Several regressors on one base.
    ELMRegressor : Frozen random layers and a closed-form output layer.
    PartialModel : The Keras model that the estimator trains.
    frozenfit.save : Store a fitted estimator; the file contains the trained parameters only.
    frozenfit.load : Load a fitted estimator from a file.
    Checkpoint : How often `checkpoint` is written, and whether it is kept.

    Notes
    -----
    The notes of `PartialNetClassifier` on samples, `trainable`, saving and devices apply here too.

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
