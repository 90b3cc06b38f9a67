"""C4's rules: lines are taken out of a text, and texts with certain lines or too few sentences are dropped."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace

import numpy as np

from textmill import _core
from textmill.base.errors import ConfigError
from textmill.text.rules.judgement import Judgement
from textmill.text.text_batch import TextBatch


@dataclass(frozen=True, kw_only=True, slots=True)
class LineRules:
    """C4's rules (arXiv:1910.10683 §2.2, and tensorflow-datasets' text/c4_utils.py).

    Attributes:
        end_marks: lines that end in none of these characters of ASCII, or in ``...``, go; empty: all stay.
        min_words_per_line: lines with fewer go; a word here is what white space parts.
        count_words_last: whether words are counted when citations are gone, or before.
        max_word_length: lines with a word of more characters go; 0: all stay.
        min_sentences: texts with fewer, in the lines that stay, are dropped.
        removes_citations: ``[1]``, ``[edit]`` and ``[citation needed]`` go.
        removes_javascript: lines with that word go.
        removes_policies: lines that speak of terms of use, privacy policies or cookies go.
        drops_lorem_ipsum: texts with a line that has this are dropped.
        drops_curly_brackets: texts with a line that has a ``{`` are dropped.
    """

    end_marks: str = ""
    min_words_per_line: int
    count_words_last: bool
    max_word_length: int
    min_sentences: int
    removes_citations: bool = True
    removes_javascript: bool = True
    removes_policies: bool = True
    drops_lorem_ipsum: bool = True
    drops_curly_brackets: bool = True

    @property
    def rule_names(self) -> tuple[str, ...]:
        """Names of the rules that drop a text."""
        return ("lorem_ipsum", "curly_bracket", "min_sentences")

    @property
    def bounds(self) -> dict[str, float]:
        """What may be overridden, by name; 0 and 1 for what is done or not."""
        return {field.name: float(getattr(self, field.name)) for field in fields(self) if field.name != "end_marks"}

    def overridden(self, bounds: dict[str, float]) -> LineRules:
        """Put other bounds in place of those of the same name."""
        chosen = {name: bounds[name] for name in self.bounds if name in bounds}
        for name, bound in chosen.items():
            if not float(bound).is_integer() or bound < 0:
                raise ConfigError(f"the bound {name} is {bound:g}; it must be a whole number, 0 turns it off")
        return replace(self, **{name: type(getattr(self, name))(bound) for name, bound in chosen.items()})

    def describe(self, number: int, value: float) -> str:
        """Say how a text fails a rule."""
        if number < 2:
            return f"a line has {('lorem ipsum', 'a {')[number]}"
        return f"num_sentences {value:g}, and {self.min_sentences} is the least"

    def judge(self, texts: TextBatch, urls: TextBatch | None, threads: int) -> Judgement:
        """Take lines out, and find what each text is dropped for."""
        settings = asdict(self)
        settings["min_words"] = settings.pop("min_words_per_line")
        data, offsets, verdicts, num_sentences = _core.edit_lines(texts.data, texts.offsets, threads, **settings)
        return Judgement(verdicts.astype(np.int16), num_sentences.astype(np.float64), TextBatch(data, offsets))
