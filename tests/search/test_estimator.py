"""FreezeSearchCV: objectives, constraints, folds, weights, pruning, failures."""

from __future__ import annotations

import pickle
import re
import sys

import joblib
import numpy as np
import pytest
from search_fakes import TOTAL, Failing, Hopeless, Quick
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_iris
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from frozenfit import ELMClassifier, PartialNetClassifier, clear_workspace
from frozenfit.search import FreezeSearchCV
from frozenfit.search.objectives import METRICS, read_constraints, read_directions
from frozenfit.search.results import choose_small

optuna = pytest.importorskip("optuna")
X, y = load_iris(return_X_y=True)
BOTH = {"score": "maximize", "trainable": "minimize"}


def searched(estimator=None, **settings):
    settings = {"n_trials": 6, "cv": 3, "random_state": 0, **settings}
    return FreezeSearchCV(estimator or Quick(), **settings)


def small_net(**settings):
    params = {"hidden_layer_sizes": (6,)}
    return PartialNetClassifier(
        model_params=params, **{"epochs": 3, "batch_size": 64, "random_state": 0, **settings}
    )


# What it finds


def test_one_objective_finds_the_best_score():
    found = searched().fit(X, y)
    scores = found.cv_results_["mean_test_score"]
    assert found.best_score_ == scores.max() == scores[found.best_index_]
    assert found.cv_results_["rank_test_score"][found.best_index_] == 1


def test_the_first_trials_are_the_estimator_itself_and_everything():
    found = searched(Quick(trainable=0.25), n_trials=2).fit(X, y)
    assert [p["trainable"] for p in found.cv_results_["params"]] == [0.25, 1.0]


def test_the_best_is_fitted_on_all_data():
    found = searched().fit(X, y)
    assert found.best_estimator_.n_rows_ == len(X)
    assert found.best_estimator_.get_params()["trainable"] == found.best_params_["trainable"]
    assert (found.predict(X) == found.best_estimator_.predict(X)).all()
    assert found.n_features_in_ == 4 and (found.classes_ == [0, 1, 2]).all()


def test_without_refit_there_is_nothing_to_predict_with():
    found = searched(refit=False).fit(X, y)
    assert found.best_params_ and not hasattr(found, "best_estimator_")
    with pytest.raises(AttributeError):
        found.predict(X)


def test_one_seed_gives_one_search():
    first, second = (searched(n_trials=8, directions=BOTH).fit(X, y) for _ in range(2))
    assert first.cv_results_["params"] == second.cv_results_["params"]
    other = searched(n_trials=8, directions=BOTH, random_state=1).fit(X, y)
    assert first.cv_results_["params"] != other.cv_results_["params"]


def test_the_seed_reaches_an_estimator_without_one():
    assert searched().fit(X, y).best_estimator_.random_state is not None
    assert searched(Quick(random_state=3)).fit(X, y).best_estimator_.random_state == 3


def test_folds_side_by_side_give_the_same():
    one = searched().fit(X, y)
    with joblib.parallel_config("threading"):  # processes would load the backend anew
        two = searched(n_jobs=2).fit(X, y)
    np.testing.assert_array_equal(
        one.cv_results_["split2_test_score"], two.cv_results_["split2_test_score"]
    )


def test_nothing_is_changed_that_was_given():
    estimator, space = Quick(), {"frozen": "zero"}
    search_ = searched(estimator, space=space)
    search_.fit(X, y)
    assert not hasattr(estimator, "classes_")
    assert search_.estimator is estimator and space == {"frozen": "zero"}
    assert clone(search_).get_params()["space"] == space


def test_a_space_can_be_a_function_and_an_estimator_any():
    def space(trial, estimator):
        return {"C": trial.suggest_float("C", 0.01, 10, log=True)}

    found = searched(LogisticRegression(max_iter=1000), space=space).fit(X, y)
    assert set(found.best_params_) == {"C"}


def test_tags_and_kind_are_those_of_the_estimator():
    assert is_classifier(searched())


def test_a_fitted_search_can_be_pickled():
    found = searched().fit(X, y)
    again = pickle.loads(pickle.dumps(found))
    assert (again.predict(X) == found.predict(X)).all()
    assert len(again.study_.trials) == 6


