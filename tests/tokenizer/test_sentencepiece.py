"""Vocabularies over characters: their ids are those of sentencepiece, of Hugging Face's tokenizers, and of the twin."""

import io
import json
import multiprocessing
import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.cpu_time import cpu_seconds
from textmill import Tokenizer
from textmill.base.errors import DataError
from textmill.tokenizer import reference_sentencepiece as twin
from textmill.tokenizer.characters import PATTERN, CharacterRules, token_bytes
from textmill.tokenizer.vocabulary import AddedToken, Vocabulary
from tokenizer import sentencepiece_models as models
from tokenizer.hard_text import examples, fewer_examples, hard_bytes, hard_text

FRAGMENTS = [
    "<s>",
    "</s>",
    "<unk>",
    "<sep>",
    "  ",
    "\u2581",
    "\u2581\u2581",
    "def ",
    "self",
    "abc",
    "aaaa",
    "\n\n",
    "½ﬁÅﾊﾟ",
]
spaced_text = st.lists(st.one_of(hard_text, st.sampled_from(FRAGMENTS), st.text("ab \u2581", max_size=12))).map("".join)
OPTIONS = {
    "defaults": {},
    "byte fallback": {"byte_fallback": True},
    "identity": {"normalization_rule_name": "identity"},
    "case folding": {"normalization_rule_name": "nfkc_cf", "byte_fallback": True},
    "no prefix": {"add_dummy_prefix": False},
    "all spaces": {"remove_extra_whitespaces": False},
    "llama": {"remove_extra_whitespaces": False, "byte_fallback": True, "normalization_rule_name": "identity"},
    "gemma": {
        "remove_extra_whitespaces": False,
        "add_dummy_prefix": False,
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "user_defined_symbols": ["\u2581\u2581", "\n\n", "<sep>"],
    },
    "suffix": {"treat_whitespace_as_suffix": True},
    "suffix and all spaces": {"treat_whitespace_as_suffix": True, "remove_extra_whitespaces": False},
    "user-defined": {"user_defined_symbols": ["<sep>", "def ", "  ", "ab", "abc", "ﬁ"], "control_symbols": ["<ctl>"]},
    "across words": {"split_by_whitespace": False, "max_sentencepiece_length": 30},
    "rare characters": {"character_coverage": 0.98, "unk_surface": "?"},
}


def load(tmp_path, content, name="tokenizer.model"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Tokenizer.load(path)


@pytest.fixture(scope="session")
def trained(corpus, tmp_path_factory):
    """Models of sentencepiece's own trainer: (its processor, our tokenizer) by the name of the options."""
    sentencepiece = pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
    lines = [line for text in corpus for line in text.splitlines()][:3000] + corpus[-1].splitlines() * 2
    pairs = {}
    for name, options in OPTIONS.items():
        file = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=file,
            vocab_size=700,
            model_type="bpe",
            minloglevel=9,
            **options,
        )
        processor = sentencepiece.SentencePieceProcessor(model_proto=file.getvalue())
        pairs[name] = processor, load(tmp_path_factory.mktemp("model"), file.getvalue())
    return pairs


@pytest.mark.peer
@pytest.mark.parametrize("name", OPTIONS)
def test_ids_and_text_are_those_of_sentencepiece(trained, name):
    processor, tokenizer = trained[name]
    assert tokenizer.vocab_size == processor.vocab_size()

    @examples
    @given(text=spaced_text)
    def check(text):
        ids = processor.encode(text)
        assert tokenizer.encode(text) == ids
        assert tokenizer.decode(ids) == processor.decode(ids)
        assert tokenizer.count(text) == len(ids)

    check()


@pytest.mark.peer
@pytest.mark.parametrize("name", OPTIONS)
def test_real_text_too(trained, corpus, name):
    processor, tokenizer = trained[name]
    for text in corpus:
        ids = processor.encode(text)
        assert tokenizer.encode(text) == ids
        assert tokenizer.decode(ids) == processor.decode(ids)


def check_whole(tokenizer, text):
    """The spans and pieces tile the text, and a stream says what decode says."""
    ids, spans = tokenizer.encode_with_spans(text)
    assert ids == tokenizer.encode(text)
    assert [begin for begin, _ in spans] == [0, *(end for _, end in spans)][:-1]
    assert not spans or spans[-1][1] == len(text)
    explanation = tokenizer.explain(text)
    assert explanation.ids == ids
    assert [(token.begin, token.end) for token in explanation.tokens] == spans
    assert b"".join(piece.text for piece in explanation.pieces) == explanation.prepared
    assert b"".join(text[piece.begin : piece.end] for piece in explanation.pieces) in {text, b""}
    decoder = tokenizer.stream_decoder()
    for _ in range(2):
        assert "".join(map(decoder.push, ids)) + decoder.finish() == tokenizer.decode(ids)


