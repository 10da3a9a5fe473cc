"""CheapEnsembleClassifier: classifiers that share one frozen base."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np
from sklearn.utils.validation import check_is_fitted

from frozenfit.estimators import ensemble_report as _report
from frozenfit.estimators.calibration import label_logits, pooled, temperature
from frozenfit.estimators.classifier import NetworkClassifier
from frozenfit.estimators.ensemble_base import CheapEnsemble
from frozenfit.estimators.one_network import train_one_network
from frozenfit.estimators.partial_net import PartialNetClassifier
from frozenfit.types import RandomState, Trainable

if TYPE_CHECKING:
    from frozenfit.types import ArrayLike, SamplesLike


class CheapEnsembleClassifier(CheapEnsemble, NetworkClassifier):
    """An ensemble of classifiers that share one frozen network.

    All members start from the same base and own only what they trained, so that memory and files
    grow with the trained parameters and not with the number of networks.

    Parameters
    ----------
    estimator : PartialNetClassifier or None, default=None
        The settings of the members: network, trainable parameters, frozen values, epochs,
        optimizer and so on. None means ``PartialNetClassifier()``. The ensemble replaces its
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
    calibrate : bool, default=False
        Whether to divide the outputs of all members by one temperature, fitted on `X_val`,
        `y_val` of `fit` or on ``estimator.validation_fraction`` of the training data, which is
        then held out from base and members.
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
    classes_ : ndarray of shape (n_classes,)
        The class labels.
    base_ : Base
        The network that all members share; it is never modified. With ``base="joint"`` it has the
        trained kernels.
    estimators_ : list of PartialNetClassifier
        The members; each is a fitted estimator that can be used alone.
    base_history_ : dict of str to list of float
        Loss and accuracy of the epochs of the base; empty unless it is "trained".
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
    temperature_ : float
        Divisor of the members' outputs; 1 without `calibrate`.

    See Also
    --------
    CheapEnsembleRegressor : The same for regression.
    PartialNetClassifier : A single classifier.
    frozenfit.save : Store an ensemble, with its base at most once.

    Notes
    -----
    Rosenfeld and Tsotsos (2018), "Intriguing Properties of Randomly Weighted Networks",
    arXiv:1802.00844, train the base and each member for one epoch. The probabilities of the
    ensemble are the mean of those of its members.

    ``members="adapters"`` is BatchEnsemble (Wen, Tran and Ba 2020, arXiv:2002.06715) on kernels
    that are not trained with the members. With ``base="joint"`` they are, and it is BatchEnsemble
    as published; TabM (Gorishniy, Kotelnikov and Babenko 2025, arXiv:2410.24210) is such an
    ensemble for tables. The loss is the sum of those of the members, so that the gradient of a
    kernel is the sum of the gradients of the members.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from frozenfit import CheapEnsembleClassifier, PartialNetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> member = PartialNetClassifier(trainable=0.1)
    >>> ensemble = CheapEnsembleClassifier(member, n_estimators=3, random_state=0).fit(X / 16, y)
    >>> ensemble.predict_members(X[:2] / 16).shape
    (3, 2, 10)
    >>> rows = ensemble.ensemble_report(X / 16, y)
    >>> rows[-1].member, rows[-1].accuracy > 0.95
    ('ensemble', True)
    """

    _member_class = PartialNetClassifier
    _takes_multilabel = True

    _parameter_constraints = {
        **CheapEnsemble._parameter_constraints,
        "estimator": [PartialNetClassifier, None],
        "calibrate": ["boolean"],
    }

    def __init__(
        self,
        estimator: PartialNetClassifier | None = None,
        n_estimators: int = 5,
        *,
        base: str = "trained",
        base_epochs: int = 1,
        members: str | Sequence[Trainable] = "same",
        calibrate: bool = False,
        stopping: str = "auto",
        vectorize: bool | Literal["auto"] = "auto",
        warm_start: bool = False,
        random_state: RandomState = None,
        verbose: int = 0,
    ):
        super().__init__(
            estimator,
            n_estimators,
            base=base,
            base_epochs=base_epochs,
            members=members,
            stopping=stopping,
            vectorize=vectorize,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
        )
        self.calibrate = calibrate

    def _check_streams(self, one_pass: bool, validated: bool) -> None:
        super()._check_streams(one_pass, validated)
        if self.calibrate and not validated:
            raise ValueError(
                "`calibrate=True` requires `X_val` where X is a source of batches, which cannot be "
                "split. Pass validation data as X_val to `fit`, or set calibrate=False."
            )

    @property
    def _calibrates(self) -> bool:
        return self.calibrate

    def _after_members(self, held_out):
        self.temperature_ = 1.0
        if self.calibrate and held_out is not None:
            parts = [(self._member_logits(x), y, weight) for x, y, weight in held_out.parts()]
            outputs = np.concatenate([outputs for outputs, _, _ in parts], axis=1)
            y, weight = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
            if self._task == "multilabel":
                weight = np.repeat(weight, y.shape[1])
                outputs, y = label_logits(outputs), y.ravel().astype(np.int32)
            self.temperature_ = temperature(outputs, y, weight)

    def _logits(self, X: np.ndarray, n_members: int | None = None) -> np.ndarray:
        return self._average(self._member_logits(X, n_members), self.temperature_)

    def _average(self, outputs: np.ndarray, temperature: float = 1.0) -> np.ndarray:
        outputs = outputs.astype(np.float64)
        if self._task == "classification":
            return pooled(outputs, temperature)
        no, yes = pooled(label_logits(outputs), temperature).T
        return (yes - no).reshape(outputs.shape[1:])

    def _joined(self, outputs: Any) -> Any:
        ops: Any = keras.ops
        outputs = outputs / self.temperature_
        if self._task == "multilabel":
            # Logits of the mean probabilities.
            yes, no = (ops.logsumexp(ops.log_sigmoid(x), axis=0) for x in (outputs, -outputs))
            return yes - no
        # Logarithms of the mean probabilities, so that their softmax is `predict_proba`.
        each = ops.log_softmax(outputs, axis=-1)
        return ops.logsumexp(each, axis=0) - float(np.log(len(self.estimators_)))

    def predict(self, X: SamplesLike, n_members: int | None = None) -> np.ndarray:
        """Predict class labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.
        n_members : int, default=None
            Number of members to use, from the first; None uses all.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
            Labels from `classes_`; for several labels per sample, 1 where the probability of a
            label is above one half.
        """
        check_is_fitted(self)
        return self._labels(self._outputs(X, n_members=n_members))

    def predict_proba(self, X: SamplesLike, n_members: int | None = None) -> np.ndarray:
        """Compute class probabilities, the mean of those of the members.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.
        n_members : int, default=None
            Number of members to use, from the first; None uses all.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities.
        """
        return self._probabilities(self._outputs(X, n_members=n_members))

    def predict_members(self, X: SamplesLike) -> np.ndarray:
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
        return self._probabilities(self._outputs_of_members(X) / self.temperature_)

    def predictive_entropy(self, X: SamplesLike) -> np.ndarray:
        """Compute the uncertainty of the ensemble about each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Entropy of `predict_proba` in nats; for several labels per sample, summed over them.
        """
        return self._entropy(self.predict_proba(X))

    def _entropy(self, probabilities: np.ndarray) -> np.ndarray:
        if self._task == "classification":
            return _report.entropy(probabilities)
        both = np.stack([probabilities, 1 - probabilities], axis=-1)
        return _report.entropy(both).sum(axis=-1)

    def mutual_information(self, X: SamplesLike) -> np.ndarray:
        """Compute the part of the uncertainty that is due to disagreement of the members.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Predictive entropy minus the mean entropy of the members, in nats; 0 where the members
            agree.
        """
        each = self.predict_members(X)
        shared = self._entropy(each.mean(axis=0)) - self._entropy(each).mean(axis=0)
        return np.maximum(shared, 0.0)

    def ensemble_report(
        self,
        X: SamplesLike,
        y: ArrayLike,
        *,
        X_train: SamplesLike | None = None,
        y_train: ArrayLike | None = None,
    ) -> list[_report.ClassifierRow]:
        """Evaluate each member, the ensemble, and one network trained as a whole.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.
        y : array-like of shape (n_samples,)
            True labels.
        X_train, y_train : array-like, default=None
            Training data, with which one network is trained as a whole, with the settings of
            `estimator` and from the values that the base started from: the network to beat. With
            ``base="trained"`` it is trained for `base_epochs` more than a member, unless
            `epochs` is "auto". By default there is no such network.

        Returns
        -------
        list of ClassifierRow
            One row for each member, for their mean, for the ensemble, and for the one network if
            there are training data, with the fields
            ``(member, accuracy, nll, brier, ece, disagreement)``: negative log likelihood, Brier
            score from 0 to 2, expected calibration error over 15 bins, and the fraction of samples
            for which two members predict different labels. `frozenfit.estimators.report_text`
            formats the rows.
        """
        check_is_fitted(self)
        if self._task == "multilabel":
            raise ValueError(
                "`ensemble_report` requires one label per sample, but the ensemble is fitted on a "
                "matrix of labels. Evaluate `predict_members` label by label."
            )
        samples, targets = self._check_data(X, y, reset=False)
        one = train_one_network(self, X_train, y_train)
        return _report.classifier_report(
            self.predict_members(samples),
            self._encode(targets, reset=False),
            None if one is None else one.predict_proba(samples),
        )
