"""Keys, names and origins; and what the log says."""

import io
import json
import os

import pytest

from serve.conftest import make_client
from textmill.serve.access_log import AccessLog
from textmill.serve.doors import is_loopback

HELLO = {"messages": [{"role": "user", "content": "the quick brown fox"}], "max_tokens": 3, "temperature": 0}
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def closed(lm, loop):
    return make_client(lm, loop, keys=("first", "sécond"))


class TestKeys:
    @pytest.mark.parametrize("key", ["first", "sécond"])
    def test_each_opens(self, closed, key):
        headers = {"Authorization": f"Bearer {key}".encode()}
        assert closed.post(CHAT, HELLO, headers=headers).status_code == 200

    @pytest.mark.parametrize("value", ["Bearer other", "Bearer", "Bearer firs", "Basic first", "first", ""])
    def test_nothing_else_does(self, closed, value):
        response = closed.post(CHAT, HELLO, headers={"Authorization": value})
        assert response.status_code == 401
        assert response.json()["error"]["type"] == "authentication_error"
        assert response.headers["www-authenticate"] == "Bearer"

    def test_what_is_behind(self, closed):
        assert closed.get("/health").status_code == 200
        for path in ("/v1/models", "/metrics", "/openapi.json", "/nothing"):
            assert closed.get(path).status_code == 401
        assert closed.post(CHAT, HELLO).status_code == 401

    def test_without_any_every_key_does(self, client):
        assert client.post(CHAT, HELLO, headers={"Authorization": "Bearer whatever"}).status_code == 200


def test_whose_a_request_is(client, closed, monkeypatch):
    """Clients take turns: a key is one, and where any will do, an address with its key."""
    for app, keys, num_clients in ((client, ["a", "b", "a", None], 3), (closed, ["first", "first"], 1)):
        seen = []
        submit = app.service.stepper.submit
        monkeypatch.setattr(app.service.stepper, "submit", lambda job, f=submit, s=seen: (s.append(job), f(job)))
        for key in keys:
            headers = {} if key is None else {"Authorization": f"Bearer {key}"}
            assert app.post(CHAT, HELLO, headers=headers).status_code == 200
        assert len({answer.client for job in seen for answer in job.answers}) == num_clients
        assert all(answer.client and "first" not in answer.client for job in seen for answer in job.answers)


class TestNames:
    @pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:99", "[::1]:8000"])
    def test_its_own(self, client, host):
        assert client.get("/health", headers={"Host": host}).status_code == 200

    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::2]", "localhost.evil:80"])
    def test_others(self, client, host):
        response = client.get("/health", headers={"Host": host})
        assert response.status_code == 403
        assert "--allow-host" in response.json()["error"]["message"]

    def test_that_are_allowed(self, lm, loop):
        client = make_client(lm, loop, allowed_hosts=("mill.example",))
        assert client.get("/health", headers={"Host": "mill.example:443"}).status_code == 200
        assert client.get("/health", headers={"Host": "evil.example"}).status_code == 403

    def test_a_public_server_has_any(self, lm, loop):
        client = make_client(lm, loop, host="0.0.0.0")
        assert client.get("/health", headers={"Host": "any.example"}).status_code == 200

    def test_what_is_this_machine(self):
        assert [is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost", "0.0.0.0", "mill")] == [
            *[True] * 4,
            *[False] * 2,
        ]


class TestOrigins:
    def test_none_unless_asked_for(self, client):
        response = client.get("/v1/models", headers={"Origin": "https://page.example"})
        assert "access-control-allow-origin" not in response.headers

    def test_those_that_are(self, lm, loop):
        client = make_client(lm, loop, cors_origins=("https://page.example",), keys=("k",))
        page = {"Origin": "https://page.example"}
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, x-a"}
        preflight = client.request("OPTIONS", CHAT, headers=page | asked)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-headers"] == "authorization, x-a"
        assert client.get("/v1/models", headers=page).headers["access-control-allow-origin"] == page["Origin"]
        other = client.request("OPTIONS", CHAT, headers=asked | {"Origin": "https://other.example"})
        assert other.status_code == 401
        assert "access-control-allow-origin" not in other.headers

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_a_page_of_another_origin_makes_no_work(self, lm, loop, client, site):
        """A browser sends plain text without a preflight; the page cannot read the answer, but it would be made."""
        page = {"Origin": "https://page.example", "Sec-Fetch-Site": site, "Content-Type": "text/plain"}
        response = client.request("POST", CHAT, headers=page, content=json.dumps(HELLO))
        assert response.status_code == 403
        assert "--cors-origin" in response.json()["error"]["message"]
        allowed = make_client(lm, loop, cors_origins=("https://page.example",))
        assert allowed.request("POST", CHAT, headers=page, content=json.dumps(HELLO)).status_code == 200

    def test_a_page_of_its_own_and_programs_do(self, client):
        for site in ({"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {}):
            headers = {"Origin": "http://127.0.0.1", **site}
            assert client.post(CHAT, HELLO, headers=headers).status_code == 200

    def test_any(self, lm, loop):
        client = make_client(lm, loop, cors_origins=("*",))
        assert client.get("/health", headers={"Origin": "x"}).headers["access-control-allow-origin"] == "*"


class TestLog:
    def ask(self, lm, loop, **settings):
        file = io.StringIO()
        client = make_client(lm, loop, log=file, **settings)
        client.post(CHAT, HELLO, headers={"X-Request-Id": "r1"})
        client.post(CHAT, HELLO | {"stream": True})
        client.get("/nothing")
        client.post(CHAT, HELLO | {"stop": ["secret"] * 99})
        return [json.loads(line) for line in file.getvalue().splitlines()], file.getvalue()

    def test_a_line_each_without_what_was_said(self, lm, loop):
        lines, text = self.ask(lm, loop)
        assert [line["status"] for line in lines] == [200, 200, 404, 400]
        assert lines[3]["error"] == "stop"
        assert "secret" not in text
        assert lines[0]["request_id"] == "r1"
        assert lines[0]["completion_tokens"] == 3
        assert {"time", "event", "peer", "method", "path", "seconds", "model", "first_token_s"} <= lines[0].keys()
        assert "fox" not in text
        assert "texts" not in lines[0]

    def test_with_it(self, lm, loop):
        lines, _ = self.ask(lm, loop, log_prompts=True)
        alone = lm.chat(HELLO["messages"], max_tokens=3).text
        assert "the quick brown fox" in lines[0]["prompt"]
        assert "secret" in lines[3]["error"]
        assert lines[0]["texts"] == [alone]
        assert lines[1]["texts"] == {"0": alone}

    def test_nobody_who_reads_it_is_no_reason_to_wait(self):
        """A pipe that is full loses lines, and tells how many when it is read again."""
        reading, writing = os.pipe()
        with os.fdopen(writing, "w") as file, os.fdopen(reading, "rb") as pipe:
            log = AccessLog(file)
            for number in range(5000):
                log.event("e", number=number, filling="x" * 100)
            pipe.read1(1 << 20)
            log.event("last")
            told = json.loads(pipe.read1(1 << 20).splitlines()[-1])
            assert told["event"] == "last"
            assert 0 < told["lines_lost"] < 5000
