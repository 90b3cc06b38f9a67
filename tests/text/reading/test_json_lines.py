"""Lines of JSON: what the native parser vouches for is what Python's json reads, byte for byte."""

import codecs
import json
import os
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from text.reading.reading_of import read_all
from textmill import _core
from textmill.text.reading import SourceInput
from textmill.text.reading.json_record import read_json_line
from textmill.text.reading.records import RecordError

MAX_EXAMPLES = int(os.environ.get("TEXTMILL_MAX_EXAMPLES", "150"))
examples = settings(max_examples=MAX_EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
PATHS = [["text"], ["id"], ["meta", "url"], ["meta", "score"]]
LIMIT = 1 << 20

texts = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    ["plain words " * 9, 'a "quoted" \\ one\n\t', "naïve 中文 🤖 " * 3, "\x00\x1f\x7f\u2028", "é" * 17]
)
numbers = st.integers() | st.floats(allow_nan=True) | st.sampled_from([0, -0.0, 1e300, 10**20])
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
metas = st.dictionaries(st.sampled_from(["url", "score", "other"]), values, max_size=3) | values
records = st.fixed_dictionaries(
    {"text": texts | values}, optional={"id": values, "meta": metas, "n": values, "meta.url": values}
)
FRAGMENTS = [
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\u",
    b"\\ud83d",
    b"\\ude00",
    b"\\u00e9",
    b"\\x",
    b"1",
    b"-",
]
FRAGMENTS += [
    b".",
    b"e",
    b"+",
    b"0",
    b"NaN",
    b"Infinity",
    b"null",
    b"true",
    b" ",
    b"\t",
    b"\r",
    b"\x00",
    b"\x0b",
    b"\x1f",
]
FRAGMENTS += [
    b'"text"',
    b'"text":"x"',
    b'"meta":{"url":"u"}',
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xe2\x82",
    b"\xef\xbb\xbf",
]
FRAGMENTS += [b"\xf4\x90\x80\x80", b"\xc2\xa0", b"\xe2\x80\xa8", b"\n"]


@st.composite
def lines(draw):
    """A record as json.dumps writes it, some of its bytes changed."""
    line = json.dumps(
        draw(records),
        ensure_ascii=draw(st.booleans()),
        separators=draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", "\r: ")])),
    ).encode()
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(line)))
        size = draw(st.integers(0, 3))
        line = line[:at] + draw(st.sampled_from(FRAGMENTS)) + line[at + size :]
    return line.replace(b"\n", b" ") if draw(st.booleans()) else line


def parse(data, paths=PATHS, limit=LIMIT, num_threads=1, task_bytes=1 << 20):
    keys = [[key.encode() for key in path] for path in paths]
    columns, found, refused, num_lines = _core.parse_json_lines(
        np.frombuffer(data, np.uint8), keys, limit, num_threads, task_bytes
    )
    fields = [[chars[a:b].tobytes() for a, b in pairwise(at)] for chars, at in columns]
    return [dict(zip(found.tolist(), field, strict=True)) for field in fields], refused.tolist(), num_lines


class Written(str):
    """A number as it is written."""


def value_of(record, path):
    for key in path:
        if not isinstance(record, dict) or key not in record:
            return b""
        record = record[key]
    if record is None:
        return b""
    assert isinstance(record, str)
    return record.encode()


def check(data):
    """What is vouched for is right, and nothing is left out."""
    fields, refused, num_lines = parse(data)
    split = data.split(b"\n")
    if split[-1] == b"":
        split.pop()
    assert num_lines == len(split)
    of_refused = {line: data[begin:end] for line, begin, end in refused}
    for number, line in enumerate(split):
        if number in of_refused:
            assert of_refused[number] == line
            assert number not in fields[0]
        elif number in fields[0]:
            record = json.loads(line.decode(), parse_int=Written, parse_float=Written)
            json.loads(line.decode())
            assert type(record["text"]) is str
            assert [field[number] for field in fields] == [value_of(record, path) for path in PATHS]
        else:
            assert not line.strip(b" \t\r")
    for num_threads, task_bytes in [(1, 1), (3, 40)]:
        assert parse(data, num_threads=num_threads, task_bytes=task_bytes) == (fields, refused, num_lines)


@examples
@given(st.lists(lines(), max_size=4), st.booleans())
@example([b'{"text": "a", "text": "b"}', b'{"te\\u0078t": "a"}', b"", b" \t\r", b"\xa0"], True)
@example([b'{"text": "a"' + b" " * 40 + b"}", b'{"text": "' + b"x" * 16 + b'"}'], False)
def test_what_is_vouched_for_is_what_json_reads(given_lines, ends):
    check(b"\n".join(given_lines) + b"\n" * ends)


