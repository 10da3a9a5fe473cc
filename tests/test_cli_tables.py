"""The command line on tables: train, predict, evaluate, export, and errors in one line."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

import frozenfit
from frozenfit.cli import main
from frozenfit.cli.export import _ONNX
from frozenfit.cli.targets import read_target

FAST = ["--epochs", "2", "--verbose", "0"]


def people(n=120, seed=0):
    """A table of numbers, text and booleans with missing values, and what depends on it."""
    rng = np.random.default_rng(seed)
    age = rng.normal(40, 10, n).round(1)
    city = rng.choice(["Rome", "Oslo", "Bern"], n).astype(object)
    answer = np.where(age + 15 * (city == "Rome") > 45, "yes", "no")
    income = (100 * age + 500 * (city == "Oslo")).round(2)
    age[::13], city[::17] = np.nan, None
    code = rng.choice(["007", "008", "A1"], n)
    columns = {"id": np.arange(n), "age": age, "city": city, "code": code}
    columns |= {"member": rng.choice([True, False], n), "income": income, "answer": answer}
    return pd.DataFrame(columns)


def ok(*words):
    assert main(list(map(str, words))) == 0


def fails(capsys, *words):
    """Run a command that must fail, and return its one line of error."""
    capsys.readouterr()
    assert main(list(map(str, words))) == 2
    said = capsys.readouterr().err
    assert said.startswith("frozenfit: ") and said.count("\n") == 1 and "Traceback" not in said
    return said


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tables, and models that were trained on them."""
    path = tmp_path_factory.mktemp("tables")
    people().to_csv(path / "people.csv", index=False)
    people(40, seed=1).to_csv(path / "new.csv", index=False)
    drop = ["--drop", "id"]
    table = path / "people.csv"
    ok("train", table, "--target", "answer", *drop, "income", *FAST, "--out", path / "c.frozenfit")
    ok("train", table, "--target", "income", *drop, "answer", *FAST, "--out", path / "r.frozenfit")
    return path


# Train


def test_the_model_is_the_pipeline_that_was_trained(folder):
    model = frozenfit.load(folder / "c.frozenfit")
    encoder, estimator = model
    assert type(estimator) is frozenfit.PartialNetClassifier
    assert encoder.feature_names_in_.tolist() == ["age", "city", "code", "member"]
    assert encoder.target_name_ == "answer"
    assert model.classes_.tolist() == ["no", "yes"]
    assert type(frozenfit.load(folder / "r.frozenfit")[1]) is frozenfit.PartialNetRegressor


def test_train_describes_the_table_and_the_result(folder, capsys):
    ok("train", folder / "people.csv", "--target", "answer", "--test-size", "0.25", *FAST)
    said = capsys.readouterr().out
    assert "120 rows, 6 columns\n" in said
    assert "target 'answer': classification, 2 classes; 90 rows to train on, 30 to test" in said
    last = said.splitlines()[-1]
    assert last.startswith("test accuracy 0.") and last.endswith(" on 30 rows")


def test_all_rows_are_trained_on_where_none_is_set_aside(folder, capsys):
    ok("train", folder / "people.csv", "--target", "answer", "--test-size", "0", *FAST)
    said = capsys.readouterr().out
    assert "120 rows to train on, 0 to test" in said and "accuracy" not in said


def test_the_scores_of_train_are_those_of_its_test_part(folder, tmp_path, capsys):
    from sklearn.model_selection import train_test_split

    table = people()
    out = tmp_path / "m.frozenfit"
    ok("train", folder / "people.csv", "--target", "answer", "--seed", 3, *FAST, "--out", out)
    last = capsys.readouterr().out.splitlines()[-1]
    _, test = train_test_split(
        np.arange(120), test_size=24, stratify=table["answer"], random_state=3
    )
    model = frozenfit.load(out)
    X = table.drop(columns="answer").iloc[test]
    accuracy = np.mean(model.predict(X) == table["answer"].to_numpy()[test])
    loss = metrics.log_loss(table["answer"].iloc[test], model.predict_proba(X))
    assert last == f"test accuracy {accuracy:.3f}, log loss {loss:.3f} on 24 rows"