# Objectives


def test_no_trial_dominates_a_pareto_optimal_one():
    found = searched(n_trials=10, directions=BOTH).fit(X, y)
    rows = found.trials_table()
    pareto = [r for r in rows if r["pareto_optimal"]]
    assert 1 < len(pareto) < len(rows)
    for row in pareto:
        assert not any(
            o["score"] >= row["score"] and o["trainable"] < row["trainable"] for o in rows
        )


def test_the_best_trial_has_the_best_score():
    found = searched(n_trials=10, directions=BOTH).fit(X, y)
    assert found.best_score_ == max(row["score"] for row in found.trials_table())


def test_refit_is_a_metric_or_a_callable_of_cv_results():
    found = searched(directions=BOTH, refit="trainable").fit(X, y)
    fewest = found.cv_results_["mean_trainable"].min()
    assert found.cv_results_["mean_trainable"][found.best_index_] == fewest

    def fewest_trainable(cv_results):
        return np.argmin(cv_results["mean_trainable"])

    again = searched(directions=BOTH, refit=fewest_trainable).fit(X, y)
    assert again.best_params_ == found.best_params_
    assert again.best_estimator_.get_params()["trainable"] == found.best_params_["trainable"]


def test_refit_true_chooses_the_smallest_within_one_standard_error_of_the_best_score():
    large = optuna.distributions.FloatDistribution(0.8, 1.0)
    settings = {"directions": BOTH, "n_trials": 20, "space": {"fraction": large}}
    found = searched(**settings).fit(X, y)
    results = found.cv_results_
    folds = np.array([results[f"split{i}_test_score"] for i in range(3)])
    scores, errors = folds.mean(axis=0), folds.std(axis=0, ddof=1) / np.sqrt(3)
    best = searched(**settings, refit="score").fit(X, y).best_index_
    assert scores[best] == scores.max()
    near = scores >= scores[best] - errors[best]
    assert results["mean_trainable"][found.best_index_] == results["mean_trainable"][near].min()
    assert near.sum() > 1 and found.best_index_ != best
    assert [row["standard_error"] for row in found.trials_table()] == pytest.approx(errors)


def test_the_deviation_in_cv_results_is_that_of_grid_search():
    results = searched().fit(X, y).cv_results_
    folds = np.array([results[f"split{i}_test_score"] for i in range(3)])
    assert results["std_test_score"] == pytest.approx(folds.std(axis=0, ddof=0))


def test_refit_true_chooses_the_best_score_where_size_is_no_objective():
    for directions in (None, {"score": "maximize", "fit_time": "minimize"}):
        found = searched(directions=directions, n_trials=20).fit(X, y)
        assert found.best_score_ == found.cv_results_["mean_test_score"].max()


def rows_of(*triples):
    """A table of trials: score, standard error and number of trainable parameters."""
    names = ("score", "standard_error", "trainable")
    rows = [dict(zip(names, triple, strict=True)) for triple in triples]
    return [{**row, "pareto_optimal": True} for row in rows]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (rows_of((0.9, 0.02, 900), (0.88, 0.0, 90), (0.87, 0.5, 9)), 1),
        (rows_of((0.9, 0.0, 900), (0.9 - 1e-15, 0.0, 90), (0.89, 0.0, 9)), 1),
        (rows_of((0.8, 0.2, 9), (0.9, 0.01, 900)), 1),  # the error of the best score counts
    ],
)
def test_the_error_of_the_best_score_decides_which_networks_are_near(rows, expected):
    assert choose_small(rows, BOTH, METRICS) == expected


def test_a_score_that_is_minimized_is_near_from_above():
    rows = rows_of((0.1, 0.02, 900), (0.11, 0.0, 90), (0.13, 0.0, 9))
    directions = {"score": "minimize", "trainable": "minimize"}
    assert choose_small(rows, directions, METRICS | directions) == 1


def test_a_single_fold_has_no_standard_error():
    cv = ShuffleSplit(1, random_state=0)
    found = searched(directions=BOTH, n_trials=8, cv=cv).fit(X, y)
    assert found.best_score_ == found.cv_results_["mean_test_score"].max()
    assert {row["standard_error"] for row in found.trials_table()} == {0.0}


