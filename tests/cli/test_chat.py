"""``textmill chat``: a conversation as a user has it, on a model that answers at once."""

import io
import itertools
import json
import re
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.terminal import Terminal
from fakes import chatty_model
from fakes.chatty_model import REPLY
from fakes.tiny_model import write_model
from textmill.base.errors import DataError
from textmill.cli import main
from textmill.cli.chat_answer import Answered
from textmill.cli.chat_conversation import Conversation
from textmill.cli.chat_screen import WordWrap, figures
from textmill.cli.token_picture import display_width


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat") / "tiny"
    write_model(folder)
    return folder


@pytest.fixture
def lm(monkeypatch):
    """The model that every command loads in this test."""
    lm = chatty_model.make()
    monkeypatch.setattr("textmill.load", lambda path, **options: lm)
    return lm


class Typed:
    """A user at a terminal: lines, Ctrl-C and Ctrl-D in this order."""

    CTRL_C, CTRL_D = KeyboardInterrupt, EOFError

    def __init__(self, monkeypatch, *lines):
        self.lines = list(lines)
        monkeypatch.setattr("builtins.input", self.input)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)

    def input(self, prompt=""):
        line = self.lines.pop(0) if self.lines else EOFError
        if isinstance(line, str):
            return line
        raise line


@pytest.fixture
def talk(monkeypatch, capsys, folder, lm):
    """Type lines into a chat; returns exit code, answers and messages."""

    def run(*lines, options=()):
        Typed(monkeypatch, *lines)
        code = main(["chat", str(folder), *options])
        return code, *capsys.readouterr()

    return run


def test_a_message_is_answered_with_its_figures(talk):
    code, out, err = talk("hello", "", "again")
    assert code == 0
    assert out == f"{REPLY}\n{REPLY}\n"
    assert "256 tokens of context. /help" in err
    assert len(re.findall(r"\[\d+ tokens, .*first after .*context ▕.*▏ \d+ of 256\]", err)) == 2


def test_only_what_is_new_is_computed(talk, lm):
    """The first turn lies in the cache, all but its last block and what the template adds."""
    talk("hello", "again", "/stats")
    words = lm.tokenizer
    everything = len(
        words.apply_chat_template(
            [
                {"role": "user", "content": "hello"},
                {"role": "assistant", "content": REPLY},
                {"role": "user", "content": "again"},
            ],
            add_generation_prompt=True,
        )
    ) + words.count(REPLY)
    assert lm.runner.num_computed <= everything + 2 * lm.runner.block_size


def test_what_the_commands_do(talk, tmp_path):
    path = tmp_path / "talk.json"
    code, out, err = talk(
        "hello", f"/save {path}", "/regenerate", "/system You mill.", "/system", "/stats", "/help", "/exit", "never"
    )
    assert code == 0
    assert out == f"{REPLY}\n{REPLY}\nYou mill.\n"
    assert f"[2 messages are in {path}]" in err
    assert "2 answers of" in err
    assert "were in the cache" in err
    assert "/regenerate" in err
    assert json.loads(path.read_text())["messages"] == [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": REPLY},
    ]
    _, out, err = talk("/reset", f"/load {path}", "more", f"/save {path}")
    assert out == f"{REPLY}\n{REPLY}\n"
    assert len(json.loads(path.read_text())["messages"]) == 4
    _, out, _ = talk("more", f"/save {path}", options=["--load", str(path), "--system", "Be brief."])
    assert [message["role"] for message in json.loads(path.read_text())["messages"]] == [
        "system",
        *["user", "assistant"] * 3,
    ]


def test_a_message_may_begin_with_a_slash(talk, tmp_path):
    path = tmp_path / "talk.json"
    talk("//etc/hosts?", '"""/etc/passwd', 'is a file"""', f"/save {path}")
    texts = [message["content"] for message in json.loads(path.read_text())["messages"]]
    assert texts[::2] == ["/etc/hosts?", "/etc/passwd\nis a file"]


