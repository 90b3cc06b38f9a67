"""Texts as a tree: what several of them begin with is there once, and is computed once.

A text is token ids of which the last ones are to be scored. Its last token is never an input: nothing follows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np


@dataclass(frozen=True, slots=True)
class ScoredText:
    """Tokens of which those from ``num_context`` on are scored.

    Attributes:
        ids: int32 [T], at least two.
        num_context: 1 to T - 1; what the scored tokens follow.
    """

    ids: np.ndarray
    num_context: int

    @property
    def inputs(self) -> np.ndarray:
        """All but the last token."""
        return self.ids[:-1]


@dataclass(slots=True, eq=False)
class Node:
    """A stretch of tokens that the same texts have.

    Attributes:
        path: the tokens of a text from its beginning to the end of this stretch, int32 [end].
        start: where the stretch begins; what stands before it is its parent's.
        first_row: the first place from which on logits are wanted; ``end`` where none are.
        texts: the numbers of all texts that go through it.
        children: what goes on from its end.
    """

    path: np.ndarray
    start: int
    first_row: int
    texts: list[int]
    children: list[Node] = field(default_factory=list)

    @property
    def end(self) -> int:
        """Where the stretch ends."""
        return len(self.path)


def prefix_tree(texts: Sequence[ScoredText]) -> list[Node]:
    """Lay texts out as trees, one for each first token; children stand in the order of their tokens."""
    keys = [text.inputs.astype(">u4").tobytes() for text in texts]
    order = sorted(range(len(texts)), key=keys.__getitem__)
    shared = [_num_shared(texts[a].inputs, texts[b].inputs) for a, b in pairwise(order)]
    return _nodes(texts, order, shared, 0)


def _nodes(texts: Sequence[ScoredText], order: list[int], shared: list[int], start: int) -> list[Node]:
    """The nodes below texts that have ``start`` tokens in common; ``shared[i]`` is what text i has with the next."""
    waiting: list[tuple[list[int], list[int], int, list[Node]]] = []
    roots: list[Node] = []
    waiting.append((order, shared, start, roots))
    while waiting:
        members, common, begin, siblings = waiting.pop()
        cuts = [0, *(place + 1 for place, length in enumerate(common) if length <= begin), len(members)]
        for low, high in pairwise(cuts):
            group, inner = members[low:high], common[low : high - 1]
            first = texts[group[0]].inputs
            end = min(inner, default=len(first))
            node = Node(
                path=first[:end],
                start=begin,
                first_row=min(end, max(begin, min(texts[text].num_context - 1 for text in group))),
                texts=group,
            )
            siblings.append(node)
            going_on = [place for place, text in enumerate(group) if len(texts[text].inputs) > end]
            if going_on:  # those that end here are the first in the order
                waiting.append((group[going_on[0] :], inner[going_on[0] :], end, node.children))
    return roots


def _num_shared(a_T: np.ndarray, b_T: np.ndarray) -> int:
    length = min(len(a_T), len(b_T))
    different = a_T[:length] != b_T[:length]
    place = int(different.argmax()) if length else 0
    return place if length and different[place] else length
