"""Every setting survives what scikit-learn and Python do with an estimator."""

from __future__ import annotations

import copy
import io
import pickle

import joblib
import keras
import numpy as np
import pytest
from estimator_data import classifier, given_net, regressor, same, table, targets
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from frozenfit.selectors import filters, head


def rich():
    """An estimator with a setting of every kind."""
    lr_schedule = keras.optimizers.schedules.CosineDecay(0.02, 50)
    return classifier(
        model_params={"hidden_layer_sizes": (8,), "activation": "tanh"},
        trainable=filters(0.5) | head(),
        weight_init=keras.initializers.HeNormal(),
        optimizer=keras.optimizers.SGD(lr_schedule, momentum=0.9, nesterov=True),
        lr_schedule=keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5),
        callbacks=[keras.callbacks.EarlyStopping("loss", patience=3)],
        class_weight={0: 2.0},
        augment=keras.layers.RandomFlip("horizontal"),
    )


def by_joblib(estimator):
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    return joblib.load(file)


COPIES = {
    "clone": clone,
    "deepcopy": copy.deepcopy,
    "pickle": lambda e: pickle.loads(pickle.dumps(e)),
    "joblib": by_joblib,
}


def config(value):
    return value.get_config() if hasattr(value, "get_config") else value


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_has_all_settings(way):
    estimator = rich()
    given, copied = estimator.get_params(), COPIES[way](estimator).get_params()
    assert given.keys() == copied.keys()
    for name in given.keys() - {"callbacks"}:
        assert type(copied[name]) is type(given[name])
        assert config(copied[name]) == config(given[name]), name
    assert vars(copied["callbacks"][0]).keys() == vars(given["callbacks"][0]).keys()
    assert copied["callbacks"][0].patience == 3


@pytest.mark.parametrize("way", ["deepcopy", "pickle", "joblib"])
def test_a_copy_of_a_fitted_estimator_predicts_the_same(way):
    X, y = table()
    estimator = classifier(trainable="random(0.5)").fit(X, y)
    assert same(COPIES[way](estimator), estimator)


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_a_copy_on_a_given_network_predicts_the_same(way):
    X, y = table()
    estimator = classifier(model=given_net(), trainable="head()").fit(X, y)
    assert same(COPIES[way](estimator), estimator)


def test_a_copy_continues_training_as_the_original_does():
    X, y = table()
    estimator = classifier(warm_start=True).fit(X, y)
    again = pickle.loads(pickle.dumps(estimator))
    assert same(again.fit(X, y), estimator.fit(X, y))


def test_a_clone_of_a_clone_trains_the_same():
    X, y = table()
    estimator = classifier(optimizer=keras.optimizers.SGD(0.05, momentum=0.9))
    assert same(clone(clone(estimator)).fit(X, y), estimator.fit(X, y))


def test_nested_parameters_are_listed_and_set():
    estimator = classifier()
    assert estimator.get_params()["model_params__hidden_layer_sizes"] == (8,)
    estimator.set_params(model_params__hidden_layer_sizes=(4,), model_params__dropout=0.1)
    assert estimator.model_params == {"hidden_layer_sizes": (4,), "dropout": 0.1}


def test_nested_parameters_can_be_set_where_there_were_none():
    estimator = classifier(model_params=None).set_params(model_params__dropout=0.1)
    assert estimator.model_params == {"dropout": 0.1}


def test_a_dict_and_nested_parameters_are_set_together():
    estimator = classifier()
    estimator.set_params(model_params={"dropout": 0.2}, model_params__activation="elu")
    assert estimator.model_params == {"dropout": 0.2, "activation": "elu"}


def test_set_params_never_changes_the_users_dict():
    mine = {"hidden_layer_sizes": (8,)}
    classifier(model_params=mine).set_params(model_params__dropout=0.1)
    assert mine == {"hidden_layer_sizes": (8,)}


def test_nested_parameters_reach_through_a_pipeline():
    X, y = table()
    pipe = make_pipeline(StandardScaler(), classifier())
    pipe.set_params(partialnetclassifier__model_params__hidden_layer_sizes=(3,))
    assert pipe.fit(X, y)[-1].parameter_table()[0][1] == (4, 3)


def test_an_unknown_parameter_is_refused():
    with pytest.raises(ValueError, match="Invalid parameter 'epoch'"):
        classifier().set_params(epoch=3)


@pytest.mark.parametrize("make, data", [(rich, table), (regressor, targets)])
def test_fit_changes_no_setting(make, data):
    estimator = make().set_params(augment=None)
    before = copy.deepcopy(estimator.get_params())
    held = dict(vars(estimator))
    estimator.fit(*data())
    for name, value in estimator.get_params(deep=False).items():
        assert value is held[name], name
    assert config(estimator.optimizer) == config(before["optimizer"])
    assert estimator.model_params == before["model_params"]


def test_the_users_optimizer_is_not_used_itself():
    optimizer = keras.optimizers.Adam(0.01)
    classifier(optimizer=optimizer).fit(*table())
    assert not optimizer.built
    assert keras.ops.convert_to_numpy(optimizer.iterations) == 0


def test_keras_callbacks_are_copied_for_each_fit():
    callback = keras.callbacks.EarlyStopping("loss", patience=1)
    before = dict(vars(callback))
    classifier(callbacks=callback).fit(*table())
    assert vars(callback) == before


def test_clones_share_a_given_network_and_nothing_else():
    network = given_net()
    estimator = classifier(model=network, callbacks=[keras.callbacks.History()])
    copy = clone(estimator)
    assert copy.model is network and copy.callbacks[0] is not estimator.callbacks[0]
    before = network.get_weights()
    copy.set_params(trainable=1.0).fit(*table())
    assert all((a == b).all() for a, b in zip(before, network.get_weights(), strict=True))


def test_two_estimators_pickled_together_share_their_base():
    X, y = table()
    first = classifier().fit(X, y)
    second = classifier(model=first.base_).fit(X, y[::-1])
    one, two = pickle.loads(pickle.dumps([first, second]))
    assert one.base_ is two.base_
    assert same(one, first) and same(two, second)


def test_drawn_values_are_not_pickled():
    X, y = table()
    wide = {"hidden_layer_sizes": (2000,)}
    estimator = classifier(model_params=wide, trainable="head()", epochs=1).fit(X, y)
    entries = sum(np.prod(row[1]) for row in estimator.parameter_table())
    assert entries * 4 > 60_000
    assert len(pickle.dumps(estimator)) < 40_000
