"""What callers pass: numpy's numbers work as Python's do, and whatever else is wrong is named."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest

from textmill import Tokenizer, _core
from textmill.base.errors import ConfigError, DataError
from textmill.tokenizer import splitting
from textmill.tokenizer.characters import CharacterRules
from textmill.tokenizer.patterns import pattern_named
from textmill.tokenizer.vocabulary import Vocabulary

LIST = "ids must be one list of whole numbers"


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([[1, 2]], DataError, LIST),
        ([[1], [2, 3]], DataError, LIST),
        ([1, None], DataError, r"ids\[1\] is a NoneType"),
        ([1.0], DataError, r"ids\[0\] is a float"),
        ([True], DataError, r"ids\[0\] is a bool"),
        ([1, "a"], DataError, r"ids\[1\] is a str"),
        ([3, 1 << 70], DataError, r"id 1180591620717411303424 at place 1 is no token: .* 0 to 1199"),
        ([-1, 1 << 63], DataError, "id -1 at place 0 is no token"),
        ([1, -(1 << 63) - 1], DataError, "id -9223372036854775809 at place 1"),
        ([3, -1], DataError, "id -1 at place 1"),
        ([10**6000], DataError, "at place 0"),
        (np.array([[1]]), DataError, "ids has 2 dimensions"),
        (np.array(5), DataError, "ids has 0 dimensions"),
        (np.array([1.5]), DataError, LIST),
        (np.array([1200]), DataError, "id 1200 at place 0"),
        ("abc", TypeError, "ids must be a list of whole numbers, and is a str"),
        (b"abc", TypeError, "is a bytes"),
        (None, TypeError, "is a NoneType"),
        (5, TypeError, "is a int"),
    ],
)
def test_ids_that_are_none_are_named(cl100k, ids, error, message):
    for method in (cl100k.decode, cl100k.decode_bytes, cl100k.is_canonical):
        with pytest.raises(error, match=message):
            method(ids)
    with pytest.raises(error):
        cl100k.stream_decoder(ids)


def test_numpy_numbers_are_numbers(cl100k, corpus):
    ids = cl100k.encode("some text")
    for kind in (np.uint16, np.int32, np.int64, np.uint64):
        assert cl100k.decode(np.array(ids, dtype=kind)) == "some text"
        assert cl100k.decode([kind(number) for number in ids]) == "some text"
        assert cl100k.token_bytes(kind(ids[0])) == cl100k.token_bytes(ids[0])
        assert cl100k.stream_decoder().push(kind(ids[0])) == cl100k.decode(ids[:1])
    assert cl100k.decode([np.uint64(ids[0]), *ids[1:]]) == "some text"
    assert cl100k.encode_batch(["a", "b"], threads=np.int64(2))[np.int8(1)].tolist() == cl100k.encode("b")
    numbers = {name: np.int64(value) for name, value in (("min_frequency", 2), ("max_token_length", 5), ("threads", 1))}
    trained = Tokenizer.train(iter(corpus), np.int64(300), memory_limit=np.int64(1 << 30), **numbers)
    assert trained.vocab_size == 300


@pytest.mark.parametrize("token_id", [-1, 1200, 1 << 70, None, "a", 1.5])
def test_one_wrong_id_is_named(cl100k, token_id):
    for method in (cl100k.token_bytes, cl100k.stream_decoder().push):
        with pytest.raises((DataError, TypeError), match=rf"id {token_id} is no token|token_id must be a whole number"):
            method(token_id)


@pytest.mark.parametrize("special", [None, 5, ["<|im_end|>"], b"text", {"<|im_end|>": 2}, {3}, {None}])
def test_a_wrong_policy_is_named(cl100k, special):
    for method in (cl100k.encode, cl100k.count, cl100k.encode_with_spans, cl100k.explain):
        with pytest.raises(ConfigError, match="special"):
            method("x", special=special)
    with pytest.raises(ConfigError, match="special"):
        cl100k.encode_batch(["x"], special=special)
    with pytest.raises(ConfigError, match="special"):
        cl100k.truncate("x", 1, special=special)


@pytest.mark.parametrize("index", [slice(0, 1), None, "a", 1.5, (0, 1)])
def test_a_batch_gives_one_text_at_a_time(cl100k, index):
    with pytest.raises(TypeError, match="one text at a time"):
        cl100k.encode_batch(["a", "b"])[index]
    with pytest.raises(IndexError, match="of 2"):
        cl100k.encode_batch(["a", "b"])[1 << 70]


def test_what_is_no_list_of_texts_is_named(cl100k):
    for special in ("text", "parse"):
        for texts in (None, 5):
            with pytest.raises(TypeError, match="takes a list of texts, and texts is a"):
                cl100k.encode_batch(texts, special=special)
        with pytest.raises(TypeError, match="a text must be str or bytes"):
            cl100k.encode_batch(["a", None], special=special)
    for threads in (0, -1, 1.5, "2", True, 1 << 70):
        with pytest.raises(ConfigError, match="threads is"):
            cl100k.encode_batch(["a"], threads=threads)


def test_a_template_is_a_text(cl100k):
    with pytest.raises(ConfigError, match="template must be a text, and is a int"):
        cl100k.with_chat_template(5)
    with pytest.raises(ConfigError, match="bos_token must be a text"):
        cl100k.with_chat_template("x", bos_token=5)


def test_arrays_of_a_tokenizer_cannot_be_written(cl100k):
    rules = CharacterRules(("a",), np.ones(1, np.uint8), np.zeros(1, np.float32), byte_fallback=False)
    for vocabulary in (
        cl100k.vocabulary,
        pickle.loads(pickle.dumps(cl100k.vocabulary)),
        copy.deepcopy(cl100k.vocabulary),
        dataclasses.replace(cl100k.vocabulary, merges=cl100k.vocabulary.merges.copy()),
    ):
        with pytest.raises(ValueError, match="read-only"):
            vocabulary.merges[0, 0] = 1
    for copied in (rules, pickle.loads(pickle.dumps(rules))):
        for array in (copied.kinds, copied.scores):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1


def test_a_tokenizer_cannot_be_changed(cl100k):
    for name in ("anything", "_vocabulary", "vocab_size"):
        with pytest.raises(AttributeError, match=f"a Tokenizer is immutable, and {name} cannot be set"):
            setattr(cl100k, name, 1)
    assert cl100k.merge_table is cl100k.merge_table  # what is worked out once is kept


def test_true_is_no_number(cl100k):
    with pytest.raises(ConfigError, match="max_tokens is a bool"):
        cl100k.truncate("some text", True)
    with pytest.raises(TypeError, match="token_id must be a whole number, and is a bool"):
        cl100k.stream_decoder().push(True)


def test_what_is_wrong_names_what_was_called(cl100k, tmp_path):
    with pytest.raises(TypeError, match=r"Tokenizer.encode\(\) missing 1 required positional argument: 'text'"):
        cl100k.encode()
    with pytest.raises(TypeError, match="TokenBatch, of several texts; decode each"):
        cl100k.decode(cl100k.encode_batch(["a"]))
    with pytest.raises(ConfigError, match="the path to save to is empty"):
        cl100k.save("")
    with pytest.raises(ConfigError, match="progress is 3, and must be a function"):
        Tokenizer.train(iter(["abc"]), 258, progress=3)
    Tokenizer.train(iter(["abc"]), 258).save(tmp_path / "a.json")
    with pytest.raises(DataError, match="it is the report of a training; the tokenizer stands beside it"):
        Tokenizer.load(tmp_path / "a.report.json")


def test_the_native_method_without_a_tokenizer_is_an_error():
    with pytest.raises(AttributeError, match="_encode"):
        _core.EncodeCall(None).encode("x")


@pytest.mark.parametrize("error", [ConfigError("too slow"), KeyboardInterrupt()])
def test_an_error_of_a_pattern_that_python_matches_stays_what_it_is(monkeypatch, error):
    def fail(*_):
        raise error

    tokenizer = Tokenizer.train(iter(["aaa bbb"]), 258, pattern=r"(a)\1|(?s:.)")
    monkeypatch.setattr(splitting, "split", fail)
    for text in ("aa", "aa" * 500):
        with pytest.raises(type(error)):
            tokenizer.encode(text)


def test_whole_pieces_of_bytes_without_a_token_are_refused():
    tokens = [bytes([byte]) for byte in range(256) if byte != 0xC3]
    vocabulary = Vocabulary(
        pattern_named("gpt2"), (*tokens, "é".encode()), np.empty((0, 3), np.uint32), whole_pieces=True, drops_bytes=True
    )
    with pytest.raises(
        DataError, match=r"the token b'\\xc3\\xa9' \(id 255\) holds a byte that has no token of its own"
    ):
        Tokenizer(vocabulary)
    assert Tokenizer(dataclasses.replace(vocabulary, whole_pieces=False)).count("é") == 1
