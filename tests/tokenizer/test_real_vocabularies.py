"""Vocabularies that models are made with: the ids of Hugging Face's tokenizers, tiktoken and mistral-common."""

import pytest
from hypothesis import given

from textmill import Tokenizer
from textmill.tokenizer.patterns import PATTERNS
from tokenizer.corpora import standard_library
from tokenizer.hard_text import examples, hard_text
from tokenizer.peers import mistral_common_says
from tokenizer.vocabularies import vocabulary

pytestmark = pytest.mark.peer

# The pattern that each must be recognised as, its normalizer, and two of its added tokens.
FILES = {
    "deepseek-v3.json": ("deepseek-v3", "", "<｜User｜>", "<｜end▁of▁sentence｜>"),
    "qwen3.json": ("qwen2", "nfc", "<|im_start|>", "<think>"),
    "llama3.json": ("cl100k", "", "<|eot_id|>", "<|begin_of_text|>"),
}
TEXTS = [
    "Привет, мир! 中文分词 हिन्दी naïve façade ½ Ⅷ ² don't DON'T it'ſ 🤖👩‍👩‍👧 \u3000\u00a0x\r\n\r\n \t y",
    "e\u0301 \u1112\u1161\u11ab a\u0323\u0302 \U00011935\U00011930 \u212b",
]


@pytest.fixture(scope="module", params=FILES)
def both(request):
    path = vocabulary(request.param)
    theirs = pytest.importorskip("tokenizers").Tokenizer.from_file(str(path))
    return Tokenizer.load(path), theirs, FILES[request.param]


def test_the_pattern_and_normalizer_are_recognised(both):
    tokenizer, theirs, (pattern, normalizer, *specials) = both
    assert (tokenizer.pattern, tokenizer.normalizer) == (pattern, normalizer)
    assert tokenizer.vocab_size == max(theirs.get_vocab().values()) + 1
    for text in specials:
        assert tokenizer.special_tokens[text] == theirs.token_to_id(text)


def test_ids_of_real_text(both):
    tokenizer, theirs, (_, _, first, second) = both
    for text in [*standard_library(400_000), *TEXTS, f"a{first}{second} b {first}\n"]:
        ids = tokenizer.encode(text, special="parse")
        assert ids == theirs.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids) == theirs.decode(ids, skip_special_tokens=False)


@examples
@given(text=hard_text)
def test_ids_of_any_text(both, text):
    tokenizer, theirs, (_, _, first, second) = both
    for parsed in (text, first + text + second + text):
        ids, spans = tokenizer.encode_with_spans(parsed, special="parse")
        assert ids == theirs.encode(parsed, add_special_tokens=False).ids
        assert not spans or (spans[0][0], spans[-1][1]) == (0, len(parsed.encode()))


def test_what_is_written_is_read_alike(both, tmp_path):
    tokenizer, theirs, _ = both
    tokenizer.save(tmp_path / "tokenizer.json")
    assert Tokenizer.load(tmp_path / "tokenizer.json") == tokenizer
    again = type(theirs).from_file(str(tmp_path / "tokenizer.json"))
    for text in [*standard_library(100_000), *TEXTS]:
        assert again.encode(text).ids == tokenizer.encode(text, special="parse")


def with_tiktoken(name):
    """A rank file as we read it, and as tiktoken does."""
    tiktoken = pytest.importorskip("tiktoken")
    path = vocabulary(f"{name}.tiktoken")
    tokenizer = Tokenizer.load(path, pattern="gpt2" if name == "r50k" else name)
    ranks = {token: rank for rank, token in enumerate(tokenizer.vocabulary.tokens) if token}
    regex = PATTERNS["gpt2" if name == "r50k" else name].stages[0].regex
    return tokenizer, tiktoken.Encoding(name, pat_str=regex, mergeable_ranks=ranks, special_tokens={})


@pytest.fixture(scope="module")
def cl100k_and_tiktoken():
    return with_tiktoken("cl100k")


LENGTHS = [15, 16, 31, 32, 63, 64, 127, 128, 129, 65_535, 65_536]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("unit", ["a", " ", "\n", "!", "=", "7", "é", "中", "abcdefghij", "Strasse", "\u0301", "-_"])
def test_one_piece_of_a_length_where_the_algorithm_changes(cl100k_and_tiktoken, unit, length):
    tokenizer, theirs = cl100k_and_tiktoken
    run = (unit * length)[:length]
    cut = (unit.encode() * length)[:length].decode(errors="ignore")  # as many bytes
    for text in (run, cut, f"{run}x", f"x {run}.", f"{run} {run}"):
        assert tokenizer.encode(text) == theirs.encode(text, disallowed_special=())


@pytest.mark.parametrize("length", LENGTHS)
def test_a_text_of_a_length_where_the_algorithm_changes(cl100k_and_tiktoken, length):
    tokenizer, theirs = cl100k_and_tiktoken
    for source in standard_library(200_000):
        text = (source * (length // len(source) + 1))[:length]
        expected = theirs.encode(text, disallowed_special=())
        assert tokenizer.encode(text) == expected
        assert tokenizer.encode_batch(["", text, "x"])[1].tolist() == expected


@pytest.mark.parametrize("name", ["r50k", "cl100k", "o200k"])
def test_rank_files_give_the_ids_of_tiktoken(name):
    tokenizer, theirs = with_tiktoken(name)
    for text in [*standard_library(1_000_000), *TEXTS]:
        assert tokenizer.encode(text) == theirs.encode(text, disallowed_special=())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tekken_240718.json", "tekken_240911.json"])
def test_tekken_files_give_the_ids_of_mistral_common(name, tmp_path):
    path = vocabulary(name)
    tokenizer = Tokenizer.load(path)
    texts = [*standard_library(200_000), *TEXTS, "[INST] x</s>"]
    ids, size, bos, eos, specials = mistral_common_says(path, texts, tmp_path)
    assert [tokenizer.encode(text) for text in texts] == ids
    assert tokenizer.vocab_size == size
    assert (tokenizer.prefix_ids, tokenizer.stop_ids) == ((bos,), (eos,))
    assert tokenizer.special_tokens == {text: i for i, text in enumerate(specials)}