def test_refit_false_chooses_the_same_trial():
    for directions in (None, BOTH):
        with_refit, without = (
            searched(directions=directions, refit=refit).fit(X, y) for refit in (True, False)
        )
        assert without.best_index_ == with_refit.best_index_
        assert without.best_params_ == with_refit.best_params_
        assert without.best_score_ == with_refit.best_score_
        assert not hasattr(without, "best_estimator_") and not hasattr(without, "refit_time_")


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (99, IndexError, "index from 0 to 5, got 99"),
        (-1, IndexError, "index from 0 to 5, got -1"),
        (1.5, TypeError, "must return an integer"),
        (1, ValueError, "trial 1, which violates a constraint"),
    ],
)
def test_a_callable_refit_must_return_the_index_of_a_feasible_trial(index, error, message):
    with pytest.raises(error, match=message):
        searched(refit=lambda cv_results: index, constraints="trainable <= 900").fit(X, y)


def test_all_metrics_are_measured():
    names = ("bytes", "fit_time", "predict_time")
    found = searched(n_trials=2, directions=dict.fromkeys(names, "minimize")).fit(X, y)
    row = found.trials_table()[1]
    assert row["bytes"] == 4 * TOTAL and row["fraction"] == 1
    assert row["fit_time"] > 0 and row["predict_time"] > 0


def test_an_estimator_without_a_parameter_table_lacks_its_metrics():
    space = {"space": lambda trial, estimator: {}, "directions": BOTH}
    with pytest.raises(ValueError, match="LogisticRegression does not provide trainable"):
        searched(LogisticRegression(max_iter=1000), **space).fit(X, y)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"directions": {"scores": "maximize"}}, "Unknown metric 'scores'. Did you mean 'score'"),
        ({"directions": {"score": "up"}}, "'maximize' or 'minimize'"),
        ({"directions": "score"}, "`directions` must be a dict"),
        ({"constraints": ["learnd <= 3"]}, "Unknown metric 'learnd'"),
        ({"constraints": ["trainable < 3"]}, "such as 'trainable <= 750'"),
        ({"constraints": ["trainable <= few"]}, "such as 'trainable <= 750'"),
        ({"scoring": "acuracy"}, "`scoring` must be .*'acuracy'. Did you mean 'accuracy'"),
        ({"scoring": ["accuracy", "f1"]}, "one name or one callable"),
        ({"refit": "bytes"}, "`refit` must be .*score, trainable, fit_time.*got 'bytes'"),
        ({"space": {"fractions": 0.1}}, "named 'fractions'. Did you mean 'fraction'"),
        ({"directions": BOTH, "pruner": "median"}, "requires the score as the only objective"),
        ({"n_jobs": 2, "pruner": "median"}, "n_jobs"),
        ({"n_trials": 0}, "n_trials"),
        (
            {"estimator": PartialNetClassifier(checkpoint="file", random_state=0)},
            "`checkpoint` of the estimator must be None.*'file'",
        ),
    ],
)
def test_invalid_settings_raise_in_fit(settings, said):
    with pytest.raises(ValueError, match=said):
        searched(**settings).fit(X, y)


def test_a_sampler_must_be_one():
    with pytest.raises(TypeError, match="optuna.samplers"):
        searched(sampler="tpe").fit(X, y)


# Constraints


def test_the_best_meets_the_constraints():
    found = searched(n_trials=8, constraints=["trainable <= 200"]).fit(X, y)
    assert found.cv_results_["mean_trainable"][found.best_index_] <= 200
    assert not found.cv_results_["feasible"][1]


def test_an_unmet_constraint_names_the_closest_trial():
    with pytest.raises(
        ValueError,
        match=r"None of the 2 completed trials meets trainable <= 50. .* trainable = 100",
    ):
        searched(n_trials=2, constraints="trainable <= 50").fit(X, y)


def test_constraints_and_directions_are_read():
    assert read_constraints("score>=0.9")[0].violation({"score": 0.9}) == 0
    assert read_constraints(["trainable <= 100"])[0].violation({"trainable": 150}) == 0.5
    assert read_directions(None) == {"score": "maximize"}


# Folds


