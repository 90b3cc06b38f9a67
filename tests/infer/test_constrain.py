"""Answers that must fit a grammar: whole they validate, and at each place the best of the allowed tokens is drawn."""

import contextlib
import dataclasses
import itertools
import json
import random
import re
import subprocess
import sys
import time

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import tiny_model
from infer.conftest import BOS, END, ByteTokenizer
from infer.history_runner import HistoryRunner
from textmill.base.errors import ConfigError, MissingExtraError
from textmill.checkpoint.text_rules import TextRules
from textmill.infer.batcher import Batcher
from textmill.infer.constrain import Grammar, GrammarCompiler
from textmill.infer.engine import LanguageModel
from textmill.infer.request import Request
from textmill.infer.sampler import adjust
from textmill.model.config import ModelConfig

WORDS = ("the fox", "the quick brown fox", "the quiet dog", "wizards", "seven wizards box")


def model(tokenizer=None, *, end=END, num_blocks=2048, context=2048, **limits):
    """A model whose logits are noise, a function of the text."""
    tokenizer = tokenizer or ByteTokenizer()
    vocab_size = tokenizer.vocab_size + 2  # rows that pad the table
    config = ModelConfig(
        vocab_size=vocab_size,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=context,
    )
    rules = TextRules(bos_token_id=BOS, prefix_ids=(), stop_ids=frozenset({end}))
    runner = HistoryRunner(num_blocks=num_blocks, vocab_size=vocab_size)
    runner._after = noise_after(runner)
    return LanguageModel(config, tokenizer, rules, Batcher(runner, **limits), context=context)


def noise_after(runner):
    """Logits without the next token that HistoryRunner likes: any may come."""

    def after(chunk, end):
        text = runner._stored[list(chunk.blocks)].reshape(-1, 2)[:end]
        rng = np.random.default_rng(np.abs(text.ravel()))
        return rng.normal(0, 2, runner.vocab_size).astype(np.float32)

    return after


def words_model(**options):
    """The same over tokens of several bytes, which cut words in many ways."""
    tokenizer = tiny_model.tokenizer()
    return model(tokenizer, end=tokenizer.special_tokens["<|im_end|>"], **options)


def tokens_that_may_follow(tokenizer, texts, done):
    """By looking at all texts that there are: ids, and whether the text may end. The oracle of masks."""
    specials = set(tokenizer.special_tokens.values())
    rests = [text[len(done) :] for text in texts if text.startswith(done)]
    ids = [
        token_id
        for token_id, token in enumerate(tokenizer.vocabulary.tokens)
        if token and token_id not in specials and any(rest.startswith(token) for rest in rests)
    ]
    return ids, done in texts


def is_forced(texts, done):
    """Whether the next character is certain: then the grammar chooses the token, as a text is encoded."""
    rests = [text[len(done) :] for text in texts if text.startswith(done)]
    return len({rest[:1] for rest in rests}) == 1


def alternatives(texts):
    return Grammar.regex("|".join(map(re.escape, texts)))


# --- what comes out -------------------------------------------------------------------------------------------------

NAMES = st.text(st.sampled_from('ab" é\\{'), min_size=1, max_size=4)
LEAVES = st.one_of(
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.builds(
        lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more},
        st.integers(-50, 50),
        st.integers(0, 99),
    ),
    st.builds(lambda most: {"type": "string", "maxLength": most}, st.integers(0, 6)),
    st.builds(
        lambda values: {"enum": values},
        st.lists(st.one_of(NAMES, st.integers(-9, 9), st.none()), min_size=1, max_size=4, unique=True),
    ),
    st.just({"type": "string", "pattern": "^[a-c]{1,3}-[0-9]$"}),
    st.just({"type": "string", "format": "date"}),
)


def objects(schemas):
    def build(properties, optional):
        return {
            "type": "object",
            "properties": properties,
            "required": [name for name in properties if name not in optional],
            "additionalProperties": False,
        }

    return st.dictionaries(NAMES, schemas, max_size=3).flatmap(
        lambda properties: st.builds(build, st.just(properties), st.sets(st.sampled_from(sorted(properties) or [""])))
    )


