"""``textmill data quality``: train a classifier of good and bad texts on the CPU, and score texts by it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from textmill.base import units
from textmill.base.errors import ConfigError
from textmill.cli.arguments import WholeNumber, program
from textmill.cli.output import Output, for_terminal

if TYPE_CHECKING:
    from textmill.text.documents import Document
    from textmill.text.quality import QualityReport

quality_app = App(
    name="quality",
    help="""Train a classifier of good and bad texts in seconds, and score texts by it.

For example:
    textmill data quality train --good wiki/ --bad web.jsonl -o q.safetensors
    textmill data quality score q.safetensors web.jsonl
""",
    help_format="plaintext",
)
_BATCH_BYTES = 8 << 20
_Paths = Annotated[list[str], Parameter(consume_multiple=True, negative="")]


@quality_app.command
def train(
    *,
    good: _Paths,
    bad: _Paths,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    buckets: WholeNumber = 1 << 20,
    ngram: WholeNumber = 2,
    epochs: WholeNumber = 5,
    seed: WholeNumber = 1,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Train a classifier that gives texts like the good ones a high score.

    For example:
        textmill data quality train --good wiki/ --bad web.jsonl -o q.safetensors
        textmill data quality train --good a.txt b.txt --bad "w/*.gz" -o q.safetensors

    A fifth of the documents is held out: half of it makes the scores
    probabilities, half is what the report is about.

    Parameters
    ----------
    good
        Files, folders or globs of texts to be like: .txt, .md, .jsonl (text), .parquet and others, packed or not.
    bad
        The same of texts to be unlike: best a sample of the pool that is to be filtered.
    output
        The model's file, which ends in .safetensors.
    buckets
        That n-grams are hashed into: a power of two.
    ngram
        Words that an n-gram has at most.
    epochs
        Times that training goes through the documents.
    seed
        Of what is held out, and of the orders.
    json
        Print the report as JSON.
    """
    from textmill.text.quality import QualitySettings, train_quality_model
    from textmill.text.readers import read_documents
    from textmill.text.text_batch import TextBatch

    out = Output()
    if output.suffix != ".safetensors":
        raise ConfigError(f"the output is {output}, and must end in .safetensors")
    settings = QualitySettings(num_buckets=buckets, max_ngram=ngram, epochs=epochs, seed=seed)
    with out.bar("reading", None):
        good_texts, bad_texts = (
            TextBatch.of([document.text for document in read_documents(list(paths), name)])
            for name, paths in (("good", good), ("bad", bad))
        )
    out.say(
        f"{len(good_texts):,} good documents ({units.num_bytes(good_texts.num_bytes)}), "
        f"{len(bad_texts):,} bad ones ({units.num_bytes(bad_texts.num_bytes)})"
    )
    with out.bar("training", epochs) as bar:
        model, report = train_quality_model(good_texts, bad_texts, settings, progress=bar.update)
    model.save(output)
    if json:
        out.json({"model": str(output), **report.to_json()})
        return 0
    for line in _lines(report):
        out.say(line)
    out.hint(f"next: {program()} data quality score {quote(str(output))} FILES")
    out.data(str(output))
    return 0


@quality_app.command
def score(model: Path, files: list[str], /, *, json: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Score texts by a classifier: a line for each, its score from 0 to 1, a tab, and its id.

    For example:
        textmill data quality score q.safetensors web.jsonl
        textmill data quality score q.safetensors notes/ | sort -r | head

    Parameters
    ----------
    model
        A file that textmill data quality train made.
    files
        Files, folders or globs of texts.
    json
        Print a JSON object a line: id, score.
    """
    from json import dumps

    from textmill.text.batches import in_batches
    from textmill.text.quality import QualityModel
    from textmill.text.readers import read_documents

    out = Output()
    classifier = QualityModel.load(model)
    documents = read_documents(list(files), "scored")
    num_documents = num_good = 0
    for batch in in_batches(documents, lambda document: len(document.text), _BATCH_BYTES):
        scores = _scores(classifier, batch)
        for document, value in zip(batch, scores, strict=True):
            line = dumps({"id": document.id, "score": value}) if json else f"{value:.4f}\t{for_terminal(document.id)}"
            out.data(line)
        num_documents += len(scores)
        num_good += sum(value >= 0.5 for value in scores)
    out.say(f"{num_documents:,} documents, {num_good:,} of them with a score of 0.5 or more")
    return 0


def _scores(classifier: Any, documents: list[Document]) -> list[float]:
    from textmill.text.text_batch import TextBatch

    scores = classifier.scores(TextBatch.of([document.text for document in documents]))
    return [round(float(value), 6) for value in scores]


def _lines(report: QualityReport) -> Iterator[str]:
    """The report for people: how well it tells them apart, and what a score would keep."""
    yield (
        f"on {report.num_tested:,} held-out documents: {100 * report.accuracy:.1f} % right, AUC {report.auc:.4f}, "
        f"scores off by {100 * report.calibration_error:.1f} points"
    )
    yield "  score   keeps   of the good   of the bad"
    for row in report.thresholds:
        shares = (100 * share for share in (row.kept, row.kept_good, row.kept_bad))
        yield "  {:<5.2f} {:6.1f} % {:10.1f} % {:10.1f} %".format(row.min_score, *shares)
