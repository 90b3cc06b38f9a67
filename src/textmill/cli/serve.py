"""``textmill serve``: a model behind OpenAI's API."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from textmill import __version__
from textmill.base import units
from textmill.base.errors import ConfigError, require_extra
from textmill.cli.arguments import WholeNumber
from textmill.cli.model_argument import find_model
from textmill.cli.model_options import LoadingOptions
from textmill.cli.output import Output

if TYPE_CHECKING:
    from textmill.infer.engine import LanguageModel
    from textmill.serve.models import Models, ServedModel

_LIMITS = Group("Limits", sort_key=3)
_DOORS = Group("Who may come in", sort_key=4)
_LOADING = LoadingOptions()
_KEYS = "TEXTMILL_API_KEYS"


def serve(
    model: list[str],
    /,
    *,
    host: str = "127.0.0.1",
    port: WholeNumber = 8000,
    adapter: Annotated[list[str] | None, Parameter(negative="")] = None,
    memory: Annotated[WholeNumber | None, Parameter(group=_LIMITS)] = None,
    queue: Annotated[WholeNumber, Parameter(group=_LIMITS)] = 256,
    max_body: Annotated[WholeNumber, Parameter(group=_LIMITS)] = 4 << 20,
    timeout: Annotated[float, Parameter(group=_LIMITS)] = 600.0,
    drain: Annotated[float, Parameter(group=_LIMITS)] = 30.0,
    allow_host: Annotated[list[str] | None, Parameter(group=_DOORS, negative="")] = None,
    cors_origin: Annotated[list[str] | None, Parameter(group=_DOORS, negative="")] = None,
    access_log: bool = True,
    log_prompts: Annotated[bool, Parameter(negative="")] = False,
    metrics_prefix: str = "vllm:",
    loading: LoadingOptions = _LOADING,
) -> int:
    """Serve models to any client of OpenAI's API.

    For example:
        textmill serve smollm2-135m-instruct
        textmill serve mine=runs/mine other=model.gguf --port 8080
        textmill serve runs/mine --adapter poet=runs/poet/adapter
        TEXTMILL_API_KEYS=one,two textmill serve model.gguf --host 0.0.0.0

    The address goes to standard output when requests are taken, a line of JSON for each of them to standard error.
    Ctrl-C or SIGTERM lets running ones finish, a second one does not. docs/reference/server.md lists what is answered.

    Parameters
    ----------
    model
        A model folder, a .gguf file, a run, or a name from `textmill model get`; NAME=MODEL says what clients call it.
    host
        The address to listen on; 0.0.0.0 is every address of this machine.
    port
        The port to listen on; 0 takes a free one.
    adapter
        NAME=FOLDER: an adapter (LoRA) in PEFT's format that shares the first model's weights and batches, and what
        clients call it; may be given several times. CPU only.
    memory
        Bytes for all models together, their weights and caches; what is free at the start unless given. The first model
        is loaded then, others when they are asked for, in the place of those that nobody uses.
    queue
        Answers that may wait beside those that are being made; more are told to come again (429).
    max_body
        Bytes of a request at most.
    timeout
        Seconds that a request may take in all.
    drain
        Seconds that running requests may go on when the server is stopped.
    allow_host
        Another name that clients may call the server by, where it listens on this machine only; may be given several
        times.
    cors_origin
        A page that browsers may call the server from, * for any; may be given several times.
    access_log
        Write the line for each request.
    log_prompts
        Have it hold what was asked and answered.
    metrics_prefix
        What the names of metrics begin with.
    """
    for module in ("uvicorn", "httptools", "msgspec", "prometheus_client"):
        require_extra(module, "serve", "textmill serve")
    from textmill.serve import server
    from textmill.serve.doors import is_loopback
    from textmill.serve.settings import Settings

    out = Output()
    _check(queue=queue, max_body=max_body, timeout=timeout, drain=drain, port=port)
    keys = _keys(os.environ.get(_KEYS))
    settings = Settings(
        host=host,
        port=port,
        keys=keys,
        allowed_hosts=tuple(allow_host or ()),
        cors_origins=tuple(cors_origin or ()),
        max_queue=queue,
        max_body_bytes=max_body,
        timeout_s=timeout,
        drain_s=drain,
        log_prompts=log_prompts,
        metrics_prefix=metrics_prefix,
    )
    named = _named(model)
    adapters = {name: find_model(path, out) for name, path in _named_adapters(adapter or [], named).items()}
    found = {name: find_model(path, out) for name, path in named.items()}
    sock = server.listen(host, port)
    address = server.address_of(sock, host)
    out.say(f"textmill {__version__}: loading {', '.join([*found, *adapters])} for {address}")
    if not keys and not is_loopback(host):
        out.say(f"  {host} can be reached by others, and there are no keys: whoever reaches it may ask. Set {_KEYS}")
    return server.run(
        sock,
        settings,
        lambda: _load(found, adapters, loading, memory),
        lambda models: (
            _tell_plans(out, found, adapters, models, loading),
            _tell_ready(out, address, models.loaded[0], has_keys=bool(settings.keys)),
        ),
        log=sys.stderr if access_log else None,
    )


def _check(*, queue: int, max_body: int, timeout: float, drain: float, port: int) -> None:
    if not 0 <= port < 1 << 16:
        raise ConfigError(f"--port is {port}, and must be 0 to 65535")
    for name, value, least in (("queue", queue, 0), ("max-body", max_body, 1), ("drain", drain, 0)):
        if not value >= least:
            raise ConfigError(f"--{name} is {value}, and must be at least {least}")
    if not timeout > 0:
        raise ConfigError(f"--timeout is {timeout:g}, and must be above 0 seconds")


def _keys(told: str | None) -> tuple[str, ...]:
    """The keys of the environment; a variable that was meant to hold some must not open the door to all."""
    keys = tuple(key.strip() for key in (told or "").split(",") if key.strip())
    if told is not None and not keys:
        raise ConfigError(f"{_KEYS} is set, and holds no key. Unset it to let everybody in, or give keys: one,two")
    return keys


def _named(models: list[str]) -> dict[str, str]:
    """What clients call each model, and where it is."""
    named: dict[str, str] = {}
    for argument in models:
        name, equals, path = argument.partition("=")
        if not equals or Path(argument).exists():
            name, path = _own_name(argument), argument
        if not name or not path:
            raise ConfigError(f'"{argument}" is not NAME=MODEL')
        if name in named:
            raise ConfigError(
                f'two models are called "{name}"; give one of them another name: NAME={shlex.quote(path)}'
            )
        named[name] = path
    return named


def _named_adapters(arguments: list[str], models: Mapping[str, str]) -> dict[str, str]:
    """What clients call each adapter, and where it is."""
    named: dict[str, str] = {}
    for argument in arguments:
        name, _, path = argument.partition("=")
        if not name or not path:
            raise ConfigError(f'--adapter is "{argument}", and must be NAME=FOLDER')
        if name in named or name in models:
            raise ConfigError(
                f'"{name}" is the name of another model or adapter; give --adapter another: NAME={shlex.quote(path)}'
            )
        named[name] = path
    return named


def _own_name(path: str) -> str:
    """The last part of a path, without the ending of a file."""
    return path.rstrip("/").rpartition("/")[2].removesuffix(".gguf") or path


def _load(found: dict[str, Path], adapters: dict[str, Path], loading: LoadingOptions, memory: int | None) -> Models:
    """Load the first of the models; others are when they are asked for."""
    from textmill.serve.models import Models, pool_of

    pool = pool_of(found, memory, adapters=adapters, **dataclasses.asdict(loading))
    pool.take().give_back()
    return Models(pool, tuple(adapters))


def _tell_plans(
    out: Output, found: dict[str, Path], adapters: dict[str, Path], models: Models, loading: LoadingOptions
) -> None:
    """Say what each model and adapter takes."""
    for model in models.loaded:
        out.say(f"  {model.name}: {_plan(found[model.name], model.lm, loading)}")
    for name, folder in adapters.items():
        size, rank = _size_of_adapter(folder)
        out.say(f"  {name}: an adapter of rank {rank} on {models.base_of(name)}, takes {units.num_bytes(size)}")
    for name, num_bytes in models.unloaded.items():
        size = f"takes up to {units.num_bytes(num_bytes)}, " if num_bytes else ""
        out.say(f"  {name}: {size}loaded when it is asked for")
    if len(found) > 1 and models.memory and loading.device == "cpu":
        out.say(f"  all models together take up to {units.num_bytes(models.memory)}")


def _tell_ready(out: Output, address: str, first: ServedModel, *, has_keys: bool) -> None:
    """Say where requests are taken, and how to make one."""
    is_chat = first.lm.tokenizer.chat_template is not None
    path = "chat/completions" if is_chat else "completions"
    asked = '"messages": [{"role": "user", "content": "Hello!"}]' if is_chat else '"prompt": "Once upon"'
    key = " -H 'Authorization: Bearer KEY'" if has_keys else ""
    body = f'{{"model": {json.dumps(first.name)}, {asked}, "max_tokens": 64}}'
    out.say(f"ready: {address}/v1")
    out.hint(f"  curl {address}/v1/{path}{key} -H 'Content-Type: application/json' -d {shlex.quote(body)}")
    out.data(address)


def _size_of_adapter(folder: Path) -> tuple[int, int]:
    """Bytes that an adapter takes, and its rank."""
    from textmill.checkpoint.adapter_files import read_config, read_factors
    from textmill.infer.runners.native_adapters import factor_bytes

    config = read_config(folder)
    return factor_bytes(read_factors(folder, config)), config.rank


def _plan(path: Path, lm: LanguageModel, loading: LoadingOptions) -> str:
    """What a model is, and what it takes of the memory."""
    from textmill.checkpoint.stored_model import open_model
    from textmill.infer.runners.native_weights import kept_sizes
    from textmill.model.flops import kv_cache_bytes_of

    weights = "auto" if loading.weights == "file" else loading.weights
    size = sum(kept_sizes(open_model(path, headers_only=True), weights).values())
    held = f"weights take {units.num_bytes(size)}, " if loading.device == "cpu" else ""
    cache = kv_cache_bytes_of(lm.config, lm.batcher.capacity, loading.kv)
    return (
        f"{units.count(lm.config.num_parameters)} parameters, context {lm.context:,}; {held}keys and values of "
        f"{lm.batcher.capacity:,} tokens up to {units.num_bytes(cache)}"
    )