SCHEMAS = st.recursive(
    LEAVES,
    lambda schemas: st.one_of(
        objects(schemas),
        st.builds(
            lambda items, low, more: {"type": "array", "items": items, "minItems": low, "maxItems": low + more},
            schemas,
            st.integers(0, 2),
            st.integers(0, 2),
        ),
        st.builds(lambda one, other: {"anyOf": [one, other]}, schemas, schemas),
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(schema=SCHEMAS, seed=st.integers(0, 99), temperature=st.sampled_from([0.0, 1.0]))
def test_whole_texts_are_what_the_schema_describes(schema, seed, temperature):
    lm = model()
    one = lm.generate(b"x", grammar=Grammar.json_schema(schema), seed=seed, temperature=temperature, max_tokens=1000)
    assert one.finish_reason == "stop"
    jsonschema.validate(json.loads(one.text), schema)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_json_objects_are_objects(seed):
    closing = {ord('"'): 6.0, ord("}"): 8.0, ord("]"): 8.0}
    one = model().generate(
        b"x", grammar=Grammar.json_object(), seed=seed, temperature=1.0, max_tokens=1500, logit_bias=closing
    )
    assert one.finish_reason == "stop"
    assert isinstance(json.loads(one.text), dict)


@pytest.mark.parametrize(
    "pattern",
    [
        r"[0-9]{4}-[0-9]{2}",
        r"(ab|cd)*x",
        r"\p{Greek}{3}",
        r"(?i)yes|no",
        r"a?b?c?",
        r".{0,5}",
        r"[^a]\n{2}",
        r"(a|b){1,7}",
    ],
)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_whole_texts_match_the_regex(pattern, temperature):
    oracle = pattern.replace(
        r"\p{Greek}",
        "[\u0370-\u03ff\u1f00-\u1fff\u2126\u1d26-\u1d2a\u1d5d-\u1d61\u1d66-\u1d6a\u1dbf\uab65\U00010140-\U0001018e\U000101a0\U0001d200-\U0001d245]",
    )
    lm = model()
    for seed in range(5):
        one = lm.generate(
            b"x",
            grammar=Grammar.regex(pattern),
            seed=seed,
            temperature=temperature,
            max_tokens=300,
            logit_bias={ord("x"): 5},
        )
        assert one.finish_reason == "stop"
        assert re.fullmatch(oracle, one.text), one.text


def test_rules_in_larks_notation():
    rules = 'start: sum\nsum: NUMBER ("+" NUMBER)*\nNUMBER: /[0-9]{1,2}/'
    one = model().generate(b"x", grammar=Grammar.lark(rules), temperature=1.0, seed=1, max_tokens=300)
    assert re.fullmatch(r"[0-9]{1,2}(\+[0-9]{1,2})*", one.text)


# --- which token is drawn -------------------------------------------------------------------------------------------


def test_masks_are_those_of_a_list_of_all_texts():
    tokenizer = tiny_model.tokenizer()
    specials = frozenset(tokenizer.special_tokens.values())
    compiler = GrammarCompiler(tokenizer.vocabulary.tokens, specials, tokenizer.encode)
    texts = [text.encode() for text in (*WORDS, "naïve", "日本", "")]
    rng = random.Random(1)
    for _ in range(50):
        constraint = compiler.begin(alternatives([text.decode() for text in texts]))
        done = b""
        while True:
            ids, may_end = tokens_that_may_follow(tokenizer, texts, done)
            allowed = np.flatnonzero(constraint.allowed()).tolist()
            if is_forced(texts, done) and not may_end:
                assert allowed
                assert set(allowed) <= set(ids)
            else:
                assert allowed == ids
            assert constraint.accepts == may_end
            assert constraint.is_complete == (may_end and not ids)
            if not ids:
                break
            token_id = rng.choice(allowed)
            constraint.take(token_id)
            done += tokenizer.token_bytes(token_id)


@pytest.mark.parametrize("options", [{}, {"logit_bias": {40: 5.0, 41: -3.0}}, {"repetition_penalty": 1.3}])
def test_greedy_takes_the_best_of_the_allowed_tokens(options):
    lm = words_model()
    end = lm.tokenizer.special_tokens["<|im_end|>"]
    texts = [text.encode() for text in (*WORDS, "the", "wizards box")]
    for prompt in ("a", "fox", "dog!"):
        found = lm.generate(prompt, grammar=alternatives([text.decode() for text in texts]), **options)
        ids = lm.prompt_ids(prompt)
        done = b""
        for token_id in [*found.ids, None]:
            allowed, may_end = tokens_that_may_follow(lm.tokenizer, texts, done)
            if may_end and not allowed:
                assert token_id is None
                break
            logits = lm.logits(ids)[-1][: lm.tokenizer.vocab_size]
            logits = adjust(logits, Request.of(**options), set(ids), {})
            choices = allowed + [end] * may_end
            best = max(choices, key=lambda choice: (logits[choice], -choice))
            assert (end if token_id is None else token_id) in (
                [best] if not is_forced(texts, done) or may_end else allowed
            )
            if token_id is None:
                break
            ids = [*ids, token_id]
            done += lm.tokenizer.token_bytes(token_id)
        assert found.text.encode() == done
        assert found.finish_reason == "stop"


def test_truncation_comes_after_the_mask():
    """The one most probable token is one that fits, however improbable it is without the grammar."""
    lm = words_model()
    for seed in range(10):
        options = {"grammar": alternatives(WORDS), "seed": seed}
        first = lm.generate("dog", temperature=1.0, top_k=1, **options)
        assert first.text in WORDS
        assert first == lm.generate("dog", **options)
        assert lm.generate("dog", temperature=5.0, top_p=0.5, min_p=0.1, **options).text in WORDS


def test_control_tokens_are_never_text():
    """Not even where the grammar asks for the text that is their name."""
    lm = words_model()
    one = lm.generate("fox", grammar=Grammar.regex(r"<\|im_end\|><\|endoftext\|>"))
    assert one.text == "<|im_end|><|endoftext|>"
    assert not set(one.ids) & set(lm.tokenizer.special_tokens.values())


def test_log_probabilities_are_the_models_own():
    lm = words_model()
    one = lm.generate("fox", grammar=alternatives(WORDS), logprobs=2)
    logits = lm.logits([*lm.prompt_ids("fox"), *one.ids])[:, : lm.tokenizer.vocab_size].astype(np.float64)
    rows = logits[len(lm.prompt_ids("fox")) - 1 : -1]
    expected = [row[i] - np.log(np.exp(row).sum()) for row, i in zip(rows, one.ids, strict=True)]
    assert one.logprobs == pytest.approx(expected)


# --- where it ends --------------------------------------------------------------------------------------------------


def test_a_text_that_nothing_can_follow_ends_at_once():
    lm = model()
    steps = lm.batcher.statistics().num_steps
    one = lm.generate(b"x", grammar=Grammar.regex("abc"), max_tokens=50, speculate=0)
    assert (one.text, one.finish_reason, len(one.ids)) == ("abc", "stop", 3)
    assert lm.batcher.statistics().num_steps - steps == 3
    assert lm.generate(b"x", grammar=Grammar.regex("abc"), max_tokens=3).finish_reason == "stop"


def test_max_tokens_and_stop_cut_a_text():
    lm = model()
    cut = lm.generate(b"x", grammar=Grammar.regex("abc"), max_tokens=2)
    assert (cut.text, cut.finish_reason) == ("ab", "length")
    stopped = lm.generate(b"x", grammar=Grammar.regex("abcdef"), stop="d")
    assert (stopped.text, stopped.finish_reason) == ("abc", "stop")
    held = lm.generate(b"x", grammar=Grammar.regex("abc"), stop="cd")  # "c" is held back until the text is known to end
    assert held.text == "abc"


def test_min_tokens_keeps_from_ending_until_nothing_can_follow():
    lm = model()
    anything = lm.generate(b"x", grammar=Grammar.regex("a*"), min_tokens=20, max_tokens=30, logit_bias={END: 100})
    assert anything.text == "a" * 20
    assert lm.generate(b"x", grammar=Grammar.regex("a{5}"), min_tokens=20).text == "a" * 5


def test_ends_that_are_ignored_leave_the_grammars_own():
    lm = model()
    one = lm.generate(b"x", grammar=Grammar.regex("a*"), ignore_eos=True, max_tokens=30, logit_bias={END: 100})
    assert (one.text, one.finish_reason) == ("a" * 30, "length")
    assert lm.generate(b"x", grammar=Grammar.regex("a{5}"), ignore_eos=True).finish_reason == "stop"


def test_a_token_that_ends_the_text_does_so_only_where_the_grammar_lets_it():
    """Even one that is text."""
    lm = model()
    one = lm.generate(b"x", grammar=Grammar.regex("a{3}b*"), stop_ids=[ord("b")], logit_bias={ord("b"): 100})
    assert (one.text, one.finish_reason) == ("aaa", "stop")
    with pytest.raises(ConfigError, match=r"after 2 tokens of the answer none is left .*stop_ids"):
        lm.generate(b"x", grammar=Grammar.regex("aab"), stop_ids=[ord("b")])


def test_an_empty_text_may_be_all_there_is():
    one = model().generate(b"x", grammar=Grammar.regex(""), logprobs=1)
    assert (one.text, one.ids, one.finish_reason) == ("", [], "stop")


def test_what_the_vocabulary_has_no_token_for_is_an_error_of_that_answer():
    class NoA(ByteTokenizer):
        vocabulary = type(ByteTokenizer.vocabulary)(**vars(ByteTokenizer.vocabulary))

    NoA.vocabulary.tokens = [token if token != b"a" else b"" for token in ByteTokenizer.vocabulary.tokens]
    lm = model(NoA())
    with pytest.raises(ConfigError, match="no tokens that spell"):
        lm.generate(b"x", grammar=Grammar.regex("ba"))
    assert lm.generate(b"x", grammar=Grammar.regex("bb")).text == "bb"


# --- in company -----------------------------------------------------------------------------------------------------

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "ages": {"type": "array", "items": {"type": "integer", "maximum": 99, "minimum": 0}, "maxItems": 3},
    },
    "required": ["name", "ages"],
    "additionalProperties": False,
}