def test_a_kept_conversation_is_shown_where_the_chat_begins(talk, tmp_path):
    path = tmp_path / "talk.json"
    talk("hello", f"/save {path}")
    _, out, err = talk(options=["--load", str(path)])
    assert out == f"{REPLY}\n"
    assert "[2 messages; the last of them:]" in err


def test_an_empty_message_is_none(talk):
    code, _, err = talk(options=["--prompt", "  "])
    assert code == 2
    assert "the message is empty" in err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/rest", 'there is no command "/rest"; did you mean "/reset"?'),
        ("/save", "/save needs the name of a file"),
        ("/save .", "is a folder"),
        ("/save other.txt", "is no saved conversation"),
        ("/load nowhere.json", "nowhere.json does not exist"),
        ("/load other.txt", "is not whole JSON"),
        ("/load odd.json", 'message 1 is of the role "assistant", and user is due'),
        ("/load roles.json", "holds no conversation"),
        ("/regenerate", "there is no answer yet"),
    ],
)
def test_a_wrong_command_is_said_and_the_chat_goes_on(talk, tmp_path, monkeypatch, line, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.txt").write_text("precious")
    (tmp_path / "odd.json").write_text('{"messages": [{"role": "assistant", "content": ""}]}')
    (tmp_path / "roles.json").write_text('{"messages": [{"role": "user"}]}')
    code, out, err = talk(line, "hello")
    assert (code, out) == (0, f"{REPLY}\n")
    assert message in err
    assert (tmp_path / "other.txt").read_text() == "precious"


@pytest.mark.parametrize("failure", [DataError("no numbers"), KeyboardInterrupt()])
def test_another_answer_that_fails_leaves_the_one_before(talk, lm, tmp_path, monkeypatch, failure):
    """Whether the model breaks or Ctrl-C comes before the first token, the conversation is what it was, and goes on."""
    path = tmp_path / "talk.json"
    calls = itertools.count(1)

    def deltas(handle, original=lm.batcher.deltas):
        if next(calls) == 2:
            raise failure
        return original(handle)

    monkeypatch.setattr(lm.batcher, "deltas", deltas)
    code, _, err = talk(
        "hello", "/regenerate", f"/save {path}", "more", f"/save {path}", f"/load {path}", "/regenerate"
    )
    assert code == 0
    assert str(failure) in err
    assert f"[2 messages are in {path}]" in err
    assert [message["content"] for message in json.loads(path.read_text())["messages"]] == [
        "hello",
        REPLY,
        "more",
        REPLY,
    ]


def test_a_loaded_conversation_may_end_with_a_message(talk, folder, tmp_path, capsys):
    path = tmp_path / "talk.json"
    path.write_text(json.dumps({"messages": [{"role": "user", "content": "hello"}]}))
    code, out, err = talk(f"/load {path}", "more", "/regenerate", "more", f"/save {path}", f"/load {path}")
    assert code == 0
    assert err.count("the last message has no answer yet") == 2, "after /load, and as it cannot be passed over"
    assert out == f"hello\n{REPLY}\n{REPLY}\n{REPLY}\n"
    assert len(json.loads(path.read_text())["messages"]) == 4
    path.write_text(json.dumps({"messages": [{"role": "user", "content": "hello"}]}))
    assert "/regenerate makes one" in talk(options=["--load", str(path)])[2]
    assert main(["chat", str(folder), "--load", str(path), "--prompt", "more", "--json"]) == 0
    answers = list(map(json.loads, capsys.readouterr().out.splitlines()))
    assert [answer["content"] for answer in answers] == [REPLY] * 2


def test_messages_of_several_lines(talk, tmp_path):
    path = tmp_path / "talk.json"
    talk("one\\", "two", '"""three', "", '  four"""', f"/save {path}")
    messages = json.loads(path.read_text())["messages"]
    assert [message["content"] for message in messages[::2]] == ["one\ntwo", "three\n\n  four"]


def test_a_full_context_is_said_and_a_reset_helps(talk):
    long = "the quick brown fox jumps " * 60
    code, out, err = talk("hello", long, "again", "/reset", "more")
    assert code == 0
    assert out == 3 * f"{REPLY}\n"
    assert re.search(r"tokens, and the context is 256.*/reset begins anew", err)


def test_an_answer_that_fills_the_context(monkeypatch, talk):
    endless = chatty_model.make(context=64, endless=True)
    monkeypatch.setattr("textmill.load", lambda path, **options: endless)
    code, _, err = talk("hello")
    assert code == 0
    assert "the context of 64 tokens is full: /reset" in err
    _, _, err = talk("hello", options=["--max-tokens", "3"])
    assert "cut off after 3 tokens: --max-tokens allows more" in err


def test_ctrl_c_at_the_prompt_leaves_the_second_time(talk):
    code, out, err = talk(Typed.CTRL_C, "hello", Typed.CTRL_C, Typed.CTRL_C, "never")
    assert (code, out) == (130, f"{REPLY}\n")
    assert err.count("Ctrl-C again leaves") == 2


def test_one_answer(folder, lm, capsys, monkeypatch):
    assert main(["chat", str(folder), "--prompt", "hello"]) == 0
    assert capsys.readouterr().out == f"{REPLY}\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo\n")))
    assert main(["chat", str(folder), "--prompt", "-", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["content"] == REPLY
    assert answer["finish_reason"] == "stop"
    assert answer["num_tokens"] == lm.tokenizer.count(REPLY)


def test_each_line_of_a_pipe_is_a_message(folder, lm, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfone\n\n/reset\nthree")))
    assert main(["chat", str(folder), "--json"]) == 0
    answers = list(map(json.loads, capsys.readouterr().out.splitlines()))
    assert [answer["content"] for answer in answers] == [REPLY] * 3
    lengths = [answer["num_prompt"] for answer in answers]
    assert lengths == sorted(lengths), "they are one conversation, and a slash is no command"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"one\n\xff\n")))
    assert main(["chat", str(folder)]) == 3
    assert "line 2 of standard input is not UTF-8" in capsys.readouterr().err


