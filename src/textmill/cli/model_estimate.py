"""``textmill model estimate``: what a model takes on this machine, before anything is loaded."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from rich.text import Text

from textmill.base import units
from textmill.base.errors import ConfigError, DataError, did_you_mean
from textmill.cli.arguments import WholeNumber
from textmill.cli.model_argument import find_model
from textmill.cli.output import Output

if TYPE_CHECKING:
    from textmill.checkpoint.stored_model import StoredModel
    from textmill.model.config import ModelConfig
    from textmill.model.estimate import Estimate
    from textmill.model.machine import Memory

Weights = Literal["f32", "bf16", "f16", "q8_0", "q4_0", "int8", "int4", "file"]
_KEPT_BY_ENGINE = ("file", "f32", "bf16", "int8", "int4")
Kv = Literal["f32", "bf16", "f16", "int8"]

_BAR_WIDTH = 50
_NAME_WIDTH = 13


def estimate(
    model: str | None = None,
    /,
    *,
    weights: Weights | None = None,
    kv: Kv = "bf16",
    context: WholeNumber | None = None,
    batch: WholeNumber = 1,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    bandwidth: float | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Say what a model takes: bytes of weights and KV cache, operations, and the speed that this memory allows.

    For example:
        textmill model estimate smollm2-135m-instruct
        textmill model estimate llama-7b --weights int4 --context 4096
        textmill model estimate llama-7b --set num_key_value_heads=8
        textmill model estimate config.json --batch 16 --bandwidth 3350

    Nothing is loaded. This machine's memory is read for a third of a second to see how fast it is.

    Parameters
    ----------
    model
        A model folder, a .gguf file, a config.json, a run, a name from `textmill model get`, or sizes by name:
        llama-7b, llama-13b, smollm2-135m, qwen3-0.6b, ... Without one, every size stands in --set.
    weights
        What weights are kept in; as the engine keeps the file's where there is one, and bf16 elsewhere.
    kv
        What keys and values are kept in.
    context
        Tokens of each text, prompt and answer; the most that the model was made for unless given.
    batch
        Texts at once.
    set_
        Change a size by its Hugging Face name, as in num_hidden_layers=16; may be given several times.
    bandwidth
        GB/s to reckon with, another machine's for one, in the place of a measurement.
    json
        Print everything as JSON.
    """
    from textmill.model import machine

    out = Output()
    if bandwidth is not None and not 0 < bandwidth < 1e9:
        raise ConfigError(f"--bandwidth is {bandwidth:g}, and must be GB/s above 0")
    config, stored = _find(model, set_ or [], out)
    kept_as = weights or ("bf16" if stored is None else "file")
    found = _reckon(config, stored, kept_as, kv=kv, context=context, batch=batch)
    given = _Given(
        weights=kept_as,
        memory=machine.memory(),
        bandwidth=machine.read_bandwidth() if bandwidth is None else bandwidth * 1e9,
        is_measured=bandwidth is None,
    )
    if json:
        out.json(as_table(found, given))
        return 0
    for name, value in _lines(found, given):
        out.data(f"{name:<{_NAME_WIDTH}}{value}")
    out.styled(_memory_bar(found, given.memory))
    return 0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Given:
    """What an estimate is held against."""

    weights: str
    memory: Memory
    bandwidth: float
    is_measured: bool


def as_table(found: Estimate, given: _Given) -> dict[str, Any]:
    """Return an estimate as JSON can hold it; bytes, operations and seconds."""
    return {
        "num_parameters": found.config.num_parameters,
        "weights": given.weights,
        "kv": found.kv,
        "context": found.context,
        "batch": found.batch,
        "weight_bytes": found.weight_bytes,
        "copy_bytes": found.copy_bytes,
        "read_bytes": found.read_bytes,
        "kv_bytes_per_token": found.kv_bytes_per_token,
        "kv_bytes": found.kv_bytes,
        "total_bytes": found.total_bytes,
        "memory_bytes": given.memory.total,
        "memory_available_bytes": given.memory.available,
        "fits": found.total_bytes <= given.memory.total,
        "decode_flops_per_token": found.decode_flops,
        "prefill_flops_per_token": found.prefill_flops,
        "flops_per_byte": found.intensity(found.context),
        "bandwidth_bytes_per_s": given.bandwidth,
        "bandwidth_is_measured": given.is_measured,
        "tokens_per_s_at_most": found.tokens_per_s(given.bandwidth, 0),
        "tokens_per_s_at_most_at_full_context": found.tokens_per_s(given.bandwidth, found.context),
    }


