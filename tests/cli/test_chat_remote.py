"""``textmill chat URL``: servers that answer, those that do not, and a user at a terminal."""

import io
import json
import random
import signal
import socket
import subprocess
import sys
import threading

import pytest

from cli.terminal import Terminal
from fakes.free_port import free_port
from fakes.openai_server import MODELS, USAGE, OpenAIServer, begin_stream, chunk, event, say, send, send_json
from textmill.base.errors import ConfigError
from textmill.cli import main
from textmill.cli.server_address import ServerAddress


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in ("TEXTMILL_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def ask(talk, *options, models=MODELS, path="", seconds=5):
    """Put one message to a server; returns the exit code and the server."""
    with OpenAIServer(talk, models) as server:
        code = main(["chat", server.url + path, "--prompt", "hello", "--timeout", str(seconds), *options])
        return code, server


def test_an_answer_comes_with_the_figures_of_the_server(capsys):
    code, server = ask(say("wi", "zards", "?"), "--json", "--temperature", "0.5", "--top-k", "3", "--stop-id", "7")
    assert code == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["content"], answer["finish_reason"]) == ("wizards?", "stop")
    assert (answer["num_prompt"], answer["num_cached"], answer["num_tokens"]) == (20, 16, 3)
    models, chat = server.requests
    assert (models.line, chat.line) == ("GET /v1/models HTTP/1.1", "POST /v1/chat/completions HTTP/1.1")
    assert "authorization" not in chat.headers
    assert chat.body == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "hello"}],
        "temperature": 0.5,
        "top_k": 3,
        "stop_token_ids": [7],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_conversation_goes_on(monkeypatch, capsys, tmp_path):
    lines = iter(["hello", "/system Be brief.", "again", "/stats", f"/save {tmp_path / 'a.json'}"])
    monkeypatch.setattr("builtins.input", lambda prompt="": next(lines, None) or (_ for _ in ()).throw(EOFError))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    with OpenAIServer(say("wiz", "ards")) as server:
        assert main(["chat", server.url + "/v1#tiny"]) == 0
    out, err = capsys.readouterr()
    assert out == "wizards\nwizards\n"
    assert f"tiny at {server.url}/v1: 256 tokens of context" in err
    assert "23 of 256" in err
    assert "2 answers of 6 tokens" in err
    assert [message["role"] for message in server.requests[-1].body["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
    ]
    assert len(json.loads((tmp_path / "a.json").read_text())["messages"]) == 5


def test_the_key_comes_from_the_environment_and_is_shown_nowhere(monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-open")
    assert ask(say("a"))[1].requests[1].headers["authorization"] == "Bearer sk-open"
    monkeypatch.setenv("TEXTMILL_API_KEY", "mine")
    assert ask(say("a"))[1].requests[1].headers["authorization"] == "Bearer mine"
    code, _ = ask(lambda connection, _: send_json(connection, {"error": {"message": "who?"}}, "401 Unauthorized"))
    assert code == 2
    said = "".join(capsys.readouterr())
    assert "refuses this key (401: who?). Set TEXTMILL_API_KEY" in said
    assert "mine" not in said
    assert "mine" not in repr(ServerAddress.parse("http://localhost"))
    monkeypatch.setenv("TEXTMILL_API_KEY", "a\nX-Evil: b")
    assert ask(say("a"))[0] == 2
    assert "TEXTMILL_API_KEY is no key" in capsys.readouterr().err


def test_which_model_of_several(capsys):
    two = {"data": [{"id": "a"}, {"id": "b", "meta": {"n_ctx": 64}}]}
    assert ask(say("x"), models=two)[0] == 2
    assert "has 2 models: choose one with --model, of a, b" in capsys.readouterr().err
    assert ask(say("x"), "--model", "b", models=two)[1].requests[1].body["model"] == "b"
    assert ask(say("x"), models=two, path="#a")[1].requests[1].body["model"] == "a"
    assert ask(say("x"), models={"data": []})[0] == 1
    assert "lists no models: name one with --model" in capsys.readouterr().err

    def missing(connection, request):
        send(connection, "404 Not Found", b"nothing here")

    assert ask(say("x"), models=missing)[0] == 1
    assert "knows no /models" in capsys.readouterr().err
    assert ask(say("x"), "--model", "b", models=missing)[0] == 0, "some servers list none"


def test_servers_that_tell_less(capsys):
    """No usage, no stream, no context: pieces are counted, and nothing is made up."""
    code, _ = ask(say("a", "b", "c", usage=None), "--json", models={"data": [{"id": "tiny"}]})
    answer = json.loads(capsys.readouterr().out)
    assert (code, answer["num_tokens"], answer["num_prompt"]) == (0, 3, 0)
    whole = {
        "choices": [{"message": {"role": "assistant", "content": "abc"}, "finish_reason": "length"}],
        "usage": USAGE,
    }
    code, _ = ask(lambda connection, _: send_json(connection, whole))
    out, err = capsys.readouterr()
    assert (code, out) == (0, "abc\n")
    assert "cut off after 3 tokens" in err


def refuse(status, value, *headers):
    return lambda connection, _: send_json(connection, value, status, *headers)


def stream(*pieces):
    def talk(connection, _):
        begin_stream(connection)
        connection.sendall(b"".join(pieces))

    return talk


def raw(data):
    return lambda connection, _: connection.sendall(data)


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
FULL = {"error": {"message": "too long", "code": "context_length_exceeded"}}


@pytest.mark.parametrize(
    ("talk", "code", "message"),
    [
        (refuse("500 Oops", {"error": {"message": "out of \x1b[2Jink"}}), 1, "failed (500): out of \ufffd[2Jink"),
        (refuse("400 Bad", {"detail": [{"msg": "no"}]}), 1, "refused (400)"),
        (refuse("400 Bad", FULL), 2, "too long"),
        (
            refuse("429 Busy", {"error": {"message": "queue is full"}}, "Retry-After: 7"),
            1,
            "queue is full). Try again in 7 s",
        ),
        (refuse("503 Loading", "wait"), 1, "is busy (503: wait). Try again later"),
        (refuse("404 Not Found", {"error": "no model"}), 1, "(404: no model). Is the path right?"),
        (refuse("307 Elsewhere", {}, "Location: http://b.example/v1"), 1, "sends on to http://b.example/v1: give that"),
        (raw(b""), 1, "ended the connection without an answer"),
        (raw(b"SSH-2.0-OpenSSH_9.2\r\n" * 3), 1, "is no web server"),
        (raw(random.Random(1).randbytes(300) + b"\n"), 1, "is no web server"),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"), 1, "is no web server"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n<html>"), 1, "<html>, which is no JSON"),
        (stream(chunk("wiz")), 1, "cut the answer off"),
        (raw(CHUNKED + b"ffff\r\n" + chunk("wiz")), 1, "cut the answer off"),
        (raw(CHUNKED + b"zz\r\nwhat"), 1, ""),
        (stream(event("[1, 2]")), 1, "no JSON object"),
        (stream(event("{" * 100_000)), 1, "no JSON"),
        (stream(chunk("wiz"), event({"error": {"message": "the engine broke"}})), 1, "failed: the engine broke"),
        (stream(b"data: " + b"x" * (17 << 20)), 1, "a line of more than 16 MiB"),
    ],
)
def test_servers_that_fail(capsys, talk, code, message):
    assert ask(talk)[0] == code
    assert message in capsys.readouterr().err


