"""``textmill tokenizer explain``, ``why-not`` and ``diff``, in an empty folder."""

import io
import json
import os
import pty
import subprocess
import sys

import pytest
from rich.cells import cell_len

from textmill import Tokenizer
from textmill.cli import main
from textmill.cli.token_picture import clipped, display_width, draw_explanation, visible

EXPLAINED = r"""
characters and their bytes in UTF-8
  t    U+0074   Ll  74     01110100           latin small letter t
  h    U+0068   Ll  68     01101000           latin small letter h
  e    U+0065   Ll  65     01100101           latin small letter e
  ·    U+0020   Zs  20     00100000           space
  é    U+00E9   Ll  c3 a9  11000011 10101001  latin small letter e with acute

pieces by gpt2, Unicode 16.0.0, and their merges
  the   bytes 0 to 3, by: letters
       ?\p{L}+
      the       id 258   rank 1, 2nd merge, 4 times in training
      ├─ t
      └─ he     id 257   rank 0, 1st merge, 4 times in training
         ├─ h
         └─ e
  ·é   bytes 3 to 6, by: letters
       ?\p{L}+
      ·      id 221
      \xc3   id 128
      \xa9   id 103

tokens
  258  the   bytes 0 to 3
  221  ·   bytes 3 to 4
  128  \xc3   bytes 4 to 5
  103  \xa9   bytes 5 to 6

6 bytes in 4 tokens, 1.50 bytes each
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Tokenizer.train(iter(["the the the the"]), 259, "gpt2", ["<|end|>"]).save("a.json")
    Tokenizer.train(iter(["cat cat cat"]), 258, "cl100k").save("b.json")
    return tmp_path


def run(capsys, *arguments):
    assert main(["tokenizer", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.usefixtures("folder")
def test_explain_draws_every_step(capsys):
    assert run(capsys, "explain", "a.json", "the é").strip() == EXPLAINED.strip()


@pytest.mark.usefixtures("folder")
def test_explain_reads_standard_input_and_writes_json(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"the \xff\n")))
    content = json.loads(run(capsys, "explain", "a.json", "-", "--json"))
    assert content["text_hex"] == "74 68 65 20 ff"
    assert content["ids"] == Tokenizer.load("a.json").encode(b"the \xff")


@pytest.mark.usefixtures("folder")
def test_explain_parses_special_tokens_and_names_runners_up(capsys):
    assert "<|end|>   bytes 3 to 10, an added token" in run(
        capsys, "explain", "a.json", "the<|end|>", "--special", "parse"
    )
    assert "an added token" not in run(capsys, "explain", "a.json", "the<|end|>")
    Tokenizer.train(iter(["abab abab ab bc bc"]), 264, "gpt2").save("c.json")
    printed = run(capsys, "explain", "c.json", "abc", "--runner-up")
    assert "before b + c, rank " in printed
    assert "which it prevents" in printed


def test_where_no_tokenizer_is_named_the_one_at_hand_is_taken(folder, capsys):
    """That of the working folder, else of the newest run, else one that is trained on the spot; it is said which."""

    def explained():
        assert main(["tokenizer", "explain", "naïve 🤖 don't", "--json"]) == 0
        captured = capsys.readouterr()
        return json.loads(captured.out)["ids"], captured.err

    ids, said = explained()
    assert "4,096 tokens, was trained on Python's standard library" in said
    assert explained()[0] == ids
    for age, name in ((100, "b"), (200, "a")):
        run_folder = folder / "runs" / name
        run_folder.mkdir(parents=True)
        (run_folder / "tokenizer.json").write_bytes((folder / f"{name}.json").read_bytes())
        os.utime(run_folder / "tokenizer.json", (1e9 - age, 1e9 - age))
    assert explained() == (
        Tokenizer.load("b.json").encode("naïve 🤖 don't"),
        "no tokenizer is named: taking runs/b/tokenizer.json\n",
    )
    (folder / "a.json").rename(folder / "tokenizer.json")
    assert explained()[1] == "no tokenizer is named: taking tokenizer.json\n"
    assert main(["tokenizer", "why-not", "thethe"]) == 0
    assert capsys.readouterr().out.startswith("'thethe' is not a token.")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("text", ["the " * 400, "a/" * 3000, "x\udcff", "~", ""])
def test_a_text_that_is_no_name_of_a_file_is_a_text(capsys, text):
    Tokenizer.load("a.json").save("tokenizer.json")
    assert main(["tokenizer", "explain", text, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text_hex"] == os.fsencode(text).hex(" ")
    assert main(["tokenizer", "encode", text or "/", "the"]) == 3
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_why_not(capsys):
    assert run(capsys, "why-not", "a.json", "thethe").splitlines() == [
        "'thethe' is not a token.",
        "By itself it is encoded as 'the' + 'the'.",
        "No merge joins 'the' and 'the'.",
        "It would take 1 more merge: 'the' + 'the'.",
    ]
    content = json.loads(run(capsys, "why-not", "a.json", "thethe", "--json"))
    assert content["needed"] == [
        {"left_hex": "74 68 65", "left": "the", "right_hex": "74 68 65", "right": "the", "token_id": None}
    ]
    assert content["answer"].startswith("'thethe' is not a token.")


def test_diff(folder, capsys):
    (folder / "texts").mkdir()
    (folder / "texts" / "one.txt").write_text("the the cat")
    (folder / "texts" / "two.md").write_text("the hat")
    printed = run(capsys, "diff", "a.json", "b.json", "texts")
    assert "the, the" not in printed
    assert "settings that differ" in printed
    assert "texts/one.txt" in printed
    assert "all of it" in printed
    assert "the  t│h│e" in printed
    content = json.loads(run(capsys, "diff", "a.json", "b.json", "texts/*.txt", "--json", "--top", "1"))
    assert [usage["source"] for usage in content["sources"]] == ["texts/one.txt"]
    assert (content["total"]["num_tokens_a"], content["total"]["num_tokens_b"]) == (7, 9)
    assert len(content["shorter_a"]) == 1


@pytest.mark.usefixtures("folder")
def test_diff_without_files_shows_settings_and_vocabularies(capsys, monkeypatch):
    assert main(["tokenizer", "diff", "a.json", "b.json"]) == 0
    captured = capsys.readouterr()
    assert "tokens are in both" in captured.out
    assert "give files of text" in captured.err
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"the the")))
    assert "Both cut all of it into the same tokens." in run(capsys, "diff", "a.json", "a.json", "-")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["explain", "a.json", "x" * 2001], 3, "2,001 characters, and a picture holds 2,000"),
        (["explain", "a.json", "x" * 100_001, "--json"], 3, "100,001 bytes, and at most 100,000"),
        (["explain", "a.json", "<|end|>", "--special", "forbid"], 3, "holds the special token"),
        (["why-not", "a.json", ""], 2, "0 bytes"),
        (["diff", "a.json", "nothing.json"], 3, "nothing.json"),
        (["diff", "a.json", "b.json", "nowhere"], 3, "nowhere does not exist"),
        (["diff", "a.json", "b.json", "--top", "0"], 2, "--top is 0"),
        (["diff", "a.json", "b.json", "--top", "few"], 2, '"few" is no whole number'),
        (["diff", "a.json", "b.json", "empty.txt"], 3, "no text to compare them on: empty.txt is empty"),
        (["explain", "a.json"], 2, '"a.json" is a tokenizer, and the text is missing'),
        (["explain", "."], 2, '"." is a tokenizer, and the text is missing'),
        (["why-not", "a.json"], 2, '"a.json" is a tokenizer, and the text is missing'),
        (["explain", "the", "--pattern", "gpt2"], 2, "are for a .tiktoken file; name it before the text"),
        (["why-not", "the", "--special-token", "a=1"], 2, "are for a .tiktoken file; name it before the text"),
        (["explain", "-", "the"], 2, "cannot be read from standard input"),
        (["explain"], 2, "TOKENIZER_OR_TEXT"),
    ],
)
def test_what_is_wrong_is_said(folder, arguments, code, message, capsys):
    (folder / "empty.txt").touch()
    (folder / "tokenizer.json").write_bytes((folder / "a.json").read_bytes())
    assert main(["tokenizer", *arguments]) == code
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("arguments", [["explain", "a.json", "the é"], ["diff", "a.json", "b.json"]])
def test_colour_only_on_a_terminal(arguments):
    command = [sys.executable, "-m", "textmill.cli", "tokenizer", *arguments]
    command[1:3] = ["-c", "import sys; from textmill.cli import main; sys.exit(main(sys.argv[1:]))"]
    piped = subprocess.run(command, capture_output=True, check=True)
    assert b"\x1b" not in piped.stdout
    theirs, ours = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "60"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(command, stdout=ours, stderr=subprocess.DEVNULL, env=environment)
    os.close(ours)
    seen = b""
    while chunk := _read(theirs):
        seen += chunk
    os.close(theirs)
    assert process.wait() == 0
    assert b"\x1b[" in seen


def _read(terminal):
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other side is closed
        return b""


@pytest.mark.parametrize("command", ["explain", "why-not", "diff"])
def test_help_begins_with_examples_that_are_not_wrapped(command, capsys):
    lines = run(capsys, command, "--help").splitlines()
    examples = lines[lines.index("For example:") + 1 :]
    examples = examples[: examples.index("")]
    assert len(examples) >= 2
    assert all(line.startswith("    ") for line in examples)


@pytest.mark.parametrize("width", [40, 60, 80])
def test_lines_are_no_wider_than_the_terminal(width):
    tokenizer = Tokenizer.train(iter(["aaaa " * 50, "naïve"]), 290, "o200k")
    text = "naïve हिन्दी 🤖👩‍👩‍👧 中文 e\u0301 \u0301 " + "a" * 200
    for line in draw_explanation(tokenizer.explain(text), width, with_runners_up=True):
        assert cell_len(line.plain.replace("\n", "")) <= max(width, 56), line.plain


@pytest.mark.parametrize(
    ("data", "shown", "width"),
    [
        (b" a\n\t\r", "·a⏎→␍", 5),
        (b"\xf0\x9f", "\\xf0\\x9f", 8),
        ("中".encode(), "中", 2),
        ("e\u0301".encode(), "e\u0301", 1),
        ("\u0301".encode(), "◌\u0301", 1),
        ("\u200d\ufe0f".encode(), "\\u200d\\ufe0f", 12),
        ("\U000e0001".encode(), "\\U000e0001", 10),
        (b"\x1b[31m", "\\u001b[31m", 10),
    ],
)
def test_bytes_are_made_visible(data, shown, width):
    assert visible(data) == shown
    assert display_width(shown) == width


def test_what_is_too_wide_is_clipped():
    assert clipped("abcdef", 6) == "abcdef"
    assert clipped("abcdef", 4) == "abc…"
    assert clipped("中中中", 4) == "中…"
