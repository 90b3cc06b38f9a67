"""Who may call the studio, and what its page may do."""

import pytest

POST = {"content-type": "application/json"}


@pytest.mark.parametrize("host", ["127.0.0.1:8400", "localhost:8400", "[::1]:8400", "127.0.0.1", "LOCALHOST"])
def test_it_answers_by_the_names_of_this_machine(bare, host):
    assert bare.get("/api/session", headers={"host": host})["api"] == 1


@pytest.mark.parametrize("path", ["/", "/api/session", "/assets/x.js", "/api/nothing"])
@pytest.mark.parametrize(
    "host",
    ["rebound.example:8400", "127.0.0.1.rebound.example", "localhost.evil:1", "", "0.0.0.0:8400", "127.0.0.1:8x"],
)
def test_a_name_that_was_made_to_lead_here_is_refused(bare, host, path):
    assert "names of this machine" in bare.refusal("GET", path, 403, headers={"host": host})


@pytest.mark.parametrize("origin", ["http://evil.example", "https://127.0.0.1:8400", "http://127.0.0.1:9999", "null"])
def test_a_page_of_another_origin_is_refused(bare, origin):
    assert "another one called it" in bare.refusal("GET", "/api/session", 403, headers={"origin": origin})
    headers = POST | {"origin": origin}
    assert bare.refusal("POST", "/api/tokens", 403, headers=headers, content=b"{}")


def test_its_own_page_is_let_in(bare):
    assert bare.get("/api/session", headers={"origin": "http://127.0.0.1:8400", "sec-fetch-site": "same-origin"})


@pytest.mark.parametrize("site", ["cross-site", "same-site"])  # another port of this machine is of the same site
def test_what_a_browser_says_another_page_asks_is_refused(bare, site):
    headers = {"sec-fetch-site": site}
    assert bare.refusal("GET", "/api/engine/example", 403, headers=headers)
    assert bare.request("GET", "/", headers=headers).status_code != 403  # a link to the page is no call of it


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_a_form_is_no_call(bare, kind):
    content = b'{"tokenizer": "example", "text": "x"}'
    message = bare.refusal("POST", "/api/tokens", headers={"content-type": kind}, content=content)
    assert "application/json" in message


