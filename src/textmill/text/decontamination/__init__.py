"""Training text kept clean of evaluation items: found by shared n-grams, judged by how much of the item is there."""

from textmill.text.decontamination.decontaminator import Action, Contamination, Decontaminator, Hit
from textmill.text.decontamination.items import EvalItem, read_items
from textmill.text.decontamination.profiles import PROFILES, Profile
from textmill.text.decontamination.report import ContaminationCounts

__all__ = [
    "PROFILES",
    "Action",
    "Contamination",
    "ContaminationCounts",
    "Decontaminator",
    "EvalItem",
    "Hit",
    "Profile",
    "read_items",
]
