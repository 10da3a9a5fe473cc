"""The search space: ranges, and parts that are fixed, replaced or left out."""

from __future__ import annotations

import pytest
from scipy.stats import loguniform
from search_fakes import Quick
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import ParameterSampler
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from frozenfit import PartialNetClassifier, search
from frozenfit.selectors import parse

optuna = pytest.importorskip("optuna")
FixedTrial = optuna.trial.FixedTrial
Float = optuna.distributions.FloatDistribution
Int = optuna.distributions.IntDistribution

VALUES = {"kind": "random", "fraction": 0.0213, "frozen": "zero", "learning_rate": 0.01}


class Elm(Quick):
    """Has the parameters by which an ELM is known."""

    def __init__(self, hidden_layer_sizes=(1000,), weight_init="random", alpha="loo"):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.weight_init = weight_init
        self.alpha = alpha


def suggested(estimator=None, values=VALUES, **parts):
    return search.suggest(FixedTrial(values), estimator or PartialNetClassifier(), **parts)


def test_a_random_kind_becomes_a_selector_that_can_be_parsed():
    trainable = suggested()["trainable"]
    assert trainable == "random(0.021) | batch_norm()"
    assert str(parse(trainable)) == trainable


def test_filters_are_written_as_a_fraction():
    assert suggested(values={**VALUES, "kind": "filters"})["trainable"] == 0.021


def test_all_parts_are_parameters_of_the_estimator():
    estimator = PartialNetClassifier().set_params(**suggested())
    assert (estimator.frozen, estimator.learning_rate) == ("zero", 0.01)


def test_small_fractions_are_as_likely_as_large_ones():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = []
    for _ in range(200):
        trial = study.ask()
        search.suggest(trial, Quick())
        drawn.append(trial.params["fraction"])
    assert 70 < sum(p < 0.005 * 200**0.5 for p in drawn) < 130
    assert min(drawn) >= 0.005 and max(drawn) <= 1


def test_a_part_can_be_fixed():
    assert suggested(frozen="random")["frozen"] == "random"


def test_a_part_can_be_replaced_by_a_distribution():
    trial = FixedTrial({**VALUES, "learning_rate": 0.2})
    found = search.suggest(trial, Quick(), learning_rate=Float(0.1, 0.3))
    assert found["learning_rate"] == 0.2


def test_a_part_can_be_replaced_by_a_function_of_the_trial():
    trial = FixedTrial({**VALUES, "exponent": 2})
    rate = {"learning_rate": lambda trial: 10.0 ** -trial.suggest_int("exponent", 1, 3)}
    assert search.suggest(trial, Quick(), **rate)["learning_rate"] == 0.01


def test_a_part_can_keep_the_value_of_the_estimator():
    assert set(suggested(leave=("frozen", "learning_rate"))) == {"trainable"}


def test_trainable_replaces_kind_and_fraction():
    found = suggested(trainable="norms() | head()")
    assert found["trainable"] == "norms() | head()"
    assert "kind" not in found


def test_any_parameter_can_be_searched_besides():
    assert suggested(values={**VALUES, "epochs": 7}, epochs=Int(5, 10))["epochs"] == 7


def test_groups_get_a_fraction_each():
    values = {**VALUES, "kind": "filters", "fraction a/*": 0.5, "fraction b/*": 0.01}
    trainable = suggested(values=values, groups=("a/*", "b/*"))["trainable"]
    assert parse(trainable) == parse(
        'filters(0.5).on("a/*") | filters(0.01).on("b/*") | head() | batch_norm()'
    )


def test_names_of_a_pipeline_get_its_prefix():
    pipeline = make_pipeline(StandardScaler(), PartialNetClassifier())
    names = set(suggested(pipeline))
    steps = {f"partialnetclassifier__{n}" for n in ("trainable", "frozen", "learning_rate")}
    assert names == steps
    assert pipeline.set_params(**suggested(pipeline))[-1].frozen == "zero"


def test_other_steps_of_a_pipeline_can_be_searched():
    pipeline = make_pipeline(StandardScaler(), PartialNetClassifier())
    assert (
        suggested(pipeline, standardscaler__with_mean=False)["standardscaler__with_mean"] is False
    )


def test_an_elm_has_units_and_weights():
    found = suggested(Elm(), {"units": 300, "weight_init": "orthogonal"})
    assert found == {"hidden_layer_sizes": (300,), "weight_init": "orthogonal"}


def test_a_given_network_may_keep_its_values():
    import keras

    net = PartialNetClassifier(keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]))
    assert suggested(net, {**VALUES, "frozen": "keep"})["frozen"] == "keep"


@pytest.mark.parametrize(
    ("parts", "said"),
    [({"fractoin": 0.1}, "fraction"), ({"leave": ("fil",)}, "frozen"), ({"epoch": 3}, "epochs")],
)
def test_an_unknown_part_suggests_near_names(parts, said):
    with pytest.raises(ValueError, match=said):
        suggested(**parts)


def test_a_kind_without_a_fraction_is_refused():
    with pytest.raises(ValueError, match="requires the part 'fraction'"):
        suggested(leave=("fraction",))


def test_an_estimator_without_a_space_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"no search space for LogisticRegression. Set `space`"):
        suggested(LogisticRegression())


def test_sklearn_can_sample_the_distributions():
    found = search.distributions(make_pipeline(PartialNetClassifier()))
    sample = next(iter(ParameterSampler(found, 1, random_state=0)))
    assert 0.005 <= sample["partialnetclassifier__trainable"] <= 1
    assert isinstance(found["partialnetclassifier__trainable"], type(loguniform(0.1, 1)))


def test_optuna_can_sample_the_distributions():
    found = search.distributions(PartialNetClassifier(), "optuna")
    assert all(isinstance(d, optuna.distributions.BaseDistribution) for d in found.values())
    assert found["trainable"].log


def test_distributions_of_an_elm_are_its_parameters():
    assert set(search.distributions(Elm())) == {"hidden_layer_sizes", "weight_init"}


def test_another_library_is_refused():
    with pytest.raises(ValueError, match="'sklearn' or 'optuna'"):
        search.distributions(PartialNetClassifier(), "hyperopt")
