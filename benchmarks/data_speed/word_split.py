"""What word splitting alone changes: decisions with our words beside datatrove's with its own (spaCy's).

Given the same words and sentences both sides decide alike on every text (tests/text/rules/test_datatrove.py), so what
differs here comes from splitting.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

from data_speed.corpus import cut, documents, work_folder
from data_speed.environments import environment_python
from data_speed.job import Job
from data_speed.turns import run
from textmill.text.documents import PART_SEPARATOR
from textmill.text.rules import RuleSet
from textmill.text.rules.presets import C4_DATATROVE, FINEWEB_DATATROVE, GOPHER_QUALITY, GOPHER_REPETITION
from textmill.text.stdlib import read_stdlib
from textmill.text.text_batch import TextBatch

ROUNDS = 1
WAY = Path(__file__).parent / "word_split_ways" / "datatrove_way.py"
PACKS = {
    "Gopher quality": GOPHER_QUALITY,
    "Gopher repetition": GOPHER_REPETITION,
    "C4": C4_DATATROVE,
    "FineWeb quality": FINEWEB_DATATROVE,
}


def measure(job: Job) -> dict[str, Any]:
    """Decisions that differ, by corpus and rule pack: the text, and the standard library's docstrings and code."""
    corpora = {"the text": documents(job.folder), "documentation": docstrings(), "code": sources()}
    return {name: compare(texts[: job.sizes.texts]) for name, texts in corpora.items()}


def docstrings() -> list[str]:
    """Documents of the docstrings of each module, and of each topic of help()."""
    parts = itertools.groupby(read_stdlib("stdlib:prose", ""), lambda part: part.id.partition(PART_SEPARATOR)[0])
    return [text for _, module in parts for text in cut("\n".join(part.text for part in module))]


def sources() -> list[str]:
    """Documents of the source of each module."""
    return [text for module in read_stdlib("stdlib:code", "") for text in cut(module.text)]


def compare(texts: list[str]) -> dict[str, Any]:
    """Count the documents that each rule pack decides otherwise, by the rule that drops them on one side alone."""
    with work_folder() as folder:
        path = folder / "texts.json"
        path.write_text(json.dumps(texts))
        said = run([environment_python("datatrove"), "-I", WAY, path])
    differences = {name: difference(texts, name, said["reasons"][name]) for name in PACKS}
    return {"documents": len(texts), "versions": said["versions"], **differences}


def difference(texts: list[str], name: str, theirs: list[str | None]) -> dict[str, Any]:
    """Compare what a rule pack says, ``theirs`` being datatrove's reasons: none where a text is kept."""
    rules = RuleSet(name, [PACKS[name]])
    reasons = rules.apply(TextBatch.of(texts)).reason.tolist()
    ours = [None if reason < 0 else rules.rule_names[reason] for reason in reasons]
    pairs = list(zip(ours, theirs, strict=True))
    only_here = Counter(here for here, there in pairs if here and not there)
    only_there = Counter(there for here, there in pairs if there and not here)
    return {
        "decided_otherwise": (only_here.total() + only_there.total()) / len(texts),
        "dropped_by_both": sum(bool(here and there) for here, there in pairs),
        "dropped_here_alone": dict(only_here.most_common()),
        "dropped_there_alone": dict(only_there.most_common()),
    }
