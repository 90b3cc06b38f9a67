"""Decisions equal those of datatrove 0.10.1 on every text, once both split words and sentences alike."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings

from fakes.rule_texts import TEXTS
from textmill.text.rules.measured_rules import MeasuredRules
from textmill.text.rules.presets import (
    C4_DATATROVE,
    C4_WITHOUT_END_MARKS,
    FINEWEB_DATATROVE,
    GOPHER_QUALITY,
    GOPHER_REPETITION,
)
from textmill.text.rules.rule import Rule
from textmill.text.rules.rule_set import RuleSet
from textmill.text.text_batch import TextBatch
from textmill.text.words import split_sentences, split_words

pytestmark = pytest.mark.peer

# Rules by the names that datatrove gives its reasons.
REASONS = {
    "gopher_short_doc": "min_words",
    "gopher_long_doc": "max_words",
    "gopher_below_avg_threshold": "min_mean_word_length",
    "gopher_above_avg_threshold": "max_mean_word_length",
    "gopher_too_many_hashes": "max_hashes_per_word",
    "gopher_too_many_ellipsis": "max_ellipses_per_word",
    "gopher_too_many_bullets": "max_bullet_lines",
    "gopher_too_many_end_ellipsis": "max_ellipsis_lines",
    "gopher_below_alpha_threshold": "min_words_with_letter",
    "gopher_enough_stop_words": "min_stop_words",
    "dup_para_frac": "max_duplicate_paragraphs",
    "dup_para_char_frac": "max_duplicate_paragraph_chars",
    "dup_line_frac": "max_duplicate_lines",
    "dup_line_char_frac": "max_duplicate_line_chars",
    **{f"top_{n}_gram": f"max_top_{n}_gram_chars" for n in range(2, 5)},
    **{f"duplicated_{n}_n_grams": f"max_duplicate_{n}_gram_chars" for n in range(5, 11)},
    "empty": "min_lines",
    "line_punct_ratio": "min_end_mark_lines",
    "short_line_ratio": "max_short_lines",
    "char_dup_ratio": "max_repeated_line_chars",
    "list_ratio": "max_newlines_per_word",
    "lorem_ipsum": "lorem_ipsum",
    "curly_bracket": "curly_bracket",
    "too_few_sentences": "min_sentences",
}


@pytest.fixture(scope="module")
def datatrove_filters():
    """The filters of datatrove, splitting as we do."""
    filters = pytest.importorskip("datatrove.pipeline.filters")
    from datatrove.pipeline.filters import (
        c4_filters,
        fineweb_quality_filter,
        gopher_quality_filter,
        gopher_repetition_filter,
    )

    with pytest.MonkeyPatch.context() as patch:
        for module in (fineweb_quality_filter, gopher_quality_filter, gopher_repetition_filter):
            patch.setattr(module, "split_into_words", lambda text, language: split_words(text))
        patch.setattr(c4_filters, "split_into_sentences", lambda text, language: split_sentences(text))
        yield filters


def judge_there(filter_there, text):
    """What datatrove says: the rule that drops the text or None, and the text that it leaves."""
    from datatrove.data import Document

    document = Document(text, "0")
    said = filter_there.filter(document)
    return (REASONS[said[1]] if isinstance(said, tuple) else None), document.text


def judge_here(rules, text):
    verdict = RuleSet("test", [rules]).apply(TextBatch.of([text]))
    return (None if verdict.kept[0] else rules.rule_names[verdict.reason[0]]), verdict.texts.texts()[0]


def without_floor(rules: MeasuredRules) -> MeasuredRules:
    """Rules that short texts pass on to those behind."""
    return rules.overridden({"min_words": 1})


@settings(deadline=None, max_examples=150)
@given(text=TEXTS)
@example("word " * 49 + "...")
@example("the of " * 25)
def test_gopher_quality_decides_as_datatrove_does(datatrove_filters, text):
    for rules, floor in ((GOPHER_QUALITY, 50), (without_floor(GOPHER_QUALITY), 1)):
        there = datatrove_filters.GopherQualityFilter(min_doc_words=floor)
        assert judge_here(rules, text)[0] == judge_there(there, text)[0]


@settings(deadline=None, max_examples=150)
@given(text=TEXTS.filter(bool))
def test_gopher_repetition_decides_as_datatrove_does(datatrove_filters, text):
    assert judge_here(GOPHER_REPETITION, text)[0] == judge_there(datatrove_filters.GopherRepetitionFilter(), text)[0]


@pytest.mark.parametrize("rule", GOPHER_REPETITION.rules, ids=lambda rule: rule.name)
@settings(deadline=None, max_examples=40)
@given(text=TEXTS.filter(bool))
def test_each_repetition_rule_decides_as_datatrove_does(datatrove_filters, rule, text):
    only = dict.fromkeys(("dup_line_frac", "dup_para_frac", "dup_line_char_frac", "dup_para_char_frac"))
    only |= {"top_n_grams": (), "dup_n_grams": ()}
    reason = next(reason for reason, name in REASONS.items() if name == rule.name)
    n = next((int(part) for part in rule.name.split("_") if part.isdigit()), 0)
    only |= {"top_n_grams" if n < 5 else "dup_n_grams": ((n, rule.bound),)} if n else {reason: rule.bound}
    there = datatrove_filters.GopherRepetitionFilter(**only)
    assert judge_here(MeasuredRules("repetition", (rule,)), text)[0] == judge_there(there, text)[0]


@settings(deadline=None, max_examples=150)
@given(text=TEXTS)
def test_fineweb_decides_as_datatrove_does(datatrove_filters, text):
    assert judge_here(FINEWEB_DATATROVE, text)[0] == judge_there(datatrove_filters.FineWebQualityFilter(), text)[0]


@pytest.mark.parametrize("min_sentences", [5, 1, 0])
@pytest.mark.parametrize("rules", [C4_DATATROVE, C4_WITHOUT_END_MARKS])
@settings(deadline=None, max_examples=60)
@given(text=TEXTS)
@example("Here is one line [1]\nand a [edit] second one [2].\nuse coo\u212aies now or then.")
def test_c4_decides_and_edits_as_datatrove_does(datatrove_filters, rules, min_sentences, text):
    there = datatrove_filters.C4QualityFilter(
        filter_no_terminal_punct=bool(rules.end_marks), min_num_sentences=min_sentences
    )
    here, edited = judge_here(rules.overridden({"min_sentences": min_sentences}), text)
    reason, left = judge_there(there, text)
    assert here == reason
    assert edited == (left if reason is None else "")


def edge_texts():
    """Texts at, right below and right above a bound."""
    for num_words in (49, 50, 51):
        yield "the of " + "word " * (num_words - 2)
    for num_hashes in (5, 6, 7):
        yield "the of " + "some word " * 30 + "# " * num_hashes
        yield "the of " + "some word " * 30 + "... " * num_hashes
    for num_lines in (9, 10, 11):
        yield "the of with plain line\n" + "- some words in a line of them\n" * num_lines
        yield "the of with plain line\n" * 20 + "a line that goes on...\n" * num_lines
    for num_numbers in (14, 15, 16, 17):
        yield "the of " + " ".join(f"word{i}" for i in range(58)) + " 1234" * num_numbers
    for length in (30, 31):
        yield "".join(f"{i:02}" + "x" * (length - 3) + ".\n" for i in range(9)) + "The end is a longer line of text.\n"
    for num_copies in range(1, 8):
        yield "One paragraph of the text.\n\n" * num_copies + "\n\n".join(
            f"And {i} of them with more." for i in range(9)
        )
        yield " ".join(f"w{i}" for i in range(40)) + " the same five words here" * num_copies
    yield "the of " + "abc " * 60
    yield "the of " + "ab " * 60
    yield "the of " + "abcdefghijk " * 60


@pytest.mark.parametrize("text", list(edge_texts()))
def test_borders_are_where_datatrove_has_them(datatrove_filters, text):
    for rules, there in (
        (GOPHER_QUALITY, datatrove_filters.GopherQualityFilter()),
        (GOPHER_REPETITION, datatrove_filters.GopherRepetitionFilter()),
        (FINEWEB_DATATROVE, datatrove_filters.FineWebQualityFilter()),
    ):
        assert judge_here(rules, text)[0] == judge_there(there, text)[0]


@pytest.mark.slow
def test_real_texts_are_judged_as_datatrove_does(datatrove_filters):
    import inspect
    import sysconfig
    from pathlib import Path

    modules = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:150]
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in modules]
    texts += [inspect.cleandoc(part) for text in texts for part in text.split('"""')[1::2]]
    for rules, there in (
        (GOPHER_QUALITY, datatrove_filters.GopherQualityFilter()),
        (GOPHER_REPETITION, datatrove_filters.GopherRepetitionFilter()),
        (FINEWEB_DATATROVE, datatrove_filters.FineWebQualityFilter()),
        (C4_DATATROVE, datatrove_filters.C4QualityFilter()),
    ):
        verdict = RuleSet("test", [rules]).apply(TextBatch.of(texts))
        names = [
            None if kept else rules.rule_names[number]
            for kept, number in zip(verdict.kept, verdict.reason, strict=True)
        ]
        expected = [judge_there(there, text)[0] for text in filter(bool, texts)]
        assert [name for name, text in zip(names, texts, strict=True) if text] == expected


def test_the_only_rule_of_a_set_is_named():
    assert Rule("a", "b", "min", 1).describe(0.5) == "b 0.5, and 1 is the least"
