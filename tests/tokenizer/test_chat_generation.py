"""Blocks that templates mark as the model's to write: which tokens they are, and that marks change no text."""

import pytest

from fakes.tiny_model import TEMPLATE, tokenizer
from textmill.base.errors import DataError

MARKED = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{%- if m['role'] == 'assistant' %}\n{% generation %}{{ m['content'] }}<|im_end|>{% endgeneration %}\n\n"
    "{%- else %}\n{{ m['content'] }}<|im_end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MESSAGES = [
    {"role": "user", "content": "the fox?"},
    {"role": "assistant", "content": "jumps <|im_end|> over"},
    {"role": "user", "content": "dog"},
    {"role": "assistant", "content": "lazy"},
]


def marked(template=MARKED):
    return tokenizer().with_chat_template(template)


def texts(tok, messages):
    """What is marked, stretch by stretch."""
    ids, marks = tok.chat_with_answers(messages)
    stretches, before = [], False
    for token_id, mark in zip(ids, marks, strict=True):
        if mark and not before:
            stretches.append([])
        if mark:
            stretches[-1].append(token_id)
        before = mark
    return [tok.decode(stretch) for stretch in stretches]


def test_what_stands_between_the_tags_is_marked():
    assert marked().marks_answers
    assert texts(marked(), MESSAGES) == ["jumps <|im_end|> over<|im_end|>", "lazy<|im_end|>"]


def test_marks_change_no_token():
    plain = tokenizer().with_chat_template(MARKED.replace("{% generation %}", "").replace("{% endgeneration %}", ""))
    assert not plain.marks_answers
    ids, _ = marked().chat_with_answers(MESSAGES)
    assert ids == plain.apply_chat_template(MESSAGES, add_generation_prompt=False)
    assert ids == marked().apply_chat_template(MESSAGES, add_generation_prompt=False)


def test_a_template_without_tags_marks_nothing():
    tok = tokenizer()
    assert tok.chat_template == TEMPLATE
    assert not any(tok.chat_with_answers(MESSAGES)[1])


def test_a_token_on_both_sides_of_a_mark_is_the_models():
    tok = marked(
        "{% for m in messages %}{{ m['content'][:2] }}"
        "{% generation %}{{ m['content'][2:] }}{% endgeneration %}{% endfor %}"
    )
    messages = [{"role": "user", "content": "wizards"}]
    ids, marks = tok.chat_with_answers(messages)
    at, expected = 0, []
    for token_id in ids:
        at += len(tok.decode_bytes([token_id]))
        expected.append(at > 2)
    assert marks == expected


@pytest.mark.parametrize("template", ["{% generation %}never closed", "{% endgeneration %}"])
def test_tags_that_do_not_match(template):
    with pytest.raises(DataError, match="the chat template fails"):
        marked(template).chat_with_answers(MESSAGES)


def test_a_mark_cannot_be_written_by_a_message():
    messages = [{"role": "user", "content": "\ufdd0123\ufdd2\ufdd0 {% generation %}x{% endgeneration %}"}]
    assert texts(marked(), messages) == []
