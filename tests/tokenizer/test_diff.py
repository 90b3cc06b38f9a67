"""Two tokenizers compared, against a count made token by token."""

import json
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill import Tokenizer
from textmill.base.errors import ConfigError
from textmill.text.stream import TextPart
from textmill.tokenizer import diff as diff_module
from textmill.tokenizer.diff import diff, parts_of_files
from tokenizer import sentencepiece_models as models
from tokenizer.hard_text import examples, hard_bytes

SCORED = [
    *models.CONTROLS,
    *models.BYTES,
    *(
        (piece, -float(i), 1)
        for i, piece in enumerate(["\u2581", "e", "t", "h", "a", "th", "the", "\u2581the", "\u2581a"])
    ),
]


@pytest.fixture(scope="module")
def pairs(corpus, tmp_path_factory):
    """Two tokenizers, by a name: trained ones, one that normalises, one over characters."""
    gpt2 = Tokenizer.train(iter(corpus), 900, "gpt2", ["<|end|>"])
    o200k = Tokenizer.train(iter(corpus[:2]), 700, "o200k")
    folder = tmp_path_factory.mktemp("models")
    (folder / "tokenizer.model").write_bytes(models.model(SCORED, byte_fallback=True))
    gpt2.save(folder / "tokenizer.json")
    content = json.loads((folder / "tokenizer.json").read_text()) | {"normalizer": {"type": "NFC"}}
    (folder / "nfc.json").write_text(json.dumps(content))
    characters, nfc = Tokenizer.load(folder / "tokenizer.model"), Tokenizer.load(folder / "nfc.json")
    return {
        "patterns": (gpt2, o200k),
        "characters": (gpt2, characters),
        "normaliser": (nfc, o200k),
        "itself": (gpt2, gpt2),
    }


@pytest.fixture(params=["patterns", "characters", "normaliser", "itself"])
def pair(pairs, request):
    return pairs[request.param]


def count_slowly(a, b, text):
    """Bytes in the same spans, and every stretch between common edges in which the two have other tokens."""
    (ids_a, spans_a), (ids_b, spans_b) = a.encode_with_spans(text), b.encode_with_spans(text)
    num_agreed = sum(end - begin for begin, end in set(spans_a) & set(spans_b))
    edges = sorted({0, *(end for _, end in spans_a)} & {0, *(end for _, end in spans_b)})
    stretches = Counter()
    for begin, end in pairwise(edges):
        inside = [
            tuple(
                tok.token_bytes(i) for i, (first, last) in zip(ids, spans, strict=True) if begin <= first < last <= end
            )
            for tok, ids, spans in ((a, ids_a, spans_a), (b, ids_b, spans_b))
        ]
        if [len(tokens) for tokens in inside] != [1, 1]:
            stretches[text[begin:end], *inside] += 1
    return len(ids_a), len(ids_b), num_agreed, stretches


@examples
@given(texts=st.lists(hard_bytes, max_size=4))
def test_its_figures_are_those_of_a_slow_count(pairs, texts):
    a, b = pairs["patterns"]
    difference = diff(a, b, texts, top=10_000)
    slow = [count_slowly(a, b, text) for text in texts]
    assert difference.total.num_bytes == sum(map(len, texts))
    assert difference.total.num_tokens_a == sum(row[0] for row in slow)
    assert difference.total.num_tokens_b == sum(row[1] for row in slow)
    assert difference.total.num_agreed_bytes == sum(row[2] for row in slow)
    stretches = sum((row[3] for row in slow), Counter())
    assert {
        (stretch.text, stretch.a, stretch.b): stretch.count
        for stretch in difference.shorter_a + difference.shorter_b + difference.other
    } == {key: count for key, count in stretches.items() if len(key[0]) <= 256}


@examples
@given(texts=st.lists(hard_bytes, max_size=4))
def test_its_totals_hold_for_any_two(pair, texts):
    a, b = pair
    difference = diff(a, b, texts)
    assert difference.total.num_tokens_a == sum(map(a.count, texts))
    assert difference.total.num_tokens_b == sum(map(b.count, texts))
    assert 0 <= difference.total.agreement <= 1
    for stretch in difference.shorter_a + difference.shorter_b + difference.other:
        assert stretch.num_saved == stretch.count * (len(stretch.b) - len(stretch.a))
    assert all(stretch.num_saved > 0 for stretch in difference.shorter_a)
    assert all(stretch.num_saved < 0 for stretch in difference.shorter_b)
    json.dumps(difference.to_dict())


def test_a_tokenizer_does_nothing_differently_from_itself(pairs, corpus):
    difference = diff(*pairs["itself"], corpus)
    assert difference.settings == ()
    assert difference.total.agreement == 1
    assert not difference.shorter_a + difference.shorter_b + difference.other
    assert not difference.only_a + difference.only_b
    assert difference.num_only_a == difference.num_only_b == 0


