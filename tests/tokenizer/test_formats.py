import base64
import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill import Tokenizer
from textmill.base.errors import ConfigError, DataError
from textmill.tokenizer.alphabet import to_characters
from tokenizer.corpora import SPECIALS, standard_library
from tokenizer.hard_text import examples, hard_text

# How tiktoken writes cl100k today. It splits "a\n  " as ["a", "\n  "], where the original form gives ["a", "\n", "  "].
TIKTOKEN_CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|"
    r"\s+(?!\S)|\s"
)
TIKTOKEN_GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"


@pytest.fixture(scope="module")
def saved(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    tokenizer.save(folder)
    return folder


@pytest.fixture(scope="module")
def hugging_face(saved):
    return pytest.importorskip("tokenizers").Tokenizer.from_file(str(saved / "tokenizer.json"))


def to_tiktoken(tokenizer, pattern):
    tiktoken = pytest.importorskip("tiktoken")
    specials = tokenizer.special_tokens
    ranks = {token: i for i, token in enumerate(tokenizer.vocabulary.tokens) if token and i not in specials.values()}
    return tiktoken.Encoding("trained", pat_str=pattern, mergeable_ranks=ranks, special_tokens=specials)


def edit(saved, tmp_path, change):
    content = json.loads((saved / "tokenizer.json").read_text())
    change(content)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content))
    return path


def test_what_is_saved_loads_as_it_was(tokenizer, saved, tmp_path):
    assert Tokenizer.load(saved) == tokenizer
    assert Tokenizer.load(str(saved / "tokenizer.json")) == tokenizer
    tokenizer.save(tmp_path / "named.json")
    assert Tokenizer.load(tmp_path / "named.json") == tokenizer


def test_a_rank_file_loads_as_the_same_tokenizer(tokenizer, tmp_path):
    path = tmp_path / "ranks.tiktoken"
    tokenizer.save(path)
    loaded = Tokenizer.load(path, pattern=tokenizer.pattern, special_tokens=tokenizer.special_tokens)
    assert loaded == tokenizer
    assert loaded.decode(loaded.encode("naïve don't")) == "naïve don't"


@pytest.mark.peer
@examples
@given(text=hard_text)
def test_ids_are_those_of_hugging_face(tokenizer, hugging_face, text):
    assert tokenizer.encode(text, special="parse") == hugging_face.encode(text, add_special_tokens=False).ids


@pytest.mark.peer
def test_hugging_face_agrees_on_real_text_and_decodes_it(tokenizer, hugging_face, corpus):
    for text in [*corpus, f"a{SPECIALS[0]}{SPECIALS[1]} b{SPECIALS[2]}\n"]:
        ids = tokenizer.encode(text, special="parse")
        assert hugging_face.encode(text).ids == ids
        assert hugging_face.decode(ids, skip_special_tokens=False) == text
    assert hugging_face.get_vocab_size() == tokenizer.vocab_size
    assert hugging_face.token_to_id(SPECIALS[1]) == 1


@pytest.mark.peer
@examples
@given(text=hard_text)
def test_ids_are_those_of_tiktoken(tokenizer, text):
    """tiktoken merges two neighbours if together they are a token; we merge by a list. Training makes a token of one
    pair only, which is also what its bytes encode to by themselves, so both find the same merges."""
    regexes = tokenizer.vocabulary.pattern.regexes
    if len(regexes) > 1:
        pytest.skip("tiktoken knows patterns of one regex")
    theirs = to_tiktoken(tokenizer, regexes[0])
    assert tokenizer.encode(text) == theirs.encode(text, disallowed_special=())
    assert tokenizer.encode(text, special="parse") == theirs.encode(text, allowed_special="all")


@pytest.mark.peer
@pytest.mark.parametrize(("name", "pattern"), [("cl100k", TIKTOKEN_CL100K), ("gpt2", TIKTOKEN_GPT2)])
def test_ids_agree_with_tiktokens_present_patterns(name, pattern, corpus):
    """The forms of gpt2 split alike. cl100k now joins the last newline and the blanks after it: the ids agree as long
    as no token ends in a newline and blanks."""
    tokenizer = Tokenizer.train(iter(corpus), 1200, name)
    tokens = tokenizer.vocabulary.tokens
    if name == "cl100k":
        assert not any(token[-1:] in (b" ", b"\t") and token.rstrip(b" \t")[-1:] in (b"\n", b"\r") for token in tokens)
    theirs = to_tiktoken(tokenizer, pattern)
    for text in [*standard_library(1_000_000), *corpus, "a\n  ", "a\r\n\t", "\n\n \n  x", "x  "]:
        assert tokenizer.encode(text) == theirs.encode(text, disallowed_special=())


