"""Networks of the package fulfill the contract."""

from __future__ import annotations

import numpy as np
from network_contract import NetworkContract


class TestMLP(NetworkContract):
    name = "mlp"
    input_shape = (6,)
    params = {"hidden_layer_sizes": (16, 12)}


class TestLeNet5(NetworkContract):
    name = "lenet5"
    input_shape = (8, 8, 1)
    params = {"batch_norm": True}


class TestResNet(NetworkContract):
    name = "resnet"
    input_shape = (8, 8, 3)
    params = {"depth": 8}


class TokenNetwork(NetworkContract):
    input_shape = (6,)

    def samples(self, n=4):
        ids = np.random.default_rng(0).integers(1, 9, (n, 6))
        ids[:, 4:] = 0  # padding
        return ids


class TestTextCNN(TokenNetwork):
    name = "text_cnn"
    params = {"max_tokens": 9, "embedding_dim": 16, "filters": 12, "kernel_sizes": (2, 3)}


class TestGRUEncoder(TokenNetwork):
    name = "gru_encoder"
    params = {"max_tokens": 9, "embedding_dim": 16, "units": 12}


class TestSeriesCNN(NetworkContract):
    name = "series_cnn"
    input_shape = (7, 2)
    params = {"width": 1 / 8}
