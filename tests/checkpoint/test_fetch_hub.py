"""Fetching from the Hugging Face hub: huggingface_hub itself, against a small hub on this machine."""

import contextlib
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fakes.real_model import open_silent_bar
from textmill.base.errors import ConfigError, MissingExtraError
from textmill.checkpoint import cache
from textmill.checkpoint.fetch import fetch_model
from textmill.checkpoint.fetch_error import FetchError

hub = pytest.importorskip("huggingface_hub", reason="textmill[hub] is not installed")

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = bytes(range(256)) * 4000
MODEL = {
    "config.json": b"{}",
    "generation_config.json": b"{}",
    "model-00001-of-00002.safetensors": WEIGHTS,
    "model-00002-of-00002.safetensors": WEIGHTS[::-1],
    "model.safetensors.index.json": b"{}",
    "tokenizer.json": b"{}",
    "tokenizer.model": b"x",
    "chat_template.jinja": b"{{ x }}",
    "LICENSE": b"as you like",
    "pytorch_model.bin": b"a pickle",
    "consolidated.safetensors": b"the same again",
    "onnx/model.onnx": b"o",
    "onnx/config.json": b"o",
    "README.md": b"r",
}
TAKEN = {
    name: data
    for name, data in MODEL.items()
    if name not in ("pytorch_model.bin", "consolidated.safetensors", "README.md") and "/" not in name
}
GGUFS = {"a-Q4_0.gguf": WEIGHTS, "a-Q8_0.gguf": WEIGHTS * 2, "LICENSE": b"l"}