ODD = [{}, {"choices": 3}, {"choices": [3]}, {"choices": [{"delta": 5}]}, {"choices": [{"delta": {"content": 5}}]}]


def test_events_of_odd_shapes_say_nothing(capsys):
    talk = stream(*map(event, ODD), b"event: x\nid: 1\nretry: 5\r\n\r\n", chunk("wizards"), chunk(None, "stop"))
    assert ask(talk)[0] == 0
    assert capsys.readouterr().out == "wizards\n"


@pytest.mark.parametrize(
    "begin", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: "]
)
def test_a_server_that_hangs_is_given_up(capsys, begin):
    closed = threading.Event()

    def hang(connection, _):
        connection.sendall(begin)
        closed.wait(20)

    assert ask(hang, seconds=0.3)[0] == 1
    assert "said nothing for 0.3 s" in capsys.readouterr().err
    closed.set()


def test_no_server(capsys):
    port = free_port()
    assert main(["chat", f"http://127.0.0.1:{port}", "--prompt", "x"]) == 1
    assert f"(connection refused): textmill serve MODEL --port {port} starts one" in capsys.readouterr().err
    assert main(["chat", "http://nowhere.invalid", "--prompt", "x"]) == 1
    assert 'no machine "nowhere.invalid"' in capsys.readouterr().err


