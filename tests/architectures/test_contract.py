"""Networks of the package fulfill the contract."""

from __future__ import annotations

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
