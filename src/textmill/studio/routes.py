"""What answers each path of the API; docs/reference/studio-api.md says what comes out."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
import re
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, NamedTuple, TypeVar, get_args
from urllib.parse import parse_qs

from textmill import __version__
from textmill.base.errors import ConfigError
from textmill.checkpoint.sampling_defaults import load_sampling_defaults
from textmill.infer.engine import LanguageModel
from textmill.model.estimate import WeightType
from textmill.model.flops import KvType
from textmill.serve.api_error import ApiError
from textmill.serve.exchange import Exchange
from textmill.serve.stepper import Stepper
from textmill.studio import attention as attention_maps
from textmill.studio import model_facts, positions, run_view, sse, tokens
from textmill.studio.chatting import chat
from textmill.studio.engine_feed import Watch, play, pool_event
from textmill.studio.loaded import Loaded
from textmill.studio.requests import (
    AttentionRequest,
    ChatRequest,
    CompareRequest,
    PlayRequest,
    PositionsRequest,
    TokensRequest,
    VocabularyRequest,
)
from textmill.studio.subjects import EXAMPLE, EXAMPLE_FOLDER, checkpoints, told_subject
from textmill.train.run_list import summarise

API = 1
BODY_BYTES_MAX = 1 << 20
_LIVE_S = 0.25
_COMPARED_MAX = 16
_FIELDS_MAX = 64
T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Desk:
    """What all routes share: what is in memory, and the thread that computes."""

    loaded: Loaded
    stepper: Stepper


class Call(NamedTuple):
    """A request: what it has in its path (``name``) and behind it."""

    exchange: Exchange
    name: str
    query: dict[str, list[str]]

    def text(self, key: str, otherwise: str | None = None) -> str:
        """A value of the query; raises ``ApiError`` where it is needed and not there."""
        values = self.query.get(key)
        if values:
            return values[-1]
        if otherwise is None:
            raise ApiError(400, f"{key} is missing: write ?{key}=...", param=key)
        return otherwise

    def number(self, key: str) -> float | None:
        """A number of the query, None where it is not there; raises ``ApiError``."""
        if key not in self.query:
            return None
        try:
            value = float(self.query[key][-1])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ApiError(400, f"{key} is {self.query[key][-1][:50]!r}, and must be a number", param=key)
        return value

    def whole(self, key: str, otherwise: int | None = None) -> int | None:
        """A whole number of the query; raises ``ApiError``."""
        value = self.number(key)
        if value is None:
            return otherwise
        if value != int(value) or abs(value) > 1 << 53:
            raise ApiError(400, f"{key} is {value:g}, and must be a whole number", param=key)
        return int(value)


async def session(desk: Desk, call: Call) -> None:
    """Say what there is to look at."""
    await call.exchange.respond_json(await asyncio.to_thread(_session, desk))


def _session(desk: Desk) -> dict[str, Any]:
    subjects = desk.loaded.subjects
    first = subjects.first.name
    models, tokenizers, runs = subjects.models(), subjects.tokenizers(), subjects.runs()
    return {
        "version": __version__,
        "api": API,
        "open": {
            "view": subjects.view,
            "tokenizer": first if first in tokenizers else next(iter(tokenizers), None),
            "model": first if first in models else next(iter(models), None),
            "run": first if first in runs else next(iter(runs), None),
        },
        "tokenizers": [told_subject(subject) for subject in tokenizers.values()],
        "models": [
            told_subject(subject, steps=list(checkpoints(subject)), is_loaded=desk.loaded.is_loaded(subject.path))
            for subject in models.values()
        ],
        "runs": [told_subject(subject) for subject in runs.values()],
    }


async def example(desk: Desk, call: Call) -> None:
    """Answer with a recorded answer."""
    file = EXAMPLE_FOLDER / f"{call.name}.json"
    if re.fullmatch(r"[a-z-]+", call.name) is None or not file.is_file():
        there = ", ".join(sorted(path.stem for path in EXAMPLE_FOLDER.glob("*.json")))
        raise ApiError(404, f'there is no example "{call.name[:50]}"; there are: {there}', code="not_found")
    await call.exchange.respond(200, file.read_bytes())


async def take_apart(desk: Desk, call: Call) -> None:
    """Take a text apart, in columns."""
    body = await call.exchange.read_json(TokensRequest, BODY_BYTES_MAX)

    def work() -> dict[str, Any]:
        found = tokens.outline(desk.loaded.tokenizer(body.tokenizer), body.text, body.special)
        return {"tokenizer": body.tokenizer, **found}

    await call.exchange.respond_json(await asyncio.to_thread(work))


async def explain(desk: Desk, call: Call) -> None:
    """Take a short text apart, with all there is to say of it."""
    body = await call.exchange.read_json(TokensRequest, BODY_BYTES_MAX)
    tokens.check_text(body.text, tokens.EXPLAINED_BYTES_MAX)

    def work() -> dict[str, Any]:
        return desk.loaded.tokenizer(body.tokenizer).explain(body.text, body.special).to_dict()

    await call.exchange.respond_json(await asyncio.to_thread(work))


async def why(desk: Desk, call: Call) -> None:
    """Say why a text is not one token."""
    body = await call.exchange.read_json(TokensRequest, BODY_BYTES_MAX)
    tokens.check_text(body.text, tokens.TEXT_BYTES_MAX)

    def work() -> dict[str, Any]:
        return desk.loaded.tokenizer(body.tokenizer).why_not(body.text).to_dict()

    await call.exchange.respond_json(await asyncio.to_thread(work))


async def vocabulary(desk: Desk, call: Call) -> None:
    """Look through a vocabulary."""
    body = await call.exchange.read_json(VocabularyRequest, BODY_BYTES_MAX)

    def work() -> dict[str, Any]:
        found = desk.loaded.vocabulary(body.tokenizer).find(body.text, body.script, body.count)
        return {"tokenizer": body.tokenizer, **found}

    await call.exchange.respond_json(await asyncio.to_thread(work))


async def compare_tokens(desk: Desk, call: Call) -> None:
    """Take a text apart by two tokenizers."""
    body = await call.exchange.read_json(CompareRequest, BODY_BYTES_MAX)

    def work() -> dict[str, Any]:
        a, b = desk.loaded.tokenizer(body.a), desk.loaded.tokenizer(body.b)
        found = tokens.compare(a, b, body.text, body.top)
        return found | {"a": {"tokenizer": body.a, **found["a"]}, "b": {"tokenizer": body.b, **found["b"]}}

    await call.exchange.respond_json(await asyncio.to_thread(work))


async def model(desk: Desk, call: Call) -> None:
    """Tell a model's sizes."""

    def work() -> dict[str, Any]:
        subjects = desk.loaded.subjects
        path, stored = subjects.model(call.name), desk.loaded.stored(call.name)
        tokenizer = desk.loaded.tokenizer_of(call.name)
        subject = subjects.models().get(call.name) or subjects.models()[call.name.rpartition("@")[0]]
        return {
            "name": call.name,
            "kind": subject.kind,
            "is_loaded": desk.loaded.is_loaded(path),
            "context": stored.config.max_position_embeddings,
            **model_facts.told_config(stored.config),
            "has_chat_template": tokenizer.chat_template is not None,
            "special_tokens": tokenizer.special_tokens,
            "sampling": load_sampling_defaults(path),
            "steps": list(checkpoints(subject)),
        }

    await call.exchange.respond_json(await asyncio.to_thread(work))