@pytest.mark.parametrize("ending", ["parquet", "npz"])
def test_other_files_are_read(ending, tmp_path, capsys):
    path, out = tmp_path / f"data.{ending}", tmp_path / "m.frozenfit"
    if ending == "npz":
        rng = np.random.default_rng(0)
        X = rng.normal(50, 20, (60, 3))
        np.savez(path, X=X, y=(X[:, 0] > 50).astype(int))
        ok("train", path, *FAST, "--out", out)
        assert frozenfit.load(out)[0].columns_[0].mean == pytest.approx(50, abs=10)
    else:
        pytest.importorskip("pyarrow")
        people().to_parquet(path)
        ok("train", path, "--target", "answer", *FAST, "--out", out)
    ok("evaluate", out, path)
    assert "test accuracy" in capsys.readouterr().out
    ok("predict", out, path, "--out", tmp_path / f"p.{ending}")
    if ending == "npz":
        assert len(np.load(tmp_path / "p.npz")["prediction"]) == 60
    else:
        assert set(pd.read_parquet(tmp_path / "p.parquet")["prediction"]) <= {"yes", "no"}


def test_images_in_an_npz_file_are_scaled_and_not_encoded(tmp_path):
    X = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    X[::2, :4] //= 8
    np.savez(tmp_path / "i.npz", X=X, label=np.arange(40) % 2)
    out = tmp_path / "m.frozenfit"
    ok("train", tmp_path / "i.npz", "--target", "label", *FAST, "--out", out)
    ok("predict", out, tmp_path / "i.npz", "--out", tmp_path / "p.npz", "--proba")
    found = np.load(tmp_path / "p.npz")
    model = frozenfit.load(out)
    assert type(model) is frozenfit.PartialNetClassifier
    expected = model.predict_proba((X / np.float32(255)).astype(np.float32))
    np.testing.assert_allclose(found["probability_1"], expected[:, 1], atol=1e-6)


def test_another_separator_is_recognized(tmp_path, capsys):
    people().to_csv(tmp_path / "p.csv", index=False, sep=";")
    ok("train", tmp_path / "p.csv", "--target", "answer", *FAST)
    assert "120 rows, 6 columns" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("values", "task", "dtype"),
    [
        (["b", "a", "b", "a"], "classification", "O"),
        ([True, False, True, False], "classification", "b"),
        (pd.Categorical([3, 5, 3, 5]), "classification", "i"),
        ([0, 1, 0, 1], "classification", "i"),
        ([0.0, 1.0, 0.0, 1.0], "classification", "f"),
        ([0.5, 1.0, 0.5, 1.0], "regression", "f"),
        (list(range(21)) * 2, "regression", "f"),
        (pd.Series([1, 2, 1, 2], dtype="Int64"), "classification", "i"),
    ],
    ids=["text", "bool", "category", "int", "whole", "float", "many", "nullable"],
)
def test_the_task_is_found_from_the_target(values, task, dtype):
    found, kind = read_target(pd.Series(values), "y")
    assert kind == task and found.dtype.kind == dtype


def test_the_task_can_be_forced(folder, capsys):
    table = people().assign(score=lambda t: np.arange(len(t)) % 3)
    table.to_csv(folder / "score.csv", index=False)
    for task in ("regression", "classification"):
        ok("train", folder / "score.csv", "--target", "score", "--task", task, *FAST)
        assert f"target 'score': {task}" in capsys.readouterr().out


def test_a_limit_takes_a_part_of_the_rows(folder, capsys):
    for target in ("answer", "income"):
        ok("train", folder / "people.csv", "--target", target, "--limit", "50", *FAST)
        assert "50 rows to train on, 24 to test" in capsys.readouterr().out


def test_the_same_command_prints_the_same(folder, capsys):
    words = ["train", str(folder / "people.csv"), "--target", "answer", "--epochs", "2"]
    words += ["--out", str(folder / "same.frozenfit")]
    ok(*words)
    here = capsys.readouterr()
    there = subprocess.run(
        [sys.executable, "-m", "frozenfit.cli", *words], capture_output=True, text=True
    )
    assert there.stdout == here.out != "", there.stderr
    assert "2/2" in here.err and "2/2" not in here.out  # the bar, with seconds


