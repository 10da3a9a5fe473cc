"""A selector of the user's own is parsed, compared, cloned, stored and suggested."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np
import pytest
from selector_contract import SelectorContract
from selector_networks import RECURRENT, SMALL
from sklearn.base import clone
from sklearn.datasets import load_iris

import frozenfit
from frozenfit import selectors as fs
from frozenfit.selectors import registry


@fs.register("every_nth")
@dataclass(frozen=True)
class EveryNth(fs.Selector):
    """Every n-th output of every kernel inside another selector."""

    n: int = 2
    within: fs.Selector | None = None
    scale: float = 1.0

    def __post_init__(self):
        if type(self.n) is not int or self.n < 1:
            raise ValueError(f"`n` of `every_nth` must be an int >= 1, got {self.n!r}.")

    def forms(self, layout, context):
        inside = (self.within or fs.kernels()).resolve(layout, context, allow_empty=True)
        chosen = {}
        for info in layout.weights:
            if len(info.output_axes) == 1:
                axis = info.output_axes[0]
                mask = np.zeros(info.shape, bool)
                np.moveaxis(mask, axis, 0)[:: self.n] = True
                chosen[info.path] = fs.forms.intersection(
                    fs.Mask(mask), inside[info.path], info.shape
                )
        return chosen


@fs.register("bias_of")
def bias_of(glob):
    return fs.biases().on(glob)


class TestEveryNth(SelectorContract):
    invalid = ("every_nth(0)", "every_nth(1.0)", "every_nth(m=2)", "every_nth(within=rows())")

    @pytest.fixture(params=[EveryNth(), EveryNth(3, fs.kernels() - fs.head(), 2.5)], ids=str)
    def selector(self, request):
        return request.param


def test_fields_with_their_default_are_left_out_of_the_text():
    assert str(EveryNth()) == "every_nth()"
    assert str(EveryNth(3, fs.head())) == "every_nth(n=3, within=head())"
    # 1 is not the default 1.0: a text without it would be parsed to another selector.
    assert str(EveryNth(scale=1)) == "every_nth(scale=1)"


def test_a_dataclass_compares_types_as_the_selectors_of_the_package_do():
    assert EveryNth(scale=2) != EveryNth(scale=2.0)


def test_a_function_is_registered_as_a_selector():
    assert fs.parse('bias_of("conv1") | head()') == fs.biases().on("conv1") | fs.head()


def test_a_registered_selector_is_suggested():
    with pytest.raises(ValueError, match="Did you mean 'every_nth'"):
        fs.parse("every_nht(3)")


def test_an_unknown_selector_without_a_near_name_points_to_the_import():
    with pytest.raises(ValueError, match="after the module that registers it is imported"):
        fs.parse("zzzz()")


def test_a_registered_selector_is_cloned_and_stored(tmp_path):
    X, y = load_iris(return_X_y=True)
    clf = frozenfit.PartialNetClassifier(
        "mlp", trainable="every_nth(4) | head()", epochs=1, random_state=0
    )
    assert clone(clf).get_params()["trainable"] == "every_nth(4) | head()"
    clf.set_params(trainable=EveryNth(4) | fs.head()).fit(X, y)
    assert clone(clf).trainable == EveryNth(4) | fs.head()
    frozenfit.save(clf, tmp_path / "model.frozenfit")
    again = frozenfit.load(tmp_path / "model.frozenfit")
    assert again.trainable == clf.trainable and isinstance(again.trainable, type(clf.trainable))
    np.testing.assert_array_equal(again.predict(X), clf.predict(X))


def test_a_file_with_an_unknown_selector_is_refused_by_name(tmp_path, monkeypatch):
    X, y = load_iris(return_X_y=True)
    clf = frozenfit.PartialNetClassifier("mlp", trainable=EveryNth(4) | fs.head(), epochs=1)
    frozenfit.save(clf.fit(X, y), tmp_path / "model.frozenfit")
    monkeypatch.delitem(registry._SELECTORS, "every_nth")
    with pytest.raises(frozenfit.StorageError, match="There is no selector 'every_nth'"):
        frozenfit.load(tmp_path / "model.frozenfit")


def test_a_class_that_is_not_registered_works_but_cannot_be_stored():
    @dataclass(frozen=True)
    class Lonely(fs.Selector):
        def forms(self, layout, context):
            return {layout.paths[0]: fs.Everything()}

    selector = Lonely() | fs.head()
    assert selector.resolve(SMALL).counts("conv1/kernel") == (180, 180)
    assert copy.deepcopy(selector) == selector and not selector.storable
    with pytest.raises(ValueError, match="a class that is not registered"):
        selector.to_json()


def test_forms_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        fs.Selector()  # type: ignore[abstract]


def test_registering_again_replaces_the_same_definition_only():
    @fs.register("replaced")
    def replaced():
        return fs.head()

    first = replaced

    @fs.register("replaced")
    def replaced():
        return fs.kernels()

    assert first is not replaced and fs.parse("replaced()") == fs.kernels()
    for name in ("replaced", "filters"):
        with pytest.raises(ValueError, match="already registered by"):
            fs.register(name)(bias_of)


@pytest.mark.parametrize("name", ["", "a-b", "1st", "fs.filters", None])
def test_a_name_must_be_an_identifier(name):
    with pytest.raises(ValueError, match="letters, digits and underscores"):
        fs.register(name)


class NotFrozen(fs.Selector):
    def forms(self, layout, context):
        return {}


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        (fs.head(), "must be a function or a class"),
        (dict, "must be a function or a class"),
        (NotFrozen, "must be a frozen dataclass"),
        (dataclass(type("Open", (NotFrozen,), {})), "must be a frozen dataclass"),
        (type("Derived", (EveryNth,), {}), "must be a frozen dataclass"),
    ],
)
def test_only_functions_and_frozen_dataclasses_are_registered(selector, message):
    with pytest.raises(TypeError, match=message):
        fs.register("wrong")(selector)


def test_a_function_that_returns_something_else_is_refused_when_it_is_parsed():
    fs.register("returns_text")(lambda: "head()")
    with pytest.raises(ValueError, match="in place of a selector"):
        fs.parse("returns_text()")


@dataclass(frozen=True)
class Returns(fs.Selector):
    """Return given forms."""

    result: Mapping

    def forms(self, layout, context):
        return self.result


def test_forms_of_an_unknown_weight_or_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="'conv1/kernle'.*Did you mean 'conv1/kernel'"):
        Returns({"conv1/kernle": fs.Everything()}).resolve(SMALL)
    with pytest.raises(ValueError, match="does not fit the weight 'head/bias'"):
        Returns({"head/bias": fs.Leading(1, 2)}).resolve(SMALL)
    with pytest.raises(ValueError, match="does not fit the weight 'head/bias'"):
        Returns({"head/bias": fs.Mask(np.ones(4))}).resolve(SMALL)


def test_forms_become_canonical():
    selection = Returns({"head/bias": fs.Mask(np.ones(3))}).resolve(SMALL)
    assert selection["head/bias"] == fs.Everything()


@pytest.mark.parametrize("name", ["lenet5", "text"])
def test_an_example_layout_is_that_of_the_keras_model(name):
    from dataclasses import replace

    from frozenfit.architectures import build
    from frozenfit.layout import describe

    if name == "lenet5":
        model = build("lenet5", (28, 28, 1), 10)
    else:
        x = inputs = keras.Input((20,))
        x = keras.layers.Embedding(1000, 16, name="embedding")(x)
        x = keras.layers.Conv1D(32, 3, name="conv")(x)
        x = keras.layers.BatchNormalization(name="conv_norm")(x)
        x = keras.layers.LSTM(24, name="lstm")(x)
        x = keras.layers.LayerNormalization(name="norm")(x)
        model = keras.Model(inputs, keras.layers.Dense(4, name="head")(x))
    layout = describe(model)
    weights = tuple(replace(info, initializer=None) for info in layout.weights)
    assert replace(layout, weights=weights) == fs.example_layout(name)


def test_an_unknown_example_is_suggested():
    with pytest.raises(ValueError, match="Did you mean 'lenet5'"):
        fs.example_layout("lenet")


def test_a_selection_prints_the_weights_with_trainable_parameters():
    selection = (fs.rows(5).on("emb") | fs.head()).resolve(RECURRENT)
    assert [line.split()[0] for line in str(selection).splitlines()] == [
        "weight",
        "emb/embeddings",
        "head/kernel",
        "head/bias",
        "sum",
    ]
    assert repr(selection) == "<Selection of 133 of 763 parameters>"