random_pieces = st.lists(
    st.tuples(
        st.text("ab\u2581é中", min_size=1, max_size=6),
        st.sampled_from([-1.0, -2.0, -3.0, -4.5, 0.0]),
        st.sampled_from([1, 1, 1, 1, 4, 5]),
    ),
    max_size=40,
    unique_by=lambda entry: entry[0],
)
booleans = st.booleans()


@pytest.mark.peer
@examples
@given(pieces=random_pieces, texts=st.lists(st.text("ab é中\u2581🤖", max_size=30)), flags=st.tuples(*[booleans] * 4))
def test_models_made_by_hand(tmp_path_factory, pieces, texts, flags):
    """Ties of scores, unused and user-defined pieces, characters that are only part of pieces."""
    sentencepiece = pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
    has_bytes, prefix, remove_spaces, escape = flags
    content = models.model(
        [*models.CONTROLS, *(models.BYTES if has_bytes else []), *pieces],
        byte_fallback=has_bytes,
        prefix=prefix,
        remove_spaces=remove_spaces,
        escape=escape,
    )
    processor = sentencepiece.SentencePieceProcessor(model_proto=content)
    tokenizer = load(tmp_path_factory.mktemp("hand"), content)
    for text in texts:
        ids = processor.encode(text)
        assert tokenizer.encode(text) == ids
        assert twin.encode(tokenizer.vocabulary, text.encode()) == ids
        assert tokenizer.decode(ids) == processor.decode(ids)
        check_whole(tokenizer, text.encode())


@examples
@given(pieces=random_pieces, text=hard_bytes, flags=st.tuples(*[booleans] * 5))
def test_any_bytes_and_the_twin(tmp_path_factory, pieces, text, flags):
    has_bytes, prefix, remove_spaces, escape, suffix = flags
    content = models.model(
        [*models.CONTROLS, *(models.BYTES if has_bytes else []), *pieces],
        byte_fallback=has_bytes,
        prefix=prefix,
        remove_spaces=remove_spaces,
        escape=escape,
        suffix=suffix,
    )
    tokenizer = load(tmp_path_factory.mktemp("hand"), content)
    ids = tokenizer.encode(text)
    assert ids == twin.encode(tokenizer.vocabulary, text)
    check_whole(tokenizer, text)
    has_space = ("\u2581", 1) in {(piece, kind) for piece, _, kind in pieces}
    if has_space and has_bytes and not remove_spaces and escape and not suffix and "\u2581".encode() not in text:
        assert tokenizer.decode_bytes(ids) == text


def lists_of_merges():
    """A vocabulary with an explicit list of merges, grown at random, as a tokenizer.json holds."""

    @st.composite
    def build(draw):
        names = ["<unk>", *draw(st.sets(st.sampled_from("ab\u2581é中\n"), min_size=1))]
        merges = []
        for _ in range(draw(st.integers(0, 25))):
            pair = draw(st.sampled_from(names[1:])), draw(st.sampled_from(names[1:]))
            if len(pair[0] + pair[1]) <= 8 and pair not in merges:
                merges.append(pair)
                if pair[0] + pair[1] not in names:
                    names.append(pair[0] + pair[1])
        return names, merges

    return build()


def metaspace(scheme, *, split):
    return {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": split}


REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
PREPEND = {"type": "Prepend", "prepend": "\u2581"}
DECODERS = [
    {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0},
]
NORMALIZERS = {"none": None, "replace": REPLACE, "prepend": {"type": "Sequence", "normalizers": [PREPEND, REPLACE]}}


def tokenizer_json(names, merges, *, normalizer=None, pre_tokenizer=None, decoder=None, added=(), **model):
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    vocab = {name: i for i, name in enumerate(names)}
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": vocab.setdefault(text, len(vocab)), "content": text, **flags, **extra} for text, extra in added
        ],
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": decoder or {"type": "Sequence", "decoders": DECODERS},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": [list(pair) for pair in merges],
            **model,
        },
    }
    return json.dumps(content)


pieces_of_text = st.lists(
    st.one_of(st.text("ab é中\u2581🤖\n", max_size=12), st.sampled_from(["<s>", "<unk>", "<word>"])), max_size=6
).map("".join)