def _find(name: str | None, settings: list[str], out: Output) -> tuple[ModelConfig, StoredModel | None]:
    """A model's sizes, and its files where there are any that have these sizes."""
    from textmill.model.presets import NAMES, preset

    if name is None:
        return _changed(None, settings), None
    if name in NAMES and not Path(name).exists():
        return _changed(preset(name), settings), None
    if Path(name).is_file() and Path(name).suffix == ".json":
        return _changed(_read_config(Path(name)), settings), None
    try:
        path = find_model(name, out)
    except DataError as error:
        raise DataError(f"{error}. Sizes by name: {', '.join(NAMES)}{did_you_mean(name, NAMES)}") from error
    from textmill.checkpoint.stored_model import open_model

    if path.is_dir() and not any(path.glob("*.safetensors")):
        return _changed(_read_config(path / "config.json"), settings), None
    stored = open_model(path, headers_only=True)
    return _changed(stored.config, settings), None if settings else stored


def _read_config(path: Path) -> ModelConfig:
    from textmill.checkpoint.json_files import read_json
    from textmill.model.config import ModelConfig

    try:
        return ModelConfig.from_hf(read_json(path))
    except DataError as error:
        raise DataError(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def _changed(config: ModelConfig | None, settings: list[str]) -> ModelConfig:
    """Lay ``--set`` over the sizes of a model, or make them up from it alone."""
    from textmill.base.config import parse_setting
    from textmill.model.config import ModelConfig

    fields = [field.name for field in dataclasses.fields(ModelConfig)]
    given: dict[str, Any] = {}
    for setting in settings:
        parts, value = parse_setting(setting)
        name = ".".join(parts)
        if name not in fields:
            raise ConfigError(f'--set names no size "{name}"{did_you_mean(name, fields)} Sizes: {", ".join(fields)}')
        given[name] = _whole(value)
    values = {} if config is None else {name: getattr(config, name) for name in fields}
    values |= given
    if {"hidden_size", "num_attention_heads"} & set(given) and "head_dim" not in given:
        values.pop("head_dim", None)
    missing = [name for name in _NEEDED if name not in values]
    if missing:
        what = "a model, or sizes by --set" if not given else "every size"
        raise ConfigError(
            f"estimate needs {what}, and {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
        )
    heads = values["num_attention_heads"]
    values.setdefault("num_key_value_heads", heads)
    if "head_dim" not in values:
        # Where they are no numbers to divide, ModelConfig says which of them is wrong.
        can_divide = isinstance(heads, int) and heads > 0 and isinstance(values["hidden_size"], int)
        values["head_dim"] = values["hidden_size"] // heads if can_divide else 2
    return ModelConfig(**values)


_CONTEXT_MAX = 1 << 27
_NEEDED = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")


def _whole(value: Any) -> Any:
    """``4e3`` is a whole number here, as it is in recipes."""
    return int(value) if isinstance(value, float) and value.is_integer() and value >= 2 else value


def _reckon(
    config: ModelConfig, stored: StoredModel | None, weights: Weights, *, kv: Kv, context: int | None, batch: int
) -> Estimate:
    from textmill.model import estimate as reckoning

    context = config.max_position_embeddings if context is None else context
    if not 1 <= context <= _CONTEXT_MAX:
        raise ConfigError(f"--context is {context:,}, and must be 1 to {_CONTEXT_MAX:,}")
    if not 1 <= batch <= 1 << 20:
        raise ConfigError(f"--batch is {batch:,}, and must be 1 to {1 << 20:,}")
    if stored is not None and weights in _KEPT_BY_ENGINE:
        from textmill.infer.runners.native_weights import kept_sizes

        # What the engine does not compute with becomes f32, where a file's own blocks are asked for, too.
        sizes = kept_sizes(stored, "auto" if weights == "file" else weights)
        return reckoning.of_sizes(config, sizes, kv=kv, context=context, batch=batch)
    if weights == "file":
        raise ConfigError("--weights is file, and there is no file of these sizes; choose another")
    return reckoning.estimate(config, weights=weights, kv=kv, context=context, batch=batch)


def _lines(found: Estimate, given: _Given) -> Iterable[tuple[str, str]]:
    config, memory = found.config, given.memory
    kept_as = "as in the file" if given.weights == "file" else f"in {given.weights}"
    yield (
        "weights",
        f"{units.num_bytes(found.weight_bytes):>10}   {units.count(config.num_parameters)} parameters {kept_as}",
    )
    if found.copy_bytes:
        yield "", f"{units.num_bytes(found.copy_bytes):>10}   more for the head, a copy of the table in its own layout"
    texts = f"{found.batch:,} texts of {found.context:,} tokens" if found.batch > 1 else f"{found.context:,} tokens"
    yield (
        "KV cache",
        f"{units.num_bytes(found.kv_bytes):>10}   {texts} of {units.num_bytes(found.kv_bytes_per_token)}: "
        f"2 x {config.num_hidden_layers} layers x {config.num_key_value_heads} heads x {config.head_dim} in {found.kv}",
    )
    if found.context > config.max_position_embeddings:
        yield "", f"{'':>10}   more than the {config.max_position_embeddings:,} tokens that the model was made for"
    if config.sliding_window is not None:
        window = f"{config.sliding_window:,}"
        yield "", f"{'':>10}   {len(config.sliding_layers)} layers read the last {window} tokens only, and keep all"
    fits = "fits" if found.total_bytes <= memory.total else "does not fit"
    if memory.available < found.total_bytes <= memory.total:
        fits = "fits once other programs give some back"
    yield (
        "in all",
        f"{units.num_bytes(found.total_bytes):>10}   {fits}: this machine has {units.num_bytes(memory.total)}, "
        f"{units.num_bytes(memory.available)} of it free",
    )
    yield (
        "operations",
        f"{_flops(found.prefill_flops):>10}   for a token of the prompt; {_flops(found.decode_flops)} for one of the "
        f"answer, behind {found.context:,}",
    )
    yield "intensity", f"{found.intensity(found.context):>8.3g}   operations for each byte that decoding reads"
    source = "measured here" if given.is_measured else "given"
    first, last = (found.tokens_per_s(given.bandwidth, tokens) for tokens in (0, found.context))
    yield (
        "speed",
        f"{_speed(first):>10}   tokens/s at most: {units.num_bytes(given.bandwidth)}/s {source} / "
        f"{units.num_bytes(found.step_bytes(0))} read a {'step' if found.batch > 1 else 'token'}",
    )
    yield (
        "",
        f"{_speed(last):>10}   tokens/s at most behind {found.context:,} tokens, whose keys and values are read, too",
    )


def _flops(value: float) -> str:
    written = units.count(value)
    return f"{written[:-1]} {'G' if written[-1] == 'B' else written[-1]}FLOP" if value >= 1000 else f"{written} FLOP"


def _speed(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _memory_bar(found: Estimate, memory: Memory) -> Text:
    """This machine's memory as a line: weights, keys and values, and what is left."""
    scale = max(memory.total, found.total_bytes)
    weights = max(1, round(_BAR_WIDTH * (found.weight_bytes + found.copy_bytes) / scale))
    kv = min(max(1, round(_BAR_WIDTH * found.kv_bytes / scale)), max(0, _BAR_WIDTH - weights))
    line = Text(" " * _NAME_WIDTH)
    line.append("█" * weights, style="cyan")
    line.append("▓" * kv, style="magenta")
    line.append("░" * (_BAR_WIDTH - weights - kv), style="dim")
    line.append(f"  █ weights  ▓ KV cache  of {units.num_bytes(scale)}")
    return line