def test_a_server_without_tls(capsys):
    def refuse_once():
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse_once)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        assert main(["chat", url, "--prompt", "x", "--timeout", "5"]) == 1
        thread.join()
    assert "speaks no TLS" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["http://user:key@localhost"], "a key does not stand in the address of localhost"),
        (["http://localhost:99999"], "no address of a server"),
        (["http://"], "no address of a server"),
        (["http://localhost/v1?x=1"], "host, port and path only"),
        (["http://localhost/v 1"], "host, port and path only"),
        (["http://localhost", "--weights", "int8"], "--weights is for a model that is loaded here"),
        (["http://localhost", "--speculate", "3"], "--speculate is for a model that is loaded here"),
        (["http://localhost", "--timeout", "0"], "--timeout is 0"),
        (["http://localhost", "--timeout", "nan"], "--timeout is nan"),
        (["http://localhost", "--temperature", "-1"], "temperature"),
    ],
)
def test_what_cannot_be_asked(capsys, arguments, message):
    assert main(["chat", *arguments, "--prompt", "x"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "root", "model"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1", None),
        ("http://localhost:8000/", "http://localhost:8000/v1", None),
        ("https://a.example/api/v1/#org/model%3Afree", "https://a.example/api/v1", "org/model:free"),
        ("http://[::1]:80/v1/chat/completions#m", "http://[::1]/v1", "m"),
    ],
)
def test_addresses(typed, root, model):
    address = ServerAddress.parse(typed)
    assert (address.root, address.model) == (root, model)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "[::1]", "localhost", "a.localhost"])
def test_a_key_goes_to_this_machine_without_a_warning(host):
    assert ServerAddress.parse(f"http://{host}").is_this_machine
    assert not ServerAddress.parse("http://10.0.0.1").is_this_machine
    with pytest.raises(ConfigError):
        ServerAddress.parse("ftp://localhost")


PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from textmill.cli import main
sys.exit(main(["chat", *sys.argv[1:]]))
"""


def test_at_a_real_terminal():
    """Ctrl-C stops the answer and nothing else, and the server sees that the client is gone."""
    with OpenAIServer(say(*["wizards\x1b[2J?"] * 2000, seconds=0.02)) as server:
        terminal = Terminal(PROGRAM, server.url)
        try:
            terminal.wait_for("> ")
            terminal.type("hello\n")
            assert "wizards\ufffd[2J?wizards" in terminal.wait_for("?wizards")
            terminal.process.send_signal(signal.SIGINT)
            terminal.wait_for(" ...")
            assert server.gone.wait(60), "the connection is closed, and the server may stop"
            terminal.wait_for("> ")
            server.talk = say("bye")
            terminal.wait_until_it_listens()
            terminal.type("again\n")
            terminal.wait_for("bye")
            terminal.wait_for("> ")
            stopped = server.requests[-1].body["messages"][1]["content"]
            assert stopped.startswith("wizards"), "what came of it stays said"
            terminal.type("\x04")
            assert terminal.process.wait(60) == 0
        finally:
            terminal.close()


LIGHT = """
import sys
from textmill.cli import main
assert main(["chat", *sys.argv[1:]]) == 0
assert not {"torch", "textmill.infer.engine"} & set(sys.modules)
"""


def test_no_engine_is_loaded():
    with OpenAIServer(say("wizards")) as server:
        command = [sys.executable, "-c", LIGHT, server.url, "--prompt", "x"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
