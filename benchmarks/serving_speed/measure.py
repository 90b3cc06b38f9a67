"""Rounds in which all servers do the same in turn, each with the best of its ways of starting."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from inference_speed.processes import Process
from serving_speed import load
from serving_speed.cases import OURS, Sizes
from serving_speed.load import Answer
from serving_speed.prompts import Chat, Prompts
from serving_speed.servers import Server, Way

ENGINE, WHOLE, STREAMED = "engine", "server, whole", "server, streamed"
_TRIES = 2
# Requests of a round where one is made at a time, which takes a second.
_SINGLES = 3
# Both end-of-text tokens of the model, for servers that know no ignore_eos.
_NEVER = {"0": -100, "2": -100}


@dataclass
class Load:
    """What came of one kind of load, per server, in the order of the rounds.

    Attributes:
        speeds: tokens of answers a second for chats, requests a second where a prefix is shared.
        firsts: seconds to the first token, of all requests of all rounds.
        ways: how each server was started, and the speeds of all ways that were tried.
    """

    speeds: dict[str, list[float]] = field(default_factory=dict)
    firsts: dict[str, list[float]] = field(default_factory=dict)
    ways: dict[str, str] = field(default_factory=dict)
    tried: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def ratios(self, peer: str) -> list[float]:
        """Ours by a peer's, round by round."""
        return [ours / theirs for ours, theirs in zip(self.speeds[OURS], self.speeds[peer], strict=True)]

    def first(self, server: str) -> tuple[float, float]:
        """The median of the times to the first token, and their 99th percentile."""
        taken = self.firsts[server]
        return median(taken), quantiles(taken, n=100, method="inclusive")[98]


@dataclass
class Measured:
    """All that was measured of one model.

    Attributes:
        case: the type of its weights.
        chats, shared: the two loads.
        single: seconds of one request, by the engine itself and by our server in two ways.
        starts: seconds until a server answered; ``idle`` the parts of a core that each takes with nothing to do.
    """

    case: str
    chats: Load = field(default_factory=Load)
    shared: Load = field(default_factory=Load)
    single: dict[str, list[float]] = field(default_factory=dict)
    starts: dict[str, list[float]] = field(default_factory=dict)
    idle: dict[str, float] = field(default_factory=dict)


PARTS = ("chats", "shared", "single", "idle")
_Work = Callable[[Server], tuple[float, list[float]]]


