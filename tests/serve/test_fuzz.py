"""Whatever comes over the wire gets an answer of 4xx or is answered, soon, and the next client does not notice.

No 5xx, no hang, no bug in the log; what is not read to its end closes the connection, so that nothing in it can be
taken for another request.
"""

import contextlib
import json
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve.hostile_bodies import GOOD, changed, fixed
from serve.live_server import LiveServer, split
from serve.served import idle

MAX_BODY = 4 << 20
PATHS = sorted(GOOD)
UNHURRIED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.fixture(scope="module")
def server(folder):
    with LiveServer(folder, "--max-body", str(MAX_BODY)) as server:
        yield server


def check(server, status, body, *, refused=False):
    """An answer, or a refusal in OpenAI's shape; and the server goes on."""
    assert (400 if refused else 200) <= status < 500, (status, body[:300])
    if status >= 400:
        error = json.loads(body)["error"]
        assert error["message"]
        assert set(error) >= {"message", "type", "code", "param"}
    assert server.get("/health")[0] == 200


@pytest.mark.parametrize("path", PATHS)
def test_bodies_that_broke_others(server, path):
    for body in fixed(path):
        status, said = server.post(path, body)  # within the time that a connection has
        check(server, status, said)


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=40, deadline=None, suppress_health_check=UNHURRIED)
@given(data=st.data())
def test_options_of_any_type(server, path, data):
    check(server, *server.post(path, data.draw(changed(path))))


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=20, deadline=None, suppress_health_check=UNHURRIED)
@given(body=st.binary(max_size=200))
def test_any_bytes_as_a_body(server, path, body):
    check(server, *server.post(path, body))


@settings(max_examples=60, deadline=None, suppress_health_check=UNHURRIED)
@given(data=st.binary(min_size=1, max_size=300))
def test_any_bytes_as_a_request(server, data):
    status, _ = split(server.raw(data, is_all=True))
    assert status < 500
    assert server.get("/health")[0] == 200


def post(*headers, body=b"", path="/tokenize", line=None):
    """A request, byte by byte."""
    first = line or f"POST {path} HTTP/1.1".encode()
    return b"\r\n".join([first, *headers, b"", body])


HOST = b"Host: 127.0.0.1"
CLOSE = b"\r\nConnection: close"
SMUGGLED = b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
JSON = json.dumps(GOOD["/tokenize"]).encode()
LENGTH = b"Content-Length: %d" % len(JSON)

