"""Selectors select exactly as many parameters as published (Rosenfeld & Tsotsos 2018)."""

from __future__ import annotations

import pytest
from selector_networks import (
    DENSENET,
    WRN4,
    WRN10,
)

from frozenfit.selectors import (
    as_selector,
    batch_norm,
    block,
    columns,
    conv_filters,
    everything,
    filters,
    head,
    inputs,
    layers,
    rows,
)


def _count(chosen, layout):
    return chosen.resolve(layout).n_trainable


def test_the_networks_have_their_published_sizes():
    sizes = [everything().resolve(layout).total for layout in (DENSENET, WRN4, WRN10)]
    assert sizes == [769_162, 5_849_050, 36_479_194]


@pytest.mark.parametrize(
    ("p", "densenet", "wrn4"),
    [
        (0.07, 31_035, 382_363),
        (0.08, 31_851, 456_187),
        (0.09, 61_962, 517_115),
        (0.1, 62_778, 564_827),
        (0.4, 278_283, 2_324_482),
        (0.7, 505_476, 4_075_433),
        (1, 30_111, 30_331),
        (5, 150_555, 151_655),
        (10, 301_110, 303_310),
    ],
)
def test_filters_without_a_minimum_reproduce_the_published_counts(p, densenet, wrn4):
    assert _count(filters(p, min_filters=0), DENSENET) == densenet
    assert _count(conv_filters(p, min_filters=0), WRN4) == wrn4


@pytest.mark.parametrize(
    ("p", "by_filter", "by_input", "by_row"),
    [
        (0.07, 51_771, 49_146, 575_424),
        (0.08, 52_587, 53_892, 575_424),
        (0.09, 61_962, 64_014, 575_424),
        (0.1, 62_778, 69_192, 575_424),
        (0.4, 278_283, 294_672, 575_424),
        (0.7, 505_476, 515_136, 658_584),
        (1, 30_111, 7_962, 575_424),
        (5, 150_555, 39_378, 741_744),
        (10, 301_110, 78_108, 741_744),
    ],
)
def test_slices_of_each_dimension_have_at_least_one_position(p, by_filter, by_input, by_row):
    chosen = (filters(p), inputs(p), rows(p), columns(p))
    counts = [_count(selector, DENSENET) for selector in chosen]
    assert counts == [by_filter, by_input, by_row, by_row]


@pytest.mark.parametrize(
    ("chosen", "densenet", "wrn4"),
    [
        (batch_norm(), 23_988, 7_200),
        (layers("conv1") | batch_norm(), 24_636, 7_632),
        (block("block1") | batch_norm(), 194_484, 275_488),
        (block("block2") | batch_norm(), 258_996, 1_121_312),
        (block("block3") | batch_norm(), 291_252, 4_463_648),
        (head() | batch_norm(), 27_418, 9_770),
    ],
)
def test_groups_have_the_counts_of_the_first_published_table(chosen, densenet, wrn4):
    assert (_count(chosen, DENSENET), _count(chosen, WRN4)) == (densenet, wrn4)


@pytest.mark.parametrize(
    ("p", "densenet", "wrn10"), [(0.1, 86_766, 3_663_419), (0.4, 302_271, 14_599_874)]
)
def test_fractions_have_the_counts_of_the_second_published_table(p, densenet, wrn10):
    chosen = conv_filters(p) | batch_norm()
    assert (_count(chosen, DENSENET), _count(chosen, WRN10)) == (densenet, wrn10)


def test_a_fraction_alone_selects_the_count_of_the_published_ensembles():
    assert _count(as_selector(0.1), DENSENET) == 90_196