@dataclass(frozen=True, kw_only=True)
class CaseRun:
    """The measurement of one model.

    Attributes:
        case, model: the type of its weights, and its file.
        ways: how servers may be started, ours first.
        prompts: where the questions come from.
        sizes, rounds: how much is done.
    """

    case: str
    model: Path
    ways: Sequence[Way]
    prompts: Prompts
    sizes: Sizes
    rounds: int

    def measure(self, parts: Sequence[str]) -> Measured:
        """Measure what is wanted, of ``PARTS``."""
        measured = Measured(self.case)
        if "chats" in parts:
            self._load(self._chats, measured.chats)
        if "shared" in parts:
            self._load(self._shared, measured.shared)
        if "single" in parts:
            measured.single = self._single()
        if "idle" in parts:
            for name in self._servers():
                self._at_rest(name, measured)
        return measured

    def _servers(self) -> list[str]:
        return list(dict.fromkeys(way.server for way in self.ways))

    def _started(self, way: Way) -> Server:
        return Server(way, f"{self.case}-{way.server}")

    def _chats(self) -> _Work:
        """Many chats at once that share nothing: tokens a second, and the times to the first of them."""
        sizes = self.sizes
        chats = self.prompts.chats(sizes.chats, sizes.chat_prompt)

        def work(server: Server) -> tuple[float, list[float]]:
            answers = _ask(server, chats, sizes.chat_answer, sizes.clients)
            _check(answers, [sizes.chat_prompt] * len(chats), sizes.chat_answer)
            return len(chats) * sizes.chat_answer / _seconds(answers), [answer.first_token_s for answer in answers]

        return work

    def _shared(self) -> _Work:
        """Requests that come at once and begin alike: so many a second, and the times to the first token."""
        sizes = self.sizes
        chats = self.prompts.sharing(sizes.sharers, sizes.shared, sizes.own)
        lengths = [len(self.prompts.ids(chat)) for chat in chats]

        def work(server: Server) -> tuple[float, list[float]]:
            answers = _ask(server, chats, sizes.shared_answer, sizes.sharers)
            _check(answers, lengths, sizes.shared_answer)
            return len(chats) / _seconds(answers), [answer.first_token_s for answer in answers]

        return work

    def _load(self, fresh: Callable[[], _Work], into: Load) -> None:
        """Run all servers in each round, forwards and backwards; a round before them is not counted."""
        best = {name: self._best(name, fresh, into) for name in self._servers()}
        into.ways = {name: way.options for name, way in best.items()}
        into.speeds = {name: [] for name in best}
        into.firsts = {name: [] for name in best}
        with ExitStack() as stack:
            running = {name: stack.enter_context(self._started(way)) for name, way in best.items()}
            for number in range(self.rounds + 1):
                work = fresh()
                for name in running if number % 2 else reversed(running):
                    speed, firsts = work(running[name])
                    self._tell(f"round {number} of {self.rounds}: {name} {speed:.1f}")
                    if number:
                        into.speeds[name].append(speed)
                        into.firsts[name] += firsts

    def _best(self, server: str, fresh: Callable[[], _Work], into: Load) -> Way:
        """The fastest way of a server; each is tried twice, in turn, after a round that is not counted."""
        own = [way for way in self.ways if way.server == server]
        if len(own) == 1:
            return own[0]
        speeds: dict[str, list[float]] = {way.options: [] for way in own}
        for attempt in range(_TRIES):
            for way in own if attempt % 2 == 0 else reversed(own):
                with self._started(way) as running:
                    fresh()(running)
                    speeds[way.options].append(fresh()(running)[0])
                self._tell(f"{server} {way.options}: {speeds[way.options][-1]:.1f}")
        into.tried[server] = speeds
        return max(own, key=lambda way: max(speeds[way.options]))

    def _single(self) -> dict[str, list[float]]:
        """The same requests by the engine and two servers of ours, new to each: guesses go by what is written."""
        taken: dict[str, list[float]] = {ENGINE: [], WHOLE: [], STREAMED: []}
        engine = Process(sys.executable, engine=OURS, model=str(self.model))
        with engine, self._started(self.ways[0]) as whole, self._started(self.ways[0]) as streamed:
            for number in range(self.rounds * _SINGLES + 1):
                (chat,) = self.prompts.chats(1, self.sizes.single_prompt)
                for name in taken if number % 2 else reversed(taken):
                    if name == ENGINE:
                        ids, length = self.prompts.ids(chat), self.sizes.single_answer
                        seconds = engine.ask("generate", ids=ids, num_tokens=length)["seconds"]
                    else:
                        is_streamed = name == STREAMED
                        seconds = self._seconds_of_one(
                            streamed if is_streamed else whole, chat, is_streamed=is_streamed
                        )
                    self._tell(f"one request, round {number} of {self.rounds * _SINGLES}: {name} {seconds:.3f} s")
                    if number:
                        taken[name].append(seconds)
        return taken

    def _seconds_of_one(self, server: Server, chat: Chat, *, is_streamed: bool) -> float:
        body = _body(server.way, chat, self.sizes.single_answer)
        if not is_streamed:
            body["stream"] = False
            del body["stream_options"]
        answer = load.ask(server.port, body)
        _check([answer], [self.sizes.single_prompt], self.sizes.single_answer)
        return answer.ended - answer.sent

    def _at_rest(self, name: str, measured: Measured) -> None:
        """Start a server some times, and watch it after a chat when it has nothing to do."""
        way = next(way for way in self.ways if way.server == name)
        (chat,) = self.prompts.chats(1, self.sizes.chat_prompt)
        starts: list[float] = []
        for number in range(self.rounds):
            with self._started(way) as server:
                starts.append(server.start_s)
                if number == self.rounds - 1:
                    load.ask(server.port, _body(way, chat, self.sizes.chat_answer))
                    measured.idle[name] = server.idle_share(self.sizes.idle_s)
        measured.starts[name] = starts
        self._tell(f"{name} starts in {median(starts):.2f} s and idles at {measured.idle[name]:.2%} of a core")

    def _tell(self, message: str) -> None:
        print(f"{self.case}: {message}", file=sys.stderr, flush=True)


def _ask(server: Server, chats: Sequence[Chat], num_tokens: int, num_clients: int) -> list[Answer]:
    return load.ask_all(server.port, [_body(server.way, chat, num_tokens) for chat in chats], num_clients)


def _body(way: Way, chat: Chat, num_tokens: int) -> dict[str, Any]:
    """A greedy question whose answer has exactly so many tokens, in words that all servers know."""
    body: dict[str, Any] = {
        "model": "any",
        "messages": chat,
        "max_tokens": num_tokens,
        "temperature": 0,
        "stream": True,
    }
    if way.server == OURS:
        del body["model"]
    if way.has_usage:
        body["stream_options"] = {"include_usage": True}
    return body | ({"logit_bias": _NEVER} if way.needs_bias else {"ignore_eos": True})


def _check(answers: Sequence[Answer], lengths: Sequence[int], num_tokens: int) -> None:
    """Raise ``RuntimeError`` where a server did less than was asked for, or counted other tokens."""
    for answer, length in zip(answers, lengths, strict=True):
        prompt, made = answer.counts()
        # Bytes of half a character come together with the next token's, and a stream without usage shows only pieces.
        if (prompt is not None and (prompt, made) != (length, num_tokens)) or made < num_tokens // 2:
            raise RuntimeError(f"a server read {prompt} tokens and made {made}, and not {length} and {num_tokens}")


def _seconds(answers: Sequence[Answer]) -> float:
    return max(answer.ended for answer in answers) - min(answer.sent for answer in answers)