def test_another_seed_prints_something_else(folder, capsys):
    said = set()
    for seed in (0, 1):
        ok("train", folder / "people.csv", "--target", "income", "--seed", seed, *FAST)
        said.add(capsys.readouterr().out)
    assert len(said) == 2


# Predict


def test_predict_writes_what_the_model_predicts(folder, tmp_path, capsys):
    out = tmp_path / "p.csv"
    ok("predict", folder / "c.frozenfit", folder / "new.csv", "--out", out, "--proba")
    assert "40 predictions written" in capsys.readouterr().out
    found, model = pd.read_csv(out), frozenfit.load(folder / "c.frozenfit")
    X = people(40, seed=1)[["age", "city", "code", "member"]]
    assert found["prediction"].tolist() == model.predict(X).tolist()
    np.testing.assert_allclose(
        found[["probability_no", "probability_yes"]], model.predict_proba(X), rtol=1e-6
    )


def test_predict_prints_without_a_file(folder, capsys):
    ok("predict", folder / "r.frozenfit", folder / "new.csv")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "prediction" and len(lines) == 41 and float(lines[1]) > 0


def test_a_part_of_a_table_is_read_with_the_types_of_the_whole(folder, tmp_path):
    part = people(40, seed=1)
    part = part[part["code"] != "A1"]  # what is left of the column looks like numbers
    part.to_csv(tmp_path / "part.csv", index=False)
    ok("predict", folder / "c.frozenfit", tmp_path / "part.csv", "--out", tmp_path / "p.csv")
    model = frozenfit.load(folder / "c.frozenfit")
    expected = model.predict(part[["age", "city", "code", "member"]])
    assert pd.read_csv(tmp_path / "p.csv")["prediction"].tolist() == expected.tolist()
    assert model[0].transform(part[model[0].feature_names_in_])[:, 4:7].sum() == len(part)


def test_columns_that_the_model_does_not_use_are_reported(folder, capsys):
    capsys.readouterr()
    ok("predict", folder / "c.frozenfit", folder / "new.csv")
    said = capsys.readouterr().err
    assert said == "frozenfit: the model does not use the columns 'id', 'income'\n"


def test_categories_that_are_new_are_predicted(folder, tmp_path, capsys):
    people(5).assign(city="Lima", extra=1).to_csv(tmp_path / "lima.csv", index=False)
    ok("predict", folder / "c.frozenfit", tmp_path / "lima.csv")
    assert len(capsys.readouterr().out.splitlines()) == 6


def test_an_estimator_without_an_encoder_takes_numbers(tmp_path, capsys):
    X, y = np.random.default_rng(0).normal(size=(30, 3)), np.arange(30) % 2
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    frame[["c", "a", "b"]].to_csv(tmp_path / "x.csv", index=False)
    for given, name in ((frame, "named"), (frame[["c", "a", "b"]].to_numpy(), "plain")):
        clf = frozenfit.PartialNetClassifier(epochs=1, random_state=0).fit(given, y)
        frozenfit.save(clf, tmp_path / name)
        ok("predict", tmp_path / name, tmp_path / "x.csv")
        printed = capsys.readouterr().out.splitlines()[1:]
        assert printed == [str(label) for label in clf.predict(given)]


# Evaluate


def test_evaluate_prints_scores_and_the_confusion_matrix(folder, capsys):
    ok("evaluate", folder / "c.frozenfit", folder / "new.csv")
    said = capsys.readouterr().out.splitlines()
    table, model = people(40, seed=1), frozenfit.load(folder / "c.frozenfit")
    predicted = model.predict(table[model[0].feature_names_in_])
    assert said[0] == f"test accuracy {np.mean(predicted == table['answer']):.3f} on 40 rows"
    assert said[1].startswith("log loss ")
    matrix = metrics.confusion_matrix(table["answer"], predicted)
    assert said[3].split() == ["no", "yes"]
    assert [line.split() for line in said[4:]] == [
        ["no", *map(str, matrix[0])],
        ["yes", *map(str, matrix[1])],
    ]


