"""Pairs in tokens: what a template writes, what ends an answer, what becomes of long ones."""

import pytest

from fakes.tiny_model import TEMPLATE, tokenizer
from textmill.base.errors import DataError
from textmill.tune.preference_tokens import PairTokenizer

ASK = ({"role": "user", "content": "the lazy dog?"},)
LIMITS = {"context": 64, "prompt_context": 32, "too_long": "refuse"}


def answer(text):
    return ({"role": "assistant", "content": text},)


def made(*preferences, words=None, prefix_ids=(), **limits):
    """What becomes of each: the pair or None, and whether it was cut."""
    special = tokenizer().special_tokens
    make = PairTokenizer(
        tokenizer=words or tokenizer(),
        prefix_ids=prefix_ids,
        end_id=special["<|endoftext|>"],
        stop_ids=frozenset({special["<|endoftext|>"], special["<|im_end|>"]}),
        **LIMITS | limits,
    )
    keys = ("prompt", "chosen", "rejected")
    records = (
        {key: side if isinstance(side, str) else list(side) for key, side in zip(keys, one, strict=True)}
        for one in preferences
    )
    return [make(record, f"pairs.jsonl:{line}") for line, record in enumerate(records, 1)]


def tokens(*preferences, **options):
    return [pair for pair, _ in made(*preferences, **options) if pair is not None]


def test_messages_are_written_by_the_template():
    (pair,) = tokens((ASK, answer("fox"), answer("box")))
    words = tokenizer()
    assert words.decode(pair.chosen.prompt) == "<|im_start|>user\nthe lazy dog?<|im_end|>\n<|im_start|>assistant\n"
    assert words.decode(pair.chosen.answer) == "fox<|im_end|>"
    assert words.decode(pair.rejected.answer) == "box<|im_end|>"
    assert pair.chosen.prompt == pair.rejected.prompt


def test_what_follows_the_stop_token_is_no_part_of_an_answer():
    """A stop token within an answer of several messages is: the model writes on after the tool has answered."""
    end = tokenizer().special_tokens["<|im_end|>"]
    several = (*answer("fox"), {"role": "tool", "content": "dog"}, *answer("jumps"))
    (pair,) = tokens((ASK, several, answer("box")))
    assert pair.chosen_answer[-1] == pair.rejected_answer[-1] == end
    assert pair.chosen_answer.count(end) == 3
    unstopped = TEMPLATE.replace("<|im_end|>", "")
    (pair,) = tokens((ASK, answer("fox"), answer("box")), words=tokenizer().with_chat_template(unstopped))
    assert tokenizer().decode(pair.chosen_answer) == "fox\n", "all is kept where nothing stops the model"


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
        tokens(("a", "b", "c"), LONG, context=20, prompt_context=8)


def test_too_long_is_left_out():
    (pair, _), left_out = made(("a", "b", "c"), LONG, context=20, prompt_context=8, too_long="drop")
    assert pair.where == "pairs.jsonl:1"
    assert left_out == (None, False)


def test_too_long_is_cut_at_the_ends_that_matter_least():
    words = tokenizer()
    (whole,) = tokens(LONG, context=1000)
    ((pair, is_cut),) = made(LONG, context=20, prompt_context=16, too_long="cut")
    for text, full in ((pair.chosen, whole.chosen), (pair.rejected, whole.rejected)):
        assert len(text.prompt) + len(text.answer) <= 20
        assert text.prompt == full.prompt[-len(text.prompt) :]
        assert text.answer == full.answer[: len(text.answer)]
        assert len(text.prompt) >= min(16, len(full.prompt)) or len(text.answer) == len(full.answer)
    assert pair.chosen.prompt == pair.rejected.prompt, "what tells the answers apart is never their prompt"
    assert words.decode(pair.chosen.prompt).endswith("dog ")
    assert is_cut


def test_a_cut_goes_by_the_longer_answer_and_leaves_one_prompt():
    (whole,) = tokens(LONG, context=1000)
    lengths = len(whole.chosen_answer), len(whole.rejected_answer)
    assert lengths[0] != lengths[1], "a short answer has room for more of the prompt, and must not take it"
    context = max(lengths) + 5
    (pair,) = tokens(LONG, context=context, prompt_context=2, too_long="cut")
    assert pair.prompt == whole.prompt[-5:]
    assert (pair.chosen_answer, pair.rejected_answer) == (whole.chosen_answer, whole.rejected_answer)


def test_answers_that_are_the_same_once_they_are_cut():
    with pytest.raises(DataError, match=r"pairs.jsonl:1: chosen and rejected are the same \d+ tokens"):
        tokens(("a", "b " * 30 + "x", "b " * 30 + "y"), context=20, prompt_context=8, too_long="cut")


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
