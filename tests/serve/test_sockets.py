"""A server in its own process, over real connections: who goes away, what is too much, what is no request."""

import contextlib
import json
import threading
import time
from pathlib import Path

import pytest

from serve.served import CHAT, HELLO, LONG, chat_body, http_request, idle, read_response, served


@pytest.fixture(scope="module")
def server(long_folder):
    with served(long_folder, "--queue", "4") as server:
        yield server


def test_answers_are_those_of_the_model_alone(server, lm):
    alone = lm.chat(HELLO, max_tokens=8)
    assert server.chat()["choices"][0]["message"]["content"] == alone.text


def test_a_connection_serves_several_requests(server):
    sock = server.connect()
    for _ in range(3):
        sock.sendall(http_request(chat_body()))
        assert read_response(sock)[0] == 200
    sock.sendall(http_request(chat_body(stream=True)) * 2)  # the second before the first is answered
    data = b""
    while data.count(b"[DONE]") < 2:
        data += sock.recv(65536)
    sock.close()


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("parts", [1, 3])
def test_a_client_that_would_rather_speak_http_2(server, chunked, parts):
    """As Java's does with every request."""
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n"
    head, _, body = http_request(chat_body()).partition(b"\r\n\r\n")
    if chunked:
        head = head.rpartition(b"\r\n")[0] + b"\r\nTransfer-Encoding: chunked"
        body = b"5\r\n" + body[:5] + b"\r\n%x\r\n" % len(body[5:]) + body[5:] + b"\r\n0\r\n\r\n"
    with server.connect() as sock:
        data = head + b"\r\n" + upgrade + b"\r\n" + body
        for at in range(parts):
            sock.sendall(data[at * len(data) // parts : (at + 1) * len(data) // parts])
            time.sleep(0.02 * (parts > 1))
        assert read_response(sock)[0] == 200
        assert sock.recv(10) == b"", "the connection is closed"
    with server.connect() as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + upgrade + b"\r\n")
        assert read_response(sock)[0] == 200


class TestGoneClients:
    @pytest.mark.parametrize("stream", [True, False])
    def test_answers_end(self, server, stream):
        sock = server.post_raw(chat_body(**LONG, stream=stream))
        server.wait_for(lambda: server.metric("num_requests_running") == 1, "the answer to begin")
        finished = server.metric("request_success_total")
        sock.close()
        server.wait_for(lambda: idle(server), "the answer to end")
        assert server.metric("request_success_total") == finished, "it was not made to its end"
        assert server.metric("kv_cache_usage_perc") == 0

    def test_answers_end_that_others_wait_behind(self, server):
        """Requests that were sent before the first one was answered."""
        sock = server.connect()
        sock.sendall(http_request(chat_body(**LONG, stream=True)) * 3)
        server.wait_for(lambda: server.metric("num_requests_running") == 1, "the answer to begin")
        finished = server.metric("request_success_total")
        sock.close()
        server.wait_for(lambda: idle(server), "the answers to end")
        assert server.metric("request_success_total") == finished, "none was made to its end"

    def test_others_go_on(self, server, lm):
        other = server.post_raw(chat_body(**LONG, stream=True))
        results = []
        thread = threading.Thread(target=lambda: results.append(server.chat(max_tokens=200, ignore_eos=True)))
        thread.start()
        other.close()
        thread.join(60)
        alone = lm.chat(HELLO, max_tokens=200, ignore_eos=True)
        assert results[0]["choices"][0]["message"]["content"] == alone.text


class TestLimits:
    def test_a_full_queue(self, server):
        socks = [server.post_raw(chat_body(**LONG, n=17)) for _ in range(4)]  # 64 run, and 4 wait
        server.wait_for(lambda: server.metric("num_requests_running") == 64, "all places to be taken")
        status, headers, body = server.request("POST", CHAT, chat_body())
        assert status == 429
        assert 1 <= int(headers["retry-after"]) <= 30
        assert body["error"]["code"] == "queue_full"
        for sock in socks:
            sock.close()
        server.wait_for(lambda: idle(server), "all to end")
        assert server.chat()["usage"]["completion_tokens"] <= 8

    def test_more_answers_than_fit_at_all(self, server):
        status, _, body = server.request("POST", CHAT, chat_body(n=100))
        assert (status, "at once" in body["error"]["message"]) == (400, True)

    @pytest.mark.parametrize("how", ["body", "header"])
    def test_deadlines(self, server, how):
        asked = chat_body(**LONG) | ({"timeout": 0.3} if how == "body" else {})
        headers = {"X-Request-Timeout": "0.3"} if how == "header" else {}
        status, told, body = server.request("POST", CHAT, asked, headers)
        assert status == 408
        assert body["error"]["code"] == "deadline_exceeded"
        assert told["x-should-retry"] == "false"
        server.wait_for(lambda: idle(server), "the answer to end")
        status, _, body = server.request("POST", CHAT, asked | {"stream": True}, headers)
        assert status == 200
        *_, last, done, end = body.split("\n\n")
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "deadline_exceeded"
        assert (done, end) == ("data: [DONE]", "")

    def test_a_deadline_that_is_none(self, server):
        status, _, body = server.request("POST", CHAT, chat_body(), {"X-Request-Timeout": "soon"})
        assert (status, "X-Request-Timeout" in body["error"]["message"]) == (400, True)

    def test_large_bodies(self, server):
        with server.connect() as sock:
            head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n"
            sock.sendall(head)
            assert read_response(sock)[0] == 413
            assert sock.recv(10) == b""
        with server.connect() as sock:
            sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            try:
                for _ in range(100):
                    sock.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            except OSError:  # the server has closed
                pass
            else:
                assert read_response(sock)[0] == 413
        assert server.chat()

    def test_a_refusal_is_read_by_a_client_that_is_still_sending(self, server):
        """Within two seconds; where a busy machine takes longer to send, it is tried again."""
        head, _, body = http_request({"messages": "x" * 200_000}).partition(b"\r\n\r\n")
        head = head.replace(CHAT.encode(), b"/nothing")
        for _ in range(10):
            with server.connect() as sock, contextlib.suppress(ConnectionError):
                began = time.monotonic()
                sock.sendall(head + b"\r\nConnection: close\r\n\r\n" + body[:1000])
                time.sleep(0.1)
                sock.sendall(body[1000:100_000])
                time.sleep(0.1)
                sock.sendall(body[100_000:])
                answer = read_response(sock)[0], sock.recv(10)
                break
            assert time.monotonic() - began > 1.5, "the connection is reset, and not closed"
        assert answer == (404, b"")

    def test_a_refusal_does_not_wait_for_what_never_comes(self, server):
        head = http_request({"messages": "x" * 2000}).partition(b"\r\n\r\n")[0].replace(CHAT.encode(), b"/nothing")
        with server.connect() as sock:
            sock.sendall(head + b"\r\n\r\n{")
            assert read_response(sock)[0] == 404

    def test_long_heads(self, server):
        with server.connect() as sock:
            sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
            try:
                for _ in range(200):
                    sock.sendall(b"x" * 1024)
                    time.sleep(0.001)
                status = sock.recv(100)
            except OSError:
                return
            assert b" 431 " in status

    @pytest.mark.parametrize(
        "data", [b"hello\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 5, b"GET\r\n\r\n"]
    )
    def test_what_is_no_http(self, server, data):
        with server.connect() as sock:
            sock.sendall(data)
            status, body = read_response(sock)
        assert status == 400
        assert json.loads(body)["error"]["type"] == "invalid_request_error"


def test_an_idle_server_sleeps(server):
    """A hundredth of the time at most, in the best of three spells: the first may still have what came before in it."""

    def seconds():
        fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def in_three_seconds():
        before = seconds()
        time.sleep(3)
        return seconds() - before

    server.chat()
    time.sleep(0.5)
    assert any(in_three_seconds() <= 0.03 for _ in range(3))