def test_the_json_of_a_classification(folder, capsys):
    ok("evaluate", folder / "c.frozenfit", folder / "new.csv", "--json")
    found = json.loads(capsys.readouterr().out)
    table, model = people(40, seed=1), frozenfit.load(folder / "c.frozenfit")
    X = table[model[0].feature_names_in_]
    assert (found["rows"], found["task"], found["classes"]) == (40, "classification", ["no", "yes"])
    assert found["accuracy"] == pytest.approx(model.score(X, table["answer"]))
    loss = metrics.log_loss(table["answer"], model.predict_proba(X))
    assert found["log_loss"] == pytest.approx(loss)
    assert np.sum(found["confusion_matrix"]) == 40


def test_the_json_of_a_regression(folder, capsys):
    ok("evaluate", folder / "r.frozenfit", folder / "new.csv", "--json")
    found = json.loads(capsys.readouterr().out)
    table, model = people(40, seed=1), frozenfit.load(folder / "r.frozenfit")
    true, predicted = table["income"], model.predict(table[model[0].feature_names_in_])
    assert found["task"] == "regression"
    assert found["r2"] == pytest.approx(metrics.r2_score(true, predicted))
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(true, predicted))
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(true, predicted))
    ok("evaluate", folder / "r.frozenfit", folder / "new.csv")
    assert f"test R2 {found['r2']:.3f}, RMSE " in capsys.readouterr().out


def test_a_single_row_has_no_r2(folder, tmp_path, capsys):
    people(1).to_csv(tmp_path / "one.csv", index=False)
    ok("evaluate", folder / "r.frozenfit", tmp_path / "one.csv", "--json")
    assert json.loads(capsys.readouterr().out)["r2"] is None


def test_the_json_of_a_data_set_is_the_only_output(tmp_path, capsys):
    ok("train", "--limit", 100, *FAST, "--out", tmp_path / "d.frozenfit")
    capsys.readouterr()
    ok("evaluate", tmp_path / "d.frozenfit", "--dataset", "digits", "--json")
    found = json.loads(capsys.readouterr().out)
    assert (found["data"], found["rows"]) == ("digits", 540)


def test_many_classes_are_not_printed_as_a_matrix(tmp_path, capsys):
    X = np.random.default_rng(0).normal(size=(150, 2))
    np.savez(tmp_path / "x.npz", X=X, y=np.arange(150) % 25)
    words = ["--task", "classification", "--test-size", 0.4]
    ok("train", tmp_path / "x.npz", *words, *FAST, "--out", tmp_path / "m")
    capsys.readouterr()
    ok("evaluate", tmp_path / "m", tmp_path / "x.npz")
    assert capsys.readouterr().out.splitlines()[-1] == "confusion matrix of 25 classes: see --json"


# Export


@pytest.mark.parametrize("name", ["c.frozenfit", "r.frozenfit"])
def test_the_exported_keras_model_predicts_the_same(name, folder, tmp_path, capsys):
    ok("export", folder / name, tmp_path / "m.keras")
    said = capsys.readouterr().out
    assert "inputs 10, outputs " in said and "[0].transform(table) encodes" in said
    model, network = frozenfit.load(folder / name), keras.saving.load_model(tmp_path / "m.keras")
    X = people(40, seed=1)[model[0].feature_names_in_]
    outputs = keras.ops.convert_to_numpy(network(model[0].transform(X)))
    if name.startswith("c"):
        np.testing.assert_allclose(outputs, model.predict_proba(X), atol=1e-5)
    else:
        np.testing.assert_allclose(outputs[:, 0], model.predict(X), rtol=1e-4)