class Hub(ThreadingHTTPServer):
    """Repositories as the hub serves them; what is wrong with it is set by the tests."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.repositories = {"Org/Model": MODEL, "Org/Gguf": GGUFS, "Org/Pickle": {"pytorch_model.bin": b"p"}}
        self.lies = {}
        self.gated = set()
        self.asked = []


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments): ...

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.server.asked.append((self.command, self.path.partition("?")[0]))
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            return self._info("/".join(parts[2:4]))
        return self._file("/".join(parts[:2]), "/".join(parts[4:]))

    def _info(self, name):
        files = self.server.repositories.get(name)
        if files is None:
            return self._send(401, b'{"error": "no"}', {"X-Error-Code": "RepoNotFound"})
        siblings = [
            {"rfilename": file, "size": len(data), "blobId": "0" * 40}
            | ({"lfs": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 1}})
            for file, data in files.items()
        ]
        return self._send(200, json.dumps({"id": name, "sha": COMMIT, "siblings": siblings}).encode())

    def _file(self, name, file):
        if name in self.server.gated:
            return self._send(403, b"", {"X-Error-Code": "GatedRepo"})
        data = self.server.repositories.get(name, {}).get(file)
        if data is None:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        data = self.server.lies.get(file, data)
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        return self._send(206 if start else 200, data[start:], headers)

    def _send(self, code, body, headers=None):
        self.send_response(code)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("TEXTMILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with Hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(name, file=None):
    return fetch_model(name, file=file, open_bar=open_silent_bar, on_wait=lambda: None)


def contents(folder):
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert "fetched.json" in found
    return {name: data for name, data in found.items() if name != "fetched.json"}


def test_what_is_data_is_taken_and_nothing_else(server, tmp_path):
    fetched = get("Org/Model")
    assert fetched.is_new
    assert fetched.path == tmp_path / "cache" / "models" / "Org" / "Model"
    assert contents(fetched.path) == TAKEN
    assert [path.name for path in fetched.path.parent.iterdir()] == ["Model"]
    assert COMMIT in cache.read_record(fetched.path).source
    asked = len(server.asked)
    assert not get("Org/Model").is_new
    assert len(server.asked) == asked, "a sound model is not asked for again"


class StopsAt:
    """A bar that is interrupted once so many bytes have come."""

    def __init__(self, limit):
        self.limit = limit
        self.seen = [0]

    def update(self, done):
        self.seen.append(done)
        if done >= self.limit:
            raise KeyboardInterrupt


def test_an_interrupted_download_goes_on_where_it_stopped(server):
    bar = StopsAt(len(WEIGHTS) + 1000)
    with pytest.raises(KeyboardInterrupt):
        fetch_model("Org/Model", open_bar=lambda *_: contextlib.nullcontext(bar), on_wait=lambda: None)
    assert cache.find_cached("Org/Model") is None
    server.asked.clear()
    bar = StopsAt(10**9)
    path = fetch_model("Org/Model", open_bar=lambda *_: contextlib.nullcontext(bar), on_wait=lambda: None).path
    assert contents(path) == TAKEN
    assert bar.seen == sorted(bar.seen)
    assert bar.seen[-1] == sum(map(len, TAKEN.values()))
    assert not [path for method, path in server.asked if method == "GET" and "model-00001" in path]


def test_one_gguf_and_then_another(server):
    with pytest.raises(ConfigError, match=r"choose one with --file: a-Q4_0\.gguf, a-Q8_0\.gguf"):
        get("Org/Gguf")
    first = get("Org/Gguf", "a-Q4_0.gguf")
    assert contents(first.path.parent) == {name: GGUFS[name] for name in ("a-Q4_0.gguf", "LICENSE")}
    assert get("Org/Gguf") == get("Org/Gguf", "a-Q4_0.gguf")
    second = get("Org/Gguf", "a-Q8_0.gguf")
    assert second.path.read_bytes() == WEIGHTS * 2
    assert contents(first.path.parent) == GGUFS


def test_names_of_files(server):
    with pytest.raises(ConfigError, match=r'did you mean "a-Q4_0\.gguf"\?'):
        get("Org/Gguf", "a-Q4_1.gguf")
    for file in ("../a.gguf", "x/a.gguf", "pytorch_model.bin", "config.json", ""):
        with pytest.raises(ConfigError, match="must be the name of a GGUF"):
            get("Org/Gguf", file)


def test_odd_names_of_files(server):
    """What is taken is sound when it is asked for again; hidden files and what would be our note are left there."""
    kept = {"_x.json": b"{}", "-x.json": b"{}", "x..json": b"{}"}
    server.repositories["Org/Odd"] = MODEL | kept | {".x.json": b"{}", "fetched.json": b"{}", "LICENSE/a": b"a"}
    assert contents(get("Org/Odd").path) == TAKEN | kept
    assert not get("Org/Odd").is_new
    server.repositories["Org/Odd2"] = {"-x.gguf": b"g", "_x.gguf": b"h", ".x.gguf": b"i", "LICENSES/MIT": b"l"}
    assert contents(get("Org/Odd2", "-x.gguf").path.parent) == {"-x.gguf": b"g"}
    assert get("Org/Odd2", "_x.gguf").path.read_bytes() == b"h"
    with pytest.raises(ConfigError, match="must be the name of a GGUF"):
        get("Org/Odd2", ".x.gguf")


def test_pickles_are_refused(server):
    with pytest.raises(FetchError, match=r"only as pickles \(pytorch_model\.bin\)"):
        get("Org/Pickle")
    server.repositories["Org/Empty"] = {"README.md": b""}
    with pytest.raises(FetchError, match="holds no model"):
        get("Org/Empty")


def test_no_such_model_and_a_gated_one(server):
    with pytest.raises(FetchError, match="has no model Org/Nothing, or it is private"):
        get("Org/Nothing")
    server.gated.add("Org/Model")
    with pytest.raises(FetchError, match=r"is gated: .*HF_TOKEN"):
        get("Org/Model")


@pytest.mark.parametrize("lie", [WEIGHTS[:-1], WEIGHTS[:-1] + b"x"], ids=["short", "other"])
def test_what_is_not_what_the_hub_names_is_refused(server, tmp_path, lie):
    server.lies["model-00001-of-00002.safetensors"] = lie
    with pytest.raises(FetchError, match=r"model-00001-of-00002\.safetensors of Org/Model"):
        get("Org/Model")
    assert cache.find_cached("Org/Model") is None
    server.lies.clear()
    assert contents(get("Org/Model").path) == TAKEN


def test_no_network(server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(FetchError, match="hub cannot be reached"):
        get("Org/Model")
    assert cache.find_cached("Org/Model") is None


def test_without_the_extra(server, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"textmill\[hub\]"):
        get("Org/Model")


def test_a_full_disk_is_told_before_anything_comes(server, monkeypatch):
    monkeypatch.setattr("textmill.checkpoint.hub.shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(OSError, match=r"2\.05 MB.*1 kB free.*TEXTMILL_CACHE"):
        get("Org/Model")
