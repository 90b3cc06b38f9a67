"""Pairs in tokens: what a template writes, what ends an answer, what becomes of long ones."""

import pytest

from fakes.tiny_model import tokenizer
from textmill.base.errors import DataError
from textmill.tune.preference_records import Preference
from textmill.tune.preference_tokens import Limits, tokenize

ASK = ({"role": "user", "content": "the lazy dog?"},)
LIMITS = Limits(context=64, prompt=32, too_long="refuse")


def answer(text):
    return ({"role": "assistant", "content": text},)


def tokens(*preferences, limits=LIMITS, words=None, prefix_ids=(), said=None):
    return tokenize(
        [Preference(*one, f"pairs.jsonl:{line}") for line, one in enumerate(preferences, 1)],
        words or tokenizer(),
        prefix_ids=prefix_ids,
        end_id=tokenizer().special_tokens["<|endoftext|>"],
        limits=limits,
        say=(said if said is not None else []).append,
    )


def test_messages_are_written_by_the_template():
    (pair,) = tokens((ASK, answer("fox"), answer("box")))
    words = tokenizer()
    assert words.decode(pair.chosen.prompt) == "<|im_start|>user\nthe lazy dog?<|im_end|>\n<|im_start|>assistant\n"
    assert words.decode(pair.chosen.answer) == "fox<|im_end|>\n"
    assert words.decode(pair.rejected.answer) == "box<|im_end|>\n"
    assert pair.chosen.prompt == pair.rejected.prompt


def test_texts_are_taken_as_they_are_and_ended():
    (pair,) = tokens(("the quick ", "fox", "box"), prefix_ids=(7,))
    assert pair.chosen.prompt == (7, *tokenizer().encode("the quick "))
    assert pair.chosen.answer == (*tokenizer().encode("fox"), tokenizer().special_tokens["<|endoftext|>"])


def test_control_tokens_in_messages_are_text():
    (pair,) = tokens((ASK, answer("fox<|im_end|>"), answer("box")))
    assert pair.chosen.answer.count(tokenizer().special_tokens["<|im_end|>"]) == 1


LONG = ("the lazy dog " * 8, "fox " * 6, "box jumps over")


def test_too_long_is_refused_by_name():
    with pytest.raises(DataError, match=r"pairs.jsonl:2: the prompt has \d+ tokens and its longer answer \d+.*is 20"):
        tokens(("a", "b", "c"), LONG, limits=Limits(context=20, prompt=8, too_long="refuse"))


def test_too_long_is_left_out_and_told():
    said = []
    pairs = tokens(("a", "b", "c"), LONG, limits=Limits(context=20, prompt=8, too_long="drop"), said=said)
    assert [pair.where for pair in pairs] == ["pairs.jsonl:1"]
    assert said == ["1 pairs are longer than 20 tokens, and left out"]


def test_too_long_is_cut_at_the_ends_that_matter_least():
    words, said = tokenizer(), []
    (whole,) = tokens(LONG, limits=Limits(context=1000, prompt=8, too_long="refuse"))
    (pair,) = tokens(LONG, limits=Limits(context=20, prompt=16, too_long="cut"), said=said)
    for text, full in ((pair.chosen, whole.chosen), (pair.rejected, whole.rejected)):
        assert len(text.prompt) + len(text.answer) <= 20
        assert text.prompt == full.prompt[-len(text.prompt) :]
        assert text.answer == full.answer[: len(text.answer)]
        assert len(text.prompt) >= min(16, len(full.prompt)) or len(text.answer) == len(full.answer)
    assert pair.chosen.prompt == pair.rejected.prompt, "what tells the answers apart is never their prompt"
    assert words.decode(pair.chosen.prompt).endswith("dog ")
    assert said == ["1 pairs were longer than 20 tokens, and are cut to that"]


def test_a_cut_goes_by_the_longer_answer_and_leaves_one_prompt():
    (whole,) = tokens(LONG, limits=Limits(context=1000, prompt=8, too_long="refuse"))
    lengths = len(whole.chosen_answer), len(whole.rejected_answer)
    assert lengths[0] != lengths[1], "a short answer has room for more of the prompt, and must not take it"
    context = max(lengths) + 5
    (pair,) = tokens(LONG, limits=Limits(context=context, prompt=2, too_long="cut"))
    assert pair.prompt == whole.prompt[-5:]
    assert (pair.chosen_answer, pair.rejected_answer) == (whole.chosen_answer, whole.rejected_answer)


def test_answers_that_are_the_same_once_they_are_cut():
    with pytest.raises(DataError, match=r"pairs.jsonl:1: chosen and rejected are the same \d+ tokens"):
        tokens(("a", "b " * 30 + "x", "b " * 30 + "y"), limits=Limits(context=20, prompt=8, too_long="cut"))


@pytest.mark.parametrize(
    ("template", "what"),
    [
        (None, "no chat template"),
        ("{{ raise_exception('not today') }}", "pairs.jsonl:1: .*not today"),
        ("{% for m in messages %}{{ messages | length }}{{ m['content'] }}{% endfor %}", "writes the prompt otherwise"),
        ("{% for i in range(10000000000) %}{{ i }}{% endfor %}", "pairs.jsonl:1: "),
    ],
)
def test_templates_that_cannot_be_used(template, what):
    plain = type(tokenizer())(tokenizer().vocabulary)
    words = plain if template is None else plain.with_chat_template(template)
    with pytest.raises(DataError, match=what):
        tokens((ASK, answer("fox"), answer("box")), words=words)
