"""Near duplicates of any number of documents: those that share a key of a band are compared, each pair once.

In a group that shares a key, a document is compared with the group's first one; those that are unlike it form a group
again, whose first one is the next leader, and so on. Every round goes through the pairs in parts, by the later document
of a pair, of which a round has one pair for each band at most; so a part is never larger than planned, whatever groups
there are. What is refused goes by group to the next round's leaders (``leaders``).
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textmill.base.exact_reads import read_errors
from textmill.base.files import storage_errors
from textmill.text.dedup.copies import part_of_key
from textmill.text.dedup.document_set import DocumentSet
from textmill.text.dedup.groups import same_keys
from textmill.text.dedup.leaders import RefusedPairs
from textmill.text.dedup.links import Links, joined_by
from textmill.text.dedup.settings import MinHashSettings
from textmill.text.dedup.spill import Spill, num_parts_for

_PAIR_COLUMNS = 3  # the leader, the later document, and the number of their group

# Whether the two documents of each pair, int64[n, 2], are near duplicates; pairs stand in ascending order.
Verify = Callable[[NDArray[np.int64]], NDArray[np.bool_]]


class CandidateSearch:
    """Finds links among documents.

    Args:
        known: the documents.
        settings: of MinHash.
        folder: for files of what does not stay in memory.
        memory_limit: bytes.
    """

    def __init__(self, known: DocumentSet, settings: MinHashSettings, folder: Path, memory_limit: int) -> None:
        self._known = known
        self._settings = settings
        self._folder = folder
        self._memory_limit = memory_limit
        most_bytes = 8 * _PAIR_COLUMNS * settings.bands * len(known)
        self._num_parts = num_parts_for(most_bytes, memory_limit)
        self._judged = [_Judged(folder / f"judged-{part:04d}.npy") for part in range(self._num_parts)]
        self._num_groups = 0

    def find(self, dropped: NDArray[np.int64], verify: Verify, on_step: Callable[[], None]) -> Links:
        """Compare all documents but ``dropped``, ascending; ``on_step`` is called twice for each band."""
        num_not_compared = 0
        with contextlib.ExitStack() as opened:
            pairs = opened.enter_context(contextlib.closing(self._first_pairs(dropped, on_step)))
            # Most pairs are compared in the first round: its parts are the second half of the steps.
            on_part = _spread(on_step, self._settings.bands, self._num_parts)
            for leader in range(self._settings.max_leaders):
                is_last = leader + 1 == self._settings.max_leaders
                following, num_left = self._round(pairs, verify, leader, on_part, is_last=is_last)
                num_not_compared += num_left
                opened.close()
                pairs = opened.enter_context(contextlib.closing(following))
                if pairs.num_rows == 0:
                    break
                on_part = _nothing
        links = self._linking_pairs()
        documents, groups = joined_by(links, len(self._known))
        return Links(
            documents=documents,
            groups=groups,
            num_pairs=len(links),
            num_verified=sum(judged.count for judged in self._judged),
            num_not_compared=num_not_compared,
        )

    def _pairs(self, name: str) -> Spill:
        return Spill(self._folder / name, _PAIR_COLUMNS, self._num_parts, self._memory_limit)

    def _add(self, spill: Spill, rows: NDArray[np.int64]) -> None:
        spill.add(rows, rows[:, 1] * self._num_parts // max(1, len(self._known)))

    def _first_pairs(self, dropped: NDArray[np.int64], on_band: Callable[[], None]) -> Spill:
        """Pair the documents of each group with its first one."""
        with contextlib.ExitStack() as on_error:
            pairs = on_error.enter_context(contextlib.closing(self._pairs("pairs-00")))
            for band in range(self._settings.bands):
                self._add_band(pairs, band, dropped)
                on_band()
            on_error.pop_all()
        return pairs

    def _add_band(self, pairs: Spill, band: int, dropped: NDArray[np.int64]) -> None:
        num_parts = num_parts_for(16 * len(self._known), self._memory_limit)
        with contextlib.closing(Spill(self._folder / "keys", 2, num_parts, self._memory_limit)) as keys:
            self._add_keys(keys, band, dropped)
            for part in range(keys.num_parts):
                rows = keys.load(part)
                groups = same_keys(rows[:, :1], rows[:, 1])
                leaders = np.repeat(groups.members[groups.starts[:-1]], np.diff(groups.starts))
                found = np.column_stack((leaders, groups.members, self._num_groups + groups.numbers))
                self._add(pairs, found[leaders != groups.members])
                self._num_groups += len(groups)

    def _add_keys(self, spill: Spill, band: int, dropped: NDArray[np.int64]) -> None:
        for unit, start in zip(self._known.units, self._known.starts, strict=False):
            keys = unit.band(band)
            chosen = keys != 0
            first, last = np.searchsorted(dropped, (start, start + len(unit)))
            chosen[dropped[first:last] - start] = False
            rows = np.column_stack((keys.view(np.int64), start + np.arange(len(unit))))[chosen]
            spill.add(rows, part_of_key(keys[chosen], spill.num_parts))

    def _round(
        self, pairs: Spill, verify: Verify, leader: int, on_part: Callable[[], None], *, is_last: bool
    ) -> tuple[Spill, int]:
        """Compare all pairs; returns those with the next leaders, or in the last round how many are left."""
        num_left = 0
        refused_file = self._folder / "refused"
        with contextlib.closing(RefusedPairs(refused_file, self._num_groups, self._memory_limit)) as refused_pairs:
            for part, judged in enumerate(self._judged):
                rows = pairs.load(part)
                if len(rows):
                    refused = rows[~judged.judge(rows[:, :2], verify)]
                    num_left += len(refused)
                    if not is_last:
                        refused_pairs.add(refused)
                on_part()
            with contextlib.ExitStack() as on_error:
                following = on_error.enter_context(contextlib.closing(self._pairs(f"pairs-{leader + 1:02d}")))
                for rows in refused_pairs.with_next_leaders():
                    self._add(following, rows)
                on_error.pop_all()
        return following, num_left if is_last else 0

    def _linking_pairs(self) -> NDArray[np.int64]:
        """Read all pairs that are links, int64[n, 2], a part at a time: there may be many, and they are held once."""
        links = np.empty((sum(judged.num_links for judged in self._judged), 2), np.int64)
        done = 0
        for judged in self._judged:
            links[done : done + judged.num_links] = judged.links()
            done += judged.num_links
        return links


class _Judged:
    """The pairs of a part that have been compared, and what came of it: rows in a file, which is read when they count.

    Args:
        path: of the file, which is not there yet.

    Attributes:
        count: pairs.
        num_links: those of them that are links.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.count = 0
        self.num_links = 0

    def links(self) -> NDArray[np.int64]:
        """Read the pairs that are links, int64[n, 2]."""
        rows = self._rows()
        return rows[rows[:, 2] != 0, :2]

    def judge(self, pairs: NDArray[np.int64], verify: Verify) -> NDArray[np.bool_]:
        """Tell which of pairs, in any order and with repetitions, are links; those not seen before are compared."""
        old = self._rows()
        every, places = _each_once(np.concatenate((old[:, :2], pairs)))
        is_new = np.ones(len(every), np.bool_)
        is_new[places[: len(old)]] = False
        is_link = np.empty(len(every), np.bool_)
        is_link[places[: len(old)]] = old[:, 2] != 0
        is_link[is_new] = verify(every[is_new])
        self.count, self.num_links = len(every), int(is_link.sum())
        with storage_errors(self._path):
            np.save(self._path, np.column_stack((every, is_link)))
        return is_link[places[len(old) :]]

    def _rows(self) -> NDArray[np.int64]:
        if self.count == 0:
            return np.empty((0, 3), np.int64)
        with read_errors(self._path, "it is only for this run, and something else changed it; start again"):
            rows: NDArray[np.int64] = np.load(self._path)
        return rows


def _each_once(pairs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sort pairs, each once; returns them, and where each of those given stands among them.

    ``np.unique`` compares rows byte by byte, which takes ten times as long.
    """
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    ordered = pairs[order]
    is_first = np.ones(len(pairs), np.bool_)
    is_first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    places = np.empty(len(pairs), np.int64)
    places[order] = np.cumsum(is_first) - 1
    return ordered[is_first], places


def _spread(step: Callable[[], None], num_steps: int, num_calls: int) -> Callable[[], None]:
    """Make a function of which ``num_calls`` calls make ``num_steps`` of ``step``, evenly."""
    calls = itertools.count(1)

    def call() -> None:
        number = next(calls)
        for _ in range(num_steps * number // num_calls - num_steps * (number - 1) // num_calls):
            step()

    return call


def _nothing() -> None:
    """Later rounds have few pairs, and nobody knows how many rounds there will be."""
