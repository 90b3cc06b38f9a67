"""Files of records: what stays is copied byte for byte, whatever kind of record it is; bad ones are named."""

import gzip
import json
import os
import re

import pytest

from textmill.base.errors import ConfigError, DataError
from textmill.text.decontamination import PROFILES, ContaminationCounts, Decontaminator, EvalItem, Profile, read_items
from textmill.text.decontamination.record_files import decontaminate_files
from textmill.text.decontamination.training_records import text_of_record
from textmill.text.reading import BadRecords

QUESTION = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."
LEAK = QUESTION.upper().replace(" ", "  ")


@pytest.fixture
def decontaminator():
    return Decontaminator([EvalItem("gsm8k.jsonl:1", "gsm8k.jsonl", QUESTION, "")], PROFILES["finemath"])


RECORDS = {
    "pretraining": lambda text: {"text": text, "meta": {"url": QUESTION}},
    "chat": lambda text: {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "72"}]},
    "chat parts": lambda text: {"messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]},
    "sharegpt": lambda text: {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": text}]},
    "alpaca": lambda text: {"instruction": text[: text.rindex(" ")], "input": text[text.rindex(" ") :], "output": "72"},
    "preference": lambda text: {"prompt": "How many?", "chosen": "72", "rejected": text},
    "preference chats": lambda text: {
        "prompt": "x",
        "chosen": [{"role": "user", "content": text}],
        "rejected": [{"role": "user", "content": "no"}],
    },
}


@pytest.mark.parametrize("kind", RECORDS)
def test_every_kind_of_record(kind, decontaminator, tmp_path):
    source, target, report = (tmp_path / name for name in ("in.jsonl", "out.jsonl", "hits.jsonl"))
    clean = json.dumps(RECORDS[kind]("nothing of the kind, ünïcode"), ensure_ascii=False).encode()
    leaked = json.dumps(RECORDS[kind](LEAK)).encode()
    source.write_bytes(b"\xef\xbb\xbf" + clean + b"\r\n\n" + leaked + b"\n  " + clean)
    counts = decontaminate_files([source], decontaminator, target, report=report)
    assert target.read_bytes() == b"\xef\xbb\xbf" + clean + b"\r\n\n  " + clean
    (hit,) = map(json.loads, report.read_text().splitlines())
    assert (hit["item"], hit["document"], hit["ratio"], hit["action"]) == ("gsm8k.jsonl:1", "in.jsonl:3", 1.0, "drop")
    text = text_of_record(json.loads(leaked))
    begin, end = hit["span"]
    assert text[begin:end].split() == LEAK.rstrip(".").split()
    assert counts.summary(decontaminator)["files"]["gsm8k.jsonl"] == {
        "items": 1, "found": 1, "never_found": 0, "too_short": 0, "hits": 1, "rejected": 0, "documents": 1,
    }  # fmt: skip


def test_several_files_packed_or_not_and_a_line_without_an_end(decontaminator, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}')
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"text": "two"}\n{"text": "three"}'))
    read = []
    files = [tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"]
    counts = decontaminate_files(files, decontaminator, tmp_path / "o.jsonl", progress=read.append)
    assert (tmp_path / "o.jsonl").read_text() == '{"text": "one"}\n{"text": "two"}\n{"text": "three"}'
    assert (counts.num_documents, counts.num_dropped) == (3, 0)
    assert read[-1] == sum(path.stat().st_size for path in files)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"text": "a"', "line 2, byte 29 is not JSON: Expecting ',' delimiter"),
        (b'{"text": "\xc3\xbc', "line 2, byte 26 is not JSON: Unterminated string"),
        (b'{"txt": "a"}', "line 2, byte 17 has none of the fields text, .* it has txt"),
        (b"[1]", "line 2, byte 17 is no JSON object"),
        (b'{"text": "\xff"}', "line 2, byte 27 is not UTF-8 text: byte 0xff cannot be decoded"),
        (b'{"text": "\\ud800"}', "line 2, byte 17 has half of a surrogate pair at character 0"),
        (b'{"text": ' + b"[" * 100_000, "line 2, byte 17 is not JSON: maximum recursion"),
        (
            b'{"text": "' + b"x" * 300_000 + b'"}',
            r"line 2, byte 17 is a line of 300012 bytes, more than .* = 200000; .* \(--max-document-mb",
        ),
        (
            b'{"text": "' + b"x" * 20_000_000 + b'"}',
            r"line 2, byte 17 is a line of 20000012 bytes, .* \(--max-document-mb",
        ),
    ],
    ids=range(9),
)
def test_bad_records_are_named_and_nothing_is_written_or_they_are_left_out(line, message, decontaminator, tmp_path):
    first, last = b'{"text": "fine"}\n', b'{"text": "fine, too"}\n'
    (tmp_path / "in.jsonl").write_bytes(first + line + b"\n" + last)
    target, report = tmp_path / "o.jsonl", tmp_path / "r.jsonl"
    options = {"report": report, "max_document_bytes": 200_000}
    with pytest.raises(DataError, match=message):
        decontaminate_files([tmp_path / "in.jsonl"], decontaminator, target, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
    bad = BadRecords("skip")
    counts = decontaminate_files([tmp_path / "in.jsonl"], decontaminator, target, on_bad=bad, **options)
    assert target.read_bytes() == first + last
    assert (counts.num_documents, bad.count) == (2, 1)
    (told,) = map(json.loads, report.read_text().splitlines())
    assert told["action"] == "bad"
    assert bad.first == [f"{told['document']}, {told['place']} {told['what']}"]
    assert re.search(message, bad.first[0])


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
def test_what_comes_before_the_end_of_a_packed_file_that_is_cut_is_kept(name, decontaminator, tmp_path):
    zstandard = pytest.importorskip("zstandard")
    pack = gzip.compress if name.endswith("gz") else zstandard.compress
    lines = [json.dumps({"text": f"text {number}"}).encode() + b"\n" for number in range(300)]
    (tmp_path / name).write_bytes((pack(b"".join(lines[:200])) + pack(b"".join(lines[200:])))[:-3])
    (tmp_path / "b.jsonl").write_bytes(lines[0])
    bad = BadRecords("skip")
    files = [tmp_path / name, tmp_path / "b.jsonl"]
    counts = decontaminate_files(files, decontaminator, tmp_path / "o.jsonl", on_bad=bad)
    written = (tmp_path / "o.jsonl").read_bytes().splitlines(keepends=True)
    assert written == lines[: len(written) - 1] + lines[:1]
    assert len(written) > 200
    assert (counts.num_documents, bad.count) == (len(written), 1)
    assert "and all that follows cannot be unpacked" in bad.first[0]


def test_what_is_no_file_is_refused(decontaminator, tmp_path):
    (tmp_path / "folder.jsonl").mkdir()
    os.mkfifo(tmp_path / "pipe.jsonl")
    for name, message in [("folder.jsonl", "is no file"), ("pipe.jsonl", "is no file"), ("no.jsonl", "No such file")]:
        with pytest.raises(DataError, match=message):
            decontaminate_files([tmp_path / name], decontaminator, tmp_path / "o.jsonl")


def test_a_file_that_changes_meanwhile_is_told(decontaminator, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('torn\n{"text": "one"}\n')
    with pytest.raises(DataError, match="in.jsonl changed while it was read: it had 21 bytes, and has 16"):
        decontaminate_files(
            [path], decontaminator, tmp_path / "o.jsonl", on_bad=lambda _: path.write_text('{"text": "one"}\n')
        )
    assert not (tmp_path / "o.jsonl").exists()


@pytest.mark.parametrize("name", ["a.csv", "a.tsv.gz", "a.parquet", "a.HTML", "a.zip"])
def test_files_of_other_kinds_are_refused_by_name(name, decontaminator, tmp_path):
    path, target = tmp_path / name, tmp_path / "o.jsonl"
    path.write_bytes(b"text\nwords\n")
    message = rf"{name} is a file of the kind \.\w+, .* lines of JSON: \.jsonl.*\. Convert it"
    with pytest.raises(DataError, match=message):
        decontaminate_files([path], decontaminator, target, on_bad=BadRecords("skip"))
    with pytest.raises(DataError, match=message):
        read_items(path)
    assert not target.exists()


AROUND = "Words that stand around what is cut, at some length, number {}. "
LONG = " ".join(AROUND.format(number) for number in range(20))


@pytest.mark.parametrize(
    ("record", "is_cut"),
    [
        ({"text": f"{LONG}{LEAK}{LONG}", "n": 1.5, "meta": {"url": "ü"}}, True),
        ({"id": "\ud800", "text": f"{LONG}{LEAK}{LONG}"}, True),
        ({"prompt": f"{LONG}{LEAK}{LONG}", "chosen": "", "rejected": None}, True),
        ({"text": f"short {LEAK}"}, False),
        ({"prompt": "p", "chosen": "c", "rejected": f"{LONG}{LEAK}{LONG}"}, False),
        ({"messages": [{"role": "user", "content": f"{LONG}{LEAK}{LONG}"}]}, False),
    ],
)
@pytest.mark.parametrize("is_ascii", [True, False])
def test_a_record_of_one_text_is_cut_and_others_are_dropped(record, is_cut, is_ascii, decontaminator, tmp_path):
    source, target, report = (tmp_path / name for name in ("in.jsonl", "out.jsonl", "hits.jsonl"))
    if not is_ascii and "\ud800" in str(record.values()):
        record = {"more": "ü"} | record
    around = b'{"text" : "as it is"}\n'
    written = json.dumps(record, ensure_ascii=is_ascii or "id" in record).encode()
    source.write_bytes(b"\xef\xbb\xbf" + written + b"\r\n" + around)
    cutter = Decontaminator(decontaminator.items, decontaminator.profile, "cut")
    counts = decontaminate_files([source], cutter, target, report=report)
    (hit,) = map(json.loads, report.read_text().splitlines())
    assert (counts.num_dropped, counts.num_cut) == ((0, 1) if is_cut else (1, 0))
    assert hit["action"] == ("cut" if is_cut else "drop")
    if not is_cut:
        assert target.read_bytes() == around
        return
    first, second = target.read_bytes().splitlines(keepends=True)
    assert (first[-2:], second) == (b"\r\n", around)
    left = json.loads(first)
    name = "prompt" if "prompt" in record else "text"
    before, after = left[name].split("\n\n")
    assert record[name].startswith(before)
    assert record[name].rstrip().endswith(after)
    assert before
    assert after
    assert LEAK not in left[name]
    assert left == record | {name: left[name]}


def test_a_field_in_a_field_is_cut(decontaminator, tmp_path):
    (tmp_path / "in.jsonl").write_text(json.dumps({"a": {"b": f"{LONG}{LEAK}{LONG}"}, "text": "other"}))
    cutter = Decontaminator(decontaminator.items, decontaminator.profile, "cut")
    counts = decontaminate_files([tmp_path / "in.jsonl"], cutter, tmp_path / "o.jsonl", fields=["a.b"])
    left = json.loads((tmp_path / "o.jsonl").read_text())
    assert counts.num_cut == 1
    assert LEAK not in left["a"]["b"]
    assert left["text"] == "other"


def test_files_are_not_written_over_what_is_read(decontaminator, tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"text": "a"}')
    for target, report, message in [
        (source, None, "is read"),
        (tmp_path / "o.jsonl.gz", None, "would be packed"),
        (tmp_path / "o.jsonl", tmp_path / "o.jsonl", "cannot take both"),
    ]:
        with pytest.raises(ConfigError, match=message):
            decontaminate_files([source], decontaminator, target, report=report)


def test_items_of_any_set(tmp_path):
    records = [
        {"question": "Q?", "answer": "42", "id": "x"},
        {"goal": "g", "choices": {"text": ["c1", "c2"], "label": ["A", "B"]}, "gold": 3},
        {"messages": [{"role": "user", "content": "ask"}, {"role": "assistant", "content": "say"}]},
        {"question": {"stem": "s", "n": 1}, "context": None},
    ]
    path = tmp_path / "e.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    assert [(item.id, item.question, item.answer) for item in read_items(path)] == [
        ("e.jsonl:1", "Q?", "42"),
        ("e.jsonl:2", "g", "c1\nc2\nA\nB"),
        ("e.jsonl:3", "ask", "say"),
        ("e.jsonl:4", "s", ""),
    ]
    path.write_text(json.dumps({"a": {"b": "deep"}, "c": "other"}))
    assert [item.question for item in read_items(path, fields=("a.b", "c"))] == ["deep\nother"]
    with pytest.raises(DataError, match="none of the fields question.* it has a, c"):
        read_items(path)
    path.write_text("\n")
    with pytest.raises(DataError, match="no item"):
        read_items(path)


def test_counts_add_up_in_any_order(decontaminator, tmp_path):
    for name, text in (("a", LEAK), ("b", "nothing")):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": text}) + "\n")
    parts = [decontaminate_files([tmp_path / f"{name}.jsonl"], decontaminator, None) for name in "ab"]
    whole = decontaminate_files([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], decontaminator, None)
    for order in (parts, parts[::-1]):
        total = ContaminationCounts()
        for part in order:
            total.merge(ContaminationCounts.from_json(json.loads(json.dumps(part.to_json()))))
        assert total == whole


def test_settings_that_make_no_sense_are_refused():
    for name, overrides, message in [
        ("finemat", {}, 'did you mean "finemath"'),
        ("finemath", {"min_ratio": 1.5}, "min_ratio is 1.5"),
        ("finemath", {"ngram": 0}, "ngram is 0"),
        ("datatrove", {"min_ratio": 0.5}, "has no min_ratio"),
        ("finemath", {"n_gram": 3}, 'did you mean "ngram"'),
    ]:
        with pytest.raises(ConfigError, match=message):
            Profile.named(name, **overrides)
    with pytest.raises(ConfigError, match='the action is "keep"'):
        Decontaminator([], PROFILES["finemath"], "keep")


@pytest.mark.parametrize("content", ["", "\n \n", '{"text": ""}\n'])
def test_files_without_text_are_copied(content, decontaminator, tmp_path):
    (tmp_path / "in.jsonl").write_text(content)
    counts = decontaminate_files([tmp_path / "in.jsonl"], decontaminator, tmp_path / "o.jsonl")
    assert (tmp_path / "o.jsonl").read_text() == content
    assert (counts.num_documents, counts.num_dropped) == (content.count("{"), 0)
