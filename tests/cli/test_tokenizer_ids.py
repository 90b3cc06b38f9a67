"""``textmill tokenizer encode`` and ``decode``, and training from standard input."""

import io
import json

import pytest

from textmill import Tokenizer
from textmill.cli import main


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Tokenizer.train(iter(["the the the the"]), 259, "gpt2", ["<|end|>"]).save("a.json")
    return tmp_path


@pytest.fixture
def typed(monkeypatch):
    """Give a command what it reads from standard input."""
    return lambda data: monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


def run(capsys, *arguments):
    assert main(["tokenizer", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_what_encode_prints_decode_reads(capsys, typed, options):
    printed = run(capsys, "encode", "a.json", "the é\n<|end|>", *options)
    typed(printed.encode())
    assert run(capsys, "decode", "a.json", "-") == "the é\n<|end|>"
    assert run(capsys, "decode", "a.json", printed) == "the é\n<|end|>"


def test_encode_reads_standard_input_as_it_is(capsys, typed):
    typed(b"the \xff\n")
    assert json.loads(run(capsys, "encode", "a.json", "-", "--json")) == Tokenizer.load("a.json").encode(b"the \xff\n")
    typed(b"")
    assert run(capsys, "decode", "a.json", "-") == ""


def test_training_on_standard_input(capsys, typed):
    typed("\ufeffthe the the the".encode())
    assert run(capsys, "train", "-", "--vocab-size", "2.58e2", "--pattern", "gpt2", "-o", "b.json") == "b.json\n"
    expected = Tokenizer.train(iter(["the the the the"]), 258, "gpt2", ["<|endoftext|>"])
    assert Tokenizer.load("b.json") == expected


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["encode", "a.json", "two", "words"], 2, 'a text with spaces stands in quotes: "two words"'),
        (["encode", "a.json", "-x"], 2, "behind -- a text may begin with a hyphen"),
        (
            ["encode", "a.json", "<|end|>", "--special", "forbid"],
            3,
            "--special forbid allows none; pass --special text",
        ),
        (["decode", "a.json", "1.5"], 2, '"1.5" is no token id; token ids are whole numbers'),
        (["train", "a.json", "--threads", "0"], 2, "--threads is 0, and must be a number from 1 to 1024\n"),
        (["train", "a.json", "--memory-limit-mb", "-3"], 2, "--memory-limit-mb is -3, and must be 1 or more"),
        (
            ["train", "a.json", "--vocab-size", "3"],
            2,
            "--vocab-size is 3, and must be from 257 (256 bytes and 1 special",
        ),
        (["train", "a.json", "--output", "x"], 2, 'error: --output is "x", and must end in .json'),
        (["train", "a.json", "--vocab-size", "1" + "0" * 20], 2, "--vocab-size is 100000000000000000000, far too many"),
        (["show", "a.json", "--pattern", "gpt2"], 2, "--pattern and --special-token are for .tiktoken files; a.json"),
        (["decode", "a.json"], 2, "there are no token ids to decode; give them, or -"),
        (["decode", "a.json", "twelve"], 2, "whole numbers with spaces between them, or a JSON list"),
        (["decode", "a.json", "[1, 2"], 2, "whole numbers with spaces between them, or a JSON list"),
        (["decode", "a.json", "[" * 100_000], 2, "whole numbers with spaces between them, or a JSON list"),
        (["decode", "a.json", "[[1]]"], 2, "a token id is [1], and must be a whole number"),
        (["decode", "a.json", "[true]"], 2, "a token id is True, and must be a whole number"),
        (["decode", "a.json", "9" * 30], 2, "must be a whole number below 2**63"),
        (["decode", "a.json", "-1"], 3, "id -1 at place 0 is no token: the vocabulary has ids 0 to 258"),
        (["encode", "-", "text"], 2, "cannot be read from standard input; give its path"),
        (["encode", "a.json", "<|end|>", "--special", "forbid"], 3, "holds the special token"),
        (["encode", "a.json", "x", "--special", "<|end|>=0"], 2, "--special"),
        (["encode", "a.json", "x", "--pattern", "gpt2"], 2, "a.json holds its own"),
        (["train", "-"], 3, "standard input is not UTF-8 text: byte 1 cannot be decoded"),
        (["train", "-", "a.json"], 2, "read alone, and 2 sources are given; leave out -"),
        (
            ["train", "a.json", "--vocab-size", "1.5"],
            2,
            '--vocab-size: "1.5" is no whole number, such as 32000 or 32e3',
        ),
        (["train", "a.json", "--vocab-size", "inf"], 2, '"inf" is no whole number'),
        (["train", "a.json", "--vocab-size", "many"], 2, '"many" is no whole number'),
        (["train", "a.json", "--special", "<a>"], 2, "did you mean --special-token?"),
        (["train", "a.json", "--extend", "x.tiktoken"], 2, "tokenizer convert x.tiktoken tokenizer.json --pattern"),
        (["train", "a.json", "--extend", "-"], 2, "cannot be read from standard input"),
        (["train", "a.json", "--extend", "a.json", "--pattern", "o200k"], 2, 'the tokenizer to extend has "gpt2"'),
        (["train", "a.json", "-o", "x.tiktoken"], 2, 'is "x.tiktoken", and must end in .json'),
    ],
)
def test_what_is_wrong_is_said(typed, capsys, arguments, code, message):
    typed(b"h\xff")
    assert main(["tokenizer", *arguments]) == code
    assert message.lower() in capsys.readouterr().err.lower()