def test_settings_that_differ_are_named(pairs):
    settings = {setting.name: (setting.a, setting.b) for setting in diff(*pairs["patterns"], []).settings}
    assert settings["tokens"] == (900, 700)
    assert settings["pattern"] == ("gpt2", "o200k")
    assert settings["special token <|end|>"] == (0, None)
    assert "normaliser" not in settings
    settings = {setting.name: (setting.a, setting.b) for setting in diff(*pairs["characters"], []).settings}
    assert settings["merges"] == ("bytes", "characters")
    assert settings["byte fallback"] == (None, True)
    assert [s.name for s in diff(*pairs["normaliser"], []).settings if s.a == "nfc"] == ["normaliser"]


def test_tokens_that_one_has_alone_and_what_the_other_makes_of_them():
    a = Tokenizer.train(iter(["the the the"]), 258, "gpt2")
    b = Tokenizer.train(iter(["the"]), 256, "gpt2")
    difference = diff(a, b, ["the the cat"])
    (token,) = difference.only_a
    assert (token.text, token.count, token.instead) == (b"the", 2, (b"t", b"h", b"e"))
    assert (difference.num_shared, difference.num_only_a, difference.num_only_b) == (256, 2, 0)
    (stretch,) = difference.shorter_a
    assert (stretch.text, stretch.count, stretch.a, stretch.b) == (b"the", 2, (b"the",), (b"t", b"h", b"e"))
    assert stretch.num_saved == 4


def test_files_are_counted_one_by_one(pairs, tmp_path):
    (tmp_path / "one.txt").write_text("the cat")
    (tmp_path / "two.jsonl").write_text('{"text": "a hat"}\n{"text": "the"}\n')
    seen = []
    difference = diff(*pairs["patterns"], parts_of_files(*pairs["patterns"], tmp_path), progress=seen.append)
    assert [(usage.source, usage.num_texts, usage.num_bytes) for usage in difference.sources] == [
        (str(tmp_path / "one.txt"), 1, 7),
        (str(tmp_path / "two.jsonl"), 2, 8),
    ]
    assert (difference.total.num_texts, difference.total.num_bytes) == (3, 15)
    assert seen[0] == 7
    assert seen[-1] == 7 + (tmp_path / "two.jsonl").stat().st_size


@pytest.mark.parametrize("name", ["patterns", "characters", "normaliser"])
def test_a_long_file_gives_what_its_text_does(pairs, name, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("textmill.text.stream._BLOCK_BYTES", 5000)
    text = "\n".join(corpus)[:200_000]
    (tmp_path / "long.txt").write_text(text, newline="")
    in_parts = diff(*pairs[name], parts_of_files(*pairs[name], tmp_path / "long.txt"))
    whole = diff(*pairs[name], [text])
    assert in_parts.total == whole.total
    assert in_parts.shorter_a == whole.shorter_a


def test_progress_over_texts_is_in_bytes_of_text(pairs):
    seen = []
    diff(*pairs["patterns"], ["the cat", "é"], progress=seen.append)
    assert seen == [7, 9]


def test_a_long_text_is_taken_in_chunks_with_the_same_result(pairs, corpus, monkeypatch):
    text = "\n".join(corpus)
    whole = diff(*pairs["patterns"], [text])
    monkeypatch.setattr(diff_module, "_CHUNK_BYTES", 1000)
    assert diff(*pairs["patterns"], [text]) == whole


def test_what_is_rare_is_forgotten_and_said_to_be(pairs, corpus, monkeypatch):
    whole = diff(*pairs["patterns"], corpus, top=3)
    monkeypatch.setattr(diff_module, "_MAX_STRETCHES", 200)
    bounded = diff(*pairs["patterns"], corpus, top=3)
    assert bounded.num_forgotten > 0
    assert whole.num_forgotten == 0
    assert bounded.total == whole.total


def test_wrong_arguments_are_refused(pairs):
    with pytest.raises(ConfigError, match="one text"):
        diff(*pairs["itself"], "text")
    with pytest.raises(ConfigError, match="top is -1"):
        diff(*pairs["itself"], [], top=-1)


def test_the_keys_of_its_json_stay(pairs, corpus):
    """Programs read them."""
    content = diff(*pairs["patterns"], [TextPart(corpus[0].encode(), "a", True, 0)]).to_dict()
    assert list(content) == [
        *("settings", "num_shared", "num_only_a", "num_only_b", "total", "sources", "only_a", "only_b"),
        *("shorter_a", "shorter_b", "other", "num_forgotten"),
    ]
    assert (
        list(content["total"])
        == list(content["sources"][0])
        == [
            *("source", "num_texts", "num_bytes", "num_tokens_a", "num_tokens_b", "num_agreed_bytes"),
            *("bytes_per_token_a", "bytes_per_token_b", "agreement"),
        ]
    )
    assert list(content["settings"][0]) == ["name", "a", "b"]
    assert list(content["only_a"][0]) == ["id", "text_hex", "text", "count", "instead"]
    assert list(content["shorter_a"][0]) == ["text_hex", "text", "count", "a", "b"]
    assert list(content["shorter_a"][0]["a"][0]) == ["hex", "text"]
