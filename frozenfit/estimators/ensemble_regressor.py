"""CheapEnsembleRegressor: regressors that share one frozen base."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.validation import check_is_fitted

from frozenfit.estimators import ensemble_report as _report
from frozenfit.estimators.ensemble_base import CheapEnsemble
from frozenfit.estimators.one_network import train_one_network
from frozenfit.estimators.partial_net import PartialNetRegressor
from frozenfit.estimators.regressor import NetworkRegressor

if TYPE_CHECKING:
    from frozenfit.types import ArrayLike, SamplesLike


class CheapEnsembleRegressor(CheapEnsemble, NetworkRegressor):
    """An ensemble of regressors that share one frozen network.

    All members start from the same base and own only what they trained, so that memory and files
    grow with the trained parameters and not with the number of networks.

    Parameters
    ----------
    estimator : PartialNetRegressor or None, default=None
        The settings of the members: network, trainable parameters, frozen values, epochs,
        optimizer and so on. None means ``PartialNetRegressor()``. The ensemble replaces its
        `random_state`, `warm_start` and `verbose`, and gives base and members a file each where
        it has a `checkpoint`. ``set_params(estimator__trainable=0.2)`` sets one of its parameters.
    n_estimators : int, default=5
        Number of members.
    base : {"trained", "frozen", "joint"}, default="trained"
        The network that the members share. "trained" trains all of it for `base_epochs`, as in
        the published protocol. "frozen" does not train it: it is drawn from the seed, in which
        case no file stores it, or it is the model that `estimator` was given. "joint" trains its
        kernels together with the members, on the sum of their losses, and requires
        ``members="adapters"``: the kernels are stored once, and members cannot be added or removed
        afterwards.
    base_epochs : int, default=1
        Number of epochs in which the base is trained; unused unless it is "trained".
    members : {"same", "disjoint", "adapters"} or list of selectors, default="same"
        Which parameters each member trains. With "same", those of ``estimator.trainable``, from
        different seeds. With "disjoint", members have no trainable parameter in common: if
        ``estimator.trainable`` is a fraction, each trains a random part of that size, and if it is
        a selector, each trains an equal share of it. "adapters" does not use
        ``estimator.trainable``: members share all kernels but that of the head, and each trains
        the scales of their inputs and outputs, all biases, the batch normalizations and the head;
        the scales of the first inputs start at random signs, a different draw for each member. A
        list has one selector for each member.
    stopping : {"auto", "members", "ensemble"}, default="auto"
        Which validation loss the early stopping of `estimator` and the pilot run of
        ``epochs="auto"`` follow. With "members", each member follows its own loss, on a part of
        the samples that is held out from it alone. With "ensemble", all members follow the loss of
        their averaged prediction, on one part that is held out from all of them: they end after
        the same epoch, and have the parameters of the best epoch of the ensemble. This requires
        members that are trained in one compiled pass. "auto" is "ensemble" for
        ``base="joint"``, else "members".
    vectorize : bool or "auto", default="auto"
        Whether the members are trained in one compiled pass, each with its own batch order and
        early stopping; the results are those of training one after the other up to rounding.
        "auto" does so for networks of dense layers, normalizations and activations and settings
        that all members can follow together, see the user guide; on TensorFlow also for
        convolutions whose kernels are shared, which cost more together on JAX and torch. True
        raises an error where members cannot be trained together, as ``base="joint"`` and
        ``stopping="ensemble"`` do. With False, a member is bit for bit what `estimator` alone would
        become.
    warm_start : bool, default=False
        Whether `fit` continues the training of fitted members, and adds members if `n_estimators`
        has increased.
    random_state : int, RandomState or None, default=None
        Determines the base, the parameters of disjoint members, and all training. None uses fresh
        entropy and leaves NumPy's global stream unchanged.
    verbose : int, default=0
        1 shows a progress bar for the base and each member, 2 also prints a line per epoch.

    Attributes
    ----------
    base_ : Base
        The network that all members share; it is never modified. With ``base="joint"`` it has the
        trained kernels.
    estimators_ : list of PartialNetRegressor
        The members; each is a fitted estimator that can be used alone.
    base_history_ : dict of str to list of float
        Loss of the epochs of the base; empty unless it is "trained".
    history_ : dict of str to list of float
        Validation metrics of the averaged prediction after each epoch of the last call of `fit`,
        where the members stop together and there are validation samples; else empty.
    n_trainable_ : int
        Number of trained parameters of all members together, without those of the base.
    freeze_fraction_ : float
        Number of frozen parameters divided by the number of all parameters of the network, averaged
        over the members, in which the parameters of the base are frozen however it was trained.
        Scales are none of the network's: each counts as one frozen parameter less.
    n_iter_ : int
        Number of epochs of the member that was trained longest.
    n_features_in_ : int
        Number of features of a sample.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if X had a string name for each of them.
    input_shape_ : tuple of int
        Shape of one sample as the network receives it.

    See Also
    --------
    CheapEnsembleClassifier : The same for classification.
    PartialNetRegressor : A single regressor.
    frozenfit.save : Store an ensemble, with its base at most once.

    Notes
    -----
    The prediction is the mean of the members' predictions.

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

    _parameter_constraints = {
        **CheapEnsemble._parameter_constraints,
        "estimator": [PartialNetRegressor, None],
    }

    def _logits(self, X: np.ndarray, n_members: int | None = None) -> np.ndarray:
        return self._average(self._member_logits(X, n_members))

    def predict(self, X: SamplesLike, n_members: int | None = None) -> np.ndarray:
        """Predict targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.
        n_members : int, default=None
            Number of members to use, from the first; None uses all.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            Mean of the members' predictions, with the shape of the y of `fit`.
        """
        y = self._on_scale(self._outputs(X, n_members=n_members))
        return y[:, 0] if self._single_target else y

    def _on_scale(self, outputs: np.ndarray) -> np.ndarray:
        return outputs * self._target_scale + self._target_mean

    def predict_members(self, X: SamplesLike) -> np.ndarray:
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
        return self._on_scale(self._outputs_of_members(X))

    def ensemble_report(
        self,
        X: SamplesLike,
        y: ArrayLike,
        *,
        X_train: SamplesLike | None = None,
        y_train: ArrayLike | None = None,
    ) -> list[_report.RegressorRow]:
        """Evaluate each member, the ensemble, and one network trained as a whole.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            True targets.
        X_train, y_train : array-like, default=None
            Training data, with which one network is trained as a whole, with the settings of
            `estimator` and from the values that the base started from: the network to beat. With
            ``base="trained"`` it is trained for `base_epochs` more than a member, unless
            `epochs` is "auto". By default there is no such network.

        Returns
        -------
        list of RegressorRow
            One row for each member, for their mean, for the ensemble, and for the one network if
            there are training data, with the fields
            ``(member, rmse, disagreement)``: root mean square error, and root mean square
            difference of two members. `frozenfit.estimators.report_text` formats the rows.
        """
        check_is_fitted(self)
        samples, targets = self._check_data(X, y, reset=False)
        one = train_one_network(self, X_train, y_train)
        return _report.regressor_report(
            self.predict_members(samples),
            self._encode(targets, reset=False),
            None if one is None else one.predict(samples).reshape(len(targets), -1),
        )
