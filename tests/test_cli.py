"""The command line: parsing, output, and errors in one line."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from frozenfit.cli import main, options, settings

QUICK = ["--limit", "200", "--epochs", "2", "--random-state", "0", "--verbose", "0"]


def fails(capsys, *words):
    """Run a command that must fail, and return its one line of error."""
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.err.startswith("frozenfit: ")
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    return said.err


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A file that train saved, with the printed output."""
    path = tmp_path_factory.mktemp("cli") / "digits.frozenfit"
    words = ["train", "--dataset", "digits", "--trainable", "filters(0.1) | head()", "--out"]
    run = subprocess.run(
        [sys.executable, "-m", "frozenfit.cli", *words, str(path), *QUICK],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return path, run.stdout


# Parsing


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
    assert options.literal_or_text(text) == value
    assert type(options.literal_or_text(text)) is type(value)


def test_the_number_of_epochs_may_be_automatic():
    assert [options.count_or_auto(text) for text in ("auto", "7")] == ["auto", 7]


def test_model_parameters_are_pairs():
    assert options.pair("hidden_layer_sizes=(64, 32)") == ("hidden_layer_sizes", (64, 32))
    assert options.pair("activation=relu") == ("activation", "relu")


def test_the_docstring_becomes_help():
    helps = settings.parameter_descriptions(
        """Do it.

        Parameters
        ----------
        model : str, default="mlp"
            The network: a name, or ``f(x)``. More about it.
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
        "model": "The network: a name, or f(x).",
        "first": "Two numbers.",
        "second": "Two numbers.",
        "last": "What comes last.",
    }


# Help


COMMANDS = ["train", "predict", "evaluate", "export", "info", "search"]


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_succeeds(command, capsys):
    assert main([*command, "--help"]) == 0
    assert "usage: frozenfit" in capsys.readouterr().out


def test_every_parameter_of_the_classifier_can_be_set(capsys):
    from frozenfit import PartialNetClassifier

    main(["train", "--help"])
    options = set(re.findall(r"--([a-z][a-z-]*)", capsys.readouterr().out))
    parameters = {name.replace("_", "-") for name in PartialNetClassifier().get_params(deep=False)}
    assert parameters - options == {"callbacks", "warm-start"}


def test_every_parameter_has_a_description():
    from frozenfit import PartialNetClassifier

    helps = settings.parameter_descriptions(PartialNetClassifier.__doc__ or "")
    assert set(PartialNetClassifier().get_params(deep=False)) == {n for n in helps if helps[n]}


def test_the_version_is_printed(capsys):
    from frozenfit import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"frozenfit {__version__}\n"


def test_the_command_alone_prints_help(capsys):
    assert main([]) == 0
    assert "usage: frozenfit" in capsys.readouterr().out


NO_BACKEND = """
import sys
from frozenfit.cli import main
codes = [
    main([]),
    main(["train", "--help"]),
    main(["trian"]),
    main(["train", "--datset", "digits"]),
    main(["train", "--dataset", "digit"]),
    main(["train", "--trainable", "filter(0.1)"]),
    main(["train", "--epochs", "many"]),
    main(["train", "--trainable", "1.5"]),
    main(["search", "--objectives", "acuracy"]),
]
assert codes == [0, 0, 2, 2, 2, 2, 2, 2, 2], codes
print(*sorted({"keras", "tensorflow", "jax", "torch", "sklearn.datasets"} & sys.modules.keys()))
"""


def test_help_and_typos_load_neither_a_backend_nor_data():
    run = subprocess.run([sys.executable, "-c", NO_BACKEND], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == ""


@pytest.mark.parametrize(
    "words",
    [
        ["--epochs", "0"],
        ["--frozen", "ones"],
        ["--model", "lenet"],
        ["--model-params", "widht=4"],
        ["--learning-rate", "fast"],
        ["--trainable", "1.5"],
    ],
)
def test_invalid_parameters_fail_before_data_is_loaded(words, monkeypatch, capsys):
    monkeypatch.setattr("frozenfit.datasets.load", None)  # calling it would be a TypeError
    assert "NoneType" not in fails(capsys, "train", *words)


def test_parameters_are_read_from_the_source_as_they_are():
    from frozenfit import PartialNetClassifier

    signature = inspect.signature(PartialNetClassifier)
    read = {each.name: each.default for each in settings.classifier_parameters()}
    assert read == {name: p.default for name, p in signature.parameters.items()}


# Commands


def test_train_prints_the_table_and_one_line_of_results(saved):
    path, said = saved
    assert re.search(r"head/kernel +\(512, 10\)", said)
    assert float(re.search(r"test accuracy ([\d.]+)", said)[1]) > 0.3
    assert path.exists()
    last = said.strip().splitlines()[-1]
    assert re.fullmatch(
        r"trained 8,445 of 38,410 parameters \(22\.0 %\), "
        r"file [\d.]+ kB instead of 154 kB, test accuracy 0\.\d{3}",
        last,
    )


def test_the_saved_file_is_the_estimator(saved):
    from frozenfit import datasets, load

    path, said = saved
    digits = datasets.load("digits")
    accuracy = load(path).score(digits.X_test, digits.y_test)
    assert f"test accuracy {accuracy:.3f}" in said


def test_evaluate_repeats_the_accuracy(saved, capsys):
    path, said = saved
    assert main(["evaluate", str(path), "--dataset", "digits"]) == 0
    accuracy = re.search(r"test accuracy ([\d.]+)", said)[1]
    assert f"test accuracy {accuracy} on 540 images" in capsys.readouterr().out


def test_info_prints_class_settings_and_table(saved, capsys):
    assert main(["info", str(saved[0])]) == 0
    said = capsys.readouterr().out
    assert said.startswith("PartialNetClassifier\n")
    assert "trainable = 'filters(0.1) | head()'" in said
    assert "epochs trained   2" in said
    assert re.search(r"dense1/kernel +\(64, 512\)", said)


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


def test_save_frozen_stores_the_frozen_parameters(saved, tmp_path, capsys):
    path = tmp_path / "whole.frozenfit"
    assert main(["train", "--save-frozen", "--out", str(path), *QUICK]) == 0
    assert path.stat().st_size > saved[0].stat().st_size + 4 * 5000


def test_an_interrupted_training_is_saved(tmp_path, monkeypatch, capsys):
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


# Errors


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "Unknown command 'trian'. Did you mean 'train'?"),
        (["train", "--datset", "digits"], "Unknown option --datset. Did you mean '--dataset'"),
        (["evaluate", "m", "--datset", "digits"], "Did you mean '--dataset'"),
        (["train", "--dataset", "digit"], "Did you mean 'digits'?"),
        (["evaluate", "m.frozenfit"], "requires either a file, DATA, or a data set, --dataset"),
        (["info"], "required: MODEL"),
        (["train", "--epoch", "3"], "Unknown option --epoch. Did you mean '--epochs'"),
        (["train", "--epochs", "many"], "--epochs: expected an integer or auto, got 'many'"),
        (["train", "--epochs", "0"], "'epochs' parameter"),
        (["train", "--frozen", "ones"], "'frozen' parameter"),
        (["train", "--model-params", "width"], "expected NAME=VALUE"),
        (["train", "--trainable", "filter(0.1)"], "filters"),
        (["train", "--model", "lenet"], "lenet5"),
        (["train", "--dataset", "./no-such-folder"], "There is no folder no-such-folder"),
        (["train", "--limit", "3"], "--limit must be at least 10"),
        (["train", "--image-size", "28"], "two positive integers"),
        (["info", "no-such-file.frozenfit"], "no-such-file.frozenfit"),
        (["evaluate", "no-such-file.frozenfit", "--dataset", "digits"], "no-such-file.frozenfit"),
    ],
)
def test_user_errors_are_one_line(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in fails(capsys, *words)


def test_an_unwritable_path_fails_before_training(tmp_path, monkeypatch, capsys):
    from frozenfit import PartialNetClassifier

    monkeypatch.setattr(PartialNetClassifier, "fit", None)  # calling it would be a TypeError
    path = tmp_path / "no-such-folder" / "m.frozenfit"
    assert "cannot write" in fails(capsys, "train", "--out", str(path))


def test_a_damaged_file_fails_with_its_name(saved, tmp_path, capsys):
    path = tmp_path / "damaged.frozenfit"
    path.write_bytes(saved[0].read_bytes()[:-5])
    assert "damaged.frozenfit" in fails(capsys, "info", str(path))


def test_a_data_set_of_another_shape_fails(saved, tmp_path, capsys):
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


def test_a_missing_backend_is_reported_without_a_traceback():
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_BACKEND],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    )
    assert run.returncode == 2
    assert "The Keras backend 'jax' is not installed." in run.stderr
    assert "Traceback" not in run.stderr
