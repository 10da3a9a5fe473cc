"""A backbone of KerasHub as any Keras network: dicts as inputs, nested, with custom layers."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import frozenfit
from frozenfit import PartialModel, PartialNetClassifier
from frozenfit.layers import Partial

keras_hub = pytest.importorskip("keras_hub")

LENGTH, WORDS = 8, 40
INPUTS = "token_ids", "segment_ids", "padding_mask"
SECOND_LAYER = "layers('*transformer_layer_1/*') | head()"


def seeded(model):
    values = np.random.default_rng(0)
    for weight in model.weights:
        if weight.trainable:
            weight.assign(values.normal(scale=0.2, size=weight.shape))
    return model


def backbone():
    return keras_hub.models.BertBackbone(
        vocabulary_size=WORDS,
        num_layers=2,
        num_heads=2,
        hidden_dim=32,
        intermediate_dim=48,
        dropout=0.0,
        max_sequence_length=LENGTH,
    )


def tokens(n=48):
    """Token ids, padded with 0, whose class is that of the second token."""
    rng = np.random.default_rng(0)
    ids = rng.integers(1, WORDS, (n, LENGTH)).astype("int32")
    ids[::2, LENGTH - 2 :] = 0
    return ids, (ids[:, 1] > WORDS // 2).astype(int)


def as_inputs(ids):
    return {
        "token_ids": ids,
        "segment_ids": np.zeros_like(ids),
        "padding_mask": (ids > 0).astype("int32"),
    }


def compiled(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    return model


def outputs(model, x):
    return model.predict(x, verbose=0)


def of_dicts():
    inputs = {name: keras.Input((LENGTH,), dtype="int32", name=name) for name in INPUTS}
    pooled = backbone()(inputs)["pooled_output"]
    return seeded(keras.Model(inputs, keras.layers.Dense(2, name="logits")(pooled)))


def of_tokens(activation=None):
    ids = keras.Input((LENGTH,), dtype="int32", name="ids")
    inputs = {
        "token_ids": ids,
        "segment_ids": keras.ops.zeros_like(ids),
        "padding_mask": keras.ops.cast(keras.ops.not_equal(ids, 0), "int32"),
    }
    pooled = backbone()(inputs)["pooled_output"]
    head = keras.layers.Dense(2, activation, name="logits")
    return seeded(keras.Model(ids, head(pooled)))


def test_a_partial_model_trains_its_part_and_is_saved(tmp_path):
    ids, y = tokens()
    x, base = as_inputs(ids), of_dicts()
    before = base.get_weights()
    model = compiled(PartialModel(base, SECOND_LAYER))
    np.testing.assert_allclose(outputs(model, x), outputs(base, x), atol=1e-6)
    losses = model.fit(x, y, epochs=4, verbose=0, shuffle=False).history["loss"]
    assert losses[-1] < losses[0]
    assert all(np.array_equal(a, b) for a, b in zip(before, base.get_weights(), strict=True))

    trained = model.to_keras().get_layer("bert_backbone")
    given = base.get_layer("bert_backbone")
    for name, changes in (("transformer_layer_0", False), ("transformer_layer_1", True)):
        same = [
            np.array_equal(a, b)
            for a, b in zip(
                trained.get_layer(name).get_weights(),
                given.get_layer(name).get_weights(),
                strict=True,
            )
        ]
        assert not any(same[:2]) if changes else all(same)

    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs(again, x), outputs(model, x))


def test_padding_reaches_the_backbone_through_a_partial_model():
    ids, _ = tokens()
    model = PartialModel(of_dicts(), "head()")
    padded = as_inputs(ids)
    without_mask = {**padded, "padding_mask": np.ones_like(ids)}
    same = np.isclose(outputs(model, padded), outputs(model, without_mask), atol=1e-6).all(axis=1)
    assert not same[::2].any() and same[1::2].all()


def test_a_partial_layer_around_a_layer_of_keras_hub(tmp_path):
    ids, y = tokens()
    x = inputs = keras.Input((LENGTH,), dtype="int32")
    x = keras_hub.layers.TokenAndPositionEmbedding(WORDS, LENGTH, 16, name="words")(x)
    x = Partial(keras_hub.layers.TransformerEncoder(24, 2, name="encoder"), "filters(0.25)")(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    model = compiled(keras.Model(inputs, keras.layers.Dense(2, name="logits")(x)))
    losses = model.fit(ids, y, epochs=4, verbose=0, shuffle=False).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs(again, ids), outputs(model, ids))


def test_a_classifier_on_token_ids(tmp_path):
    ids, y = tokens()
    model = of_tokens("softmax")
    still = {"trainable": SECOND_LAYER, "random_state": 0, "learning_rate": 1e-30, "epochs": 1}
    clf = PartialNetClassifier(model, **still).fit(ids, y)
    np.testing.assert_allclose(clf.predict_proba(ids), outputs(model, ids), atol=1e-6)

    clf.set_params(learning_rate=0.01, epochs=8).fit(ids, y)
    assert clf.history_["loss"][-1] < clf.history_["loss"][0]
    rows = {row.path: row.trainable for row in clf.parameter_table()}
    trained = {path.split("/")[1] for path, count in rows.items() if count and "bert" in path}
    assert trained == {"transformer_layer_1"}

    with pytest.warns(UserWarning, match="base=network"):
        frozenfit.save(clf, tmp_path / "part")
    again = frozenfit.load(tmp_path / "part", base=model)
    np.testing.assert_array_equal(again.predict_proba(ids), clf.predict_proba(ids))


def test_a_fraction_of_a_backbone_and_its_text_classifier():
    ids, y = tokens()
    clf = PartialNetClassifier(of_tokens(), trainable=0.25, epochs=2, random_state=0).fit(ids, y)
    assert clf.predict_proba(ids).shape == (len(ids), 2)
    task = keras_hub.models.BertTextClassifier(backbone(), num_classes=2, preprocessor=None)
    model = compiled(PartialModel(seeded(task), SECOND_LAYER))
    losses = model.fit(as_inputs(ids), y, epochs=4, verbose=0, shuffle=False).history["loss"]
    assert losses[-1] < losses[0]