@pytest.mark.peer
def test_holes_and_high_ids_survive_every_format(tmp_path, corpus):
    trained = Tokenizer.train(iter(corpus), 400, "cl100k")
    trained.save(tmp_path / "a.tiktoken")
    tokenizer = Tokenizer.load(tmp_path / "a.tiktoken", pattern="cl100k", special_tokens={"<|end|>": 405})
    assert tokenizer.vocab_size == 406
    assert tokenizer.token_bytes(402) == b""
    with pytest.raises(DataError, match="id 402"):
        tokenizer.decode([402])
    tokenizer.save(tmp_path)
    assert Tokenizer.load(tmp_path) == tokenizer
    tokenizer.save(tmp_path / "b.tiktoken")
    assert (tmp_path / "a.tiktoken").read_bytes() == (tmp_path / "b.tiktoken").read_bytes()
    theirs = pytest.importorskip("tokenizers").Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert theirs.encode("some text<|end|>").ids == tokenizer.encode("some text<|end|>", special="parse")


@pytest.mark.peer
def test_tokens_that_no_merge_makes_are_found_as_whole_pieces(tmp_path):
    lines = [base64.b64encode(bytes([i])) + b" %d" % i for i in range(256)]
    lines.append(base64.b64encode(b"abc") + b" 256")
    path = tmp_path / "whole.tiktoken"
    path.write_bytes(b"\n".join(lines))
    tokenizer = Tokenizer.load(path, pattern="gpt2")
    theirs = to_tiktoken(tokenizer, TIKTOKEN_GPT2)
    for text in ("abc", "abcd", " abc", "xabc abc\nabc"):
        assert tokenizer.encode(text) == theirs.encode(text)
    assert tokenizer.explain("abc").pieces[0].is_whole
    tokenizer.save(tmp_path)
    assert Tokenizer.load(tmp_path) == tokenizer
    theirs = pytest.importorskip("tokenizers").Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert theirs.encode("abc abc\nabc").ids == tokenizer.encode("abc abc\nabc")


def test_merges_may_be_strings(tokenizer, saved, tmp_path):
    def change(content):
        content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]

    assert Tokenizer.load(edit(saved, tmp_path, change)) == tokenizer


@pytest.mark.peer
def test_a_template_is_kept_and_never_applied(cl100k, tmp_path):
    cl100k.save(tmp_path)

    def change(content):
        special = {"id": SPECIALS[0], "ids": [0], "tokens": [SPECIALS[0]]}
        begin = {"SpecialToken": {"id": SPECIALS[0], "type_id": 0}}
        text, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
        content["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [begin, text],
            "pair": [begin, text, second],
            "special_tokens": {SPECIALS[0]: special},
        }

    tokenizer = Tokenizer.load(edit(tmp_path, tmp_path, change))
    assert (tokenizer.prefix_ids, tokenizer.suffix_ids) == ((0,), ())
    assert tokenizer.encode("x") == cl100k.encode("x")
    assert tokenizer != cl100k
    assert tokenizer.sha256 == cl100k.sha256, "encode gives the same ids, so shards fit both"
    tokenizer.save(tmp_path)
    assert Tokenizer.load(tmp_path) == tokenizer
    theirs = pytest.importorskip("tokenizers").Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert theirs.encode("x").ids == [0, *tokenizer.encode("x")]


def set_in(*path_and_value):
    *path, last, value = path_and_value

    def change(content):
        for key in path:
            content = content[key]
        content[last] = value

    return change


