"""datatrove: what its filters say of texts, by its own words and sentences: TEXTS (a JSON list). Reasons, as JSON."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)

FILTERS = {
    "Gopher quality": GopherQualityFilter,
    "Gopher repetition": GopherRepetitionFilter,
    "C4": C4QualityFilter,
    "FineWeb quality": FineWebQualityFilter,
}


def main(path: str) -> None:
    """Judge every text by every filter; null where it is kept."""
    texts = json.loads(Path(path).read_text())
    reasons = {}
    for name, make in FILTERS.items():
        judge = make()
        said = [judge.filter(Document(text, str(number))) for number, text in enumerate(texts)]
        reasons[name] = [one[1] if isinstance(one, tuple) else None for one in said]
    print(json.dumps({"versions": {name: version(name) for name in ("datatrove", "spacy")}, "reasons": reasons}))


if __name__ == "__main__":
    main(*sys.argv[1:])
