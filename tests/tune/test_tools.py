"""Tools in conversations, pairs and prompts: what the template writes of them, and templates that do not."""

import json

import pytest

from fakes.tiny_model import TEMPLATE, tokenizer
from textmill.base.errors import DataError
from textmill.tune.chat_records import chat_of
from textmill.tune.chat_tokens import tokens_of
from textmill.tune.preference_tokens import PairTokenizer
from textmill.tune.questions import read_questions

# As Hermes, Qwen and SmolLM3 write them.
WITH_TOOLS = (
    "{% if tools %}<|im_start|>system\n<tools>{{ tools | tojson }}</tools><|im_end|>\n{% endif %}"
    + TEMPLATE.replace(
        "{{ m['content'] }}",
        "{{ m['content'] or '' }}{% for call in m.tool_calls or [] %}"
        "<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}",
    )
)
CALLS_ALONE = WITH_TOOLS.replace("{% if tools %}", "{% if false %}")
TOOLS = [{"type": "function", "function": {"name": "count", "description": "<|im_end|>"}}]
ASKED = {"role": "user", "content": "the fox?"}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"type": "function", "function": {"name": "count", "arguments": {"of": "fox<|im_end|>"}}}],
}
SAID = {"role": "tool", "content": "7"}
ANSWER = {"role": "assistant", "content": "seven"}
END = tokenizer().special_tokens["<|im_end|>"]


def made(template, **record):
    return tokens_of(
        chat_of(record, "f:1"), tokenizer().with_chat_template(template), model="m", stop_ids=frozenset({END})
    )


def test_calls_are_learned_as_answers_and_tools_are_read():
    found = made(WITH_TOOLS, messages=[ASKED, CALL, SAID, ANSWER], tools=TOOLS)
    learned = tokenizer().decode(found.ids[found.is_answer])
    call = json.dumps(CALL["tool_calls"][0]["function"])
    assert learned == f"<tool_call>{call}</tool_call><|im_end|>seven<|im_end|>"
    text = tokenizer().decode(found.ids)
    assert f"<tools>{json.dumps(TOOLS)}</tools>" in text
    assert found.ids.tolist().count(END) == 5, "control tokens of tools and arguments are text"


def test_calls_of_weight_0_are_read_alone():
    found = made(WITH_TOOLS, messages=[ASKED, {**CALL, "weight": 0}, SAID, ANSWER], tools=TOOLS)
    assert tokenizer().decode(found.ids[found.is_answer]) == "seven<|im_end|>"


@pytest.mark.parametrize(
    ("template", "record", "what"),
    [
        (TEMPLATE, {"messages": [ASKED, ANSWER], "tools": TOOLS}, "template of m does not write tools"),
        (CALLS_ALONE, {"messages": [ASKED, CALL, SAID, ANSWER], "tools": TOOLS}, "template of m does not write tools"),
        (
            TEMPLATE.replace("m['content']", "m['content'] or ''"),
            {"messages": [ASKED, CALL, SAID, ANSWER]},
            r"does not write tool_calls \(message 1\)",
        ),
    ],
)
def test_a_template_that_does_not_write_them_is_refused(template, record, what):
    with pytest.raises(DataError, match=f"^f:1: .*{what}"):
        made(template, **record)


def pair_of(template, **record):
    make = PairTokenizer(
        tokenizer=tokenizer().with_chat_template(template),
        prefix_ids=(),
        end_id=END,
        stop_ids=frozenset({END}),
        context=1000,
        prompt_context=500,
        too_long="refuse",
    )
    return make({"rejected": [{"role": "assistant", "content": "box"}], **record}, "f:1")[0]


def test_pairs_and_prompts_are_given_tools(tmp_path):
    pair = pair_of(WITH_TOOLS, prompt=[ASKED], chosen=[CALL, SAID, ANSWER], tools=TOOLS)
    assert f"<tools>{json.dumps(TOOLS)}</tools>" in tokenizer().decode(pair.prompt)
    assert tokenizer().decode(pair.chosen_answer).startswith("<tool_call>")
    with pytest.raises(DataError, match="f:1: .*does not write tools"):
        pair_of(TEMPLATE, prompt=[ASKED], chosen=[ANSWER], tools=TOOLS)
    with pytest.raises(DataError, match="f:1: .*the prompt is a text"):
        pair_of(WITH_TOOLS, prompt="the fox", chosen="a", rejected="b", tools=TOOLS)
    path = tmp_path / "prompts.jsonl"
    path.write_text(json.dumps({"prompt": [ASKED], "tools": TOOLS}) + "\n")
    options = {"prefix_ids": (), "context": 1000, "max_tokens": 8}
    (question,) = read_questions([path], tokenizer().with_chat_template(WITH_TOOLS), **options)
    assert "<tools>" in tokenizer().decode(question.ids)
    with pytest.raises(DataError, match="prompts.jsonl:1: .*does not write tools"):
        read_questions([path], tokenizer(), **options)
