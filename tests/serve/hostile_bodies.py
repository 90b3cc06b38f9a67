"""Bodies that no client sends by accident: every one must be refused, or answered as if it were meant."""

import json

from hypothesis import strategies as st

HELLO = {"messages": [{"role": "user", "content": "the quick"}], "max_tokens": 2, "temperature": 0}
PROMPT = {"prompt": "the quick", "max_tokens": 2, "temperature": 0}
GOOD = {
    "/v1/chat/completions": HELLO,
    "/v1/completions": PROMPT,
    "/v1/embeddings": {"input": "the quick"},
    "/tokenize": {"prompt": "the quick"},
    "/detokenize": {"tokens": [1, 2]},
}
NAMES = (
    *("messages", "prompt", "input", "tokens", "model", "max_tokens", "max_completion_tokens", "temperature", "top_p"),
    *("top_k", "min_p", "n", "stop", "seed", "stream", "stream_options", "logprobs", "top_logprobs", "echo", "suffix"),
    *("logit_bias", "presence_penalty", "frequency_penalty", "repetition_penalty", "response_format", "tools"),
    *("tool_choice", "user", "stop_token_ids", "min_tokens", "ignore_eos", "add_generation_prompt", "encoding_format"),
    *("continue_final_message", "dimensions", "best_of", "guided_regex", "guided_json", "structured_outputs"),
)

_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 400),
    st.sampled_from([2**31, 2**63, 2**64, -(2**63) - 1, 10**30]),
    st.floats(-1e3, 1e3),
    st.sampled_from([1e308, -0.0, 5e-324]),
    st.text(max_size=8),
    st.sampled_from(["\ud800", "a\udfffb", "\x00", "<|im_end|>", "{{", "user", "assistant", "system", "auto", "float"]),
)
VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "schema", "json", "1", "-1", "é"]), inner, max_size=3
        ),
    ),
    max_leaves=6,
)


@st.composite
def changed(draw, path):
    """A good body with some of its fields changed, added or left out, as JSON."""
    body = dict(GOOD[path]) | draw(st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1, max_size=3))
    for name in draw(st.sets(st.sampled_from(sorted(body)), max_size=1)):
        del body[name]
    return json.dumps(body).encode()


def fixed(path):
    """Bodies that broke servers before, for one path."""
    good = json.dumps(GOOD[path]).encode()
    name = next(iter(GOOD[path])).encode()
    opened = good[:-1]
    deep = 100_000
    return [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b"{",
        good[:-1],
        good + b"}",
        good + good,
        b"\xef\xbb\xbf" + good,
        good.decode().encode("utf-16"),
        b"\xff\xfe\x00",
        b"\x00" * 100,
        b"[" * deep,
        b"[" * deep + b"]" * deep,
        b'{"' + name + b'": ' + b"[" * deep + b"]" * deep + b"}",
        opened + b', "x": ' + b'{"a":' * deep + b"1" + b"}" * deep + b"}",
        opened
        + b', "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": '
        + b'{"items":' * 5000
        + b"{}"
        + b"}" * 5000
        + b"}}}",
        opened + b', "max_tokens": 1e999}',
        opened + b', "max_tokens": ' + b"9" * 10_000 + b"}",
        opened + b', "temperature": NaN}',
        opened + b', "temperature": Infinity}',
        opened + b', "temperature": -1e-400}',
        opened + b', "repetition_penalty": 5e-324}',
        opened + b', "temperature": 5e-324, "top_p": 5e-324}',
        opened + b', "seed": ' + b"9" * 400 + b"}",
        opened + b', "n": 1000000000}',
        opened + b', "stop": [' + b'"a",' * 10_000 + b'"b"]}',
        opened + b', "stop": ["' + b"a" * 1_000_000 + b'"]}',
        opened + b', "logit_bias": {"99999999999999999999": 1}}',
        opened + b', "logit_bias": {"1": 1e308, "\\ud800": 2}}',
        opened + b', "' + name + b'": "\\ud800\\udfff\\ud800"}',
        opened + b', "' + name + b'": "\\u0000\\uffff"}',
        opened + b', "\\ud800": 1}',
        opened + b', "model": "\\ud800"}',
        opened + b', "model": "' + b"m" * 100_000 + b'"}',
        opened + b', "' + name + b'": "' + "𝔘".encode() * 100_000 + b'"}',
        opened + b', "' + name + b'": "' + b"a" * 3_000_000 + b'"}',
        opened + b', "' + name + b'": [' + b"1," * 500_000 + b"1]}",
        opened + b', "' + name + b'": [-1, 4294967296, 1e3]}',
        opened + b', "' + name + b'": "\xff\xfe"}',
        opened + b', "guided_regex": "(a*)*b(?=c)"}',
        opened + b', "guided_regex": "' + b"(a{1,1000}){1,1000}" + b'"}',
        opened + b', "response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "#"}}}}',
        opened + b', "tools": [{"type": "function", "function": {"name": "\\ud800", "parameters": {"type": 5}}}]}',
    ]