def test_splits_are_made_once():
    class Counting(KFold):
        calls = 0

        def split(self, *args, **kwargs):
            Counting.calls += 1
            return super().split(*args, **kwargs)

    searched(n_trials=3, cv=Counting(3, shuffle=True)).fit(X, y)
    assert Counting.calls == 1


class Recording(Quick):
    """Keeps the weights of every fit."""

    seen: list = []

    def fit(self, X, y, sample_weight=None):
        Recording.seen.append((len(X), None if sample_weight is None else sample_weight.copy()))
        return super().fit(X, y, sample_weight)


def test_weights_are_split_with_the_folds():
    Recording.seen.clear()
    weight = np.arange(1.0, 151.0)
    folds = list(KFold(3, shuffle=True, random_state=0).split(X))
    searched(Recording(), n_trials=1, cv=folds).fit(X, y, sample_weight=weight)
    for (rows, seen), (train, _) in zip(Recording.seen[:3], folds, strict=True):
        assert rows == len(train)
        np.testing.assert_array_equal(seen, weight[train])
    np.testing.assert_array_equal(Recording.seen[3][1], weight)


def test_weights_reach_the_score():
    weight = np.where(y == 0, 1.0, 1e-9)  # class 0 is easy
    space = {"trainable": 0.4}
    plain = searched(n_trials=1, space=space).fit(X, y)
    weighted = searched(n_trials=1, space=space).fit(X, y, sample_weight=weight)
    assert weighted.best_score_ > plain.best_score_


def test_groups_reach_the_splitter():
    groups = np.arange(150) % 5
    found = searched(n_trials=1, cv=GroupKFold(5)).fit(X, y, groups=groups)
    assert found.n_splits_ == 5


def test_routed_arguments_go_where_they_are_requested():
    weight, groups = np.where(y == 0, 1.0, 1e-9), np.arange(150) % 5
    Recording.seen.clear()
    with config_context(enable_metadata_routing=True):
        asking = Recording().set_fit_request(sample_weight=True)
        asking = asking.set_score_request(sample_weight=False)
        found = searched(asking, n_trials=1, cv=GroupKFold(5), space={"trainable": 0.4})
        pipe = make_pipeline(FunctionTransformer(), found)
        pipe.fit(X, y, sample_weight=weight, groups=groups)
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            searched(Quick(), n_trials=1).fit(X, y, sample_weight=weight)
    assert pipe[-1].n_splits_ == 5
    np.testing.assert_array_equal(Recording.seen[-1][1], weight)
    plain = searched(n_trials=1, cv=GroupKFold(5), space={"trainable": 0.4})
    plain.fit(X, y, groups=groups)
    assert pipe[-1].best_score_ == plain.best_score_  # the score did not ask for weights


# Failures


def test_a_failed_trial_raises():
    with pytest.raises(ValueError, match="no training with"):
        searched(Failing()).fit(X, y)


def test_error_score_skips_failed_trials():
    found = searched(Failing(), error_score=np.nan).fit(X, y)
    assert found.best_params_["trainable"] == 1.0
    states = [trial.state.name for trial in found.study_.trials]
    assert states[0] == "FAIL" and len(states) == 6


def test_if_all_trials_fail_the_first_error_is_shown():
    with pytest.raises(ValueError, match="All 4 trials failed. The first error was: .*no memory"):
        searched(Hopeless(), n_trials=4, error_score=np.nan).fit(X, y)


def test_a_score_must_be_finite():
    with pytest.raises(ValueError, match="The score of fold 0 is nan"):
        searched(scoring=lambda estimator, X, y: float("nan")).fit(X, y)


def test_callbacks_are_called_after_each_trial():
    seen = []
    searched(n_trials=3, callbacks=lambda study, trial: seen.append(trial.number)).fit(X, y)
    assert seen == [0, 1, 2]


def test_the_bar_shows_the_trials(capsys):
    pytest.importorskip("rich")
    searched(n_trials=2, verbose=2).fit(X, y)
    said = capsys.readouterr().out
    assert "2/2" in said and "trial 1" in said


# With networks


def test_a_network_reports_once_per_fold_and_epoch():
    pytest.importorskip("sklearn.callback")  # without callbacks, one report per fold
    found = searched(small_net(), n_trials=1, cv=2, pruner=optuna.pruners.NopPruner()).fit(X, y)
    reports = found.study_.trials[0].intermediate_values
    assert sorted(reports) == [0, 1, 2, 3, 4, 5]
    assert reports[2] == pytest.approx(found.cv_results_["split0_test_score"][0])
    assert reports[5] == pytest.approx(found.best_score_)


