"""``textmill eval report``: a model on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from textmill.base import units
from textmill.cli.model_argument import find_model
from textmill.cli.output import Output


def report(
    model: str,
    /,
    *,
    results: Path | None = None,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    against: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
) -> int:
    """Write a page of all that is known of a model: scores, curves, samples, where its data comes from.

    For example:
        textmill eval report runs/tiny
        textmill eval report runs/tiny --against arc.jsonl gsm8k.jsonl
        textmill eval report smollm2-135m-instruct -o smollm2.html

    Scores are those that `textmill eval` has found; curves, data and contamination are there where the model is part
    of a run. The page needs no network and no other file.

    Parameters
    ----------
    model
        A model folder, a .gguf file, a run (its last checkpoint), or a name from `textmill model get`.
    results
        The folder of results; evals/MODEL unless given.
    output
        The page; report.html in the folder of results unless given.
    against
        Evaluation sets (.jsonl, task files too): their items are looked for in all that the run trained on.
    """
    from textmill.eval.evaluated_model import fingerprint, name_of
    from textmill.eval.measure import EVALS
    from textmill.eval.report.page import write_model_report

    out = Output()
    path = find_model(model, out)
    folder = results or EVALS / name_of(path)
    with out.waiting(f"hashing {name_of(path)}"):
        sha256 = fingerprint(path)
    with out.bar("looking for items", None) as bar:

        def tell(tokens: int) -> None:
            bar.update(tokens, f"{units.count(tokens)} tokens")

        page = write_model_report(path, folder, output, against=against or (), sha256=sha256, progress=tell)
    out.data(str(page))
    return 0