async def positions_of_model(desk: Desk, call: Call) -> None:
    """Tell a model's positions."""
    name = call.text("model", EXAMPLE)
    config = (await asyncio.to_thread(desk.loaded.stored, name)).config
    await call.exchange.respond_json({"model": name, **positions.positions_of(config)})


async def positions_of_numbers(desk: Desk, call: Call) -> None:
    """Tell the positions that numbers make."""
    body = await call.exchange.read_json(PositionsRequest, BODY_BYTES_MAX)
    found = positions.positions_of_numbers(
        head_dim=body.head_dim, rope_theta=body.rope_theta, context=body.context, scaling=body.scaling
    )
    await call.exchange.respond_json({"model": None, **found})


async def memory(desk: Desk, call: Call) -> None:
    """Tell what a model takes."""
    name = call.text("model", EXAMPLE)
    config = (await asyncio.to_thread(desk.loaded.stored, name)).config
    bill = model_facts.memory_bill(
        config,
        context=call.whole("context"),
        batch=call.whole("batch", 1) or 0,
        weights=_choice(call, "weights", WeightType),
        kv=_choice(call, "kv", KvType),
        num_key_value_heads=call.whole("num_key_value_heads"),
    )
    await call.exchange.respond_json({"model": name, **bill})


def _choice(call: Call, key: str, choices: Any) -> Any:
    value = call.text(key, "bf16")
    if value not in get_args(choices):
        raise ApiError(400, f'{key} is "{value[:50]}", and may be {", ".join(get_args(choices))}', param=key)
    return value