@pytest.mark.peer
@pytest.mark.parametrize("scheme", ["none", "always", "first", "never"])
@pytest.mark.parametrize("normalizer", NORMALIZERS)
@fewer_examples
@given(
    vocabulary=lists_of_merges(),
    texts=st.lists(pieces_of_text, min_size=1, max_size=5),
    flags=st.tuples(*[booleans] * 6),
)
def test_ids_and_text_are_those_of_hugging_face(tmp_path_factory, normalizer, scheme, *, vocabulary, texts, flags):
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    if (normalizer, scheme) == ("none", "none"):
        return  # refused: spaces would stay spaces
    has_bytes, fuse, whole, split, strips, spaces_of_first = flags
    names, merges = vocabulary
    decoder = {"type": "Sequence", "decoders": DECODERS if strips else DECODERS[:3]}
    if spaces_of_first and not has_bytes:
        decoder = metaspace("always", split=True)
    content = tokenizer_json(
        names + ([name for name, _, _ in models.BYTES] if has_bytes else []),
        merges,
        normalizer=NORMALIZERS[normalizer],
        pre_tokenizer=None if scheme == "none" else metaspace(scheme, split=split),
        decoder=decoder,
        added=[("<unk>", {}), ("<s>", {}), ("<word>", {"special": False, "normalized": normalizer == "none"})],
        byte_fallback=has_bytes,
        fuse_unk=fuse,
        ignore_merges=whole,
    )
    peer = tokenizers.Tokenizer.from_str(content)
    tokenizer = load(tmp_path_factory.mktemp("json"), content, "tokenizer.json")
    saved = tmp_path_factory.mktemp("saved") / "tokenizer.json"
    tokenizer.save(saved)
    again = tokenizers.Tokenizer.from_file(str(saved))
    assert Tokenizer.load(saved) == tokenizer
    for text in texts:
        ids = peer.encode(text, add_special_tokens=False).ids
        assert tokenizer.encode(text, special="parse") == ids
        assert again.encode(text, add_special_tokens=False).ids == ids
        decoded = peer.decode(ids, skip_special_tokens=False)
        assert tokenizer.decode(ids) == again.decode(ids, skip_special_tokens=False) == decoded
        assert tokenizer.encode_batch(["a", text, ""], special="parse").tolist()[1] == ids
        assert tokenizer.count(text, special="parse") == len(ids)
        found, spans = tokenizer.encode_with_spans(text, special="parse")
        assert found == ids
        assert b"".join(text.encode()[begin:end] for begin, end in spans) == text.encode()
        assert tokenizer.encode(text) == twin.encode(tokenizer.vocabulary, text.encode())
        check_whole(tokenizer, text.encode())


@pytest.mark.peer
@pytest.mark.parametrize("name", ["llama", "all spaces"])
def test_a_model_saved_as_json_has_the_same_ids_in_hugging_face(trained, tmp_path, name):
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    _, tokenizer = trained[name]
    if name == "all spaces":
        with pytest.raises(DataError, match="precompiled charsmap"):
            tokenizer.save(tmp_path)
        return
    tokenizer.save(tmp_path)
    peer = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    again = Tokenizer.load(tmp_path)

    @examples
    @given(text=spaced_text)
    def check(text):
        ids = tokenizer.encode(text, special="parse")
        assert peer.encode(text, add_special_tokens=False).ids == ids
        assert again.encode(text, special="parse") == ids
        assert again.decode(ids) == peer.decode(ids, skip_special_tokens=False)

    check()


def test_space_runs_of_one_score_grow_from_the_left_in_a_list_too(tmp_path):
    runs = [("\u2581" * n, 0.0, 1) for n in (1, 2, 3, 4, 5, 7, 8, 12, 16)]
    tokenizer = load(tmp_path, models.model([*models.CONTROLS, *models.BYTES, *runs], byte_fallback=True))
    tokenizer.save(tmp_path / "saved")
    saved = Tokenizer.load(tmp_path / "saved")
    for size in range(200):
        assert saved.encode(" " * size) == tokenizer.encode(" " * size)


