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
    assert "--pattern gpt2 --special-token '<|end|>=0'" in captured.err
    options = ["--pattern", "gpt2", "--special-token", "<|end|>=0"]
    assert main(["tokenizer", "convert", str(ranks), str(back), *options]) == 0
    assert Tokenizer.load(back) == Tokenizer.load(folder)
    capsys.readouterr()
    assert main(["tokenizer", "encode", str(ranks), "the hat", "--pattern", "gpt2"]) == 0
    ids = capsys.readouterr().out.split()
    assert main(["tokenizer", "decode", str(ranks), *ids, "--pattern", "gpt2"]) == 0
    assert capsys.readouterr().out == "the hat"


@pytest.mark.usefixtures("in_folder")
def test_every_command_takes_the_special_tokens_of_a_rank_file(capsys):
    """Which they are is one option, and what becomes of them in a text another."""
    assert main(["tokenizer", "convert", "tokenizer.json", "ranks.tiktoken"]) == 0
    options = ["--pattern", "gpt2", "--special-token", "<|end|>=0"]
    capsys.readouterr()
    ranks = Tokenizer.load("ranks.tiktoken", pattern="gpt2", special_tokens={"<|end|>": 0})
    text, ids = "the<|end|>", ranks.encode("the<|end|>", special="parse")
    printed = {}
    for name, arguments in {
        "encode": ["encode", "ranks.tiktoken", text, "--special", "parse", "--json"],
        "explain": ["explain", "ranks.tiktoken", text, "--special", "parse", "--json"],
        "why-not": ["why-not", "ranks.tiktoken", "<|end|>", "--json"],
        "decode": ["decode", "ranks.tiktoken", *map(str, ids)],
        "show": ["show", "ranks.tiktoken", "--json"],
    }.items():
        assert main(["tokenizer", *arguments, *options]) == 0
        printed[name] = capsys.readouterr().out
    assert json.loads(printed["encode"]) == json.loads(printed["explain"])["ids"] == ids
    assert json.loads(printed["why-not"])["reason"] == "added"
    assert printed["decode"] == text
    assert json.loads(printed["show"])["special_tokens"] == {"<|end|>": 0}
    sides = [f"{option}-{side}" if option.startswith("--") else option for side in "ab" for option in options]
    assert main(["tokenizer", "diff", "ranks.tiktoken", "ranks.tiktoken", *sides]) == 0
    assert "the settings are the same" in capsys.readouterr().out


@pytest.mark.usefixtures("in_folder")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["show", "nothing.json"], 3, "nothing.json does not exist; give a tokenizer's file"),
        (["show", "nothing.gguf"], 3, "nothing.gguf does not exist"),
        (["show", "nothing.model"], 3, "nothing.model does not exist"),
        (["show", "nothing.tiktoken", "--pattern", "gpt2"], 3, "cannot read nothing.tiktoken"),
        (["show", "empty"], 3, "tokenizer.json does not exist, and no tekken.json or tokenizer.model"),
        (["show", "broken.json"], 3, "broken.json is not valid JSON"),
        (["show", "no.tiktoken"], 2, "--pattern cl100k): gpt2, cl100k, o200k"),
        (["show", "no.tiktoken", "--pattern", "cl100"], 2, 'did you mean "cl100k"?'),
        (["show", "no.tiktoken", "--pattern", "gpt2"], 3, "no token is the byte 0 alone"),
        (["show", "-"], 2, "cannot be read from standard input; give its path"),
        (["convert", "tokenizer.json", "x.gguf"], 2, "must end in .json or .tiktoken"),
        (["convert", "tokenizer.json", "x.json", "--pattern", "gpt2"], 2, "holds its own"),
        (["convert", "tokenizer.json", "x.json", "--special-token", "<a>"], 2, "must be TEXT=ID"),
        (["show", "tokenizer.json", "--special-token", "=5"], 2, "must be TEXT=ID"),
    ],
)
def test_wrong_arguments(folder, capsys, arguments, code, message):
    (folder / "empty").mkdir()
    (folder / "broken.json").write_text("{")
    (folder / "no.tiktoken").write_bytes(b"")
    assert main(["tokenizer", *arguments]) == code
    error = capsys.readouterr().err
    assert message in error
    assert all(error.count(word) < 2 for word in arguments if "." in word), "a file's name is said twice"