def asked():
    """Requests with and without grammars."""
    for seed, temperature, speculate in itertools.product(range(3), (0.0, 1.0), (0, 4)):
        options = {"seed": seed, "temperature": temperature, "speculate": speculate, "max_tokens": 60}
        yield f"one {seed}", options | {"grammar": Grammar.json_schema(SCHEMA)}
        yield f"two {seed}", options | {"grammar": Grammar.regex("(ab){1,20}")}
        yield f"three {seed}", options


def test_answers_are_the_same_in_a_crowd_as_alone():
    """In a batch, with few blocks, so that answers are preempted, in small steps, and with guesses."""
    crowd = model(num_blocks=40, tokens_per_step=7, max_running=8)
    pairs = list(asked())
    answers = [crowd.answers(crowd.prompt_ids(prompt), Request.of(**options))[0] for prompt, options in pairs]
    for one in answers:
        crowd.batcher.submit(one)
    while crowd.batcher.step():
        crowd.batcher.check()
    statistics = crowd.batcher.statistics()
    assert statistics.num_preempted > 0
    assert statistics.num_accepted_tokens > 0
    alone = model()
    for one, (prompt, options) in zip(answers, pairs, strict=True):
        expected = alone.generate(prompt, **(options | {"speculate": 0}))
        assert one.ids[one.num_prompt :] == expected.ids
        assert (one.finish_reason, "".join(delta.text for delta in one.take_deltas())) == (
            expected.finish_reason,
            expected.text,
        )


