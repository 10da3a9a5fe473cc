"""Networks as plain layouts, for the tests of selectors: no backend is needed to count."""

from __future__ import annotations

from frozenfit.selectors import Layout, WeightInfo, example_layout


def conv_layer(
    layer: str, window: int, n_in: int, n_out: int, bias: bool = False
) -> list[WeightInfo]:
    shape = (window, window, n_in, n_out)
    kernel = WeightInfo(f"{layer}/kernel", shape, layer, "Conv2D", "kernel", (3,), (2,), (0, 1))
    return [kernel, *([bias_layer(layer, n_out, "Conv2D")] if bias else [])]


def bias_layer(layer: str, n: int, layer_type: str) -> WeightInfo:
    return WeightInfo(f"{layer}/bias", (n,), layer, layer_type, "bias", (0,))


def dense_layer(layer: str, n_in: int, n_out: int) -> list[WeightInfo]:
    kernel = WeightInfo(f"{layer}/kernel", (n_in, n_out), layer, "Dense", "kernel", (1,), (0,))
    return [kernel, bias_layer(layer, n_out, "Dense")]


def norm_layer(layer: str, n: int, layer_type: str = "BatchNormalization") -> list[WeightInfo]:
    return [
        WeightInfo(f"{layer}/gamma", (n,), layer, layer_type, "scale", (0,)),
        WeightInfo(f"{layer}/beta", (n,), layer, layer_type, "offset", (0,)),
    ]


def network(*parts: list[WeightInfo], heads: tuple[str, ...] = ("head",)) -> Layout:
    weights = tuple(info for part in parts for info in part)
    return Layout(weights, tuple(dict.fromkeys(info.layer for info in weights)), heads)


def wide_resnet(width: int, depth: int = 28) -> Layout:
    parts, n_in = [conv_layer("conv1", 3, 3, 16)], 16
    for group in (1, 2, 3):
        n_out = 16 * width * 2 ** (group - 1)
        for unit in range(1, (depth - 4) // 6 + 1):
            name = f"block{group}_unit{unit}"
            parts += [
                norm_layer(f"{name}_norm1", n_in),
                conv_layer(f"{name}_conv1", 3, n_in, n_out),
            ]
            parts += [
                norm_layer(f"{name}_norm2", n_out),
                conv_layer(f"{name}_conv2", 3, n_out, n_out),
            ]
            if n_in != n_out:
                parts.append(conv_layer(f"{name}_shortcut", 1, n_in, n_out))
            n_in = n_out
    return network(*parts, norm_layer("norm", n_in), dense_layer("head", n_in, 10))


def densenet(depth: int = 100, growth: int = 12) -> Layout:
    n = 2 * growth
    parts = [conv_layer("conv1", 3, 3, n)]
    for group in (1, 2, 3):
        for unit in range(1, (depth - 4) // 6 + 1):
            name = f"block{group}_unit{unit}"
            parts += [norm_layer(f"{name}_norm1", n), conv_layer(f"{name}_conv1", 1, n, 4 * growth)]
            parts.append(norm_layer(f"{name}_norm2", 4 * growth))
            parts.append(conv_layer(f"{name}_conv2", 3, 4 * growth, growth))
            n += growth
        if group < 3:
            parts += [norm_layer(f"transition{group}_norm", n)]
            parts += [conv_layer(f"transition{group}_conv", 1, n, n // 2)]
            n //= 2
    return network(*parts, norm_layer("norm", n), dense_layer("head", n, 10))


DENSENET, WRN4, WRN10 = densenet(), wide_resnet(4), wide_resnet(10)

SMALL = network(
    conv_layer("conv1", 3, 1, 20, bias=True),
    norm_layer("block1_norm", 20),
    conv_layer("block1_conv", 1, 20, 30),
    dense_layer("block10_dense", 30, 40),
    norm_layer("scale", 40, "LayerNormalization"),
    dense_layer("head", 40, 3),
)
RECURRENT = network(
    [
        WeightInfo("emb/embeddings", (50, 8), "emb", "Embedding", "embedding", (1,), (0,)),
        WeightInfo("gru/gru_cell/kernel", (8, 12), "gru/gru_cell", "GRUCell", "kernel", (1,), (0,),
                   (), 3),
        WeightInfo("gru/gru_cell/bias", (2, 12), "gru/gru_cell", "GRUCell", "bias", (1,), (), (),
                   3),
        WeightInfo("att/query/kernel", (4, 6, 5), "att/query", "EinsumDense", "kernel", (1,), (0,)),
        WeightInfo("att/query/bias", (6, 5), "att/query", "EinsumDense", "bias", (0,)),
    ],
    dense_layer("head", 30, 3),
)  # fmt: skip
DEPTHWISE = network(
    [
        WeightInfo("sep/depthwise_kernel", (3, 3, 10, 2), "sep", "SeparableConv2D", "kernel", (2,),
                   (2,), (0, 1)),
        WeightInfo("sep/pointwise_kernel", (1, 1, 20, 30), "sep", "SeparableConv2D", "kernel",
                   (3,), (2,), (0, 1)),
        WeightInfo("sep/bias", (30,), "sep", "SeparableConv2D", "bias", (0,)),
        WeightInfo("dw/kernel", (3, 3, 5, 3), "dw", "DepthwiseConv2D", "kernel", (2, 3), (2,),
                   (0, 1)),
        WeightInfo("dw/bias", (15,), "dw", "DepthwiseConv2D", "bias", (0,)),
    ],
    heads=(),
)  # fmt: skip
# A weight without axes, one without parameters, a kernel with a single output, a scale with two
# axes, and no head.
ODD = network(
    [
        WeightInfo("gain", (), "gain", "Gain", "other", ()),
        WeightInfo("empty/kernel", (0, 4), "empty", "Dense", "kernel", (1,), (0,)),
        WeightInfo("one/kernel", (3, 1), "one", "Dense", "kernel", (1,), (0,)),
        WeightInfo("norm/gamma", (2, 3), "norm", "GroupNormalization", "scale", (0, 1)),
    ],
    heads=(),
)
NETWORKS = {
    "small": SMALL,
    "recurrent": RECURRENT,
    "depthwise": DEPTHWISE,
    "odd": ODD,
    "text": example_layout("text"),
}
