"""Servers that are started for one test each: how they begin, how they end, and what would disturb the others."""

import json
import signal
import socket
import time

import pytest

import textmill
from serve.served import HELLO, LONG, chat_body, http_request, idle, read_response, served

pytestmark = pytest.mark.slow


def test_queued_ones_are_taken_out(long_folder):
    with served(long_folder, "--queue", "64") as server:
        socks = [server.post_raw(chat_body(**LONG)) for _ in range(70)]
        server.wait_for(lambda: server.metric("num_requests_waiting") > 0, "a queue")
        for sock in socks:
            sock.close()
        server.wait_for(lambda: idle(server), "all to end")


def test_a_client_that_does_not_read_is_cut_off(long_folder):
    """Its own buffers and the connection's fill, then so many pieces wait; nobody else is held up."""
    with served(long_folder) as server, server.connect(receive_bytes=4096) as sock:
        sock.sendall(http_request(chat_body(**LONG, stream=True, n=4, logprobs=True, top_logprobs=20)))
        assert server.chat()
        server.wait_for(lambda: server.metric("generation_tokens_total") > 1000, "the answers to end")
        server.wait_for(lambda: idle(server), "all to end")
        code, lines, _ = server.stop()
        (line,) = [line for line in lines if line.get("finish_reason") == "abort"]
        assert "not read" in line["error"]
        assert code == 143


class TestTheEnd:
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
    def test_an_idle_server(self, long_folder, number, code):
        with served(long_folder) as server:
            began = time.monotonic()
            assert server.stop(number)[0] == code
            assert time.monotonic() - began < 20, "a drain takes 30 s"

    def test_running_requests_are_finished(self, long_folder):
        """One that begins before the signal ends as if there were none; one that comes after it is refused."""
        options = {"max_tokens": 12_000, "ignore_eos": True, "speculate": 0}
        with served(long_folder) as server, server.connect() as kept:
            with server.post_raw(chat_body(**options)) as sock:
                server.wait_for(lambda: not idle(server), "it to begin")
                server.process.send_signal(signal.SIGTERM)
                server.wait_for(lambda: server.request("GET", "/health")[0] == 503, "it to drain")
                kept.sendall(http_request(chat_body()))
                status, body = read_response(kept)
                assert (status, json.loads(body)["error"]["code"]) == (503, "draining")
                status, body = read_response(sock)
            assert status == 200
            alone = textmill.load(long_folder, threads=1).chat(HELLO, **options)
            assert json.loads(body)["choices"][0]["message"]["content"] == alone.text
            assert server.process.wait(60) == 143

    def test_those_that_take_too_long_are_not(self, long_folder):
        with served(long_folder, "--drain", "0.5") as server:
            sock = server.post_raw(chat_body(**LONG, stream=True))
            server.wait_for(lambda: server.metric("num_requests_running") == 1, "the answer to begin")
            began = time.monotonic()
            code, lines, _ = server.stop()
            assert code == 143
            assert time.monotonic() - began > 0.4
            assert [line["error"] for line in lines if "error" in line] == ["the server ended"]
            while data := sock.recv(65536):
                assert b"[DONE]" not in data
            sock.close()

    def test_a_second_signal_ends_at_once(self, long_folder):
        with served(long_folder) as server:
            sock = server.post_raw(chat_body(**LONG))
            server.wait_for(lambda: server.metric("num_requests_running") == 1, "the answer to begin")
            server.process.send_signal(signal.SIGTERM)
            server.wait_for(lambda: server.request("GET", "/health")[0] == 503, "it to drain")
            assert server.stop(signal.SIGINT)[0] == 130, "a drain would have ended with the first one's code"
            sock.close()


class TestTheStart:
    def test_an_address_that_is_taken(self, long_folder):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(RuntimeError, match="cannot listen"), served(long_folder, port=port):
                pass

    def test_a_model_that_is_not_there(self, tmp_path):
        with pytest.raises(RuntimeError, match="no model"), served(tmp_path / "nothing"):
            pass

    def test_a_model_that_is_damaged(self, long_folder, tmp_path):
        (tmp_path / "bad").mkdir()
        (tmp_path / "bad" / "config.json").write_text("{}")
        with pytest.raises(RuntimeError, match="config.json"), served(tmp_path / "bad"):
            pass

    def test_keys_come_from_the_environment(self, long_folder):
        with served(long_folder, environment={"TEXTMILL_API_KEYS": " one ,two,"}) as server:
            assert server.request("GET", "/v1/models")[0] == 401
            for key in ("one", "two"):
                assert server.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})[0] == 200

            curl = next(line for line in server.stop()[2].splitlines() if "curl" in line)
        assert "Bearer KEY" in curl
        assert "one" not in curl

    @pytest.mark.parametrize("keys", ["", " , "])
    def test_keys_that_are_none_open_no_door(self, keys, long_folder):
        with (
            pytest.raises(RuntimeError, match="holds no key"),
            served(long_folder, environment={"TEXTMILL_API_KEYS": keys}),
        ):
            pass

    def test_names(self, long_folder):
        with served(f"mine={long_folder}", long_folder) as server:
            _, _, body = server.request("GET", "/v1/models")
            assert [card["id"] for card in body["data"]] == ["mine", "tiny"]
            said = server.stop()[2]
        assert "  tiny: takes up to " in said
        assert "  mine: takes up to " not in said
        assert "all models together" in said
        with pytest.raises(RuntimeError, match='two models are called "tiny"'), served(long_folder, long_folder):
            pass
