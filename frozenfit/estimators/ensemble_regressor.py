"""CheapEnsembleRegressor: regressors that share one frozen base."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import check_is_fitted

from frozenfit.estimators import ensemble_report as _report
from frozenfit.estimators.ensemble_base import CheapEnsemble
from frozenfit.estimators.partial_net import PartialNetRegressor
from frozenfit.estimators.regressor import NetworkRegressor


class CheapEnsembleRegressor(CheapEnsemble, NetworkRegressor):
    """An ensemble of regressors that share one network and learn a part of it each.

    As `CheapEnsembleClassifier`; targets are standardized as in `PartialNetRegressor`, and the
    prediction is the mean of the members' predictions.

    Parameters
    ----------
    model : str, callable, keras.Model or Base, default="mlp"
        The network below: a name from `frozenfit.architectures`, a callable
        ``f(input_shape, n_outputs, **model_params) -> keras.Model`` of outputs, a built model, or
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
        Part of the training data that is held out for early stopping.
    patience : int, default=5
        Epochs without improvement before stopping.
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

    Attributes
    ----------
    base_ : Base
        The network nobody changes, one object for all members.
    estimators_ : list of PartialNetRegressor
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

    See Also
    --------
    CheapEnsembleClassifier : The same for classes, with more on the method.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from frozenfit import CheapEnsembleRegressor
    >>> X, y = make_regression(200, 5, random_state=0)
    >>> ensemble = CheapEnsembleRegressor(n_estimators=3, random_state=0).fit(X, y)
    >>> ensemble.predict_members(X).shape
    (3, 200, 1)
    """

    _member_class = PartialNetRegressor

    def _logits(self, X: np.ndarray, n_members: int | None = None) -> np.ndarray:
        return self._member_logits(X, n_members).mean(axis=0)

    def predict(self, X, n_members=None):
        """Predict targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.
        n_members : int, default=None
            Ask the first so many members only; None asks all.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            The members' mean, shaped as the y of `fit`.
        """
        y = self._on_scale(self._outputs(X, n_members=n_members))
        return y[:, 0] if self._single_target else y

    def _on_scale(self, outputs: np.ndarray) -> np.ndarray:
        return outputs * self._target_scale + self._target_mean

    def predict_members(self, X):
        """Compute the predictions of each member.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_members, n_samples, n_targets)
            Predictions; their mean over the members is `predict`.
        """
        return self._on_scale(self._member_logits(self._samples(X)))

    def ensemble_report(self, X, y):
        """Say how good the members are, and the ensemble.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            True targets.

        Returns
        -------
        list of RegressorRow
            ``(member, rmse, disagreement)`` of each member, "mean" and "ensemble": root mean
            square error, and root mean square difference of two members.
            `frozenfit.estimators.report_text` prints it.
        """
        check_is_fitted(self)
        X, y = self._check_data(X, y, reset=False)
        return _report.regressor_report(self.predict_members(X), self._encode(y, reset=False))
