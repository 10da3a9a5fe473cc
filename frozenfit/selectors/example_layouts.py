"""Layouts of small networks, to try a selector without a backend."""

from __future__ import annotations

from frozenfit.utils.names import did_you_mean

from .layout import Layout
from .weight_info import WeightInfo


def _dense(layer: str, n_in: int, n_out: int) -> list[WeightInfo]:
    return [
        WeightInfo(f"{layer}/kernel", (n_in, n_out), layer, "Dense", "kernel", (1,), (0,)),
        WeightInfo(f"{layer}/bias", (n_out,), layer, "Dense", "bias", (0,)),
    ]


def _conv2d(layer: str, n_in: int, n_out: int) -> list[WeightInfo]:
    shape = (5, 5, n_in, n_out)
    return [
        WeightInfo(f"{layer}/kernel", shape, layer, "Conv2D", "kernel", (3,), (2,), (0, 1)),
        WeightInfo(f"{layer}/bias", (n_out,), layer, "Conv2D", "bias", (0,)),
    ]


def _norm(layer: str, n: int, layer_type: str) -> list[WeightInfo]:
    return [
        WeightInfo(f"{layer}/gamma", (n,), layer, layer_type, "scale", (0,)),
        WeightInfo(f"{layer}/beta", (n,), layer, layer_type, "offset", (0,)),
    ]


def _lstm(layer: str, n_in: int, n: int) -> list[WeightInfo]:
    cell, columns = f"{layer}/lstm_cell", 4 * n
    return [
        WeightInfo(
            f"{cell}/kernel", (n_in, columns), cell, "LSTMCell", "kernel", (1,), (0,), gates=4
        ),
        WeightInfo(
            f"{cell}/recurrent_kernel", (n, columns), cell, "LSTMCell", "kernel", (1,), (0,),
            gates=4,
        ),
        WeightInfo(f"{cell}/bias", (columns,), cell, "LSTMCell", "bias", (0,), gates=4),
    ]  # fmt: skip


# Written out instead of read from Keras models, so that an example needs no backend. A test
# compares them with the models.
_WEIGHTS = {
    "lenet5": [
        *_conv2d("conv1", 1, 6),
        *_conv2d("conv2", 6, 16),
        *_dense("dense1", 256, 120),
        *_dense("dense2", 120, 84),
        *_dense("head", 84, 10),
    ],
    "text": [
        WeightInfo(
            "embedding/embeddings", (1000, 16), "embedding", "Embedding", "embedding", (1,), (0,)
        ),
        WeightInfo("conv/kernel", (3, 16, 32), "conv", "Conv1D", "kernel", (2,), (1,), (0,)),
        WeightInfo("conv/bias", (32,), "conv", "Conv1D", "bias", (0,)),
        *_norm("conv_norm", 32, "BatchNormalization"),
        *_lstm("lstm", 32, 24),
        *_norm("norm", 24, "LayerNormalization"),
        *_dense("head", 24, 4),
    ],
}


def example_layout(name: str = "lenet5") -> Layout:
    """Return the layout of a small network, to try a selector without a backend.

    Parameters
    ----------
    name : {"lenet5", "text"}, default="lenet5"
        "lenet5" is the architecture of this name for images of 28 x 28 pixels and 10 classes.
        "text" is a network of an embedding of 1,000 words, a convolution along the text with batch
        normalization, an LSTM with layer normalization, and a head of 4 classes.

    Returns
    -------
    Layout
        The same layout as that of the Keras model.

    Raises
    ------
    ValueError
        If the network does not exist.

    See Also
    --------
    frozenfit.layout.describe : The layout of a Keras model.

    Examples
    --------
    >>> from frozenfit.selectors import everything, example_layout
    >>> print(everything().resolve(example_layout("text")))
    weight                           shape        form     trainable   total
    embedding/embeddings             (1000, 16)   all         16,000  16,000
    conv/kernel                      (3, 16, 32)  all          1,536   1,536
    conv/bias                        (32,)        all             32      32
    conv_norm/gamma                  (32,)        all             32      32
    conv_norm/beta                   (32,)        all             32      32
    lstm/lstm_cell/kernel            (32, 96)     all          3,072   3,072
    lstm/lstm_cell/recurrent_kernel  (24, 96)     all          2,304   2,304
    lstm/lstm_cell/bias              (96,)        all             96      96
    norm/gamma                       (24,)        all             24      24
    norm/beta                        (24,)        all             24      24
    head/kernel                      (24, 4)      all             96      96
    head/bias                        (4,)         all              4       4
    sum                                           100.00%     23,252  23,252
    """
    if name not in _WEIGHTS:
        raise ValueError(
            f"`name` must be the name of an example, got {name!r}. {did_you_mean(name, _WEIGHTS)}"
        )
    weights = tuple(_WEIGHTS[name])
    return Layout(weights, tuple(dict.fromkeys(info.layer for info in weights)), ("head",))
