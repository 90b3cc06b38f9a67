import asyncio
import contextlib
import json
import threading

import httpx
import pytest

from fakes.run_log import write_log
from fakes.saved_words import save_words
from fakes.tiny_model import write_model
from textmill.serve.stepper import Stepper
from textmill.studio.app import App
from textmill.studio.loaded import Loaded
from textmill.studio.routes import Desk
from textmill.studio.subjects import Subjects

BASE = "http://127.0.0.1:8400"


@pytest.fixture(scope="session")
def loop():
    """An event loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A model with a chat template, a tokenizer of its own, and two runs, one of them with two checkpoints."""
    place = tmp_path_factory.mktemp("studio")
    write_model(place / "tiny")
    save_words(place / "words.json")
    write_log(place / "runs" / "first", spike_at=25)
    write_log(place / "runs" / "second", steps=30, lr=2e-3)
    for step in (10, 20):
        write_model(place / "runs" / "second" / "checkpoints" / f"step-{step:08d}", rope_theta=10_000.0 + step)
    return place


class Client:
    """Calls the studio in the process, from outside of its loop."""

    def __init__(self, app, loop):
        self.app, self._loop = app, loop

    def run(self, coroutine, seconds=60):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(seconds)

    async def _request(self, method, path, **options):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=BASE) as client:
            return await client.request(method, path, **options)

    def request(self, method, path, **options):
        return self.run(self._request(method, path, **options))

    def get(self, path, **options):
        response = self.request("GET", path, **options)
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, path, body, **options):
        response = self.request("POST", path, json=body, **options)
        assert response.status_code == 200, response.text
        return events_of(response.text) if "event-stream" in response.headers["content-type"] else response.json()

    def refusal(self, method, path, status=400, **options):
        """The message of a call that is refused."""
        response = self.request(method, path, **options)
        assert response.status_code == status, response.text
        error = response.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return error["message"]

    def follow(self, path, seconds=60):
        """The events of a stream without an end; closing it is the client's going away."""
        return Following(self, path, seconds)


class Following:
    """Reads a stream while the test does something else; a context that ends by hanging up."""

    def __init__(self, client, path, seconds):
        self._client, self._path, self._seconds = client, path, seconds
        self.events = []
        self._come = threading.Condition()

    def __enter__(self):
        self._gone = self._client.run(_future())
        self._task = asyncio.run_coroutine_threadsafe(self._follow(), self._client._loop)
        return self

    def __exit__(self, *_):
        self._client._loop.call_soon_threadsafe(lambda: self._gone.done() or self._gone.set_result(None))
        self._task.result(self._seconds)

    async def _follow(self):
        path, _, query = self._path.partition("?")
        told = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive():
            if told:
                return told.pop()
            await asyncio.shield(self._gone)
            return {"type": "http.disconnect"}

        async def send(message):
            with self._come:
                self.events += events_of(message.get("body", b"").decode())
                self._come.notify_all()

        headers = [(b"host", b"127.0.0.1:8400")]
        scope = {"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": headers}
        await self._client.app(scope, receive, send)

    def wait(self, until):
        """Wait until the events fulfil something."""
        with self._come:
            assert self._come.wait_for(lambda: until(self.events), self._seconds), self.events[-3:]
        return self.events


async def _future():
    return asyncio.get_running_loop().create_future()


def events_of(text):
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            events.append((fields["event"], json.loads(fields["data"])))
    return events


@contextlib.contextmanager
def open_studio(loop, given=(), runs=None):
    failures = []

    async def make():
        stepper = Stepper(asyncio.get_running_loop(), on_failure=failures.append)
        return App(Desk(Loaded(Subjects(given, runs)), stepper)), stepper

    app, stepper = asyncio.run_coroutine_threadsafe(make(), loop).result(60)
    yield Client(app, loop)
    assert stepper.stop(30)
    assert failures == []


@pytest.fixture(scope="session")
def studio(place, loop):
    """The studio on a model, a tokenizer, and a folder of runs."""
    with open_studio(loop, [str(place / "tiny"), str(place / "words.json")], place / "runs") as client:
        yield client


@pytest.fixture(scope="session")
def bare(tmp_path_factory, loop):
    """The studio with nothing at hand."""
    with open_studio(loop, runs=tmp_path_factory.mktemp("bare") / "runs") as client:
        yield client


@pytest.fixture
def fresh(tmp_path, loop):
    """The studio with nothing at hand, and nothing in memory yet."""
    with open_studio(loop, runs=tmp_path / "runs") as client:
        yield client