SPLIT = {"type": "Split", "pattern": {"Regex": r"\X"}, "behavior": "Isolated", "invert": False}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_in("normalizer", {"type": "NFKC"}), "normalizer NFKC"),
        (
            set_in("normalizer", {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}),
            "Lowercase",
        ),
        (set_in("normalizer", {"type": "Prepend", "prepend": "x"}), "normalizer Prepend"),
        (set_in("decoder", {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, BYTE_LEVEL]}), "ByteFallback"),
        (set_in("truncation", {"max_length": 5}), "truncation"),
        (set_in("padding", {"strategy": "BatchLongest"}), "padding"),
        (set_in("decoder", {"type": "Metaspace"}), "decoder Metaspace"),
        (set_in("decoder", None), "decoder None"),
        (set_in("model", "type", "Unigram"), "model is Unigram"),
        (set_in("model", "dropout", 0.1), "dropout 0.1"),
        (set_in("model", "end_of_word_suffix", "</w>"), "end_of_word_suffix"),
        (set_in("model", "new_feature", 1), "'new_feature'"),
        (set_in("new_part", 1), "'new_part'"),
        (set_in("pre_tokenizer", None), "pre_tokenizer is null"),
        (set_in("pre_tokenizer", {"type": "Digits", "individual_digits": True}), "Digits"),
        (
            set_in("pre_tokenizer", {"type": "Sequence", "pretokenizers": [SPLIT, BYTE_LEVEL]}),
            r"the escape \\X is not reproduced",
        ),
        (
            set_in(
                "pre_tokenizer", {"type": "Sequence", "pretokenizers": [{**SPLIT, "behavior": "Removed"}, BYTE_LEVEL]}
            ),
            "Removed",
        ),
        (set_in("post_processor", {"type": "RobertaProcessing"}), "RobertaProcessing"),
        (set_in("added_tokens", 0, "lstrip", 1), "has lstrip = '1', not true or false"),
        (set_in("added_tokens", 0, "single_word", "no"), "has single_word = 'no'"),
        (set_in("added_tokens", 0, "id", 7), "has the id 7, and Hugging Face reads it as 0"),
        (set_in("added_tokens", 0, "content", "a"), "an ordinary token|reads it as"),
        (set_in("model", "vocab", "中", 1200), "stands for no byte"),
        (set_in("model", "vocab", "Ġ", 4_000_000_000), "highest id is 4000000000"),
        (set_in("model", "vocab", "Ġ", -1), "whole number"),
        (set_in("model", "vocab", "Ġ", 5), "share"),
        (set_in("model", "vocab", {}), "must be an object"),
        (set_in("model", "merges", 0, ["no", "such"]), "merge 0 needs the token 'no'"),
        (set_in("model", "merges", 0, "a b c"), "must be two tokens"),
        (set_in("model", "merges", {}), "must be a list"),
        (set_in("model", []), "must be an object"),
    ],
)
def test_what_cannot_be_reproduced_is_refused_by_name(cl100k, tmp_path, change, message):
    cl100k.save(tmp_path)
    with pytest.raises(DataError, match=message):
        Tokenizer.load(edit(tmp_path, tmp_path, change))


def test_a_missing_byte_and_a_double_merge_are_refused(cl100k, tmp_path):
    cl100k.save(tmp_path)
    with pytest.raises(DataError, match="no token is the byte 126 alone"):
        Tokenizer.load(edit(tmp_path, tmp_path, lambda content: content["model"]["vocab"].pop("~")))
    cl100k.save(tmp_path)
    with pytest.raises(DataError, match="merge 1 joins the same tokens"):
        Tokenizer.load(edit(tmp_path, tmp_path, lambda c: c["model"]["merges"].insert(1, c["model"]["merges"][0])))


@pytest.fixture(scope="module")
def without_some_bytes(cl100k, tmp_path_factory):
    """As SmolLM2: no token is one of a few control characters, nor a byte that hardly any character has."""
    folder = tmp_path_factory.mktemp("bytes")
    cl100k.save(folder)
    edit(
        folder,
        folder,
        lambda content: [content["model"]["vocab"].pop(to_characters(b"%c" % b)) for b in b"\x04\x1d\xf2"],
    )
    return folder


@pytest.mark.peer
@examples
@given(text=st.lists(st.one_of(hard_text, st.sampled_from(["\x04", "\x1d", "!\x04!", "\U000a0000"]))).map("".join))
def test_bytes_without_a_token_are_left_out_as_by_hugging_face(without_some_bytes, text):
    tokenizer = Tokenizer.load(without_some_bytes)
    theirs = pytest.importorskip("tokenizers").Tokenizer.from_file(str(without_some_bytes / "tokenizer.json"))
    assert tokenizer.missing_bytes == b"\x04\x1d\xf2"
    ids, spans = tokenizer.encode_with_spans(text)
    assert ids == theirs.encode(text).ids == tokenizer.encode(text) == tokenizer.encode_batch([text])[0].tolist()
    assert tokenizer.decode_bytes(ids) == text.encode().translate(None, tokenizer.missing_bytes)
    assert not ids or (spans[0][0], spans[-1][1]) == (0, len(text.encode()))
    assert [begin for begin, _ in spans[1:]] == [end for _, end in spans[:-1]]


def test_where_bytes_have_no_token_nothing_else_may_stand_for_them(without_some_bytes, tmp_path):
    for feature, value in (("unk_token", "<|endoftext|>"), ("byte_fallback", True)):
        with pytest.raises(DataError, match=f"no token is the byte 4 alone, and its model has the {feature}"):
            Tokenizer.load(edit(without_some_bytes, tmp_path, set_in("model", feature, value)))
    with pytest.raises(DataError, match="a .tiktoken file needs all 256"):
        Tokenizer.load(without_some_bytes).save(tmp_path / "x.tiktoken")


def test_ranks_that_would_encode_otherwise_are_not_written(cl100k, tmp_path):
    def swap(content):
        merges = content["model"]["merges"]
        merges[0], merges[1] = merges[1], merges[0]

    cl100k.save(tmp_path)
    with pytest.raises(DataError, match=r"save it as tokenizer\.json"):
        Tokenizer.load(edit(tmp_path, tmp_path, swap)).save(tmp_path / "x.tiktoken")
    assert not (tmp_path / "x.tiktoken").exists()


