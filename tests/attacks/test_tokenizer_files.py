"""Tokenizer files that are damaged, lie, or are made to exhaust: each is a DataError, and quickly."""

import json
import random
import time

import pytest

from textmill import Tokenizer
from textmill.base.errors import ConfigError, DataError

TEXT = "It is a text, and it's the only one: 12 texts, a text in the text's text."


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(iter([TEXT]), 300, special_tokens=["<|end|>"])


@pytest.fixture(scope="module")
def good(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    tokenizer.save(folder)
    return (folder / "tokenizer.json").read_bytes()


def load(tmp_path, data, name="tokenizer.json", **keywords):
    path = tmp_path / name
    path.write_bytes(data)
    return Tokenizer.load(path, **keywords)


def test_cut_off_anywhere(tmp_path, good):
    for size in [0, 1, 2, *range(3, len(good) - 2, max(1, len(good) // 200))]:
        with pytest.raises(DataError):
            load(tmp_path, good[:size])


def test_one_bit_flipped_is_refused_or_still_a_whole_tokenizer(tmp_path, good):
    draw = random.Random(1)
    for _ in range(400):
        data = bytearray(good)
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        try:
            tokenizer = load(tmp_path, bytes(data))
        except DataError:
            continue
        assert tokenizer.decode_bytes(tokenizer.encode(TEXT)) == TEXT.encode()


def test_any_value_replaced_by_any_other_kind(tmp_path, good):
    strange = [
        None,
        True,
        -1,
        1 << 70,
        1.5,
        "",
        "\ud800",
        "x",
        [],
        [[]],
        [None],
        {},
        {"type": None},
        {"type": "Sequence"},
    ]

    def places(value, path=()):
        yield path
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in list(items)[:6]:
            yield from places(item, (*path, key))

    for path in list(places(json.loads(good)))[1:]:
        for replacement in strange:
            content = json.loads(good)
            node = content
            for key in path[:-1]:
                node = node[key]
            node[path[-1]] = replacement
            try:
                tokenizer = load(tmp_path, json.dumps(content).encode())
            except DataError as error:
                str(error).encode()  # a message can be printed, whatever the file holds
                continue
            assert tokenizer.decode_bytes(tokenizer.encode(TEXT)) == TEXT.encode()


@pytest.mark.parametrize("steps", [5, [5], [{"SpecialToken": 5}], [], [{"SpecialToken": {"id": []}}]], ids=str)
@pytest.mark.parametrize("kind", ["TemplateProcessing", "Sequence"])
def test_post_processors_of_the_wrong_form(tmp_path, good, kind, steps):
    processor = {"type": kind, "single": steps, "processors": steps or 0}
    with pytest.raises(DataError):
        load(tmp_path, json.dumps({**json.loads(good), "post_processor": processor}).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 1_000_000,
        b'{"model":' * 100_000,
        b'{"added_tokens": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe\x00",
        b"\x00" * 100_000,
        b'{"model": {"vocab": {"a": ' + b"9" * 10_000 + b"}}}",
        b'{"model": {"vocab": {"a": 1, "a": 2}}}',
        b"NaN",
    ],
    ids=["brackets", "objects", "lists", "null", "list", "string", "utf-16", "zeros", "digits", "double key", "nan"],
)
def test_json_that_is_no_tokenizer(tmp_path, data):
    start = time.process_time()
    with pytest.raises(DataError):
        load(tmp_path, data)
    assert time.process_time() - start < 5


def test_ids_that_would_take_gigabytes(tmp_path, good):
    content = json.loads(good)
    content["model"]["vocab"]["Ġ"] = 3_000_000_000
    with pytest.raises(DataError, match="highest id is 3000000000 with 2"):
        load(tmp_path, json.dumps(content).encode())


def test_a_file_larger_than_any_tokenizer(tmp_path):
    path = tmp_path / "tokenizer.json"
    with path.open("wb") as file:
        file.truncate(600 << 20)
    with pytest.raises(DataError, match="629 MB"):
        Tokenizer.load(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"YQ==",
        b"YQ== 1 2",
        b"YQ== x",
        b"YQ== -1",
        b"YQ== 99999999999999999999",
        b"YQ== 4000000000",
        b"!!! 1",
        b"YQ== 0\nYQ== 1",
        b" 0",
        b"\xff\xff 0",
    ],
)
def test_rank_files_that_are_none(tmp_path, data):
    with pytest.raises(DataError):
        load(tmp_path, data, "x.tiktoken", pattern="gpt2")


def test_rank_files_cut_off_or_flipped(tmp_path, tokenizer):
    tokenizer.save(tmp_path / "good.tiktoken")
    good = (tmp_path / "good.tiktoken").read_bytes()
    draw = random.Random(2)
    for _ in range(300):
        data = bytearray(good)
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        for damaged in (bytes(data), good[: draw.randrange(len(good))]):
            try:
                loaded = load(tmp_path, damaged, "x.tiktoken", pattern="cl100k", special_tokens={"<|end|>": 0})
            except (DataError, ConfigError):
                continue
            assert loaded.decode_bytes(loaded.encode(TEXT)) == TEXT.encode()


def test_many_added_tokens_load_and_match_quickly(tmp_path, good):
    content = json.loads(good)
    first = len(content["model"]["vocab"])
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False) | {"special": True}
    content["added_tokens"] += [{"id": first + i, "content": f"<extra_{i}>", **flags} for i in range(20_000)]
    start = time.process_time()
    tokenizer = load(tmp_path, json.dumps(content).encode())
    ids = tokenizer.encode("<extra_7> <" * 20_000, special="parse")
    assert ids.count(first + 7) == 20_000
    assert time.process_time() - start < 10