@pytest.mark.parametrize("options", [{}, {"temperature": 1.0, "seed": 3}, {"speculate": 4}])
def test_what_the_grammar_leaves_no_choice_in_comes_in_few_steps(options):
    lm = model()
    grammar = Grammar.regex("the name is [a-z]{3}, and its colour is (red|green)")
    before = lm.batcher.statistics()
    one = lm.generate("x", grammar=grammar, **options)
    after = lm.batcher.statistics()
    assert after.num_steps - before.num_steps < len(one.ids) / 3
    slow = lm.generate("x", grammar=grammar, **(options | {"speculate": 0}))
    assert slow == one
    assert lm.batcher.statistics().num_steps - after.num_steps == len(one.ids)


def test_answers_of_one_request_each_follow_the_grammar_by_themselves():
    lm = model()
    options = {"grammar": Grammar.json_schema(SCHEMA), "temperature": 1.0, "max_tokens": 200}
    several = lm.generate("x", n=4, seed=7, **options)
    assert len({one.text for one in several}) > 1
    assert several == [lm.generate("x", seed=7 + i, **options) for i in range(4)]
    for one in several:
        jsonschema.validate(json.loads(one.text), SCHEMA)


def test_a_stream_says_the_same():
    lm = model()
    options = {"grammar": Grammar.json_schema(SCHEMA), "temperature": 1.0, "seed": 3, "max_tokens": 200}
    deltas = list(lm.stream("x", **options))
    assert "".join(delta.text for delta in deltas) == lm.generate("x", **options).text
    assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["stop"]