@pytest.mark.parametrize(
    ("change", "normalizer"),
    [
        (set_in("normalizer", {"type": "Sequence", "normalizers": []}), ""),
        (set_in("normalizer", {"type": "NFC"}), "nfc"),
        (set_in("normalizer", {"type": "Sequence", "normalizers": [{"type": "NFC"}]}), "nfc"),
        (set_in("decoder", {"type": "Sequence", "decoders": [BYTE_LEVEL, {"type": "Fuse"}]}), ""),
        (set_in("model", "dropout", 0.0), ""),
        (set_in("model", "byte_fallback", True), ""),
        (set_in("model", "fuse_unk", True), ""),
        (set_in("model", "unk_token", "<|endoftext|>"), ""),
        (set_in("model", "continuing_subword_prefix", ""), ""),
    ],
)
@pytest.mark.peer
def test_what_changes_nothing_where_all_bytes_are_tokens(cl100k, tmp_path, corpus, change, normalizer):
    cl100k.save(tmp_path)
    path = edit(tmp_path, tmp_path, change)
    tokenizer = Tokenizer.load(path)
    assert tokenizer.normalizer == normalizer
    theirs = pytest.importorskip("tokenizers").Tokenizer.from_file(str(path))
    for text in [*corpus, "e\u0301 \u1112\u1161\u11ab"]:
        assert tokenizer.encode(text) == theirs.encode(text).ids
        assert tokenizer.decode(tokenizer.encode(text)) == theirs.decode(theirs.encode(text).ids)


def test_explain_and_chat_see_the_normalised_text(cl100k, tmp_path):
    cl100k.save(tmp_path)
    tokenizer = Tokenizer.load(edit(tmp_path, tmp_path, set_in("normalizer", {"type": "NFC"})))
    assert tokenizer.sha256 != cl100k.sha256
    assert tokenizer.encode("e\u0301") == tokenizer.encode("é") == tokenizer.explain("e\u0301").ids
    assert tokenizer.encode_batch(["e\u0301", "x"]).tolist() == [tokenizer.encode("é"), tokenizer.encode("x")]
    assert tokenizer.encode_with_spans("xe\u0301")[1][-1][1] == 4
    chat = tokenizer.with_chat_template("e{{ messages[0].content }}")
    assert chat.apply_chat_template([{"role": "user", "content": "\u0301"}]) == tokenizer.encode("é")


@pytest.mark.peer
def test_transformers_loads_what_is_written(cl100k, tmp_path, corpus):
    cl100k.save(tmp_path)
    path = edit(tmp_path, tmp_path, set_in("normalizer", {"type": "NFC"}))
    tokenizer = Tokenizer.load(path)
    tokenizer.save(tmp_path / "again.json")
    theirs = pytest.importorskip("transformers").PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "again.json"))
    for text in [*corpus, "e\u0301<|im_end|>"]:
        assert theirs.encode(text) == tokenizer.encode(text, special="parse")


def test_arguments_of_rank_files(cl100k, tmp_path):
    cl100k.save(tmp_path / "a.tiktoken")
    cl100k.save(tmp_path)
    with pytest.raises(ConfigError, match=r"give the pattern .*--pattern cl100k\): gpt2, "):
        Tokenizer.load(tmp_path / "a.tiktoken")
    with pytest.raises(ConfigError, match="unknown pattern"):
        Tokenizer.load(tmp_path / "a.tiktoken", pattern="x")
    with pytest.raises(ConfigError, match="holds its own"):
        Tokenizer.load(tmp_path, pattern="cl100k")
    with pytest.raises(DataError, match="two tokens have the id 5"):
        Tokenizer.load(tmp_path / "a.tiktoken", pattern="cl100k", special_tokens={"<a>": 5})


def test_a_special_token_may_not_be_written_as_another_token_is(tmp_path):
    tokenizer = Tokenizer.train(iter([" t t t"]), 300, special_tokens=["Ġt"])  # how " t" is written
    with pytest.raises(DataError, match='would both be written "Ġt"'):
        tokenizer.save(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.json does not exist; give a tokenizer's file"):
        Tokenizer.load(tmp_path / "nothing.json")
    with pytest.raises(DataError, match=r"tokenizer\.json"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "what"), [({"normalizer": "nfc"}, "normalises"), ({"adds_prefix_space": True}, "puts")]
)
def test_a_rank_file_is_refused_what_it_cannot_say(tmp_path, change, what):
    plain = Tokenizer.train(iter(["abc abd"]), 258, "gpt2")
    with pytest.raises(DataError, match=f"this tokenizer {what}"):
        Tokenizer(dataclasses.replace(plain.vocabulary, **change)).save(tmp_path / "t.tiktoken")
    assert not list(tmp_path.iterdir())