KINDS = {
    "ensemble": lambda: frozenfit.CheapEnsembleClassifier(
        frozenfit.PartialNetClassifier(epochs=1), 2, calibrate=True, random_state=0
    ),
    "elm": lambda: frozenfit.ELMClassifier(5, random_state=0),
    "regressors": lambda: frozenfit.CheapEnsembleRegressor(
        frozenfit.PartialNetRegressor(epochs=1), 2, random_state=0
    ),
    "elm regressor": lambda: frozenfit.ELMRegressor(5, random_state=0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_estimator_is_exported_as_it_predicts(kind, tmp_path):
    X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    y = X.sum(axis=1) * 100 + 1000
    y = y if "regressor" in kind else np.where(y > 1000, "high", "low")
    model = KINDS[kind]().fit(X, y)
    frozenfit.save(model, tmp_path / "m")
    ok("export", tmp_path / "m", tmp_path / "m.keras")
    outputs = keras.ops.convert_to_numpy(keras.saving.load_model(tmp_path / "m.keras")(X))
    expected = model.predict(X)[:, None] if "regressor" in kind else model.predict_proba(X)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


def test_a_saved_model_is_written_on_tensorflow(folder, tmp_path, capsys):
    if keras.config.backend() != "tensorflow":
        assert "KERAS_BACKEND=tensorflow" in fails(
            capsys, "export", folder / "c.frozenfit", tmp_path / "saved"
        )
        return
    import tensorflow as tf

    ok("export", folder / "c.frozenfit", tmp_path / "saved")
    model = frozenfit.load(folder / "c.frozenfit")
    encoded = model[0].transform(people(40)[model[0].feature_names_in_])
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    outputs = loaded.serve(encoded)
    np.testing.assert_allclose(outputs, model[1].predict_proba(encoded), atol=1e-5)


def test_onnx_is_written_where_its_packages_are_installed(folder, tmp_path, capsys):
    out = tmp_path / "m.onnx"
    missing = [n for n in _ONNX[keras.config.backend()] if importlib.util.find_spec(n) is None]
    if missing:
        said = fails(capsys, "export", folder / "c.frozenfit", out)
        assert f"pip install {' '.join(missing)}" in said and not out.exists()
        return
    onnx, reference = pytest.importorskip("onnx"), pytest.importorskip("onnx.reference")
    ok("export", folder / "c.frozenfit", out)
    graph = onnx.load(out)
    model = frozenfit.load(folder / "c.frozenfit")
    encoded = model[0].transform(people(40)[model[0].feature_names_in_])
    given = {graph.graph.input[0].name: encoded}
    (outputs,) = reference.ReferenceEvaluator(graph).run(None, given)
    np.testing.assert_allclose(outputs, model[1].predict_proba(encoded), atol=1e-5)


# A network of Keras


@pytest.fixture
def network(tmp_path):
    def build(n_outputs=2, inputs=10):
        init = keras.initializers.GlorotUniform(seed=0)
        layers = [keras.layers.Dense(8, "relu", kernel_initializer=init)]
        layers.append(keras.layers.Dense(n_outputs, kernel_initializer=init))
        model = keras.Sequential([keras.Input((inputs,)), *layers])
        model.save(tmp_path / "net.keras")
        return tmp_path / "net.keras"

    return build


def test_a_file_of_keras_is_trained_and_needs_no_file_later(network, folder, tmp_path, capsys):
    path, out = network(), tmp_path / "m.frozenfit"
    words = ["--target", "answer", "--drop", "id", "income", "--trainable", "head()"]
    ok("train", folder / "people.csv", *words, "--model", path, *FAST, "--out", out)
    assert "trained 18 of 106 parameters" in capsys.readouterr().out
    path.unlink()
    ok("predict", out, folder / "new.csv", "--out", tmp_path / "p.csv")
    assert len(pd.read_csv(tmp_path / "p.csv")) == 40


def test_a_network_of_another_size_fails_in_one_line(network, folder, capsys):
    words = [folder / "people.csv", "--target", "answer", "--drop", "id", "income", *FAST]
    assert "with_head" in fails(capsys, "train", *words, "--model", network(n_outputs=5))
    assert "10" in fails(capsys, "train", *words, "--model", network(inputs=4))


def test_a_file_that_runs_code_is_refused(folder, tmp_path, capsys):
    model = keras.Sequential([keras.Input((10,)), keras.layers.Lambda(lambda x: x[:, :2])])
    model.save(tmp_path / "code.keras")
    words = ["train", folder / "people.csv", "--target", "answer", *FAST, "--model"]
    assert "--model" in fails(capsys, *words, tmp_path / "code.keras")
    (tmp_path / "text.keras").write_text("no network")
    assert "text.keras" in fails(capsys, *words, tmp_path / "text.keras")
    assert "There is no file" in fails(capsys, *words, tmp_path / "none.keras")


# Errors


def table(tmp_path, **columns):
    pd.DataFrame(columns).to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def test_a_target_that_is_no_column_suggests_one(folder, capsys):
    said = fails(capsys, "train", folder / "people.csv", "--target", "answerr")
    assert "has no column 'answerr'. Did you mean 'answer'?" in said
    said = fails(capsys, "train", folder / "people.csv", "--target", "answer", "--drop", "agee")
    assert "has no column 'agee'. Did you mean 'age'?" in said


def test_a_target_with_missing_values_is_refused(tmp_path, capsys):
    for values in (["a", None, "b", "a"], [1.5, None, 2.5, 3.5]):
        path = table(tmp_path, x=[1, 2, 3, 4], y=values)
        said = fails(capsys, "train", path, "--target", "y")
        assert "'y' is missing in 1 of 4 rows, the first of which is row 2" in said


def test_a_table_without_rows_is_refused(folder, tmp_path, capsys):
    path = table(tmp_path, x=[], y=[])
    assert "table without rows" in fails(capsys, "train", path, "--target", "y")
    people().iloc[:0].to_csv(path, index=False)
    assert "without rows" in fails(capsys, "predict", folder / "c.frozenfit", path)
    path.write_text("")
    assert "t.csv cannot be read: " in fails(capsys, "train", path, "--target", "y")


def test_a_target_with_a_class_for_every_row_is_refused(tmp_path, capsys):
    path = table(tmp_path, x=[1, 2, 3, 4], name=["a", "b", "c", "d"], n=[1, 1, 2, 2])
    said = fails(capsys, "train", path, "--target", "name")
    assert "has 4 classes in 4 rows" in said and "regression" not in said
    assert "--task regression" in fails(capsys, "train", path, "--target", "x")


@pytest.mark.parametrize(
    ("target", "words", "said"),
    [
        ("one", [], "at least 2 classes, got 'a' in all rows"),
        ("rare", [], "class 'c' of the target 'rare' has a single row"),
        ("text", ["--task", "regression"], "must contain numbers for a regression, got 'a'"),
        ("text", ["--test-size", "1"], "--test-size must be at least 0 and below 1"),
        ("text", ["--test-size", "0.1"], "sets aside 1 of 10 rows"),
        ("text", ["--max-categories", "1"], "--max-categories must be at least 2"),
        ("text", ["--dataset", "digits"], "--dataset is an option of a data set of images"),
        ("number", ["--class-weight", "balanced"], "an option of a classification"),
        ("number", ["--epochs", "0"], "'epochs' parameter"),
        ("text", ["--test-size", "0.4", "--limit", "1"], "--limit must be at least 3"),
        ("when", [], "'when' must contain|has 10 classes"),
    ],
)
def test_what_cannot_be_trained_fails_in_one_line(target, words, said, tmp_path, capsys):
    import re

    columns = {"one": ["a"] * 10, "rare": [*"aabbaabbac"], "text": [*"abababcbca"]}
    columns |= {"number": np.linspace(0, 1, 10), "when": pd.date_range("2020-01-01", periods=10)}
    path = table(tmp_path, **columns)
    assert re.search(said, fails(capsys, "train", path, "--target", target, *words))


def test_missing_columns_are_named(folder, tmp_path, capsys):
    people().drop(columns=["city", "age"]).to_csv(tmp_path / "less.csv", index=False)
    said = fails(capsys, "predict", folder / "c.frozenfit", tmp_path / "less.csv")
    assert "lacks the columns 'age', 'city'" in said


def test_text_in_a_column_of_numbers_is_named(folder, tmp_path, capsys):
    people(5).assign(age="old").to_csv(tmp_path / "old.csv", index=False)
    said = fails(capsys, "predict", folder / "c.frozenfit", tmp_path / "old.csv")
    assert "Column 'age' must contain numbers, got 'old'" in said


def test_classes_that_the_model_does_not_have_are_named(folder, tmp_path, capsys):
    people(5).assign(answer="perhaps").to_csv(tmp_path / "other.csv", index=False)
    said = fails(capsys, "evaluate", folder / "c.frozenfit", tmp_path / "other.csv")
    assert "contains 'perhaps', which is not among the 2 classes" in said


def test_a_date_is_refused_by_name(tmp_path, capsys):
    pytest.importorskip("pyarrow")
    frame = people().assign(when=pd.date_range("2020-01-01", periods=120))
    frame.to_parquet(tmp_path / "d.parquet")
    said = fails(capsys, "train", tmp_path / "d.parquet", "--target", "answer", *FAST)
    assert "Column 'when' must contain numbers, text, booleans or categories" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "x.xlsx", "--target", "y"], "must end in .csv, .parquet, .npz, got 'x.xlsx'"),
        (["train", "none.csv", "--target", "y"], "There is no file none.csv"),
        (["train", "none.npz"], "There is no file none.npz"),
        (["train", "people.csv"], "--target is missing"),
        (["train", "--target", "y"], "--target is an option of a table"),
        (["train", "--drop", "y"], "--drop is an option of a table"),
        (["train", "bad.npz"], "bad.npz cannot be read"),
        (["train", "bad.parquet", "--target", "y"], "bad.parquet cannot be read"),
        (["train", "few.npz"], "has no array 'y'. Valid names are 'X', 'z'"),
        (["train", "few.npz", "--target", "z"], "one value for each of the 4 rows"),
        (["train", "few.npz", "--target", "z", "--drop", "a"], "--drop names columns of a table"),
        (["predict", "c.frozenfit"], "required: DATA"),
        (["predict", "c.frozenfit", "few.npz"], "few.npz has no names"),
        (["predict", "c.frozenfit", "new.csv", "--out", "p.txt"], "--out must end in .csv"),
        (["predict", "c.frozenfit", "new.csv", "--out", "no/p.csv"], "cannot write 'no/p.csv'"),
        (["predict", "r.frozenfit", "new.csv", "--proba"], "--proba requires a classifier"),
        (["evaluate", "c.frozenfit", "new.csv", "--dataset", "digits"], "either a file"),
        (["evaluate", "c.frozenfit", "new.csv", "--target", "agee"], "Did you mean 'age'?"),
        (["evaluate", "r.frozenfit", "--dataset", "digits"], "Only classifiers"),
        (["evaluate", "c.frozenfit", "--dataset", "digits", "--target", "y"], "--target is an op"),
        (["export", "c.frozenfit", "m.h5"], "must end in .keras or .onnx, or name a folder"),
        (["export", "c.frozenfit", "no/m.keras"], "cannot write 'no/m.keras'"),
        (["export", "c.frozenfit", "."], "exists. Give the path of a new folder"),
        (["export", "new.csv", "m.keras"], "new.csv"),
        (["predict", "both", "new.csv"], "contains several estimators: a, b"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_other_errors_are_one_line(words, said, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (folder / "bad.npz").write_bytes(b"PK no archive")
    (folder / "bad.parquet").write_bytes(b"PAR1 no table")
    np.savez(folder / "few.npz", X=np.zeros((4, 2)), z=np.zeros(3))
    if words[1] == "both":
        clf = frozenfit.PartialNetClassifier(epochs=1, random_state=0)
        frozenfit.save({n: clf.fit([[0.0], [1.0]], [0, 1]) for n in "ab"}, "both")
    if words[1].endswith("parquet"):
        pytest.importorskip("pyarrow")
    assert said in fails(capsys, *words)


@pytest.mark.parametrize("package", ["pandas", "pyarrow"])
def test_a_missing_package_names_the_extra(package, tmp_path, monkeypatch, capsys):
    ending = {"pandas": "csv", "pyarrow": "parquet"}[package]
    (tmp_path / f"t.{ending}").write_text("x,y\n1,2\n")
    monkeypatch.setitem(sys.modules, package, None)  # importing it raises ImportError
    said = fails(capsys, "train", tmp_path / f"t.{ending}", "--target", "y")
    assert f"requires {package}" in said and 'pip install "frozenfit[tables]"' in said


def test_typos_in_a_table_load_no_backend(folder):
    code = f"""
import sys
from frozenfit.cli import main
from frozenfit.cli.export import _ONNX
assert main(["train", {str(folder / "people.csv")!r}, "--target", "answerr"]) == 2
print(*sorted({{"keras", "tensorflow", "jax", "torch"}} & sys.modules.keys()))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == ""


def test_info_shows_the_columns(folder, capsys):
    ok("info", folder / "c.frozenfit")
    said = capsys.readouterr().out
    assert said.startswith("PartialNetClassifier\n")
    assert "  age: numbers\n  city: 4 categories\n  code: 3 categories\n" in said
    assert "target           answer\n" in said
