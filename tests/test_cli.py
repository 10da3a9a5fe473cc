"""The command line: words in, calls of the library, words out, one sentence where it fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from frozenfit import cli
from frozenfit.cli import main

QUICK = ["--limit", "200", "--epochs", "2", "--random-state", "0", "--verbose", "0"]


def fails(capsys, *words):
    """Run words that must fail, and return the one sentence that is told."""
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.err.startswith("frozenfit: ")
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    return said.err


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A file that train saved, with what was printed."""
    path = tmp_path_factory.mktemp("cli") / "digits.frozenfit"
    words = ["train", "--dataset", "digits", "--trainable", "filters(0.1) | head()", "--out"]
    run = subprocess.run(
        [sys.executable, "-m", "frozenfit.cli", *words, str(path), *QUICK],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return path, run.stdout


# Reading words


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", 0.1),
        ("5", 5),
        ("None", None),
        ("True", True),
        ("(28, 28, 1)", (28, 28, 1)),
        ("28,28,1", (28, 28, 1)),
        ("lenet5", "lenet5"),
        ("filters(0.1) | head()", "filters(0.1) | head()"),
        ("(filters(0.1) | head()) & norms()", "(filters(0.1) | head()) & norms()"),
        ("__import__('os')", "__import__('os')"),
    ],
)
def test_values_are_literals_or_text(text, value):
    assert cli._value(text) == value
    assert type(cli._value(text)) is type(value)


def test_model_parameters_are_pairs():
    assert cli._pair("hidden_layer_sizes=(64, 32)") == ("hidden_layer_sizes", (64, 32))
    assert cli._pair("activation=relu") == ("activation", "relu")


def test_the_docstring_becomes_help():
    helps = cli._parameter_helps(
        """Do it.

        Parameters
        ----------
        model : str, default="mlp"
            The network. More about it.
        first, second : int
            Two numbers:

            - one
            - two
        last : str or None
            What comes
            last.

        Returns
        -------
        result : int
            Not a parameter.
        """
    )
    assert helps == {
        "model": "The network.",
        "first": "Two numbers:",
        "second": "Two numbers:",
        "last": "What comes last.",
    }


# Help


@pytest.mark.parametrize("command", [[], ["train"], ["evaluate"], ["info"]])
def test_help_succeeds(command, capsys):
    assert main([*command, "--help"]) == 0
    assert "usage: frozenfit" in capsys.readouterr().out


def test_every_parameter_of_the_classifier_can_be_set(capsys):
    from frozenfit import PartialNetClassifier

    main(["train", "--help"])
    options = set(re.findall(r"--([a-z][a-z-]*)", capsys.readouterr().out))
    parameters = {name.replace("_", "-") for name in PartialNetClassifier().get_params(deep=False)}
    assert parameters - options == {"callbacks", "warm-start"}


def test_every_option_is_explained():
    from frozenfit import PartialNetClassifier

    helps = cli._parameter_helps(PartialNetClassifier.__doc__ or "")
    assert set(PartialNetClassifier().get_params(deep=False)) == {n for n in helps if helps[n]}


def test_the_version_is_told(capsys):
    from frozenfit import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"frozenfit {__version__}\n"