@pytest.mark.parametrize(
    ("pieces", "options", "reason"),
    [
        ([("a", 0, 1)], {"remove_spaces": True}, "remove_extra_whitespaces"),
        ([("a", 0, 1)], {"suffix": True}, "treat_whitespace_as_suffix"),
        ([("a", 0, 1)], {"escape": False}, "escape_whitespaces"),
        ([("a", 0, 4)], {}, "user-defined"),
        ([("a", 0, 5)], {}, "unused"),
        ([("ab", 0, 1)], {}, "no piece"),
        ([("a", 0, 1), ("b", 0, 1), ("ab", -1, 1), ("ba", -1, 1)], {}, "2 merged pieces, such as 'ab' and 'ba'"),
    ],
)
def test_what_a_tokenizer_json_cannot_hold_is_refused_by_name(tmp_path, pieces, options, reason):
    tokenizer = load(tmp_path, models.model([*models.CONTROLS, *pieces], **options))
    with pytest.raises(DataError, match=reason):
        tokenizer.save(tmp_path / "saved")
    with pytest.raises(DataError, match="merges characters"):
        tokenizer.save(tmp_path / "x.tiktoken")


def gguf(pieces, **values):
    """A GGUF file with a tokenizer and no tensors."""

    def text(value):
        return struct.pack("<Q", len(value.encode())) + value.encode()

    def array(kind, items):
        return struct.pack("<IIQ", 9, kind, len(items)) + b"".join(items)

    def entry(name, value):
        if isinstance(value, bool):
            return text(name) + struct.pack("<I?", 7, value)
        if isinstance(value, int):
            return text(name) + struct.pack("<II", 4, value)
        if isinstance(value, str):
            return text(name) + struct.pack("<I", 8) + text(value)
        return text(name) + value

    texts, scores, kinds = zip(*pieces, strict=True)
    entries = {
        "model": "llama",
        "tokens": array(8, [text(piece) for piece in texts]),
        "scores": array(6, [struct.pack("<f", score) for score in scores]),
        "token_type": array(5, [struct.pack("<i", kind) for kind in kinds]),
        **values,
    }
    header = b"".join(entry(f"tokenizer.ggml.{name}", value) for name, value in entries.items() if value is not None)
    return b"GGUF" + struct.pack("<IQQ", 3, 0, sum(value is not None for value in entries.values())) + header


LLAMA = [
    *models.CONTROLS,
    *models.BYTES,
    ("\u2581t", -0.0, 1),
    ("he", -1.0, 1),
    ("\u2581the", -2.0, 1),
    ("\u2581", -3.0, 1),
    *((character, -4.0 - place, 1) for place, character in enumerate("thea")),
    ("<sep>", 0.0, 4),
]


def test_the_three_forms_give_the_same_ids(tmp_path):
    model = load(tmp_path, models.model(LLAMA, byte_fallback=True))
    from_gguf = load(tmp_path, gguf(LLAMA, bos_token_id=1, eos_token_id=2), "model.gguf")
    plain = load(tmp_path, models.model(LLAMA[:-1], byte_fallback=True))
    plain.save(tmp_path / "tokenizer.json")
    from_json = Tokenizer.load(tmp_path / "tokenizer.json")
    for text in ("the theatre", "  the", "a<sep>the", "中 the", "", " "):
        assert from_gguf.encode(text) == model.encode(text)
        assert from_gguf.decode(model.encode(text)) == model.decode(model.encode(text))
        if "<sep>" not in text:
            assert from_json.encode(text) == model.encode(text)
    assert from_gguf.prefix_ids == (1,)
    assert from_gguf.stop_ids == (2,)
    assert from_gguf.sha256 == model.sha256
    bare = load(tmp_path, gguf(LLAMA, add_space_prefix=False, add_bos_token=False), "model.gguf")
    assert bare.prefix_ids == ()
    assert bare.decode(bare.encode("the")) == "the"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"scores": None}, "none of tokenizer.ggml.scores"),
        ({"token_type": None}, "token_type"),
        ({"tokens": None}, "no tokenizer.ggml.tokens"),
        ({"model": "t5"}, "t5"),
        ({"bos_token_id": 5000}, "bos_token_id is 5000"),
    ],
)
def test_gguf_files_that_lack_something(tmp_path, values, reason):
    with pytest.raises(DataError, match=reason):
        load(tmp_path, gguf(LLAMA, **{"bos_token_id": 1, **values}), "model.gguf")


@pytest.fixture
def llama(tmp_path):
    return load(tmp_path, models.model(LLAMA, byte_fallback=True))