async def attention(desk: Desk, call: Call) -> None:
    """Run a prompt through the numpy twin, a layer an event."""
    body = await call.exchange.read_json(AttentionRequest, BODY_BYTES_MAX)
    if (body.text is None) == (body.ids is None):
        raise ConfigError("give a text or ids, one of them")
    stored = await asyncio.to_thread(desk.loaded.stored, body.model)
    tokenizer = await asyncio.to_thread(desk.loaded.tokenizer_of, body.model)
    if body.text is not None:
        tokens.check_text(body.text, tokens.TEXT_BYTES_MAX)
    prefix = stored.load_text_rules(tokenizer).prefix_ids
    ids = [*prefix, *tokenizer.encode(body.text)] if body.text is not None else body.ids or []
    events = attention_maps.attend(stored, tokenizer, ids, max_tokens=body.max_tokens)
    await sse.send(call.exchange, _named_model(sse.in_thread(events), body.model))


async def engine(desk: Desk, call: Call) -> None:
    """Tell what the engine does to the cache of a model, for as long as somebody listens."""
    await sse.send(call.exchange, _engine_events(desk, call.name))


async def _engine_events(desk: Desk, name: str) -> AsyncGenerator[sse.Event]:
    loop = asyncio.get_running_loop()
    async with desk.loaded.lease(name) as lm:
        come = asyncio.Event()
        watch = Watch(lm, lambda: loop.call_soon_threadsafe(come.set))
        async with desk.loaded.watching(lm, watch) as blocks:
            pool, told = pool_event(lm, blocks)
            yield pool, {"model": name, **told}
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LIVE_S):
                        await come.wait()
                come.clear()
                watch.flush()
                for event in watch.take():
                    yield event


async def engine_play(desk: Desk, call: Call) -> None:
    """Answer prompts with a cache of a few blocks."""
    body = await call.exchange.read_json(PlayRequest, BODY_BYTES_MAX)
    for prompt in body.prompts:
        tokens.check_text(prompt, tokens.EXPLAINED_BYTES_MAX)
    await sse.send(call.exchange, _play_events(desk, body))


async def _play_events(desk: Desk, body: PlayRequest) -> AsyncGenerator[sse.Event]:
    """All of it is made in the engine's own thread, between two of its steps: the runner is lent to one thread."""
    loop = asyncio.get_running_loop()
    come: asyncio.Queue[sse.Event | None] = asyncio.Queue()
    over = threading.Event()

    def work(lm: LanguageModel) -> None:
        options = {"max_tokens": body.max_tokens, "num_blocks": body.num_blocks, "at_once": body.at_once}
        for event in play(lm, body.prompts, **options, is_over=over.is_set):
            loop.call_soon_threadsafe(come.put_nowait, event)

    async with desk.loaded.lease(body.model) as lm:
        played = asyncio.ensure_future(desk.stepper.run(lambda: work(lm)))
        played.add_done_callback(lambda _: come.put_nowait(None))
        try:
            while (event := await come.get()) is not None:
                name, data = event
                yield name, {"model": body.model, **data} if name == "pool" else data
            await played
        finally:
            over.set()
            await asyncio.wait([played])


async def _named_model(events: AsyncGenerator[sse.Event], name: str) -> AsyncGenerator[sse.Event]:
    async with contextlib.aclosing(events):
        async for event, data in events:
            yield event, {"model": name, **data} if event == "start" else data


async def runs(desk: Desk, call: Call) -> None:
    """List the runs."""

    def work() -> list[dict[str, Any]]:
        found, now_s = desk.loaded.subjects.runs(), time.time()
        return [run_view.told_line(summarise(subject.path, now_s)) | {"name": name} for name, subject in found.items()]

    await call.exchange.respond_json({"runs": await asyncio.to_thread(work)})


async def run(desk: Desk, call: Call) -> None:
    """Tell all there is to say of a run."""

    def work() -> dict[str, Any]:
        with desk.loaded.run(call.name) as watched:
            return run_view.told_run(watched) | {"name": call.name}

    await call.exchange.respond_json(await asyncio.to_thread(work))


async def run_series(desk: Desk, call: Call) -> None:
    """Tell figures by step."""
    names = call.query.get("figure", [])
    x, begin, end = call.text("x", "step"), call.number("from"), call.number("to")
    points = call.whole("points", run_view.POINTS) or 0

    def work() -> dict[str, Any]:
        with desk.loaded.run(call.name) as watched:
            return run_view.series(watched.history, names, x=x, begin=begin, end=end, points=points)

    await call.exchange.respond_json(await asyncio.to_thread(work))


