"""``textmill data decontaminate``."""

import contextlib
import json

import pytest

from textmill.cli import main

QUESTION = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."


@pytest.fixture
def files(tmp_path):
    records = [{"text": "clean"}, {"text": f"so: {QUESTION.lower()} that was it"}, {"text": "clean, too"}]
    (tmp_path / "web.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    items = [{"question": QUESTION, "answer": "72"}, {"question": "Who?"}]
    (tmp_path / "gsm8k.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    return tmp_path


def test_leaks_are_dropped_and_reported(files, capsys):
    clean, hits = files / "clean.jsonl", files / "hits.jsonl"
    arguments = [str(files / "web.jsonl"), "--against", str(files / "gsm8k.jsonl"), "-o", str(clean)]
    assert main(["data", "decontaminate", *arguments, "--report", str(hits)]) == 0
    captured = capsys.readouterr()
    assert "3 records, 1 dropped (33 %)" in captured.out
    assert "gsm8k.jsonl  1 of 2 items found, in 1 record; 1 too short" in captured.out
    assert "1 of 2 items have fewer than 8 words and cannot be found: gsm8k.jsonl:2" in captured.err
    lines = (files / "web.jsonl").read_text().splitlines(keepends=True)
    assert clean.read_text() == lines[0] + lines[2]
    (hit,) = map(json.loads, hits.read_text().splitlines())
    assert hit["item"] == "gsm8k.jsonl:1"
    assert hit["span"] == [4, 4 + len(QUESTION) - 1]


def test_json_and_report_only(files, capsys):
    arguments = [str(files / "*b.jsonl"), "--against", str(files / "gsm8k.jsonl"), "--action", "report", "--json"]
    assert main(["data", "decontaminate", *arguments, "--profile", "bigram", "--min-ratio", "1"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["documents"], summary["dropped"], summary["profile"], summary["min_ratio"]) == (3, 0, "bigram", 1)
    assert summary["files"]["gsm8k.jsonl"]["documents"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "name one with -o"),
        (["-o", "web.jsonl"], 2, "is read"),
        (["-o", "out.jsonl", "--ngram", "0"], 2, "ngram is 0"),
        (["-o", "out.jsonl", "--threads", "0"], 2, "--threads is 0"),
        (["-o", "out.jsonl", "--max-document-mb", "0"], 2, "--max-document-mb is 0"),
        (["--action", "cut"], 2, "name one with -o"),
        (["-o", "out.jsonl", "--eval-fields", "nope"], 3, "none of the fields nope"),
        (["-o", "out.jsonl", "--fields", "nope"], 3, "none of the fields nope"),
        (["more.csv", "-o", "out.jsonl"], 3, "more.csv is a file of the kind .csv"),
    ],
)
def test_what_cannot_be_done_is_said(files, capsys, *, arguments, code, message):
    (files / "more.csv").write_text("text\nwords\n")
    with contextlib.chdir(files):
        assert main(["data", "decontaminate", "web.jsonl", *arguments, "--against", "gsm8k.jsonl"]) == code
    assert message in capsys.readouterr().err
    assert not (files / "out.jsonl").exists()


def test_bad_records_stop_or_are_left_out_counted_and_told(files, capsys):
    web, clean, hits = files / "web.jsonl", files / "clean.jsonl", files / "hits.jsonl"
    lines = web.read_bytes().splitlines(keepends=True)
    web.write_bytes(b"".join([*lines[:1], b"{torn\n", *lines[1:], b'{"txt": "x"}\n']))
    arguments = ["data", "decontaminate", str(web), "--against", str(files / "gsm8k.jsonl"), "-o", str(clean)]
    assert main(arguments) == 3
    assert "web.jsonl, line 2, byte 19 is not JSON" in capsys.readouterr().err
    assert not clean.exists()
    assert main([*arguments, "--on-bad", "skip", "--report", str(hits)]) == 0
    captured = capsys.readouterr()
    assert "3 records, 1 dropped (33 %)" in captured.out
    assert "2 bad records were left out; the first: " in captured.err
    assert "web.jsonl, line 2, byte 19 is not JSON" in captured.err
    assert clean.read_bytes() == lines[0] + lines[2]
    told = [json.loads(line) for line in hits.read_text().splitlines()]
    assert [(line["action"], line.get("place", "")[:6]) for line in told] == [
        ("bad", "line 2"), ("bad", "line 5"), ("drop", ""),
    ]  # fmt: skip
    assert main([*arguments, "--on-bad", "skip", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["bad"], len(summary["first_bad"])) == (2, 2)


def test_help_has_examples(capsys):
    assert main(["data", "decontaminate", "--help"]) == 0
    assert "--against gsm8k.jsonl -o" in capsys.readouterr().out
