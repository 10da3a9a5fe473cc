"""A pipeline of an encoder and an estimator in a file: the same after loading, or refused."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest
from estimator_data import classifier, given_net, regressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import frozenfit
from frozenfit import StorageError, TableEncoder, TokenEncoder
from frozenfit.utils import container


def frame(n=40):
    rng = np.random.default_rng(0)
    age = rng.normal(40, 10, n)
    age[3] = np.nan
    city = rng.choice(["Rome", "Oslo", "Bern", None], n)
    return pd.DataFrame({"age": age, "city": city, "member": rng.choice([True, False], n)})


def labels(n=40):
    return pd.Series(np.where(np.arange(n) % 2, "yes", "no"), name="answer")


def fitted(estimator=None, y=None, **params):
    encoder = TableEncoder(max_categories=3)
    pipeline = make_pipeline(encoder, estimator or classifier(epochs=1, **params))
    return pipeline.fit(frame(), labels() if y is None else y)


ESTIMATORS = {
    "classifier": lambda: classifier(epochs=1),
    "ensemble": lambda: frozenfit.CheapEnsembleClassifier(classifier(epochs=1), 2, random_state=0),
    "elm": lambda: frozenfit.ELMClassifier(5, random_state=0),
}


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_a_loaded_pipeline_predicts_the_same(kind, tmp_path):
    pipeline = fitted(ESTIMATORS[kind]())
    frozenfit.save(pipeline, tmp_path / "m")
    loaded = frozenfit.load(tmp_path / "m")
    assert type(loaded) is Pipeline
    assert [name for name, _ in loaded.steps] == [name for name, _ in pipeline.steps]
    np.testing.assert_array_equal(loaded.predict(frame()), pipeline.predict(frame()))
    np.testing.assert_allclose(
        loaded.predict_proba(frame()), pipeline.predict_proba(frame()), atol=1e-6
    )
    before, after = pipeline[0], loaded[0]
    assert after.columns_ == before.columns_
    assert after.get_params() == before.get_params() == {"max_categories": 3}
    assert after.target_name_ == "answer"
    assert after.feature_names_in_.tolist() == ["age", "city", "member"]
    assert after.get_feature_names_out().tolist() == before.get_feature_names_out().tolist()


def test_a_regression_and_an_array_without_names(tmp_path):
    X = np.random.default_rng(0).normal(5, 3, (30, 3))
    pipeline = make_pipeline(TableEncoder(), regressor(epochs=1)).fit(X, X.sum(axis=1))
    frozenfit.save(pipeline, tmp_path / "m")
    loaded = frozenfit.load(tmp_path / "m")
    assert not hasattr(loaded[0], "feature_names_in_") and loaded[0].target_name_ is None
    np.testing.assert_allclose(loaded.predict(X), pipeline.predict(X), rtol=1e-5)


def test_the_network_of_a_pipeline_is_given_or_in_the_file(tmp_path):
    network = given_net(n_features=6, n_outputs=2)
    pipeline = fitted(model=network, trainable="head()")
    with pytest.warns(UserWarning, match="contains neither the network"):
        frozenfit.save(pipeline, tmp_path / "small")
    frozenfit.save(pipeline, tmp_path / "whole", include_frozen=True)
    for loaded in (
        frozenfit.load(tmp_path / "small", base=network),
        frozenfit.load(tmp_path / "whole"),
    ):
        np.testing.assert_allclose(
            loaded.predict_proba(frame()), pipeline.predict_proba(frame()), atol=1e-6
        )
    assert isinstance(network, keras.Model)


def test_the_folder_of_a_cache_is_not_written(tmp_path):
    pipeline = fitted().set_params(memory=str(tmp_path / "cache"), verbose=True)
    frozenfit.save(pipeline, tmp_path / "m")
    loaded = frozenfit.load(tmp_path / "m")
    assert loaded.memory is None and loaded.verbose is True


@pytest.mark.parametrize(
    "steps",
    [
        lambda: (StandardScaler(), classifier()),
        lambda: (TableEncoder(), StandardScaler(), classifier()),
        lambda: (TableEncoder(), LogisticRegression()),
        lambda: (classifier(),),
    ],
    ids=["scaler", "three", "other", "alone"],
)
def test_other_pipelines_are_refused(steps, tmp_path):
    pipeline = make_pipeline(*steps()).fit(frame()[["age"]].fillna(0.0), labels())
    with pytest.raises(ValueError, match="`estimator` must be|must consist of a frozenfit.Tab"):
        frozenfit.save(pipeline, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_an_unfitted_pipeline_is_refused(tmp_path):
    pipeline = make_pipeline(TableEncoder(), classifier())
    with pytest.raises(ValueError, match="not fitted"):
        frozenfit.save(pipeline, tmp_path / "m")


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    path = tmp_path_factory.mktemp("pipelines") / "honest"
    frozenfit.save(fitted(), path)
    return path.read_bytes()


def forge(honest, path, *keys, value):
    """Write a file in which one value is another."""
    path.write_bytes(honest)
    record = container.from_file(path)
    node = {"parameters": record.parameters, "fitted": record.fitted}
    for key in keys[:-1]:
        node = node[key]
    node[keys[-1]] = value
    path.write_bytes(container.to_bytes(record))


NAN = {"$": "float", "value": "nan"}
NUMBER = ("fitted", "encoder", "columns", 0)
CITY = ("fitted", "encoder", "columns", 1)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ((*NUMBER, "scale"), 0.0),
        ((*NUMBER, "scale"), -1.0),
        ((*NUMBER, "scale"), 1e-300),
        ((*NUMBER, "scale"), 1),
        ((*NUMBER, "scale"), True),
        ((*NUMBER, "mean"), NAN),
        ((*NUMBER, "mean"), {"$": "float", "value": "inf"}),
        ((*NUMBER, "median"), "high"),
        ((*NUMBER, "median"), 1e300),
        ((*NUMBER, "width"), 3),
        ((*CITY, "categories"), []),
        ((*CITY, "categories"), "abc"),
        ((*CITY, "categories"), ["Rome", "Rome", "Oslo"]),
        ((*CITY, "categories"), ["Rome", 3]),
        ((*CITY, "categories"), ["a", "b", "c", "d"]),
        ((*CITY, "infrequent"), 1),
        ((*CITY, "infrequent"), False),
        (("fitted", "encoder", "columns"), []),
        (("fitted", "encoder", "columns"), {"a": 1}),
        (("fitted", "encoder", "names"), ["age", "city"]),
        (("fitted", "encoder", "names"), ["age", "city", "city"]),
        (("fitted", "encoder", "names"), ["age", "city", 3]),
        (("fitted", "encoder", "names"), 3),
        (("fitted", "encoder", "target_name"), ["answer"]),
        (("fitted", "encoder"), None),
        (("fitted", "estimator"), None),
        (("parameters", "encoder"), {"max_categories": 1}),
        (("parameters", "encoder"), {"max_categories": 3, "run": "this"}),
        (("parameters", "names"), ["a", "a"]),
        (("parameters", "names"), ["a__b", "c"]),
        (("parameters", "names"), ["steps", "c"]),
        (("parameters", "names"), ["a"]),
        (("parameters", "names"), None),
        (("parameters", "settings"), {"memory": "/tmp/exploded"}),
        (("parameters", "settings"), {"steps": []}),
        (("parameters", "settings"), {"verbose": "loud"}),
        (("parameters", "settings"), {"transform_input": 3}),
        (("parameters", "estimator", "class"), "Pipeline"),
        (("parameters", "estimator", "class"), "StandardScaler"),
        (("parameters", "estimator", "class"), ["PartialNetClassifier"]),
        (("parameters", "estimator", "parameters"), None),
    ],
    ids=lambda value: "/".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_a_forged_pipeline_is_refused(honest, tmp_path, keys, value):
    forge(honest, tmp_path / "m", *keys, value=value)
    with pytest.raises(StorageError) as caught:
        frozenfit.load(tmp_path / "m")
    assert "\n" not in str(caught.value)


def test_an_estimator_of_images_does_not_take_rows(tmp_path):
    from estimator_data import images, small_cnn

    X, y = images()
    image_model = classifier(model=small_cnn((8, 8, 1), 2), epochs=1).fit(X, y)
    rows = make_pipeline(TableEncoder(), classifier(epochs=1)).fit(X.reshape(len(X), -1), y)
    frozenfit.save(rows, tmp_path / "rows")
    frozenfit.save(image_model, tmp_path / "images", include_frozen=True)
    forged, other = (container.from_file(tmp_path / name) for name in ("rows", "images"))
    forged.parameters["estimator"]["parameters"] = other.parameters
    forged.fitted["estimator"] = other.fitted
    record = container.Record("Pipeline", forged.parameters, forged.fitted, other.arrays)
    (tmp_path / "m").write_bytes(container.to_bytes(record))
    with pytest.raises(StorageError, match="samples of shape"):
        frozenfit.load(tmp_path / "m")


TEXTS = ["an apple", "two pears, please", "an apple, and an apple", "pears"] * 3


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Return the file of a pipeline of texts, after a comparison of its predictions."""
    net = {"max_tokens": 9, "embedding_dim": 4, "filters": 3, "kernel_sizes": (2,)}
    network = classifier(model="text_cnn", model_params=net, epochs=1)
    pipeline = make_pipeline(TokenEncoder(9, 5), network).fit(TEXTS, ["pears" in t for t in TEXTS])
    path = tmp_path_factory.mktemp("texts") / "honest"
    frozenfit.save(pipeline, path)
    loaded = frozenfit.load(path)
    new = ["Apple?", "Two PEARS and one more, and another", ""]
    np.testing.assert_array_equal(loaded.predict_proba(new), pipeline.predict_proba(new))
    assert vars(loaded[0]) == vars(pipeline[0])
    return path.read_bytes()


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("fitted", "encoder", "tokens"), []),
        (("fitted", "encoder", "tokens"), "abc"),
        (("fitted", "encoder", "tokens"), ["a", "a"]),
        (("fitted", "encoder", "tokens"), ["a", 3]),
        (("fitted", "encoder", "tokens"), list("abcdefgh")),
        (("fitted", "encoder", "length"), 6),
        (("fitted", "encoder", "length"), 5.0),
        (("fitted", "encoder"), {"tokens": ["a"]}),
        (("parameters", "encoder"), {"max_tokens": 9, "length": 2**40}),
        (("parameters", "encoder class"), "TableEncoder"),
        (("parameters", "encoder class"), "StandardScaler"),
        (("parameters", "encoder class"), ["TokenEncoder"]),
    ],
    ids=lambda value: "/".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_a_forged_pipeline_of_texts_is_refused(texts, tmp_path, keys, value):
    forge(texts, tmp_path / "m", *keys, value=value)
    with pytest.raises(StorageError) as caught:
        frozenfit.load(tmp_path / "m")
    assert "\n" not in str(caught.value)
