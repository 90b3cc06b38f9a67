"""``textmill data quality``."""

import json

import pytest

from textmill.cli import main


@pytest.fixture
def files(tmp_path):
    for name, words in (("good", "the mill turns slowly in"), ("bad", "buy now click here {x}")):
        lines = [{"text": " ".join((words.split() * 9)[at % 5 : at % 5 + 10 + at % 7]) + f" {at}"} for at in range(200)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_train_and_score(files, capsys):
    model = files / "quality.safetensors"
    arguments = ["--good", str(files / "good.jsonl"), "--bad", str(files / "bad.jsonl"), "-o", str(model)]
    assert main(["data", "quality", "train", *arguments, "--buckets", "4096"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{model}\n"
    assert "200 good documents" in captured.err
    assert "100.0 % right, AUC 1.0000" in captured.err
    assert main(["data", "quality", "train", *arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 1
    assert main(["data", "quality", "score", str(model), str(files / "bad.jsonl"), str(files / "good.jsonl")]) == 0
    captured = capsys.readouterr()
    rows = [line.split("\t") for line in captured.out.splitlines()]
    assert [name for _, name in rows[:2]] == ["bad.jsonl:1", "bad.jsonl:2"]
    assert max(float(score) for score, _ in rows[:200]) < 0.5 < min(float(score) for score, _ in rows[200:])
    assert "400 documents, 200 of them" in captured.err
    assert main(["data", "quality", "score", str(model), str(files / "bad.jsonl"), "--json"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (first["id"], first["score"] < 0.5) == ("bad.jsonl:1", True)


def test_bad_records_stop_or_are_left_out_counted_and_told(files, capsys):
    model, good, bad = files / "quality.safetensors", files / "good.jsonl", files / "bad.jsonl"
    train = ["data", "quality", "train", "--good", str(good), "--bad", str(bad), "-o", str(model), "--buckets", "4096"]
    assert main(train) == 0
    whole = model.read_bytes()
    bad.write_bytes(b"{torn\n" + bad.read_bytes())
    capsys.readouterr()
    for arguments in (train, ["data", "quality", "score", str(model), str(bad)]):
        assert main(arguments) == 3
        assert "bad.jsonl, line 1, byte 1 is not JSON" in capsys.readouterr().err
        assert main([*arguments, "--on-bad", "skip"]) == 0
        captured = capsys.readouterr()
        assert "1 bad record was left out; the first: " in captured.err
        assert "bad.jsonl, line 1, byte 1 is not JSON" in captured.err
    assert len(captured.out.splitlines()) == 200
    assert model.read_bytes() == whole


def test_what_cannot_be_done_is_said(files, capsys):
    good, bad = str(files / "good.jsonl"), str(files / "bad.jsonl")
    for arguments, code, message in [
        (["train", "--good", good, "--bad", bad, "-o", "m.bin"], 2, "must end in .safetensors"),
        (["train", "--good", good, "--bad", bad, "-o", "m.safetensors", "--buckets", "1000"], 2, "power of two"),
        (["train", "--good", good, "--bad", str(files / "no"), "-o", "m.safetensors"], 3, "does not exist"),
        (["score", good, bad], 3, "not a whole safetensors file"),
    ]:
        assert main(["data", "quality", *arguments]) == code
        assert message in capsys.readouterr().err
