"""Every selector of the package fulfills the contract."""

from __future__ import annotations

import numpy as np
import pytest
from selector_contract import AnySelectorContract, SelectorContract
from selector_networks import NETWORKS, SMALL

from frozenfit.selectors import (
    Context,
    Nothing,
    WeightInfo,
    batch_norm,
    between,
    biases,
    block,
    columns,
    conv_filters,
    disjoint,
    everything,
    filters,
    first,
    fisher,
    head,
    inputs,
    kernels,
    last,
    layers,
    lora,
    magnitude,
    mask,
    movement,
    norms,
    nothing,
    random,
    registered,
    rows,
    scales,
    subspace,
    supermask,
    where,
)
from frozenfit.selectors.registry import find

ANY_NETWORK = [
    everything(),
    nothing() | kernels(),
    kernels(),
    biases(),
    norms(),
    batch_norm(),
    head(),
    filters(0.1),
    filters(3, min_filters=0),
    conv_filters(0.3, min_filters=2),
    inputs(0.5),
    rows(2),
    columns(1),
    first(2),
    last(1),
    between(1, 2),
    random(0.2),
    random(4, seed=2**70, within=kernels() - head()),
    disjoint(0.25, 1, 4),
    magnitude(0.2),
    magnitude(3, largest=False, within=biases()),
    fisher(0.05),
    fisher(7, within=~biases()),
    filters(0.5) & kernels() | head() - biases(),
]
NAMED = [
    head("block1_conv"),
    layers("conv1", "*/bias"),
    block("block1"),
    between("conv1", "head"),
    filters(0.1).on("*conv*"),
    mask({"head/bias": [True, False, True], "scale/beta": np.zeros(40, bool)}),
    movement(1, {"head/bias": np.zeros(3)}, {"head/bias": np.array([0, 2, 1])}),
    magnitude(0.1, of={info.path: np.ones(info.shape) for info in SMALL.weights}),
]


class TestSelectorsOfAnyNetwork(SelectorContract):
    invalid = tuple(
        f"{call})"
        for call in """
        everything(1 nothing(1 kernels(p=1 biases(1 norms(1 batch_norm(1 head(1 head("")
        filters( filters(0 filters(0.0 filters(1.5 filters(-1 filters("1" filters(True filters(1,2
        filters(1,min_filters=-1 filters(1,min_filters=0.5 conv_filters(0 conv_filters(1,least=1
        inputs(0 inputs(None rows(0 rows(2.0 columns(0 columns([1] first(0 first(1.0 first(
        last(0 last("a" between(1 between(2,1 between(-1,2 between(0,None random(0 random(1,-1
        random(1,0.5 random(1,within=1 disjoint(1,0,2 disjoint(0.5,2,2 disjoint(0.5,0,3
        disjoint(0.5,0 magnitude(0 magnitude(1,largest=1 magnitude(1,"other" magnitude(1,within="a"
        fisher(0 fisher(1,within=0
        """.split()
    )

    @pytest.fixture(params=ANY_NETWORK, ids=str)
    def selector(self, request):
        return request.param


class TestSelectorsThatNameLayers(SelectorContract):
    networks = ("small",)
    invalid = tuple(
        f"{call})"
        for call in """
        layers( layers(1 layers("" block( block(1 block("" block("a","b" head("a",1 between("",1
        head().on( head().on(1 head().on("" mask( mask({} mask([True] mask({1:[True]}
        mask({"a":[2]} mask({"a":[0.5]} movement(1,{} movement(1,{},{} movement(1,{"a":1},{"b":1}
        movement(1,0,0 movement(0,{},{} magnitude(1,of={},within=head()
        """.split()
    )

    @pytest.fixture(params=NAMED, ids=lambda selector: str(selector)[:60])
    def selector(self, request):
        return request.param


SCALED = [
    scales(),
    scales(inputs=False),
    scales(outputs=False, signs=3),
    scales(signs=0) | biases() | head(),
]


class TestScales(AnySelectorContract):
    invalid = tuple(
        f"scales({arguments})"
        for arguments in """
        1 inputs=1 inputs=None outputs="a" inputs=False,outputs=False signs=-1 signs=0.5
        inputs=False,signs=1 side=1
        """.split()
    )

    @pytest.fixture(params=SCALED, ids=str)
    def selector(self, request):
        return request.param


FACTORS = [lora(2), lora(1, 0.5, 3), lora(3, seed=2) | biases() | head()]


class TestLora(AnySelectorContract):
    invalid = tuple(
        f"lora({arguments})"
        for arguments in """
        0 -1 1.5 True "a" 2,alpha=0 2,alpha=-1 2,alpha="a" 2,alpha=True 2,seed=-1 2,seed=0.5 2,1,0,1
        """.split()
    )

    @pytest.fixture(params=FACTORS, ids=str)
    def selector(self, request):
        return request.param


MASKED = [supermask(), supermask(0.3, False, 1), supermask(0.7, seed=2) | head()]


class TestSupermask(AnySelectorContract):
    invalid = tuple(
        f"supermask({arguments})"
        for arguments in """
        0 1 1.0 -0.5 True "a" None 0.5,rescale=1 0.5,rescale="a" 0.5,seed=-1 0.5,seed=0.5
        0.5,True,0,1
        """.split()
    )

    @pytest.fixture(params=MASKED, ids=str)
    def selector(self, request):
        return request.param


SUBSPACES = [subspace(7), subspace(3, "dense", 2), subspace(3, "sparse") | head()]


class TestSubspace(AnySelectorContract):
    invalid = tuple(
        f"subspace({arguments})"
        for arguments in """
        0 -1 1.5 True "a" 5,projection="normal" 5,projection=None 5,seed=-1 5,seed=0.5 5,"dense",0,1
        """.split()
    )

    @pytest.fixture(params=SUBSPACES, ids=str)
    def selector(self, request):
        return request.param

    def test_a_restriction_selects_the_same_in_the_weights_that_match(self, selector):
        # A subspace of fewer weights has another place for each of them.
        for name in self.networks:
            layout = NETWORKS[name]
            glob = layout.layers[0]
            inside = layout.match(glob)
            if sum(layout[path].size for path in inside) < 7:
                continue
            whole, part = (
                each.resolve(layout, Context(seed=5), allow_empty=True)
                for each in (selector, selector.on(glob))
            )
            for info in layout.weights:
                expected = whole[info.path] if info.path in inside else Nothing()
                assert of_any_place(part[info.path]) == of_any_place(expected)


def of_any_place(form):
    return getattr(form, "key", form)


def leading_pair(info: WeightInfo) -> int | None:
    return 2 if info.role == "kernel" else None


class TestWhere(SelectorContract):
    can_be_stored = False
    invalid = ("where()", "where(1)", 'where("all")')

    @pytest.fixture
    def selector(self):
        return where(leading_pair)


def test_the_contract_is_tested_for_every_selector_of_the_package():
    tested = [*ANY_NETWORK, *NAMED, *SCALED, *FACTORS, *MASKED, *SUBSPACES, where(leading_pair)]
    texts = " ".join(map(str, tested))
    own = [name for name in registered() if find(name).__module__.startswith("frozenfit.")]
    assert len(own) == 28
    # The results of `movement` are masks.
    assert all(f"{name}(" in texts for name in own if name != "movement")
