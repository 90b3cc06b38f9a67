"""A task as its file says it: how its items are put, answered and judged, and the items themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["choice", "cloze", "generate", "code"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One question.

    Attributes:
        id: its name in the file: what the record says, or ``line N``.
        line: where it stands in the file.
        prompt: what the model reads, without examples before it.
        choices: the answers to choose from (``choice``); empty for other kinds.
        answer: the number of the right choice, the text that is right, or the text of a right program.
        tests: a program that raises unless the answer is right (``code``).
    """

    id: str
    line: int
    prompt: str
    choices: tuple[str, ...] = ()
    answer: int | str = ""
    tests: str = ""

    @property
    def answer_text(self) -> str:
        """The right answer as an example shows it."""
        return self.choices[self.answer] if isinstance(self.answer, int) else self.answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How items are put, answered and judged; a task file's first line may say so, by these names."""

    name: str = ""
    """What the task is called; the file's name without its ending unless given."""
    kind: Kind = "choice"
    """``choice`` takes the likeliest of some answers, ``cloze`` asks whether greedy decoding writes the answer,
    ``generate`` compares what the model writes, ``code`` runs it with tests."""
    template: str = "{prompt}"
    """How the prompt is made of an item's fields, each in braces."""
    delimiter: str = " "
    """What stands between a prompt and its answer; choice and cloze score it with the answer. Files of ``code`` have
    none unless they give one: a program goes on right where its prompt ends."""
    shots: int = 0
    """Examples before each item."""
    shots_from: str = ""
    """A task file for them, from its folder on; the first items of this one unless given, which are then not scored."""
    separator: str = "\n\n"
    """What stands between examples."""
    description: str = ""
    """A text before all of it."""
    chat: bool = False
    """Put items as a user's messages, laid out by the model's chat template; examples are turns before."""
    max_tokens: int = 256
    """Tokens that are written at most."""
    stop: tuple[str, ...] = ()
    """Texts that end what is written."""
    temperature: float = 0.0
    """Above 0 answers are drawn."""
    seed: int = 0
    """Of the draws."""
    samples: int = 1
    """Answers to each item; with several, the score is the share that is right, and pass@k is told."""
    extract: str = ""
    """A regular expression: its first group, or all of it, is the answer in what was written."""
    take: Literal["first", "last"] = "last"
    """Which match of ``extract`` counts."""
    ignore: tuple[str, ...] = ()
    """Regular expressions for what is taken out of both sides before they are compared."""
    ignore_case: bool = False
    """Compare small letters."""
    match: Literal["exact", "regex"] = "exact"
    """Compare the texts, or take the item's answer as a regular expression that is to be found."""
    timeout_s: float = 5.0
    """Seconds that a program may take."""
    memory_mb: int = 512
    """Memory that a program may take, in 2^20 bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A task file.

    Attributes:
        settings: how it is put and judged.
        items: what is scored.
        shots: the items that stand before each as examples.
        sha256: of all that its scores depend on.
    """

    settings: Settings
    items: tuple[Item, ...]
    shots: tuple[Item, ...]
    sha256: str