def test_how_it_draws(folder, tmp_path, capsys, monkeypatch, lm):
    """What is given goes before what the model's files say, and that before the defaults."""
    heard = []

    def answers(prompt, request, original=lm.answers):
        heard.append(request)
        return original(prompt, request)

    monkeypatch.setattr(lm, "answers", answers)
    assert main(["chat", str(folder), "--prompt", "x"]) == 0
    assert (heard[-1].temperature, heard[-1].max_tokens, heard[-1].seed) == (0.2, 1024, None)
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    table = {"do_sample": True, "temperature": 0.25, "top_k": 7, "top_p": 0.5, "eos_token_id": 2}
    (tmp_path / "generation_config.json").write_text(json.dumps(table))
    assert main(["chat", str(tmp_path), "--prompt", "x", "--top-k", "3", "--seed", "5"]) == 0
    assert (heard[-1].temperature, heard[-1].top_k, heard[-1].top_p, heard[-1].seed) == (0.25, 3, 0.5, 5)
    (tmp_path / "generation_config.json").write_text('{"do_sample": false, "temperature": 0.25}')
    assert main(["chat", str(tmp_path), "--prompt", "x"]) == 0
    assert heard[-1].temperature == 0.0
    (tmp_path / "generation_config.json").write_text('{"top_k": -1, "top_p": 1.5}')
    assert main(["chat", str(tmp_path), "--prompt", "x"]) == 0
    assert (heard[-1].top_k, heard[-1].top_p) == (0, 1.0)
    (tmp_path / "generation_config.json").write_text('{"top_p": 0}')
    assert main(["chat", str(tmp_path), "--prompt", "x"]) == 0
    assert 0 < heard[-1].top_p < 1 / 1_000_000, "one token"
    for name, value in (("temperature", -1), ("top_k", -2), ("top_p", -0.1), ("min_p", 2), ("repetition_penalty", 0)):
        (tmp_path / "generation_config.json").write_text(json.dumps({name: value}))
        assert main(["chat", str(tmp_path), "--prompt", "x"]) == 3
        assert f"generation_config.json: {name} is {value}" in capsys.readouterr().err
    (tmp_path / "generation_config.json").write_text('{"temperature": 1' + "0" * 400 + "}")
    assert main(["chat", str(tmp_path), "--prompt", "x"]) == 3
    assert "temperature is 1000" in capsys.readouterr().err
    (tmp_path / "generation_config.json").write_text('{"top_k": 0.5}')
    assert main(["chat", str(tmp_path), "--prompt", "x"]) == 3
    assert "top_k is 0.5, and must be a whole number" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere", "--timeout", "3"], 2, "is no address of one"),
        (["nowhere"], 3, "nowhere does not exist"),
        (["-"], 2, "cannot be read from standard input"),
    ],
)
def test_what_is_no_model(capsys, arguments, code, message):
    assert main(["chat", *arguments]) == code
    assert message in capsys.readouterr().err


