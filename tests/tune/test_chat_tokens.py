"""Which tokens of a conversation are learned, beside a search for the answers; templates that are refused."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.tiny_model import TEMPLATE, tokenizer
from textmill.base.errors import DataError
from textmill.tune.chat_records import Chat, chat_of
from textmill.tune.chat_tokens import ChatTokenizer, tokens_of

WORDS = st.lists(st.sampled_from(["fox", "dog", "the lazy", "<|im_end|>", "é", "box\n"]), min_size=1).map(" ".join)
STOPS = (tokenizer().special_tokens["<|im_end|>"],)
MARKED = TEMPLATE.replace(
    "{{ m['content'] }}<|im_end|>\n",
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}<|im_end|>\n{% endgeneration %}"
    "{% else %}{{ m['content'] }}<|im_end|>\n{% endif %}",
)


def chat(*turns):
    messages = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]
    return chat_of({"messages": messages}, "f:1")


def searched(one, tok, template):
    """The template's text token by token; answers are what follows ``assistant``.

    They end with the turn's end, or, where the template does not mark them, with the token that stops the model.
    """
    special = tok.special_tokens
    ids = tok.apply_chat_template(one.messages, add_generation_prompt=False)
    begins = [at for at, token in enumerate(ids) if token == special["<|im_start|>"]] + [len(ids)]
    mask = np.zeros(len(ids), bool)
    for begin, end in pairwise(begins):
        header = len(tok.encode("<|im_start|>assistant\n", special="parse"))
        if tok.decode(ids[begin : begin + header]) == "<|im_start|>assistant\n":
            stop = ids.index(special["<|im_end|>"], begin) + 1
            mask[begin + header : end if template == MARKED else stop] = True
    return ids, mask


@pytest.mark.parametrize("template", [TEMPLATE, MARKED], ids=["prefixes", "marks"])
@given(turns=st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=3))
def test_answers_are_those_that_a_search_finds(template, turns):
    tok = tokenizer().with_chat_template(template)
    one = chat(*(text for turn in turns for text in turn))
    found = tokens_of(one, tok, model="m", stop_ids=STOPS)
    ids, mask = searched(one, tokenizer(), template)
    assert found.ids.tolist() == ids
    assert found.is_answer.tolist() == mask.tolist()
    assert (found.targets[mask[1:]] == found.ids[1:][mask[1:]]).all()
    assert (found.targets[~mask[1:]] == -100).all()


def test_what_follows_the_stop_token_is_no_target():
    one, tok = chat("a", "fox", "b", "dog\n"), tokenizer()
    found = tokens_of(one, tok, model="m", stop_ids=STOPS)
    learned = tok.decode(found.targets[found.targets >= 0])
    assert learned == "fox<|im_end|>dog\n<|im_end|>", "ChatML's line end after an answer is never generated"
    assert found.ids.tolist() == tok.apply_chat_template(one.messages, add_generation_prompt=False)
    unstopped = tokens_of(one, tok, model="m", stop_ids=())
    assert tok.decode(unstopped.targets[unstopped.targets >= 0]) == "fox<|im_end|>\ndog\n<|im_end|>\n"


@pytest.mark.parametrize("template", [TEMPLATE, MARKED], ids=["prefixes", "marks"])
def test_an_answer_of_weight_0_is_read_and_not_learned(template):
    tok = tokenizer().with_chat_template(template)
    one = chat("a", "fox", "b", "dog")
    some = tokens_of(Chat(one.messages, (False, False, False, True), "f:1"), tok, model="m", stop_ids=STOPS)
    whole = tokens_of(one, tok, model="m", stop_ids=STOPS)
    assert some.ids.tolist() == whole.ids.tolist()
    second = np.flatnonzero(np.diff(whole.is_answer.astype(int)) == 1)[1]
    assert some.is_answer.tolist() == [False] * (second + 1) + whole.is_answer[second + 1 :].tolist()


@pytest.mark.parametrize(
    ("template", "what"),
    [
        # As Qwen3's does: of earlier answers it writes less.
        (
            TEMPLATE.replace("{{ m['content'] }}", "{{ m['content'] if loop.last else m['content'][:1] }}"),
            "do not nest",
        ),
        (TEMPLATE.replace("{% for", "{{ messages | length }}{% for", 1), "do not nest"),
        (
            "{% for m in messages %}{{ m['content'] }}{% endfor %}{{ raise_exception('no') }}",
            "refuses these messages: no",
        ),
        ("{% for m in messages %}{{ m.content.nothing.more }}{% endfor %}", "the chat template fails"),
        ("{% for i in range(10 ** 9) %}x{% endfor %}", "counts through more"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "the chat template"),
        ("{% for m in messages %}{{ m['content'] if m['role'] == 'user' }}{% endfor %}", "no token of an answer"),
    ],
    ids=["thinning", "counting", "raising", "failing", "looping", "recursive", "answerless"],
)
def test_templates_that_cannot_be_used_are_named(template, what):
    tok = tokenizer().with_chat_template(template)
    with pytest.raises(DataError, match=f"^f:1: .*{what}"):
        tokens_of(chat("the fox", "jumps", "over", "dogs"), tok, model="runs/mine", stop_ids=STOPS)


def test_what_does_not_nest_names_model_and_remedy():
    tok = tokenizer().with_chat_template(TEMPLATE.replace("{% for", "{{ messages | length }}{% for", 1))
    with pytest.raises(DataError, match=r"template of runs/mine .*message 1 of 2.*\{% generation %\}"):
        tokens_of(chat("a", "b"), tok, model="runs/mine", stop_ids=STOPS)


def limited(too_long, *chats, context=40):
    make = ChatTokenizer(
        tokenizer=tokenizer(), model="m", stop_ids=frozenset(STOPS), context=context, too_long=too_long
    )
    return [make({"messages": list(one.messages)}, "f:1") for one in chats]


def test_what_is_too_long():
    short, long = chat("a", "b"), chat("a", "the quick brown fox jumps over the lazy dog " * 5)
    hopeless = chat("the quick brown fox jumps over the lazy dog " * 20, "a")
    with pytest.raises(
        DataError, match=r"^f:1: the conversation has \d+ tokens, \d+ of them answers, and the context is 40"
    ):
        limited("refuse", short, long)
    (kept, _), dropped = limited("drop", short, long)
    assert kept.num_inputs < 40
    assert dropped == (None, False)
    (_, is_cut), (kept, is_cut_too), hopeless_is = limited("cut", short, long, hopeless)
    assert (is_cut, is_cut_too, kept.num_inputs) == (False, True, 40)
    assert hopeless_is == (None, False)
