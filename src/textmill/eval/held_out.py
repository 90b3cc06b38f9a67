"""The last word on a run: its finished model on all of its held-out text, kept in the run's log and report."""

from __future__ import annotations

from collections.abc import Callable

from textmill.base.config import to_table
from textmill.base.events import EventLog
from textmill.checkpoint.huggingface import load_llama
from textmill.eval.bits_per_byte import SourceScore, score_held_out
from textmill.tokenizer.end_of_text import end_of_text
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.train.corpus import TOKENIZER, open_shards
from textmill.train.loop import MODEL
from textmill.train.precision import compute_dtype
from textmill.train.report import write_report
from textmill.train.run import Run


def num_held_out_tokens(run: Run) -> int:
    """Tokens that ``score_run`` will go through."""
    _, held_out = open_shards(run.folder, run.recipe, Tokenizer.load(run.folder / TOKENIZER))
    return sum(shards.num_tokens - shards.manifest.num_documents for shards in held_out.values())


def score_run(run: Run, progress: Callable[[int], None] | None = None) -> dict[str, SourceScore]:
    """Score a finished run's model on its held-out text, log it, and draw the report again.

    Args:
        run: its ``model`` folder is written.
        progress: called with the tokens done so far.

    Returns:
        scores by source, and ``all``; none where the run holds nothing out.
    """
    tokenizer = Tokenizer.load(run.folder / TOKENIZER)
    _, held_out = open_shards(run.folder, run.recipe, tokenizer)
    scores = score_held_out(
        load_llama(run.folder / MODEL),
        tokenizer,
        held_out,
        first_id=end_of_text(tokenizer),
        context=run.plan.context,
        dtype=compute_dtype(run.plan.precision),
        progress=progress,
    )
    log = EventLog(run.events)
    log.write("validation", run.plan.num_steps, scores={name: to_table(score) for name, score in scores.items()})
    log.close()
    write_report(run.folder)
    return scores