def _tail(desk: Desk, call: Call) -> run_view.Tail:
    offset, step = call.whole("offset", 0) or 0, call.whole("step", 0) or 0
    if offset < 0 or step < 0:
        raise ApiError(400, "offset and step must not be negative", param="offset")
    return run_view.Tail(desk.loaded.subjects.run(call.name), offset, step)


async def run_tail(desk: Desk, call: Call) -> None:
    """Tell what came after a point of a run's log."""
    tail = await asyncio.to_thread(_tail, desk, call)
    await call.exchange.respond_json(await asyncio.to_thread(tail.read_or_nothing))


async def run_live(desk: Desk, call: Call) -> None:
    """Tell what comes in a run, as it comes."""
    tail = await asyncio.to_thread(_tail, desk, call)
    await sse.send(call.exchange, _live_events(tail))


async def _live_events(tail: run_view.Tail) -> AsyncGenerator[sse.Event]:
    yield "tail", await asyncio.to_thread(tail.read_or_nothing)
    while True:
        news = await asyncio.to_thread(tail.read)
        if news is not None:
            yield "tail", news
        else:
            await asyncio.sleep(_LIVE_S)


async def compare_runs(desk: Desk, call: Call) -> None:
    """Put runs beside each other."""
    names = call.query.get("run", [])
    if not 2 <= len(names) <= _COMPARED_MAX:
        raise ApiError(400, f"there are {len(names)} runs, and 2 to {_COMPARED_MAX} can be compared", param="run")

    def work() -> dict[str, Any]:
        if len(set(names)) < len(names):
            raise ConfigError("a run is named twice; name different ones")
        with desk.loaded.runs(names) as watched:
            return run_view.compared([one.record for one in watched], names)

    await call.exchange.respond_json(await asyncio.to_thread(work))


async def answer(desk: Desk, call: Call) -> None:
    """Answer a conversation or a prompt."""
    body = await call.exchange.read_json(ChatRequest, BODY_BYTES_MAX)
    await sse.send(call.exchange, chat(desk.loaded, desk.stepper, body))


class Route(NamedTuple):
    """What answers a path: the methods it takes, and what each does."""

    path: re.Pattern[str]
    answers: dict[str, Callable[[Desk, Call], Awaitable[None]]]


def _route(path: str, **answers: Callable[[Desk, Call], Awaitable[None]]) -> Route:
    return Route(re.compile(path), answers)


ROUTES = (
    _route("/api/session", GET=session),
    _route("/api/example/(.+)", GET=example),
    _route("/api/tokens", POST=take_apart),
    _route("/api/tokens/explain", POST=explain),
    _route("/api/tokens/why", POST=why),
    _route("/api/tokens/vocabulary", POST=vocabulary),
    _route("/api/tokens/compare", POST=compare_tokens),
    _route("/api/models/(.+)", GET=model),
    _route("/api/positions", GET=positions_of_model, POST=positions_of_numbers),
    _route("/api/memory", GET=memory),
    _route("/api/attention", POST=attention),
    _route("/api/engine/play", POST=engine_play),
    _route("/api/engine/(.+)", GET=engine),
    _route("/api/runs", GET=runs),
    _route("/api/runs-compare", GET=compare_runs),
    _route("/api/runs/(.+)/series", GET=run_series),
    _route("/api/runs/(.+)/tail", GET=run_tail),
    _route("/api/runs/(.+)/live", GET=run_live),
    _route("/api/runs/(.+)", GET=run),
    _route("/api/chat", POST=answer),
)


async def respond(desk: Desk, exchange: Exchange, query: str) -> None:
    """Answer a call of the API.

    Raises:
        ApiError: there is nothing at its path, or not by its method.
        TextmillError: what was asked cannot be.
    """
    for route in ROUTES:
        match = route.path.fullmatch(exchange.path)
        if match is None:
            continue
        method = "GET" if exchange.method == "HEAD" else exchange.method
        if method not in route.answers:
            allowed = ", ".join(route.answers)
            raise ApiError(
                405,
                f"{exchange.path[:200]} takes {allowed}, and this is {exchange.method[:20]}",
                code="method_not_allowed",
                headers=[(b"allow", allowed.encode())],
            )
        name = match[1] if match.re.groups else ""
        try:
            fields = parse_qs(query, max_num_fields=_FIELDS_MAX)
        except ValueError as error:
            raise ApiError(400, f"the query has more than {_FIELDS_MAX} fields; ask for fewer at once") from error
        await route.answers[method](desk, Call(exchange, name, fields))
        return
    raise ApiError(404, f"there is no {exchange.path[:200]} here", code="not_found")
