"""``textmill studio`` as it is started: the address, the page or how to get it, the end."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from fakes.run_log import write_log
from fakes.saved_words import save_words
from fakes.tiny_model import write_model
from studio.conftest import open_studio
from textmill.base.errors import DataError
from textmill.studio import pages
from textmill.studio.subjects import EXAMPLE_FOLDER, Subjects


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    write_log(folder / "runs" / "mine")
    errors = (folder / "errors").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "textmill", "studio", "mine", "--port", "0", "--no-open"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        env=os.environ | {"TEXTMILL_CACHE": str(folder / "cache")},
    )
    address = process.stdout.readline().strip()
    assert address.startswith("http://127.0.0.1:"), (folder / "errors").read_text()
    yield process, int(address.rpartition(":")[2]), folder
    process.kill()
    process.communicate()
    errors.close()


@contextlib.contextmanager
def asking(port, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, None, headers)
    with contextlib.closing(connection), connection.getresponse() as response:
        yield response


def ask(port, path, **headers):
    with asking(port, path, **headers) as response:
        return response.status, response.read().decode()


def test_it_opens_on_what_was_given(server):
    _, port, _ = server
    session = json.loads(ask(port, "/api/session")[1])
    assert session["open"]["view"] == "training"
    assert session["open"]["run"] == "mine"


def test_without_the_page_it_says_how_to_get_it(server):
    _, port, folder = server
    status, page = ask(port, "/")
    if pages.is_built():
        assert status == 200
        return
    assert status == 503
    assert "make studio" in page
    assert "make studio" in (folder / "errors").read_text()


def test_a_rebound_name_is_refused_over_a_real_connection(server):
    _, port, _ = server
    assert ask(port, "/api/session", Host="rebound.example")[0] == 403


def test_only_this_machine_reaches_it(server):
    """The socket is bound to the loopback's address and to no other."""
    process, port, _ = server
    table = Path(f"/proc/{process.pid}/net/tcp")
    if not table.is_file():
        pytest.skip("the system has no table of sockets to read")
    lines = table.read_text().splitlines()
    listening = [line.split()[1] for line in lines[1:] if line.split()[3] == "0A"]
    assert [one for one in listening if one.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


def test_an_interruption_ends_it_with_streams_open(server):
    process, port, folder = server
    with asking(port, "/api/runs/mine/live") as stream:
        assert stream.readline() == b"event: tail\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert "Traceback" not in (folder / "errors").read_text()


def test_what_is_given_may_be_a_run_a_model_or_a_tokenizer(tmp_path, monkeypatch):
    monkeypatch.setenv("TEXTMILL_CACHE", str(tmp_path / "cache"))
    runs = tmp_path / "runs"
    write_log(runs / "mine")
    write_model(tmp_path / "tiny")
    save_words(tmp_path / "words.json")
    given = [str(tmp_path / "words.json"), str(tmp_path / "tiny"), "mine"]
    subjects = Subjects(given, runs)
    assert subjects.view == "tokens"
    assert list(subjects.tokenizers()) == ["words.json", "tiny", "example"]
    assert list(subjects.models()) == ["tiny", "example"]
    assert list(subjects.runs()) == ["mine", "example"]
    assert [Subjects([one], runs).view for one in given] == ["tokens", "chat", "training"]
    with pytest.raises(DataError, match="is no run, no model and no tokenizer"):
        Subjects(["nothing"], runs)
    twice = Subjects([str(tmp_path / "tiny"), str(tmp_path / "runs" / ".." / "tiny")], runs)
    assert len(twice.models()) == 2  # one model, and the example


def test_runs_of_one_name_are_told_apart(tmp_path, loop):
    """One is given and one lies in the folder; a bundled one has a name that a user's run may have, too."""
    places = [write_log(tmp_path / folder / "mine") for folder in ("given", "other", "runs")]
    write_log(tmp_path / "runs" / "example", steps=5, planned=5)
    given = [str(places[0]), str(places[1]), str(places[0])]
    subjects = Subjects(given, tmp_path / "runs")
    assert [(name, subject.path) for name, subject in subjects.runs().items()] == [
        ("mine", places[0]),
        ("mine (other)", places[1]),
        ("example", tmp_path / "runs" / "example"),
        ("mine (runs)", places[2]),
        ("example (bundled)", EXAMPLE_FOLDER),
    ]
    with open_studio(loop, given, tmp_path / "runs") as studio:
        names = ["mine", "mine (runs)", "example", "example (bundled)"]
        lines = {line["name"]: line["step"] for line in studio.get("/api/runs")["runs"]}
        assert lines["example"] == 5 < lines["example (bundled)"]
        for name in names:
            assert studio.get(f"/api/runs/{quote(name)}")["name"] == name
            assert studio.get(f"/api/runs/{quote(name)}/series?figure=loss")["num_steps"] == lines[name]
        told = studio.get("/api/runs-compare", params={"run": names})
        assert [row["run"] for row in told["scores"]["training"]] == names


def test_two_places_of_one_name_in_folders_of_one_name_have_their_whole_paths(tmp_path):
    places = [tmp_path / folder / "runs" / "mine" for folder in ("a", "b", "c")]
    for place in places:
        write_log(place)
    named = Subjects([str(place) for place in places], tmp_path / "none").runs()
    assert list(named)[:3] == ["mine", "mine (runs)", f"mine ({places[2].resolve()})"]


def test_runs_that_come_later_are_there(tmp_path):
    subjects = Subjects((), tmp_path / "runs")
    assert list(subjects.runs()) == ["example"]
    write_log(tmp_path / "runs" / "late")
    assert list(subjects.runs()) == ["late", "example"]


def test_a_tokenizer_may_have_an_at_in_its_name(tmp_path):
    save_words(tmp_path / "words@2.json")
    subjects = Subjects([str(tmp_path / "words@2.json")], tmp_path / "runs")
    assert subjects.tokenizer("words@2.json") == tmp_path / "words@2.json"


def test_a_page_is_served_from_what_was_built(tmp_path, bare, monkeypatch):
    dist = tmp_path / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / "index.html").write_text("<!doctype html><title>page</title>")
    (dist / "assets" / "index-1a2b.js").write_text("export {}")
    (tmp_path / "secret.txt").write_text("secret")
    (dist / "assets" / "link.txt").symlink_to(tmp_path / "secret.txt")
    monkeypatch.setattr(pages.respond_page, "__defaults__", (dist,))
    page = bare.request("GET", "/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    assert bare.request("GET", "/runs/any-view").text == page.text
    script = bare.request("GET", "/assets/index-1a2b.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert "immutable" in script.headers["cache-control"]
    again = bare.request("GET", "/assets/index-1a2b.js", headers={"if-none-match": script.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for path in ("/assets/link.txt", "/assets/none.js", "/assets/..%2f..%2fsecret.txt"):
        assert bare.request("GET", path).status_code == 404