REFUSED = {
    "length and chunks": post(HOST, LENGTH, b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED),
    "chunks and length": post(
        HOST, b"Transfer-Encoding: chunked", b"Content-Length: 4", body=b"1\r\nZ\r\n0\r\n\r\n" + SMUGGLED
    ),
    "two lengths": post(HOST, b"Content-Length: 0", LENGTH, body=SMUGGLED),
    "a list of lengths": post(HOST, b"Content-Length: 0, 40", body=SMUGGLED),
    "a length with a sign": post(HOST, b"Content-Length: +5", body=JSON),
    "a negative length": post(HOST, b"Content-Length: -1", body=JSON),
    "a length in hexadecimal": post(HOST, b"Content-Length: 0x5", body=JSON),
    "a length past 64 bits": post(HOST, b"Content-Length: " + b"9" * 40, body=JSON),
    "a length past the limit": post(HOST, b"Content-Length: 99999999999", body=JSON),
    "an unknown coding": post(HOST, b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n" + SMUGGLED),
    "a coding before chunks": post(
        HOST + CLOSE, b"Transfer-Encoding: gzip, chunked", body=b"2\r\n\x1f\x8b\r\n0\r\n\r\n"
    ),
    "chunked twice": post(HOST, b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n" + SMUGGLED),
    "a chunk without a size": post(HOST, b"Transfer-Encoding: chunked", body=b"zz\r\n" + JSON),
    "a chunk of a negative size": post(HOST, b"Transfer-Encoding: chunked", body=b"-1\r\n" + JSON),
    "a chunk past 64 bits": post(HOST, b"Transfer-Encoding: chunked", body=b"f" * 30 + b"\r\n" + JSON),
    "a blank before the colon": post(HOST, b"Content-Length : 5", body=JSON[:5]),
    "a folded header": post(HOST, b"X-A: b\r\n c", LENGTH, body=JSON),
    "a NUL in a header": post(HOST, b"X-A: b\0c", LENGTH, body=JSON),
    "no colon": post(HOST, b"Nothing", LENGTH, body=JSON),
    "a head of 200 KB": post(HOST, b"X-A: " + b"a" * 200_000, LENGTH, body=JSON),
    "a path of 200 KB": post(HOST, LENGTH, body=JSON, path="/" + "a" * 200_000),
    "20,000 headers": post(HOST, *[b"X-%d: a" % number for number in range(20_000)], LENGTH, body=JSON),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) + b"\r\n\r\n",
    "another name": post(b"Host: evil.example", LENGTH, body=JSON),
    "no such path": post(HOST, LENGTH, body=JSON, path="/../../etc/passwd"),
    "a percent sign": post(HOST, LENGTH, body=JSON, path="/%ff%00%"),
    "no such method": post(HOST, line=b"BREW /tokenize HTTP/1.1"),
    "another method": post(HOST, line=b"DELETE /tokenize HTTP/1.1"),
    "CONNECT": post(HOST, line=b"CONNECT 127.0.0.1:22 HTTP/1.1"),
    "TRACE": post(HOST, line=b"TRACE / HTTP/1.1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_tricks_with_the_head_are_refused(server, name):
    response = server.raw(REFUSED[name])
    assert response.count(b"HTTP/1.1 ") <= 1, f"what lies behind it was answered: {response!r}"
    assert b'"object":"list"' not in response
    if response:
        status, body = split(response)
        check(server, status, body, refused=True)
    assert server.get("/health")[0] == 200


ANSWERED = {
    "an absolute address": post(HOST, LENGTH, body=JSON, line=b"POST http://127.0.0.1/tokenize HTTP/1.1"),
    "HTTP/1.0": post(HOST, LENGTH, body=JSON, line=b"POST /tokenize HTTP/1.0"),
    "an expectation": post(HOST, LENGTH, b"Expect: 100-continue", body=JSON),
    "an upgrade": post(HOST, LENGTH, b"Connection: Upgrade", b"Upgrade: websocket", body=JSON),
    "a type of another kind": post(HOST, LENGTH, b"Content-Type: text/plain", body=JSON),
    "chunks of one byte": post(
        HOST,
        b"Transfer-Encoding: chunked",
        body=b"".join(b"1\r\n%c\r\n" % byte for byte in JSON) + b"0\r\nX: y\r\n\r\n",
    ),
}


@pytest.mark.parametrize("name", ANSWERED)
def test_what_is_odd_and_right_is_answered(server, name):
    response = server.raw(ANSWERED[name].replace(HOST, HOST + CLOSE)).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    status, body = split(response)
    assert status == 200, response
    assert json.loads(body)["count"] > 0


def test_requests_in_a_row_are_answered_in_a_row(server):
    one = post(HOST, LENGTH, body=JSON)
    response = server.raw(one * 19 + one.replace(HOST, HOST + CLOSE))
    assert response.count(b"HTTP/1.1 200") == 20


@pytest.mark.parametrize("size", [1, 1000, 1 << 16])
def test_a_body_without_an_end_is_cut_off(server, size):
    """Chunk after chunk: the server answers once it has as much as it takes, and reads no further."""
    chunk = b"%x\r\n%s\r\n" % (size, b"a" * size)
    batch = chunk * max(1, (1 << 18) // len(chunk))
    sent, answer = 0, b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(post(HOST, b"Transfer-Encoding: chunked"))
        with contextlib.suppress(ConnectionError):
            while sent < 40 * MAX_BODY and not answer:
                connection.sendall(batch)
                sent += len(batch)
                connection.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    answer = connection.recv(1 << 16)
                connection.settimeout(60)
            while answer and (piece := connection.recv(1 << 16)):
                answer += piece
    assert sent < 40 * MAX_BODY, "it would have gone on for ever"
    if answer:
        status, body = split(answer)
        assert status == 413
        assert "bytes" in json.loads(body)["error"]["message"]
    assert server.get("/health")[0] == 200


def test_a_client_that_says_half_and_leaves(server):
    for cut in range(0, 120, 7):
        whole = post(HOST, LENGTH, body=JSON)
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(whole[:cut])
    assert server.get("/health")[0] == 200


def test_many_connections_that_say_nothing(server):
    """They hold a connection each, and nobody else back."""
    with contextlib.ExitStack() as stack:
        for number in range(200):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))
            connection.sendall(b"POST /tokenize HTTP/1.1\r\nHost: 127"[: number % 30])
        check(server, *server.post("/tokenize", GOOD["/tokenize"]))


def test_nothing_is_left_behind(server):
    server.wait_for(lambda: idle(server), "all to end")
    assert server.metric("kv_cache_usage_perc") == 0
