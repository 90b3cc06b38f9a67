"""Records that could not be read, told in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textmill.cli.output import Output

if TYPE_CHECKING:
    from textmill.text.reading import BadRecords


def tell_of_bad(out: Output, bad: BadRecords) -> None:
    """Warn of bad records that were left out, with the place of the first."""
    if bad.count:
        plural = "records were" if bad.count > 1 else "record was"
        out.warning(f"{bad.count:,} bad {plural} left out; the first: {bad.first[0]}")
