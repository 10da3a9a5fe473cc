"""The list of all experiments, those without a script included."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """One experiment: its source, its question, and its script, or what one needs."""

    number: int
    source: str
    question: str
    script: str | None = None
    needs: str = ""


FORUM = "forum question on LeNet"
PAPER = "Rosenfeld and Tsotsos (2018)"
NOTES = "notes on robustness of frozen layers (2019)"

ENTRIES = (
    Entry(1, FORUM, "May one layer of LeNet-5 stay random?", "lenet_layers"),
    Entry(
        2, FORUM, "Several consecutive frozen layers, other distributions", "frozen_distributions"
    ),
    Entry(3, PAPER, "How many filters must be trained?", "filter_fractions"),
    Entry(4, PAPER, "Along which dimension of a kernel should it be cut?", "slicing_dimensions"),
    Entry(5, PAPER, "Which group of layers is worth training?", "groups"),
    Entry(6, PAPER, "Are cheap ensembles better than independent networks?", "ensembles"),
    Entry(7, PAPER, "Do trained weights grow if few are trained?", "magnitudes"),
    Entry(8, PAPER, "Can several tasks share one random network?", "tasks"),
    Entry(9, "Brock et al. (2017)", "Does FreezeOut save time for free?", "freezeout"),
    Entry(
        10,
        "article and forum question on freezing",
        "What do the last layers on a frozen prefix save and cost?",
        "last_layers",
    ),
    Entry(
        11,
        "forum question on transfer; Kumar et al. (2022)",
        "What should be trained on a pretrained network?",
        "transfer",
    ),
    Entry(
        12,
        NOTES,
        "What is the intrinsic dimension of a task?",
        "intrinsic_dimension",
    ),
    Entry(13, NOTES, "Do lottery tickets win?", "lottery"),
    Entry(14, NOTES, "Which layers are critical?", "criticality"),
    Entry(
        15,
        NOTES,
        "Does a fixed Hadamard or orthogonal classifier cost accuracy?",
        "fixed_heads",
    ),
    Entry(16, PAPER, "Random features: how many units for how many samples?", "random_features"),
    Entry(
        17,
        PAPER,
        "Which parameters are best at an equal count?",
        "subsets_contest",
    ),
    Entry(
        18,
        PAPER,
        "Do small fractions suffice beyond vision, for text and time series?",
        "text_and_series",
    ),
    Entry(19, "this project", "Does a search find small networks that are as accurate?", "search"),
    Entry(
        20,
        f"{FORUM}; {PAPER}",
        "How do a linear model, an ELM, a tenth and everything compare?",
        "side_by_side",
    ),
)