def test_a_model_without_a_template_is_refused(folder, lm, capsys, monkeypatch):
    monkeypatch.setattr(type(lm.tokenizer), "chat_template", None)
    assert main(["chat", str(folder), "--prompt", "x"]) == 3
    assert "has no chat template" in capsys.readouterr().err


def test_a_conversation_takes_back_what_was_not_answered():
    conversation = Conversation("s")
    conversation.ask("a")
    assert not conversation.take_back("assistant")
    assert conversation.take_back("user")
    assert conversation.messages == [{"role": "system", "content": "s"}]


def test_the_figures_of_an_answer_of_one_token_name_no_speed():
    one = Answered(
        text="", finish_reason="stop", num_prompt=5, num_cached=0, num_tokens=1, first_s=0.1, rest_s=0.0, context=10
    )
    assert figures(one) == "[1 token · first after 100 ms · context ▕███████▎    ▏ 6 of 10]"


WORDS = st.text(st.sampled_from("ab語 \n"), max_size=60)


@given(WORDS, st.integers(2, 12), st.lists(st.integers(0, 60), max_size=5))
def test_lines_are_broken_between_words_however_the_text_comes(text, width, cuts):
    ends = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    wrap = WordWrap(width)
    shown = "".join(wrap.push(text[begin:end]) for begin, end in itertools.pairwise(ends)) + wrap.finish()
    whole = WordWrap(width)
    assert shown == whole.push(text) + whole.finish()
    assert "".join(shown.split()) == "".join(text.split()), "no word is changed"
    for line in shown.split("\n"):
        assert display_width(line) <= width + 1, "a wide character may reach over a narrow line's end"
    longest = max((display_width(word) for word in text.split()), default=0)
    if longest < width:
        assert shown.split() == text.split()


def test_without_a_width_text_goes_through():
    wrap = WordWrap(None)
    assert wrap.push("ab cd") + wrap.finish() == "ab cd"


# Whoever starts the tests behind something else may have left Ctrl-C ignored.
PROGRAM = """
import signal, sys, textmill
signal.signal(signal.SIGINT, signal.default_int_handler)
from fakes import chatty_model
from textmill.cli import main
lm = chatty_model.make("wizards\\x1b[2J?", endless=True, seconds=0.02)
textmill.load = lambda path, **options: lm
sys.exit(main(["chat", sys.argv[1], "--max-tokens", "200"]))
"""


def test_at_a_real_terminal(folder):
    """Ctrl-C stops the answer and nothing else; no control character of the model's reaches the terminal."""
    terminal = Terminal(PROGRAM, folder)
    try:
        terminal.wait_for("> ")
        terminal.type("hello\n")
        said = terminal.wait_for("?wizards")
        assert "wizards\ufffd[2J?wizards" in said
        terminal.process.send_signal(signal.SIGINT)
        assert "[2J" not in terminal.wait_for(" ...").replace("\ufffd[2J", "")
        terminal.wait_for("context")
        terminal.wait_for("> ")
        terminal.wait_until_it_listens()
        terminal.process.send_signal(signal.SIGINT)
        terminal.wait_for("Ctrl-C again leaves")
        terminal.wait_for("> ")
        terminal.type("\x04")
        assert terminal.process.wait(60) == 0
    finally:
        terminal.close()
