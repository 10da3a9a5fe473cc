"""CheapEnsembleClassifier: classifiers that share one frozen base."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
from scipy.special import softmax
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from frozenfit.estimators import ensemble_report as _report
from frozenfit.estimators.calibration import pooled, temperature
from frozenfit.estimators.classifier import NetworkClassifier
from frozenfit.estimators.ensemble_base import CheapEnsemble
from frozenfit.estimators.partial_net import PartialNetClassifier
from frozenfit.training.data import split


class CheapEnsembleClassifier(CheapEnsemble, NetworkClassifier):
    """An ensemble of classifiers that share one network and learn a part of it each.

    A base is trained in full for a short time, then each member learns its part of it and leaves
    the rest. A member is stored as what it learned; the base is there once.

    Parameters
    ----------
    model : str, callable, keras.Model or Base, default="mlp"
        The network below: a name from `frozenfit.architectures`, a callable
        ``f(input_shape, n_outputs, **model_params) -> keras.Model`` of logits, a built model, or
        the `base_` of another estimator.
    n_estimators : int, default=5
        How many members; with five most of the gain is there.
    base_epochs : int, default=1
        Epochs in which all of the network is trained before the members start from it. 0 takes
        it as it is: random, and then no file holds it, or as it was given.
    members : {"same", "disjoint"} or list of selectors, default="same"
        What the members learn: all the same, with their own seeds and orders of the batches;
        random parts that share no entry, of `trainable` of every weight each, or, where `trainable`
        is a selector, equal parts of it; or what the list says for each, in the words of `trainable`,
        which is not read then.
    model_params : dict or None, default=None
        Further arguments of a named or callable network, reachable one by one as
        ``model_params__width``.
    trainable : float, int, str or Selector, default=0.1
        What each member learns: see `frozenfit.selectors`. A fraction or a count of the filters, with
        the head and batch norm; 1.0 learns everything.
    frozen : {"auto", "random", "zero", "keep"}, default="auto"
        What the rest of a member holds: the base's values ("auto", "keep"), zero, or random values.
    weight_init : str, keras initializer or None, default=None
        Initial distribution of the kernels in place of the network's own.
    epochs : int, default=20
        Passes of each member over the training data.
    batch_size : int, default=32
        Samples of one step.
    optimizer : str or keras.optimizers.Optimizer, default="adam"
        A name, or an optimizer whose settings are copied for the base and each member.
    learning_rate : float or "auto", default="auto"
        "auto" is the rate of an optimizer object; for a name 0.01, with convolutions 0.006, and
        0.003 where no schedule lets it fall (docs/defaults.md has the measurements).
    weight_decay : float, default=0.0
        Decoupled weight decay of trainable parameters.
    lr_schedule : {"auto", "cosine", "steps"}, keras LearningRateSchedule or None, default="auto"
        How the learning rate goes on; None keeps it. "auto" lets it fall to 0 along a cosine
        where the rate is automatic too, and keeps a rate of your own; `partial_fit`, which
        cannot know the end, keeps it.
    freeze_schedule : FreezeOut, GradualUnfreeze, LayerwiseRates, str or None, default=None
        Which of a member's learned layers learn when; the base is trained without.
    freeze_statistics : bool or "auto", default="auto"
        Whether frozen batch normalizations keep the base's statistics. "auto" does so on a trained
        or given base, for those frozen with everything before them.
    early_stopping : bool, default=False
        Stop a member when the validation loss has not improved for `patience` epochs, and put back
        its best entries. The base is always trained for `base_epochs`.
    validation_fraction : float, default=0.1
        Part of the training data that is held out for early stopping and for `calibrate`.
    patience : int, default=5
        Epochs without improvement before stopping.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, by label.
    augment : str, keras.Layer, list of them or None, default=None
        Changes of the training images: ``"crop"``, ``"flip"``, ``"crop+flip"``, or Keras layers.
    image_shape : tuple of int or None, default=None
        Shape (height, width, channels) of the samples that come as flat rows.
    cache_features : bool or "auto", default="auto"
        As of `PartialNetClassifier`, for each member.
    callbacks : keras.callbacks.Callback, list of them or None, default=None
        Copied for the base and for each member.
    warm_start : bool, default=False
        Whether `fit` trains the members further, and adds some where `n_estimators` has grown.
    random_state : int, RandomState or None, default=None
        Decides everything random. None takes fresh entropy and leaves NumPy's global stream alone.
    verbose : int, default=0
        1 shows a progress bar for each part, 2 a line per epoch besides.
    calibrate : bool, default=False
        Fit one temperature for the members' outputs on held-out samples: `X_val, y_val` of `fit`,
        or `validation_fraction` of the training data, which then no part is trained on.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels.
    base_ : Base
        The network nobody changes, one object for all members.
    estimators_ : list of PartialNetClassifier
        The members; each can be used by itself.
    base_history_ : dict of str to list of float
        Loss and accuracy of the base's epochs; a member has its own `history_`.
    n_trainable_ : int
        Trainable parameters of all members together; those of the base are not counted.
    freeze_fraction_ : float
        Frozen entries divided by all, over the members.
    n_iter_ : int
        Epochs of the member that did most.
    n_features_in_ : int
        Number of features of a sample.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where X had string names for all.
    input_shape_ : tuple of int
        Shape of one sample as the network takes it.
    temperature_ : float
        What the members' outputs are divided by; 1 without `calibrate`.

    See Also
    --------
    CheapEnsembleRegressor : The same for targets.
    PartialNetClassifier : One network.

    Notes
    -----
    Rosenfeld and Tsotsos (2018), "Intriguing Properties of Randomly Weighted Networks",
    arXiv:1802.00844, who train base and members for one epoch each.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from frozenfit import CheapEnsembleClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> ensemble = CheapEnsembleClassifier(n_estimators=3, random_state=0).fit(X / 16, y)
    >>> ensemble.predict_members(X[:2] / 16).shape
    (3, 2, 10)
    >>> rows = ensemble.ensemble_report(X / 16, y)
    >>> rows[-1].member, rows[-1].accuracy > 0.95
    ('ensemble', True)
    """

    _member_class = PartialNetClassifier

    _parameter_constraints = {
        **CheapEnsemble._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "calibrate": ["boolean"],
    }

    def __init__(
        self,
        model: Any = "mlp",
        *,
        n_estimators: int = 5,
        base_epochs: int = 1,
        members: Any = "same",
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
        calibrate: bool = False,
    ):
        super().__init__(
            model,
            n_estimators=n_estimators,
            base_epochs=base_epochs,
            members=members,
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
        self.calibrate = calibrate

    def _hold_out(self, problem, seeds):
        if not self.calibrate or problem.validation is not None:
            return problem, problem.validation
        rng = np.random.default_rng(seeds["held_out"])
        training, held_out = split(problem.data, self.validation_fraction, rng, stratify=True)
        return replace(problem, data=training), held_out

    def _after_members(self, held_out):
        self.temperature_ = 1.0
        if self.calibrate and held_out is not None:
            outputs = self._member_logits(held_out.X[held_out.rows])
            self.temperature_ = temperature(outputs, held_out.y[held_out.rows], held_out.weight)

    def _logits(self, X: np.ndarray, n_members: int | None = None) -> np.ndarray:
        return pooled(self._member_logits(X, n_members), self.temperature_)

    def _joined(self, outputs: Any) -> Any:
        ops = keras.ops
        each = ops.log_softmax(outputs / self.temperature_, axis=-1)
        return ops.logsumexp(each, axis=0) - float(np.log(len(self.estimators_)))

    def predict(self, X, n_members=None):
        """Predict class labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.
        n_members : int, default=None
            Ask the first so many members only; None asks all.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels from `classes_`.
        """
        check_is_fitted(self)
        return self.classes_[self._outputs(X, n_members=n_members).argmax(axis=1)]

    def predict_proba(self, X, n_members=None):
        """Compute class probabilities: the mean of the members' own.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.
        n_members : int, default=None
            Ask the first so many members only; None asks all.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities.
        """
        return softmax(self._outputs(X, n_members=n_members), axis=1)

    def predict_members(self, X):
        """Compute the class probabilities of each member.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_members, n_samples, n_classes)
            Probabilities; their mean over the members is `predict_proba`.
        """
        return softmax(self._member_logits(self._samples(X)) / self.temperature_, axis=2)

    def predictive_entropy(self, X):
        """Compute how uncertain the ensemble is about each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Entropy of `predict_proba` in nats.
        """
        return _report.entropy(self.predict_proba(X))

    def mutual_information(self, X):
        """Compute how much of the uncertainty comes from members that differ.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Predictive entropy minus the mean entropy of the members, in nats; 0 where all agree.
        """
        each = self.predict_members(X)
        shared = _report.entropy(each.mean(axis=0)) - _report.entropy(each).mean(axis=0)
        return np.maximum(shared, 0.0)

    def ensemble_report(self, X, y):
        """Say how good the members are, and the ensemble.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.
        y : array-like of shape (n_samples,)
            True labels.

        Returns
        -------
        list of ClassifierRow
            ``(member, accuracy, nll, brier, ece, disagreement)`` of each member, "mean" and
            "ensemble": negative log likelihood, Brier score from 0 to 2, expected calibration
            error over 15 bins, and the share of samples on which two members predict different
            labels. `frozenfit.estimators.report_text` prints it.
        """
        check_is_fitted(self)
        X, y = self._check_data(X, y, reset=False)
        return _report.classifier_report(self.predict_members(X), self._encode(y, reset=False))
