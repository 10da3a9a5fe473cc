"""Questions about a network: which layers matter, which weights moved, which parts suffice.

Each function takes an estimator, or creates others from one, and changes none that it is given.
"""

from __future__ import annotations

from frozenfit.analysis.criticality import LayerCriticality, LayerScore, layer_criticality
from frozenfit.analysis.lottery import LotteryRound, LotteryTicket, lottery_ticket
from frozenfit.analysis.magnitudes import Magnitudes, weight_magnitudes

__all__ = [
    "LayerCriticality",
    "LayerScore",
    "LotteryRound",
    "LotteryTicket",
    "Magnitudes",
    "layer_criticality",
    "lottery_ticket",
    "weight_magnitudes",
]
