"""Questions about a network: which layers matter, which weights moved, which parts suffice.

Each function takes an estimator, or creates others from one, and changes none that it is given.
"""

from __future__ import annotations

from frozenfit.analysis.criticality import LayerCriticality, LayerScore, layer_criticality
from frozenfit.analysis.dimension import (
    DimensionScore,
    IntrinsicDimension,
    intrinsic_dimension,
)
from frozenfit.analysis.efficiency import (
    LogCountFit,
    ParameterEfficiency,
    log_fit,
    parameter_efficiency,
)
from frozenfit.analysis.lottery import LotteryRound, LotteryTicket, lottery_ticket
from frozenfit.analysis.magnitudes import Magnitudes, weight_magnitudes

__all__ = [
    "DimensionScore",
    "IntrinsicDimension",
    "LayerCriticality",
    "LayerScore",
    "LogCountFit",
    "LotteryRound",
    "LotteryTicket",
    "Magnitudes",
    "ParameterEfficiency",
    "intrinsic_dimension",
    "layer_criticality",
    "log_fit",
    "lottery_ticket",
    "parameter_efficiency",
    "weight_magnitudes",
]