def test_help_loads_no_backend():
    code = (
        "import sys; from frozenfit.cli import main; main(['--help']); "
        "sys.exit('keras' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


# Training, scoring, looking


def test_train_prints_table_accuracy_fraction_and_size(saved):
    path, said = saved
    assert re.search(r"head/kernel +\(100, 10\)", said)
    assert float(re.search(r"test accuracy +([\d.]+)", said)[1]) > 0.3
    assert re.search(r"frozen +77\.90%", said)
    assert f"{path.stat().st_size:,} bytes in {path}" in said
    assert "full network     30,040 bytes" in said


def test_the_saved_file_is_the_estimator(saved):
    from frozenfit import datasets, load

    path, said = saved
    digits = datasets.load("digits")
    accuracy = load(path).score(digits.X_test, digits.y_test)
    assert f"test accuracy    {accuracy:.4f}" in said


def test_evaluate_repeats_the_accuracy(saved, capsys):
    path, said = saved
    assert main(["evaluate", str(path), "--dataset", "digits"]) == 0
    accuracy = re.search(r"test accuracy +([\d.]+)", said)[1]
    assert f"test accuracy    {accuracy} on 540 images" in capsys.readouterr().out


def test_info_prints_class_settings_and_table(saved, capsys):
    assert main(["info", str(saved[0])]) == 0
    said = capsys.readouterr().out
    assert said.startswith("PartialNetClassifier\n")
    assert "trainable = 'filters(0.1) | head()'" in said
    assert "epochs trained   2" in said
    assert re.search(r"dense1/kernel +\(64, 100\)", said)


def test_settings_reach_the_estimator(monkeypatch):
    from frozenfit import PartialNetClassifier

    class Stop(Exception):
        pass

    seen = {}

    def fit(self, X, y):
        seen.update(self.get_params(), n=len(y), counts=np.bincount(y).tolist())
        raise Stop

    monkeypatch.setattr(PartialNetClassifier, "fit", fit)
    words = "--trainable 5 --frozen zero --early-stopping --weight-decay 1e-3 --optimizer sgd"
    words += " --model-params hidden_layer_sizes=(7,) activation=tanh --limit 100"
    with pytest.raises(Stop):
        main(["train", *words.split()])
    expected = {
        "trainable": 5,
        "frozen": "zero",
        "early_stopping": True,
        "weight_decay": 1e-3,
        "optimizer": "sgd",
        "model_params": {"hidden_layer_sizes": (7,), "activation": "tanh"},
        "verbose": 1,
        "n": 100,
    }
    assert {name: seen[name] for name in expected} == expected
    assert min(seen["counts"]) >= 9


def test_frozen_entries_can_be_saved_too(saved, tmp_path, capsys):
    path = tmp_path / "whole.frozenfit"
    assert main(["train", "--save-frozen", "--out", str(path), *QUICK]) == 0
    assert path.stat().st_size > saved[0].stat().st_size + 4 * 5000


def test_what_was_learned_before_an_interruption_is_saved(tmp_path, monkeypatch, capsys):
    from frozenfit import PartialNetClassifier
    from frozenfit.estimators.base import TrainingInterrupted

    fit = PartialNetClassifier.fit

    def interrupted(self, X, y):
        fit(self, X, y)
        raise TrainingInterrupted("training was interrupted after 2 epochs")

    monkeypatch.setattr(PartialNetClassifier, "fit", interrupted)
    path = tmp_path / "m.frozenfit"
    assert main(["train", "--out", str(path), *QUICK]) == 130
    assert path.exists()
    assert "interrupted after 2 epochs" in capsys.readouterr().err


def test_an_interruption_before_training_saves_nothing(monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("frozenfit.datasets.load", interrupted)
    assert main(["train"]) == 130
    assert "nothing was saved" in capsys.readouterr().err


# One sentence


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "required: COMMAND"),
        (["trian"], "invalid choice: 'trian'"),
        (["evaluate", "m.frozenfit"], "required: --dataset"),
        (["info"], "required: FILE"),
        (["train", "--epoch", "3"], "unrecognized arguments: --epoch"),
        (["train", "--epochs", "many"], "--epochs: invalid int value: 'many'"),
        (["train", "--epochs", "0"], "'epochs' parameter"),
        (["train", "--frozen", "ones"], "'frozen' parameter"),
        (["train", "--model-params", "width"], "write NAME=VALUE"),
        (["train", "--trainable", "filter(0.1)"], "filters"),
        (["train", "--model", "lenet"], "lenet5"),
        (["train", "--dataset", "./no-such-folder"], "There is no folder no-such-folder"),
        (["train", "--limit", "3"], "--limit must be at least 10"),
        (["train", "--image-size", "28"], "two positive integers"),
        (["info", "no-such-file.frozenfit"], "no-such-file.frozenfit"),
        (["evaluate", "no-such-file.frozenfit", "--dataset", "digits"], "no-such-file.frozenfit"),
    ],
)
def test_wrong_words_are_told_in_one_sentence(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in fails(capsys, *words)


def test_an_unwritable_path_is_told_before_training(tmp_path, monkeypatch, capsys):
    from frozenfit import PartialNetClassifier

    monkeypatch.setattr(PartialNetClassifier, "fit", None)  # calling it would be a TypeError
    path = tmp_path / "no-such-folder" / "m.frozenfit"
    assert "cannot write" in fails(capsys, "train", "--out", str(path))


def test_a_damaged_file_is_told(saved, tmp_path, capsys):
    path = tmp_path / "damaged.frozenfit"
    path.write_bytes(saved[0].read_bytes()[:-5])
    assert "damaged.frozenfit" in fails(capsys, "info", str(path))


def test_a_data_set_of_other_shape_is_told(saved, tmp_path, capsys):
    image = pytest.importorskip("PIL.Image")
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for index in range(4):
            image.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / label / f"{index}.png")
    assert "shape" in fails(capsys, "evaluate", str(saved[0]), "--dataset", str(tmp_path))


WITHOUT_BACKEND = """
import importlib.machinery as machinery, sys
find = machinery.PathFinder.find_spec
def hide(cls, name, path=None, target=None):
    return None if name.split(".")[0] == "jax" else find(name, path, target)
machinery.PathFinder.find_spec = classmethod(hide)
from frozenfit.cli import main
sys.exit(main(["info", "m.frozenfit"]))
"""


def test_a_missing_backend_is_told():
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_BACKEND],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    )
    assert run.returncode == 2
    assert 'the Keras backend jax is not installed; run: pip install "frozenfit[jax]"' in run.stderr
    assert "Traceback" not in run.stderr
