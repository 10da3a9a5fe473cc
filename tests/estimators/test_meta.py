"""scikit-learn's own meta-estimators use every setting, and metadata finds its way."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from estimator_data import classifier, regressor, same, table, targets
from sklearn.base import is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, check_cv, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from frozenfit.selectors import filters, head


def odd():
    """Settings that are all visible in the fitted estimator."""
    return classifier(
        model_params={"hidden_layer_sizes": (6,)}, trainable=filters(2) | head(), epochs=3
    )


def used(estimator):
    """Whether a fitted estimator was trained with the settings of `odd`."""
    trainable = {path: n for path, _, _, n, _ in estimator.parameter_table()}
    assert estimator.n_iter_ == 3
    assert trainable["dense1/kernel"] == 2 * 4 and trainable["dense1/bias"] == 2
    return True


def test_scikit_learn_sees_a_classifier_and_a_regressor():
    assert is_classifier(classifier()) and not is_regressor(classifier())
    assert is_regressor(regressor()) and not is_classifier(regressor())


def test_folds_are_stratified():
    _, y = table()
    assert isinstance(check_cv(3, y, classifier=is_classifier(classifier())), StratifiedKFold)


def test_cross_validation_scores_what_a_fit_by_hand_scores():
    X, y = table()
    folds = list(StratifiedKFold(3).split(X, y))
    by_hand = [odd().fit(X[a], y[a]).score(X[b], y[b]) for a, b in folds]
    assert np.array_equal(cross_val_score(odd(), X, y, cv=3), by_hand)


def test_a_grid_search_sets_the_parameters_of_its_grid():
    X, y = table()
    grid = {"trainable": [0.25, "head()"], "model_params__hidden_layer_sizes": [(4,), (5,)]}
    search = GridSearchCV(odd(), grid, cv=2).fit(X, y)
    assert not np.isnan(search.cv_results_["mean_test_score"]).any()
    best = search.best_params_
    size = best["model_params__hidden_layer_sizes"][0]
    assert search.best_estimator_.parameter_table()[0][1] == (4, size)
    assert search.best_estimator_.n_iter_ == 3
    assert search.best_estimator_.trainable == best["trainable"]


def test_a_pipeline_scales_before_the_network():
    X, y = table()
    pipe = make_pipeline(StandardScaler(), odd()).fit(X * 1000, y)
    alone = odd().fit(StandardScaler().fit_transform(X * 1000), y)
    assert same(pipe[-1], alone) and used(pipe[-1])


def test_stacking_uses_all_settings():
    X, y = table()
    stack = StackingClassifier([("net", odd())], LogisticRegression(), cv=2).fit(X, y)
    assert used(stack.named_estimators_["net"]) and stack.score(X, y) > 0.5


def test_voting_uses_all_settings():
    X, y = table()
    members = [("net", odd()), ("line", LogisticRegression())]
    vote = VotingClassifier(members, voting="soft").fit(X, y)
    assert used(vote.named_estimators_["net"]) and vote.score(X, y) > 0.5


def test_bagging_uses_all_settings_and_varies_the_seed():
    X, y = table()
    bag = BaggingClassifier(odd(), n_estimators=2, bootstrap=False, random_state=0).fit(X, y)
    assert all(used(member) for member in bag.estimators_)
    assert not same(*bag.estimators_)


def test_bagging_with_bootstrap_weights_trains():
    X, y = table()
    bag = BaggingClassifier(odd(), n_estimators=2, max_samples=0.5, random_state=0).fit(X, y)
    assert bag.predict_proba(X).shape == (48, 3)


def test_calibration_uses_all_settings():
    X, y = table()
    calibrated = CalibratedClassifierCV(odd(), cv=2).fit(X, y)
    assert all(used(one.estimator) for one in calibrated.calibrated_classifiers_)


def test_one_vs_rest_uses_all_settings():
    X, y = table()
    rest = OneVsRestClassifier(odd()).fit(X, y)
    assert len(rest.estimators_) == 3 and all(used(one) for one in rest.estimators_)


def test_one_regressor_for_each_target():
    X, y = targets(n_targets=2)
    both = MultiOutputRegressor(regressor(epochs=1)).fit(X, y)
    alone = regressor(epochs=1).fit(X, y[:, 1])
    assert np.array_equal(both.predict(X)[:, 1], alone.predict(X))


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


WEIGHT = np.arange(48) % 4 + 1.0


@pytest.mark.usefixtures("routing")
def test_weights_are_routed_through_a_pipeline():
    X, y = table()
    pipe = make_pipeline(StandardScaler(), odd().set_fit_request(sample_weight=True))
    pipe[0].set_fit_request(sample_weight=False)
    pipe.fit(X, y, sample_weight=WEIGHT)
    scaled = StandardScaler().fit_transform(X)
    assert same(pipe[-1], odd().fit(scaled, y, sample_weight=WEIGHT))
    assert not same(pipe[-1], odd().fit(scaled, y))


@pytest.mark.usefixtures("routing")
def test_weights_are_cut_per_fold_in_a_search():
    X, y = table()
    estimator = odd().set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
    search = GridSearchCV(estimator, {"trainable": [0.5]}, cv=2).fit(X, y, sample_weight=WEIGHT)
    a, b = next(iter(StratifiedKFold(2).split(X, y)))
    by_hand = odd().set_params(trainable=0.5).fit(X[a], y[a], sample_weight=WEIGHT[a])
    assert search.cv_results_["split0_test_score"][0] == by_hand.score(X[b], y[b])
    whole = odd().set_params(trainable=0.5).fit(X, y, sample_weight=WEIGHT)
    assert same(search.best_estimator_, whole)


@pytest.mark.usefixtures("routing")
def test_held_out_data_are_routed_to_fit():
    X, y = table()
    pipe = make_pipeline(odd().set_fit_request(X_val=True, y_val=True))
    pipe.fit(X, y, X_val=X[:9], y_val=y[:9])
    assert len(pipe[-1].history_["val_loss"]) == 3


@pytest.mark.usefixtures("routing")
def test_weights_that_nobody_asked_for_are_refused():
    X, y = table()
    with pytest.raises(ValueError, match="sample_weight"):
        make_pipeline(odd()).fit(X, y, sample_weight=WEIGHT)
