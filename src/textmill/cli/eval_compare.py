"""``textmill eval compare``: two models on the same items."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from textmill.cli.eval_tables import difference_as_table, difference_lines
from textmill.cli.output import Output


def compare(a: Path, b: Path, /, *, json: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Compare the results of two models, item by item.

    For example:
        textmill eval compare evals/one evals/other
        textmill eval compare evals/one/arc.jsonl evals/other/arc.jsonl --json

    Items that are right or wrong are put to McNemar's exact test, others to a paired sign-flip test; intervals are of a
    paired bootstrap. Both models have to be measured on the same items first.

    Parameters
    ----------
    a
        A folder of results, or one file of it, as `textmill eval` writes them.
    b
        The other model's.
    json
        Print everything as JSON.
    """
    from textmill.eval.compare import compare_results

    out = Output()
    with out.waiting("comparing"):  # tests draw at random, thousands of times
        differences = compare_results(a, b)
    if json:
        out.json([difference_as_table(one) for one in differences])
        return 0
    for line in difference_lines(differences, out.data_width):
        out.data(line)
    return 0
