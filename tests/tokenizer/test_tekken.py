"""Small tekken.json files; tests/tokenizer/test_real_vocabularies.py has the real ones, beside mistral-common."""

import base64
import json

import pytest

from textmill import Tokenizer
from textmill.base.errors import DataError

PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
TOKENS = [*(bytes([byte]) for byte in range(256)), b"th", b"the", b" the", b"unused"]


def tekken(**config):
    vocab = [{"rank": i, "token_bytes": base64.b64encode(t).decode(), "token_str": None} for i, t in enumerate(TOKENS)]
    numbers = {"num_vocab_tokens": 260, "default_vocab_size": 289, "default_num_special_tokens": 30, "version": "v3"}
    return {"config": {"pattern": PATTERN, **numbers, **config}, "vocab": vocab}


def specials(*texts):
    return [{"rank": i, "token_str": text, "is_control": i != 1} for i, text in enumerate(texts)]


def load(tmp_path, content):
    (tmp_path / "tekken.json").write_text(json.dumps(content))
    return Tokenizer.load(tmp_path)


def test_ranks_beyond_the_size_are_not_used_and_ids_begin_after_the_special_ones(tmp_path):
    tokenizer = load(tmp_path, tekken())
    assert tokenizer.pattern == "tekken"
    assert tokenizer.vocab_size == 289
    assert tokenizer.encode("the the") == [30 + 257, 30 + 258]
    assert (tokenizer.prefix_ids, tokenizer.stop_ids) == ((1,), (2,))
    assert tokenizer.special_tokens["[INST]"] == 3
    assert tokenizer.special_tokens["<SPECIAL_29>"] == 29
    assert tokenizer.encode("[INST]the", special="parse") == [3, 30 + 257]
    tokenizer.save(tmp_path / "tokenizer.json")
    assert Tokenizer.load(tmp_path / "tokenizer.json").encode("the [INST] x") == tokenizer.encode("the [INST] x")


def test_the_format_is_known_by_what_the_file_holds(tmp_path):
    named = load(tmp_path, tekken())
    (tmp_path / "other.json").write_text(json.dumps(tekken()))
    assert Tokenizer.load(tmp_path / "other.json") == named
    named.save(tmp_path / "my-tekken.json")
    assert Tokenizer.load(tmp_path / "my-tekken.json").vocab_size == named.vocab_size
    (tmp_path / "other.json").write_text(json.dumps({"vocab": []}))
    with pytest.raises(DataError, match="config must be an object"):
        Tokenizer.load(tmp_path / "other.json")


def test_later_versions_list_their_special_tokens(tmp_path):
    content = {**tekken(version="v11"), "special_tokens": specials("<unk>", "<word>", "<s>")}
    tokenizer = load(tmp_path, content)
    assert [token.is_special for token in tokenizer.vocabulary.added[:4]] == [True, False, True, True]
    assert tokenizer.prefix_ids == (2,)
    with pytest.raises(DataError, match="lists no special_tokens, which version v11 needs"):
        load(tmp_path, tekken(version="v11"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tekken(default_vocab_size=291), "its vocab has 260 tokens, and config asks for 261"),
        (tekken(default_vocab_size=30), "30 special tokens of 30"),
        (tekken(default_vocab_size=1 << 62), "at most 2097151"),
        (tekken(default_vocab_size=-1), "must be a whole number"),
        (tekken(default_num_special_tokens=2), "lists 20 special tokens"),
        (tekken(pattern=""), "must be a text"),
        (tekken(pattern="("), "cannot be used"),
        (tekken(new_feature=1), "'new_feature'"),
        ({**tekken(), "new_part": 1}, "'new_part'"),
        ({**tekken(), "vocab": {}}, "must be a list"),
        ({**tekken(), "vocab": tekken()["vocab"][1:]}, "token 0 has the rank 1"),
        ({**tekken(), "vocab": [{"rank": 0, "token_bytes": "YQ==", "token_str": "a"}] * 300}, "the first 256 must be"),
        ({**tekken(), "vocab": [{"rank": 0, "token_bytes": "!", "token_str": "a"}] * 300}, "not base64"),
        ({**tekken(), "special_tokens": specials("<a>", "<a>")}, "given twice"),
        ({**tekken(), "special_tokens": specials("")}, "must be a text"),
        ({**tekken(), "special_tokens": [{"rank": 5}]}, "has the rank 5"),
        ([], "must be an object"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        load(tmp_path, content)