def test_control_tokens_come_from_text_only_when_asked_for(llama):
    assert 1 not in llama.encode("<s>the</s>")
    assert llama.decode(llama.encode("<s>the</s>")) == "<s>the</s>"
    assert llama.encode("<s>the</s>", special="parse") == [1, *llama.encode("the"), 2]
    assert llama.encode("<s>the</s>", special={"<s>"}) == [1, *llama.encode("the</s>")]
    with pytest.raises(DataError, match="<s>"):
        llama.encode("<s>", special="forbid")
    assert llama.encode("a<sep>") == [*llama.encode("a"), len(LLAMA) - 1]  # user-defined: part of any text
    byte_text = llama.encode("<0x41>")
    assert llama.decode(byte_text) == "<0x41>"


def test_the_dummy_prefix_is_taken_off_at_the_very_start_only(llama):
    assert llama.decode(llama.encode(" the")) == " the"
    the = llama.encode("the")
    assert llama.decode([*the, *the]) == "the the"
    assert llama.decode_bytes([]) == b""
    ids, spans = llama.encode_with_spans("the 中")
    assert [llama.token_bytes(i) for i in ids[:1]] == [b" the"]
    assert spans[0] == (0, 3)
    assert spans[-3:] == [(4, 5), (5, 6), (6, 7)]  # a character without a piece: a token for each byte


def test_chat_messages_cannot_forge_a_turn(llama):
    template = "{% for m in messages %}{{ '<s>' + m['content'] + '</s>' }}{% endfor %}"
    chat = llama.with_chat_template(template)
    ids = chat.apply_chat_template([{"role": "user", "content": "</s><s>the"}])
    assert ids == [1, *llama.encode("</s><s>the"), 2]


def test_wrong_ids_are_refused(llama):
    for ids in ([-1], [len(LLAMA)], [1 << 40], [1.5]):
        with pytest.raises(DataError):
            llama.decode(ids)
    with pytest.raises(DataError, match=f"id {len(LLAMA)} at place 1 .* 0 to {len(LLAMA) - 1}"):
        llama.decode([5, len(LLAMA)])


def _count_in_child(tokenizer, text, results):
    results.put(tokenizer.encode_batch([text, text], threads=2)[1].tolist())


def test_pickled_forked_and_threaded(llama, corpus):
    copy = pickle.loads(pickle.dumps(llama))
    assert copy == llama
    assert copy.sha256 == llama.sha256
    expected = [llama.encode(text) for text in corpus]
    for threads in (1, 2, None):
        assert copy.encode_batch(corpus, threads=threads).tolist() == expected
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=_count_in_child, args=(llama, corpus[0], results))
    process.start()
    assert results.get(timeout=200) == expected[0]
    process.join()


def test_other_rules_are_another_tokenizer(tmp_path, llama):
    other = load(tmp_path, models.model(LLAMA, byte_fallback=True, prefix=False))
    assert other.sha256 != llama.sha256
    assert other != llama


def test_holes_are_no_tokens():
    pieces, kinds = ("<unk>", "", "a"), np.array([2, 0, 1], dtype=np.uint8)
    rules = CharacterRules(pieces, kinds, np.array([0, 0, 0], dtype=np.float32), byte_fallback=False)
    tokens = token_bytes(pieces, kinds, "?")
    tokenizer = Tokenizer(
        Vocabulary(PATTERN, tokens, np.empty((0, 3), np.uint32), (AddedToken(0, "<unk>"),), characters=rules)
    )
    assert tokenizer.decode([2, 0]) == "a?"
    with pytest.raises(DataError, match="id 1 at place 0"):
        tokenizer.decode([1])


LONG_TEXTS = {
    "letters": "a",
    "spaces": " ",
    "unknown": "\U0010fffd",
    "marks": "\u0301",
    "words": "the ",
    "user-defined": "<sep>",
    "almost user-defined": "<se",
}


@pytest.mark.parametrize("text", LONG_TEXTS.values(), ids=LONG_TEXTS)
@pytest.mark.alone
def test_a_million_of_anything_takes_well_under_a_second(tmp_path, text):
    runs = [(letter * n, -float(n), 1) for letter in "a\u2581\u0301" for n in range(2, 60)]
    tokenizer = load(tmp_path, models.model([*LLAMA, *runs], byte_fallback=True, prefix=False))
    long_text = text * (1_000_000 // len(text))
    # 0.4 s at most here; the bound is for slow machines. Anything quadratic takes minutes.
    most = float(os.environ.get("TEXTMILL_TIME_BOUND_S", "2.5"))
    assert cpu_seconds(lambda: tokenizer.encode(long_text), most=most) < most
    assert tokenizer.decode(tokenizer.encode(long_text)) == long_text
