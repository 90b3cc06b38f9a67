"""Presets, what overrides them, and the lists that a user gives."""

from __future__ import annotations

import math

import numpy as np
import pytest

from textmill.base.errors import ConfigError, DataError
from textmill.text.rules import PRESETS, RuleSet, named_rule_sets
from textmill.text.rules.blocked_urls import BlockedUrls
from textmill.text.text_batch import TextBatch

PROSE = """The people who lived in that valley had to be up before the sun, and most of them were glad of it.
A road ran along the river, past the mill with its great wheel, to a market where farmers sold apples and cheese.
Children used to have their own ideas about school, which stood on a hill behind two old oaks.
Nobody could say when the bridge was built; some thought a king had ordered it, others gave the monks all credit.
In winter, when snow lay deep, letters took a week to come through from the nearest town."""


def names_of(verdict, rules):
    return [None if number < 0 else rules.rule_names[number] for number in verdict.reason]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_keeps_prose_or_says_why_not(preset):
    rules = RuleSet.named(preset)
    verdict = rules.apply(TextBatch.of([PROSE, "", "short"]))
    assert verdict.kept.tolist() == (verdict.reason < 0).tolist()
    assert not verdict.kept[1]
    for number, value in zip(verdict.reason, verdict.values, strict=True):
        assert number < 0 or rules.describe(int(number), value)
    assert len(set(rules.rule_names)) == len(rules.rule_names)


def test_the_first_rule_in_the_published_order_is_the_reason():
    rules = RuleSet.named("gopher")
    verdict = rules.apply(TextBatch.of(["one two", "the of " * 60, PROSE]))
    assert names_of(verdict, rules) == ["min_words", "min_mean_word_length", None]
    assert rules.describe(int(verdict.reason[0]), verdict.values[0]) == "num_words 2, and 50 is the least"


def test_small_corpora_lose_little():
    story = "Tom has a red ball. He likes to play with it in the park."
    dialogue = "- Hi!\n- Hello, who is it?\n- It is me."
    assert RuleSet.named("smol").apply(TextBatch.of([story, dialogue])).kept.all()
    assert not RuleSet.named("gopher").apply(TextBatch.of([story, dialogue])).kept.any()
    assert not RuleSet.named("smol").apply(TextBatch.of(["buy now " * 50, "#### #### ####", "a b"])).kept.any()


def test_bounds_are_overridden_by_name():
    texts = TextBatch.of(["the river of words with that " + " ".join(f"word{'abcdefghij'[i]}" for i in range(10))])
    assert not RuleSet.named("gopher").apply(texts).kept.any()
    loose = {"min_words": 10, "max_top_2_gram_chars": math.inf, "max_top_3_gram_chars": 1, "max_top_4_gram_chars": 1}
    rules = RuleSet.named("gopher", overrides=loose)
    assert rules.bounds["min_words"] == 10
    assert rules.apply(texts).kept.all()


def test_line_rules_are_overridden_by_name():
    rules = RuleSet.named("c4-tfds", overrides={"min_sentences": 1, "drops_curly_brackets": 0})
    verdict = rules.apply(TextBatch.of(["There is a { in this line.\ntoo short."]))
    assert verdict.texts.texts() == ["There is a { in this line."]


@pytest.mark.parametrize(
    ("preset", "overrides", "message"),
    [
        ("gofer", {}, 'no filter preset "gofer"; did you mean "gopher"'),
        ("gopher", {"min_word": 3}, 'no bound "min_word"; did you mean "min_words"'),
        ("c4-paper", {"min_sentences": 2.5}, "min_sentences is 2.5; it must be a whole number"),
        ("c4-paper", {"min_sentences": math.inf}, "must be a whole number"),
        ("c4-paper", {"end_marks": 1}, 'no bound "end_marks"'),
    ],
)
def test_settings_that_cannot_be_are_refused(preset, overrides, message):
    with pytest.raises(ConfigError, match=message):
        RuleSet.named(preset, overrides)