def test_requests_without_a_grammar_do_not_import_llguidance():
    code = (
        "import sys, textmill.infer.engine, textmill.infer.request as r; r.Request.of(max_tokens=3); "
        "assert 'llguidance' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grammar.regex("("), "the regex cannot be used"),
        (lambda: Grammar.regex("(?=a)b"), "the regex cannot be used"),
        (lambda: Grammar.regex(r"(a)\1"), "the regex cannot be used"),
        (lambda: Grammar.regex(3), "the regex is 3"),
        (lambda: Grammar.json_schema({"type": "thing"}), "the JSON schema cannot be used"),
        (lambda: Grammar.json_schema({"$ref": "#/nowhere"}), "the JSON schema cannot be used"),
        (lambda: Grammar.json_schema({"type": "string", "pattern": "("}), "the JSON schema cannot be used"),
        (lambda: Grammar.json_schema({"not": {"type": "string"}}), "the JSON schema cannot be used"),
        (lambda: Grammar.json_schema([]), "must be an object"),
        (lambda: Grammar.json_schema({"const": float("nan")}), "no JSON"),
        (lambda: Grammar.json_schema({"const": {1, 2}}), "no JSON"),
        (lambda: Grammar.lark("start: nothing"), "the grammar cannot be used"),
        (lambda: Grammar.regex("a" * 200_000), "200,000 characters, and may have 100,000"),
    ],
)
def test_a_bad_grammar_is_refused_with_the_compilers_words(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_schema_that_is_nested_too_deep_is_refused():
    schema = {"type": "integer"}
    for _ in range(100_000):
        schema = {"type": "array", "items": schema}
    with pytest.raises(ConfigError, match="JSON schema"):
        Grammar.json_schema(schema)
    while "items" in schema:  # or else Python takes it apart with its own stack
        schema = schema.pop("items")


def test_lone_surrogates_are_refused():
    for make in (Grammar.regex, Grammar.lark):
        with pytest.raises(ConfigError, match="\\\\ud800"):
            make("\ud800")


def test_a_grammar_is_made_by_grammar():
    with pytest.raises(ConfigError, match="must be made by"):
        Request.of(grammar="[0-9]+")


HOSTILE = [
    lambda: Grammar.regex("(a{1000}){1000}"),
    lambda: Grammar.regex("(a|b)*a(a|b){200}"),
    lambda: Grammar.regex("(.*a){30}"),
    lambda: Grammar.regex(r"\p{L}{0,5000}\p{N}"),
    lambda: Grammar.regex("|".join(f"{i}.*{i}" for i in range(5000))),
    lambda: Grammar.json_schema({"type": "string", "minLength": 10**9}),
    lambda: Grammar.json_schema({"type": "array", "minItems": 10**9, "items": {"type": "integer"}}),
    lambda: Grammar.json_schema(
        {"allOf": [{"anyOf": [{"type": "string", "pattern": f"a{i}.*{j}"} for i in range(20)]} for j in range(20)]}
    ),
    lambda: Grammar.json_schema(
        {
            "$defs": {f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 10} for i in range(50)}
            | {"d50": {"type": "null"}},
            "$ref": "#/$defs/d0",
        }
    ),
    lambda: Grammar.lark("start: x\n" + "x: " + " | ".join(f'x x "{i}"' for i in range(300)) + ' | "a"'),
]


@pytest.mark.parametrize("make", HOSTILE)
def test_hostile_grammars_take_little_time(make):
    """Whatever comes of it: an error, or tokens. It is several times what the limits come to, for slow machines."""
    lm = words_model()
    begin = time.process_time()
    with contextlib.suppress(ConfigError):
        lm.generate("x", grammar=make(), max_tokens=8, temperature=1.0, seed=1)
    assert time.process_time() - begin < 5.0


def test_without_llguidance_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'textmill[serve]'")):
        Grammar.regex("a")


def test_compiled_grammars_are_kept():
    tokenizer = tiny_model.tokenizer()
    compiler = GrammarCompiler(tokenizer.vocabulary.tokens, frozenset(), tokenizer.encode)
    first = Grammar.regex("a+")
    assert dataclasses.replace(first) == first
    compiler.begin(first)
    kept = compiler._compiled[first]
    for i in range(100):
        compiler.begin(Grammar.regex(f"b{{{i}}}"))
        compiler.begin(first)
    assert compiler._compiled[first] is kept
    assert len(compiler._compiled) == 32
