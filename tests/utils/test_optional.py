"""The backend that is used where the user selected none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings

import keras
import pytest

from frozenfit.utils import optional

# Only the backends named in the first argument can be imported, or look as if they could.
START = """
import importlib.machinery as machinery, os, sys
find = machinery.PathFinder.find_spec
def only(cls, name, path=None, target=None):
    if name in ("tensorflow", "jax", "torch"):
        if name not in sys.argv[1].split(","):
            return None
        return find(name, path, target) or machinery.ModuleSpec(name, None)
    return find(name, path, target)
machinery.PathFinder.find_spec = classmethod(only)
"""
SELECTED = START + "import frozenfit; print(os.environ.get('KERAS_BACKEND'))"
KERAS_DEFAULTS = {
    "floatx": "float32",
    "epsilon": 1e-07,
    "backend": "tensorflow",
    "image_data_format": "channels_last",
}


def started(home, installed, *, code=SELECTED, file=None, variable=None):
    environment = {**os.environ, "KERAS_HOME": str(home), "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("KERAS_BACKEND", None)
    if variable is not None:
        environment["KERAS_BACKEND"] = variable
    if file is not None:
        (home / "keras.json").write_text(file if isinstance(file, str) else json.dumps(file))
    command = [sys.executable, "-c", code, ",".join(installed)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    return run.stdout.strip(), run.stderr


@pytest.mark.any_backend
@pytest.mark.parametrize("only", ["jax", "torch"])
@pytest.mark.parametrize("file", [None, KERAS_DEFAULTS, "{", "[]"])
def test_the_only_backend_is_used_and_named_once(tmp_path, only, file):
    selected, log = started(tmp_path, [only], file=file)
    assert selected == only
    assert log.count(f"using '{only}', the only backend that is installed") == 1


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("installed", "options", "selected"),
    [
        (["tensorflow"], {}, "None"),  # Keras's own default
        ([], {}, "None"),
        (["jax", "torch"], {}, "None"),
        (["jax"], {"variable": "torch"}, "torch"),
        (["jax"], {"file": {**KERAS_DEFAULTS, "backend": "torch"}}, "None"),
        (["jax"], {"file": {**KERAS_DEFAULTS, "floatx": "float16"}}, "None"),
    ],
)
def test_a_choice_of_the_user_is_kept(tmp_path, installed, options, selected):
    assert started(tmp_path, installed, **options) == (selected, "")


@pytest.mark.any_backend
def test_the_choice_comes_too_late_after_keras(tmp_path):
    late = "import types; sys.modules['keras.src.backend.config'] = types.ModuleType('config')\n"
    code = START + late + SELECTED.removeprefix(START)
    assert started(tmp_path, ["jax"], code=code) == ("None", "")


USED = START + "import frozenfit, keras; frozenfit.PartialModel; print(keras.config.backend())"


def test_keras_runs_on_the_only_backend(tmp_path):
    backend = keras.config.backend()
    assert started(tmp_path, [backend], code=USED)[0] == backend


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("installed", "remedy"),
    [
        (["torch"], "Set the environment variable KERAS_BACKEND to 'torch'."),
        ([], 'Install one with: pip install "frozenfit[tensorflow]", [jax] or [torch].'),
    ],
)
def test_a_missing_backend_names_the_installed_ones(tmp_path, installed, remedy):
    code = START + "import frozenfit; frozenfit.PartialModel"
    log = started(tmp_path, installed, code=code, variable="jax")[1]
    assert f"ImportError: The Keras backend 'jax' is not installed. {remedy}" in log


def test_the_warning_of_tqdm_about_ipywidgets_is_not_shown(tmp_path, monkeypatch):
    text = "import warnings; warnings.warn('IProgress not found. Please update jupyter.')"
    (tmp_path / "warns_of_widgets.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        optional.require("warns_of_widgets", "search", "Searching")
    assert seen == []
