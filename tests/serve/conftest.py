import asyncio
import threading

import httpx
import pytest

import textmill
from fakes.tiny_model import write_model
from serve.served import CONTEXT
from textmill.serve.access_log import AccessLog
from textmill.serve.app import App
from textmill.serve.metrics import Metrics
from textmill.serve.models import Models, ServedModel, holding
from textmill.serve.service import Service
from textmill.serve.settings import Settings
from textmill.serve.stepper import Stepper

BASE = "http://127.0.0.1"


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A model of a few kilobytes with a chat template."""
    path = tmp_path_factory.mktemp("serve") / "tiny"
    write_model(path)
    return path


@pytest.fixture(scope="session")
def long_folder(tmp_path_factory):
    """The same with a context that takes a while to fill."""
    path = tmp_path_factory.mktemp("long") / "tiny"
    write_model(path, max_position_embeddings=CONTEXT)
    return path


@pytest.fixture(scope="session")
def lm(folder):
    """The same model alone: what every answer of the server is held against."""
    return textmill.load(folder, threads=1)


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


class Client:
    """Calls an application in the process, from outside of its loop."""

    def __init__(self, app, service, loop):
        self.app, self.service, self._loop = app, service, loop

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    async def _request(self, method, path, **options):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=BASE) as client:
            return await client.request(method, path, **options)

    def request(self, method, path, **options):
        return self.call(self._request(method, path, **options))

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body=None, **options):
        if body is not None:
            options["json"] = body
        return self.request("POST", path, **options)


def make_client(lm, loop, *, log=None, open_models=True, **settings):
    """An application around a model, or several by name."""
    models = lm if isinstance(lm, list) else [ServedModel(name="tiny", lm=lm, defaults={})]

    async def make():
        failures = []
        stepper = Stepper(asyncio.get_running_loop(), on_failure=failures.append)
        service = Service(Settings(**settings), stepper=stepper, metrics=Metrics("vllm:"))
        if open_models:
            service.open(Models(holding(models)))
        client = Client(App(service, AccessLog(log)), service, loop)
        client.failures = failures
        return client

    return asyncio.run_coroutine_threadsafe(make(), loop).result(60)


@pytest.fixture(scope="session")
def client(folder, loop):
    """The tiny model behind an application with default settings."""
    client = make_client(textmill.load(folder, threads=1), loop)
    yield client
    assert client.service.stepper.stop(30)
    assert client.failures == []
    (model,) = client.service.models.loaded
    model.lm.batcher.check()
    assert model.lm.batcher.statistics().num_blocks_in_use == 0