def test_papers_and_code_differ_where_they_are_known_to():
    line = "Four words are here."
    assert [RuleSet.named(name).apply(TextBatch.of([f"{line}\n" * 5])).kept[0] for name in ("c4-paper", "c4-tfds")] == [
        True,
        False,
    ]
    three = "Five words are in here.\n" * 3
    assert [RuleSet.named(name).apply(TextBatch.of([three])).kept[0] for name in ("c4-paper", "c4-tfds")] == [
        False,
        True,
    ]
    repeats = RuleSet.named("fineweb-paper").bounds["max_repeated_line_chars"]
    assert (repeats, RuleSet.named("fineweb-datatrove").bounds["max_repeated_line_chars"]) == (0.1, 0.01)
    assert "max_newlines_per_word" not in RuleSet.named("fineweb-paper").bounds


def test_changed_texts_stay_in_their_places():
    good = "\n".join(f"Line number {word} has enough words." for word in "one two three four five".split())
    texts = TextBatch.of(["dropped", good + "\nnot this line", "", good])
    verdict = RuleSet.named("c4-paper").apply(texts)
    assert verdict.texts.texts() == ["", good, "", good]
    assert verdict.kept.tolist() == [False, True, False, True]


def test_lists_are_used_where_they_are_given(tmp_path):
    assert RuleSet.named("c4-paper").rules_off == [
        "the rule bad_words of c4-paper is off: it needs a file of words and phrases, bad_words = FILE"
    ]
    words = tmp_path / "words.txt"
    words.write_text("Darn\nbad phrase\n\n")
    rules = RuleSet.named("c4-paper", {"min_sentences": 1}, bad_words=words)
    assert rules.rules_off == []
    verdict = rules.apply(TextBatch.of(["Well, darn it all.", "Darning is all fine.", "A BAD phrase here."]))
    assert names_of(verdict, rules) == ["bad_words", None, "bad_words"]


def test_addresses_are_blocked_with_what_is_below_them(tmp_path):
    path = tmp_path / "urls.txt"
    path.write_text("bad.example\nhttps://mixed.example/forum/\n")
    blocked = BlockedUrls.load(path)
    for url in (
        "http://bad.example",
        "https://www.BAD.example:8080/x?y#z",
        "bad.example.",
        "https://me@bad.example/",
        "http://mixed.example/forum/1",
        "http://mixed.example/forum?page=2",
    ):
        assert blocked.blocks(url), url
    for url in ("http://notbad.example", "http://bad.example.org", "http://mixed.example/forums", "", "http://"):
        assert not blocked.blocks(url), url


def test_a_list_without_addresses_to_judge_is_told(tmp_path):
    path = tmp_path / "urls.txt"
    path.write_text("bad.example")
    rules = RuleSet.named("fineweb-paper", blocked_urls=path)
    assert rules.apply(TextBatch.of(["x"])).off == [
        "the rule blocked_urls of fineweb-paper is off: the records have no address (a field url)"
    ]
    verdict = rules.apply(TextBatch.of(["x", "y"]), TextBatch.of(["http://bad.example/", "http://good.example"]))
    assert names_of(verdict, rules)[0] == "blocked_urls"
    assert names_of(verdict, rules)[1] != "blocked_urls"


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe"])
def test_lists_that_cannot_be_read_are_refused(tmp_path, content):
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"list\.txt"):
        RuleSet.named("c4-paper", bad_words=path)
    with pytest.raises(DataError, match="cannot be read"):
        RuleSet.named("c4-paper", bad_words=tmp_path / "missing")


def test_no_texts_are_no_problem():
    for preset in PRESETS:
        verdict = RuleSet.named(preset).apply(TextBatch.of([]))
        assert len(verdict.kept) == len(verdict.texts) == 0
        assert verdict.reason.dtype == np.int16


def test_several_presets_take_the_bounds_and_lists_that_they_know(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("darn")
    gopher, c4 = named_rule_sets(["gopher", "c4-paper"], {"min_words": 20, "min_sentences": 2}, bad_words=words)
    assert gopher.bounds["min_words"] == 20
    assert c4.bounds["min_sentences"] == 2
    assert c4.rule_names[-1] == "bad_words"
    with pytest.raises(ConfigError, match='no preset of gopher has a bound "min_sentences"'):
        named_rule_sets(["gopher"], {"min_sentences": 2})
    with pytest.raises(ConfigError, match="no preset of gopher has the rule bad_words"):
        named_rule_sets(["gopher"], bad_words=words)
    with pytest.raises(ConfigError, match='no filter preset "gofer"'):
        named_rule_sets(["gofer"])