@examples
@given(st.binary(max_size=60), st.integers(0, 40))
def test_any_bytes_are_read_or_refused(wild, cut):
    check(b'{"text": "' + wild)
    check(wild)
    check((b'{"id": 1, "text": "some words", "meta": {"url": "x"}}' + wild)[cut:])


@examples
@given(records)
def test_usual_records_are_vouched_for(record):
    usual = {"id": "a", "text": "text", "meta": {"url": "u"}} | {"other": record if _has_no_nan(record) else 1}
    for ensure_ascii in (True, False):
        line = json.dumps(usual, ensure_ascii=ensure_ascii).encode()
        fields, refused, _ = parse(line)
        assert (fields[0], refused) == ({0: b"text"}, [])


def _has_no_nan(value):
    written = json.dumps(value)
    return not any(word in written for word in ("NaN", "Infinity", "\\ud8", "\\udc"))


@pytest.mark.parametrize("size", [*range(40), 63, 64, 65, 127, 4096])
def test_strings_of_any_length_and_place(size):
    for inner in (b"", b"\\n", "é".encode(), b"\\u00e9", b"\\ud83d\\ude00", "\N{ROBOT FACE}".encode()):
        for before in (b"", b"x", b"x" * 7):
            written = before + b"a" * size + inner + b"b" * (size % 5)
            check(b'{"text": "' + written + b'", "id": "' + written + b'"}')
            check(b'{"' + written + b'": "' + written + b'", "text": "y"}')


@pytest.mark.parametrize(
    "line",
    [
        '{"text": "a", "text": "a"}',
        '{"text": "a", "meta": {}, "meta": {}}',
        '{"te\\u0078t": "a"}',
        '{"text": "a", "n": NaN}',
        '{"text": "a", "n": -Infinity}',
        '{"text": "\\ud83d"}',
        '{"text": "\\ude00\\ud83d"}',
        '{"text": null}',
        '{"text": 1}',
        '{"text": ["a"]}',
        '{"id": "a"}',
        '{"text": "a", "id": true}',
        '{"text": "a", "id": {}}',
        '["text"]',
        '{"text": "a"} x',
        '{"text": "a",}',
        '{"text": "a"',
        '{"text": "a\tb"}',
        '{"text": "a", "n": 01}',
        '{"text": "a", "n": 1.}',
        '{"text": "a", "n": ' + "1" * 257 + "}",
        '{"text": "a", "n": ' + "[" * 64 + "]" * 64 + "}",
    ],
)
def test_what_is_unusual_is_handed_back(line):
    fields, refused, num_lines = parse(line.encode() + b"\n")
    assert (fields[0], refused, num_lines) == ({}, [[0, 0, len(line.encode())]], 1)


def test_values_beside_the_text():
    line = b'{"id": 12e3, "text": "a", "meta": {"score": -0.50, "url": null}}'
    fields, _, _ = parse(line)
    assert [field[0] for field in fields] == [b"a", b"12e3", b"", b"-0.50"]
    fields, _, _ = parse(b'{"text": "a", "meta": "no object"}')
    assert [field[0] for field in fields] == [b"a", b"", b"", b""]


def test_lines_that_are_too_long_are_handed_back():
    line = b'{"text": "12345"}'
    assert parse(line + b"\n" + line, limit=len(line))[1] == []
    assert parse(line + b"\n" + line, limit=len(line) - 1)[1] == [[0, 0, 17], [1, 18, 35]]


def test_wrong_fields_are_refused():
    for paths in ([], [[]], [["a"], ["a"]], [[str(i)] for i in range(70)]):
        with pytest.raises(ValueError):
            parse(b"", paths)


@settings(examples, suppress_health_check=list(HealthCheck))
@given(
    st.lists(lines() | st.sampled_from(["\xa0".encode(), b'{"text": null}', b'{"text": "a", "text": "b"}']), max_size=6)
)
def test_a_file_reads_as_its_twin_reads_its_lines(tmp_path, given_lines):
    """What the parser hands back is put where it belongs."""
    data = b"\n".join(given_lines)
    path = tmp_path / "a.jsonl"
    path.write_bytes(data)
    wanted, wrong, empty = [], [], 0
    offset = 0
    for number, line in enumerate(data.split(b"\n"), start=1):
        body = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        offset += len(line) - len(body)
        try:
            values = read_json_line(body, PATHS, str(path), offset)
        except RecordError as error:
            wrong.append(f"{path}, line {number}, byte {offset + error.offset} {error.what}")
        else:
            if values and values[0]:
                text, id_, url, score = values
                wanted.append((id_ or f"a.jsonl:{number}", text, id_, score, url))
            empty += values is not None and not values[0]
        offset += len(body) + 1
    source = SourceInput(path=str(path), fields={"id": "id", "url": "meta.url", "score": "meta.score"})
    units, bad, counts = read_all(source)
    assert [document for documents in units.values() for document in documents] == wanted
    assert (bad, counts.empty) == (wrong, empty + (data == b""))  # of a file without a byte, the file