@pytest.mark.parametrize("path", ["/", "/api/session", "/api/nothing", "/assets/nothing.js"])
def test_nothing_is_loaded_from_elsewhere_and_no_script_stands_in_a_page(bare, path):
    headers = bare.request("GET", path).headers
    policy = dict(rule.strip().split(" ", 1) for rule in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["style-src"] == "'self'"
    assert "unsafe" not in str(policy)
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers


def test_a_path_leads_nowhere_else(bare):
    for path in (
        "/../pyproject.toml",
        "/assets/../../routes.py",
        "/..%2f..%2froutes.py",
        "//etc/passwd",
        "/a\\..\\b.py",
    ):
        response = bare.request("GET", path)
        assert response.status_code == 404 or response.text.lower().startswith("<!doctype html>")  # the page itself
        assert "root:" not in response.text


@pytest.mark.parametrize(
    ("method", "path", "status", "part"),
    [
        ("GET", "/api/nothing", 404, "there is no /api/nothing"),
        ("DELETE", "/api/runs", 405, "takes GET"),
        ("GET", "/api/tokens", 405, "takes POST"),
        ("PUT", "/", 405, "takes GET"),
        ("GET", "/api/example/..%2fmake", 404, "there is no example"),
        ("GET", "/api/models/nothing", 404, 'there is no model "nothing"'),
        ("GET", "/api/models/example@7", 404, "its steps are: 100"),
        ("GET", "/api/models/example@x", 404, "its steps are: 100"),
        ("GET", "/api/runs/nothing", 404, 'there is no run "nothing"'),
        ("GET", "/api/runs/example/series?figure=nothing", 400, "figures are loss"),
        ("GET", "/api/runs/example/series", 400, "no figure is named"),
        ("GET", "/api/runs/example/series?figure=loss&x=nothing", 400, "may be step"),
        ("GET", "/api/runs/example/series?figure=loss&points=1e9", 400, "points is"),
        ("GET", "/api/runs/example/series?figure=loss&from=nan", 400, "must be a number"),
        ("GET", "/api/runs/example/tail?offset=-1", 400, "must not be negative"),
        ("GET", "/api/runs/example/tail?offset=1.5", 400, "must be a whole number"),
        ("GET", "/api/runs-compare?run=example", 400, "there are 1 runs"),
        ("GET", "/api/runs-compare?run=example&run=example", 400, "named twice"),
        ("GET", "/api/runs?" + "a=1&" * 65, 400, "more than 64 fields"),
        ("GET", "/api/memory?context=0", 400, "context is 0"),
        ("GET", "/api/memory?weights=f8", 400, "weights is"),
        ("GET", "/api/memory?num_key_value_heads=3", 400, "does not divide"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(bare, method, path, status, part):
    assert part in bare.refusal(method, path, status)


@pytest.mark.parametrize(
    ("path", "body", "part"),
    [
        ("/api/tokens", {"tokenizer": "example"}, "text"),
        ("/api/tokens", {"tokenizer": "example", "text": 7}, "text"),
        ("/api/tokens", {"tokenizer": "example", "text": "x", "more": 1}, "more"),
        ("/api/tokens", {"tokenizer": "example", "text": "x" * 65_537}, "at most 65,536"),
        ("/api/tokens/explain", {"tokenizer": "example", "text": "x" * 4097}, "at most 4,096"),
        ("/api/tokens/why", {"tokenizer": "example", "text": ""}, "0 bytes"),
        ("/api/positions", {"head_dim": 3, "rope_theta": 1e4}, "even"),
        ("/api/positions", {"head_dim": 4, "rope_theta": 0}, "rope_theta"),
        ("/api/positions", {"head_dim": 4, "rope_theta": 1e4, "scaling": {"kind": "dynamic"}}, "linear, llama3, yarn"),
        ("/api/positions", {"head_dim": 4, "rope_theta": 1e4, "scaling": {"kind": "linear"}}, "lacks factor"),
        (
            "/api/positions",
            {"head_dim": 4, "rope_theta": 1e4, "scaling": {"kind": "linear", "factor": 2, "x": 1}},
            "does not know",
        ),
        ("/api/attention", {"model": "example"}, "text or ids"),
        ("/api/attention", {"model": "example", "ids": []}, "empty"),
        ("/api/attention", {"model": "example", "ids": [99999]}, "no token"),
        ("/api/attention", {"model": "example", "text": "x", "max_tokens": 0}, "max_tokens"),
        ("/api/engine/play", {"model": "example", "prompts": []}, "1 to 16"),
        ("/api/engine/play", {"model": "example", "prompts": ["x"], "num_blocks": 0}, "num_blocks"),
        ("/api/engine/play", {"model": "example", "prompts": ["x" * 100], "num_blocks": 1}, "KV cache holds"),
        ("/api/chat", {"model": "example"}, "messages or a prompt"),
        ("/api/chat", {"model": "example", "prompt": "x", "temperature": -1}, "temperature"),
        ("/api/chat", {"model": "example", "prompt": "x", "alternatives": 21}, "alternatives"),
    ],
)
def test_a_body_that_cannot_be_is_refused_with_the_fix(bare, path, body, part):
    import json

    assert part in bare.refusal("POST", path, headers=POST, content=json.dumps(body).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff",
        b'{"tokenizer": "example", "text": "\xff"}',
        b"[" * 100_000,
        b'{"tokenizer": "example", "text": "\\ud800"}',
        b'{"tokenizer": "example", "text": "\\ud800x"}',
    ],
)
def test_what_is_no_json_is_refused(bare, content):
    assert bare.refusal("POST", "/api/tokens", headers=POST, content=content)


def test_a_body_without_an_end_is_refused(bare):
    assert "1,048,576" in bare.refusal("POST", "/api/tokens", 413, headers=POST, content=b"x" * ((1 << 20) + 1))