def test_reports_go_through_a_pipeline():
    pytest.importorskip("sklearn.callback")  # without callbacks, one report per fold
    net = make_pipeline(StandardScaler(), small_net())
    found = searched(net, n_trials=1, cv=2, pruner=optuna.pruners.NopPruner()).fit(X, y)
    assert found.study_.trials[0].intermediate_values[5] == pytest.approx(found.best_score_)


class AfterTwo(optuna.pruners.BasePruner):
    """Ends every trial but the first at its second report."""

    def prune(self, study, trial):
        return trial.number > 0 and len(trial.intermediate_values) >= 2


def test_a_pruned_trial_stops_in_the_middle_of_a_fold():
    found = searched(small_net(), n_trials=2, cv=2, pruner=AfterTwo()).fit(X, y)
    first, second = found.study_.trials
    assert (first.state.name, second.state.name) == ("COMPLETE", "PRUNED")
    assert len(second.intermediate_values) == 2
    assert len(found.cv_results_["params"]) == 1


def test_pruning_with_an_automatic_number_of_epochs():
    space = {"epochs": optuna.distributions.CategoricalDistribution(("auto", 2))}
    for estimator, more in ((small_net(epochs="auto"), {}), (small_net(), {"space": space})):
        found = searched(estimator, n_trials=1, cv=2, pruner="median", **more).fit(X, y)
        assert found.study_.trials[0].intermediate_values


def test_an_estimator_without_epochs_reports_once_a_fold():
    found = searched(n_trials=1, pruner="median").fit(X, y)
    assert len(found.study_.trials[0].intermediate_values) == 3


def test_trials_of_one_shape_compile_nothing_new(monkeypatch):
    from frozenfit.training import network

    made = []
    prepare = network.CompiledModel.__init__
    monkeypatch.setattr(
        network.CompiledModel,
        "__init__",
        lambda self, *args, **kwargs: (made.append(1), prepare(self, *args, **kwargs))[1],
    )
    clear_workspace()
    space = {"trainable": "filters(0.5) | head()", "frozen": "random"}
    searched(small_net(epochs=1), n_trials=4, cv=2, space=space).fit(X, y)
    assert len(made) == 1


def test_trainable_counts_the_parameter_table():
    found = searched(small_net(epochs=1), n_trials=2, cv=2, directions={"bytes": "minimize"})
    rows = found.fit(X, y).trials_table()
    assert rows[1]["trainable"] == rows[1]["total"] == 4 * 6 + 6 + 6 * 3 + 3
    assert rows[1]["bytes"] == 4 * rows[1]["trainable"]


def test_a_missing_optuna_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r'pip install "frozenfit\[search\]"'):
        searched().fit(X, y)


# Memory


@pytest.mark.parametrize(
    ("estimator", "large", "small", "what"),
    [
        (
            small_net(epochs=1),
            {"model_params": {"hidden_layer_sizes": (2000, 2000)}},
            {"model_params": {"hidden_layer_sizes": (4, 4)}},
            r"a weight of the layer 'dense2' of shape \(2000, 2000\)",
        ),
        (
            ELMClassifier(),
            {"hidden_layer_sizes": (1_000_000,)},
            {"hidden_layer_sizes": (4,)},
            r"layer 1 of shape \(4, 1000000\)",
        ),
    ],
)
def test_a_trial_whose_network_exceeds_memory_fails_before_it_is_built(
    estimator, large, small, what, monkeypatch
):
    monkeypatch.setattr("frozenfit.search.folds.available_memory", lambda: 20e6)
    settings = {
        "space": lambda trial, estimator: small if trial.number else large,
        "n_trials": 2,
        "cv": 2,
        "error_score": np.nan,
        "refit": False,
    }
    study = searched(estimator, **settings).fit(X, y).study_
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE"]
    message = f"ValueError: {what} exceeds half of the free memory, 10,000,000 bytes, .*error_score"
    assert re.match(message, study.trials[0].user_attrs["error"])
