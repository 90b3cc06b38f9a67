"""Files of records: what stays is copied byte for byte, whatever kind of record it is; bad ones are named."""

import gzip
import json

import pytest

from textmill.base.errors import ConfigError, DataError
from textmill.text.decontamination import PROFILES, ContaminationCounts, Decontaminator, EvalItem, Profile, read_items
from textmill.text.decontamination.record_files import decontaminate_files
from textmill.text.decontamination.training_records import text_of_record

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
    text = text_of_record(json.loads(leaked), "here")
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
        (b'{"text": "a"', "line 2 is not JSON"),
        (b'{"txt": "a"}', "line 2 has none of the fields text, .* it has txt"),
        (b"[1]", "line 2 is no JSON object"),
        (b'{"text": "\xff"}', "offset 27 .line 2. cannot be decoded"),
        (b'{"text": "\\ud800"}', "line 2: the text holds half of a surrogate pair"),
    ],
)
def test_bad_records_are_named_and_nothing_is_written(line, message, decontaminator, tmp_path):
    (tmp_path / "in.jsonl").write_bytes(b'{"text": "fine"}\n' + line + b"\n")
    with pytest.raises(DataError, match=message):
        decontaminate_files([tmp_path / "in.jsonl"], decontaminator, tmp_path / "o.jsonl", report=tmp_path / "r.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


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
