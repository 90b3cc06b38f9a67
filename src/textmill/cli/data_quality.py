"""``textmill data quality``: train a classifier of good and bad texts on the CPU, and score texts by it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from textmill.base import units
from textmill.base.errors import ConfigError
from textmill.cli.arguments import WholeNumber, program
from textmill.cli.bad_records import tell_of_bad
from textmill.cli.output import Output, for_terminal

if TYPE_CHECKING:
    from textmill.text.quality import QualityReport
    from textmill.text.reading import OnBad
    from textmill.text.text_batch import TextBatch

quality_app = App(
    name="quality",
    help="""Train a classifier of good and bad texts in seconds, and score texts by it.

For example:
    textmill data quality train --good wiki/ --bad web.jsonl -o q.safetensors
    textmill data quality score q.safetensors web.jsonl
""",
    help_format="plaintext",
)
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
    on_bad: Literal["stop", "skip"] = "stop",
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
    on_bad
        What becomes of a record that cannot be read: stop ends with its place, skip leaves it out and counts it.
    json
        Print the report as JSON.
    """
    from textmill.text.quality import QualitySettings, train_quality_model
    from textmill.text.reading import BadRecords

    out = Output()
    if output.suffix != ".safetensors":
        raise ConfigError(f"the output is {output}, and must end in .safetensors")
    settings = QualitySettings(num_buckets=buckets, max_ngram=ngram, epochs=epochs, seed=seed)
    unreadable = BadRecords(on_bad)
    with out.bar("reading", None):
        good_texts, bad_texts = (_read_texts(paths, unreadable) for paths in (good, bad))
    tell_of_bad(out, unreadable)
    out.say(
        f"{len(good_texts):,} good {units.plural(len(good_texts), 'document')} "
        f"({units.num_bytes(good_texts.num_bytes)}), "
        f"{len(bad_texts):,} bad ones ({units.num_bytes(bad_texts.num_bytes)})"
    )
    with out.bar("training", epochs) as bar:
        model, report = train_quality_model(good_texts, bad_texts, settings, progress=bar.update)
    model.save(output)
    if json:
        out.json({"model": str(output), **report.to_json(), "bad": unreadable.count, "first_bad": unreadable.first})
        return 0
    for line in _lines(report):
        out.say(line)
    out.hint(f"next: {program()} data quality score {quote(str(output))} FILES")
    out.data(str(output))
    return 0


@quality_app.command
def score(
    model: Path,
    files: list[str],
    /,
    *,
    on_bad: Literal["stop", "skip"] = "stop",
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
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
    on_bad
        What becomes of a record that cannot be read: stop ends with its place, skip leaves it out and counts it.
    json
        Print a JSON object a line: id, score.
    """
    from json import dumps

    from textmill.text.quality import QualityModel
    from textmill.text.reading import BadRecords, SourceInput, read_source

    out = Output()
    classifier = QualityModel.load(model)
    bad = BadRecords(on_bad)
    num_documents = num_good = 0
    for batch in read_source(SourceInput(path=files), bad):
        scores = [round(float(value), 6) for value in classifier.scores(batch.texts)]
        for name, value in zip(batch.ids(), scores, strict=True):
            out.data(dumps({"id": name, "score": value}) if json else f"{value:.4f}\t{for_terminal(name)}")
        num_documents += len(scores)
        num_good += sum(value >= 0.5 for value in scores)
    tell_of_bad(out, bad)
    out.say(
        f"{num_documents:,} {units.plural(num_documents, 'document')}, {num_good:,} of them with a score of 0.5 or more"
    )
    return 0


def _read_texts(paths: list[str], on_bad: OnBad) -> TextBatch:
    from textmill.text.reading import SourceInput, read_source
    from textmill.text.text_batch import TextBatch

    return TextBatch.joined([batch.texts for batch in read_source(SourceInput(path=paths), on_bad)])


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
