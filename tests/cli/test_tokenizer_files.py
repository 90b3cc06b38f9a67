"""``textmill tokenizer show`` and ``convert``."""

import json

import pytest

from textmill import Tokenizer
from textmill.cli import main


@pytest.fixture
def folder(tmp_path):
    Tokenizer.train(iter(["the cat and the hat"]), 265, "gpt2", ["<|end|>"]).save(tmp_path)
    return tmp_path


@pytest.fixture
def in_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)


def test_show(folder, capsys):
    assert main(["tokenizer", "show", str(folder), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["format"], facts["vocab_size"], facts["pattern"]) == ("tokenizer.json", 265, "gpt2")
    assert facts["special_tokens"] == {"<|end|>": 0}
    assert main(["tokenizer", "show", str(folder / "tokenizer.json")]) == 0
    printed = capsys.readouterr().out
    assert "265, 8 merges" in printed
    assert "<|end|> 0" in printed


def test_convert_there_and_back(folder, capsys):
    ranks, back = folder / "ranks.tiktoken", folder / "back.json"
    assert main(["tokenizer", "convert", str(folder), str(ranks)]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{ranks}\n"
    assert '--pattern gpt2 --special "<|end|>=0"' in captured.err
    options = ["--pattern", "gpt2", "--special", "<|end|>=0"]
    assert main(["tokenizer", "convert", str(ranks), str(back), *options]) == 0
    assert Tokenizer.load(back) == Tokenizer.load(folder)
    capsys.readouterr()
    assert main(["tokenizer", "encode", str(ranks), "the hat", "--pattern", "gpt2"]) == 0
    ids = capsys.readouterr().out.split()
    assert main(["tokenizer", "decode", str(ranks), *ids, "--pattern", "gpt2"]) == 0
    assert capsys.readouterr().out == "the hat\n"
    assert main(["tokenizer", "explain", str(ranks), "the hat", "--pattern", "gpt2"]) == 0


@pytest.mark.usefixtures("in_folder")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["show", "nothing.json"], 3, "nothing.json"),
        (["convert", "tokenizer.json", "x.gguf"], 2, "must end in .json or .tiktoken"),
        (["convert", "tokenizer.json", "x.json", "--pattern", "gpt2"], 2, "holds its own"),
        (["convert", "tokenizer.json", "x.json", "--special", "<a>"], 2, "must be TEXT=ID"),
        (["show", "tokenizer.json", "--special", "=5"], 2, "must be TEXT=ID"),
    ],
)
def test_wrong_arguments(capsys, arguments, code, message):
    assert main(["tokenizer", *arguments]) == code
    assert message in capsys.readouterr().err
