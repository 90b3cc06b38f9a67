"""``textmill model show``: what a model is, from its headers alone."""

from __future__ import annotations

from collections.abc import Iterable
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from textmill.base import units
from textmill.cli.arguments import program
from textmill.cli.model_argument import find_model
from textmill.cli.output import Output, for_terminal

if TYPE_CHECKING:
    from textmill.checkpoint.describe import ModelFacts
    from textmill.model.config import ModelConfig

_BAR_WIDTH = 40
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_NAME_WIDTH = 15


def show(
    model: str,
    /,
    *,
    tensors: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Show what a model is: sizes, attention, RoPE, tokenizer, and where its bytes are. No weight is read.

    For example:
        textmill model show smollm2-135m-instruct
        textmill model show model.gguf --tensors
        textmill model show runs/demo --json

    A model that textmill cannot run is shown as far as its files can be read, with the reason.

    Parameters
    ----------
    model
        A model folder, a .gguf file, a run (its last checkpoint), or a name from `textmill model get`.
    tensors
        List every tensor, too.
    json
        Print everything as JSON.
    """
    from textmill.checkpoint.describe import describe

    out = Output()
    facts = describe(find_model(model, out))
    if json:
        out.json(as_table(facts, with_tensors=tensors))
        return 0
    out.data(for_terminal(f"{facts.name}  ({facts.architecture})"))
    for name, value in _lines(facts):
        out.data(for_terminal(f"{name:<{_NAME_WIDTH}}{value}"))
    _draw_bytes(out, facts)
    if tensors:
        _list_tensors(out, facts)
    if facts.config is not None:
        out.hint(f"next: {program()} model estimate {quote(model)}")
    return 0


def as_table(facts: ModelFacts, *, with_tensors: bool) -> dict[str, Any]:
    """Return the facts as JSON can hold them."""
    from textmill.base.config import to_table

    tokenizer, rules = facts.tokenizer, facts.text_rules
    table = {
        "path": str(facts.path),
        "format": facts.format,
        "name": facts.name,
        "architecture": facts.architecture,
        "file_bytes": facts.file_bytes,
        "num_parameters": facts.num_parameters,
        "runs": facts.refusal is None,
        "refusal": facts.refusal,
        "sizes": facts.sizes if facts.config is None else to_table(facts.config),
        "types": _by(facts, "type"),
        "parts": _by(facts, "part"),
        "tokenizer": None
        if tokenizer is None
        else {
            "vocab_size": tokenizer.vocab_size,
            "pattern": tokenizer.pattern,
            "special_tokens": len(tokenizer.special_tokens),
            "has_chat_template": tokenizer.chat_template is not None,
        },
        "tokenizer_error": facts.tokenizer_error,
        "prefix_ids": None if rules is None else list(rules.prefix_ids),
        "bos_token_id": None if rules is None else rules.bos_token_id,
        "stop_ids": None if rules is None else sorted(rules.stop_ids),
    }
    if with_tensors:
        table["tensors"] = [
            {"name": t.name, "type": t.type, "shape": list(t.shape), "bytes": t.num_bytes} for t in facts.tensors
        ]
    return table


def _lines(facts: ModelFacts) -> Iterable[tuple[str, str]]:
    yield "from", f"{facts.path} ({facts.format}, {units.num_bytes(facts.file_bytes)})"
    yield "parameters", f"{units.count(facts.num_parameters)} ({facts.num_parameters:,})"
    if facts.config is not None:
        yield from _of_config(facts.config)
    else:
        yield "sizes", ", ".join(f"{name} {value}" for name, value in facts.sizes.items()) or "not said"
    yield from _of_tokenizer(facts)
    yield "runs here", "yes" if facts.refusal is None else f"no: {facts.refusal}"


def _of_config(config: ModelConfig) -> Iterable[tuple[str, str]]:
    from textmill.model.flops import kv_cache_bytes

    tied = ", which is the head too" if config.tie_word_embeddings else ", and a head of its own"
    yield (
        "layers",
        f"{config.num_hidden_layers}, {config.hidden_size:,} wide, feed-forward {config.intermediate_size:,}; "
        f"a table of {config.vocab_size:,} rows{tied}",
    )
    yield "attention", attention_kind(config) + _extras(config)
    if config.sliding_window is not None:
        yield (
            "window",
            f"{config.sliding_window:,} tokens in {len(config.sliding_layers)} of {config.num_hidden_layers} layers",
        )
    yield "RoPE", _rope(config)
    context = config.max_position_embeddings
    per_token = kv_cache_bytes(config, 1)
    yield "context", f"{context:,} tokens"
    yield (
        "KV cache",
        f"{units.num_bytes(per_token)} a token in bf16, {units.num_bytes(per_token * context)} for {context:,}",
    )


def attention_kind(config: ModelConfig) -> str:
    """Name how query heads share key-value heads, with the numbers."""
    queries, shared = config.num_attention_heads, config.num_key_value_heads
    if shared == queries:
        return f"multi-head: {queries} heads of {config.head_dim}"
    if shared == 1:
        return f"multi-query: {queries} query heads share one key-value head of {config.head_dim}"
    return f"grouped-query: {queries} query heads share {shared} key-value heads of {config.head_dim}"


def _extras(config: ModelConfig) -> str:
    biases = [name for name in ("qkv", "o", "mlp") if getattr(config, f"{name}_bias")]
    extras = [f"biases in {', '.join(biases)}"] if biases else []
    extras += ["QK-norm"] if config.qk_norm else []
    extras += ["value embeddings"] if config.value_embeddings else []
    return "".join(f"; {extra}" for extra in extras)


def _rope(config: ModelConfig) -> str:
    import dataclasses

    scaling = config.rope_scaling
    line = f"base {config.rope_theta:,.0f}"
    if scaling is not None:
        kind = type(scaling).__name__.removesuffix("Scaling").lower()
        given = {name: value for name, value in dataclasses.asdict(scaling).items() if value is not None}
        line += f", scaled by {kind}: " + ", ".join(f"{name} {value}" for name, value in given.items())
    if config.nope_layers:
        line += f"; none in layers {', '.join(map(str, config.nope_layers))}"
    return line


def _of_tokenizer(facts: ModelFacts) -> Iterable[tuple[str, str]]:
    tokenizer, rules = facts.tokenizer, facts.text_rules
    if tokenizer is None:
        yield "tokenizer", f"cannot be read: {facts.tokenizer_error}"
        return
    pattern = tokenizer.pattern if len(tokenizer.pattern) < 40 else "of its own"
    yield "tokenizer", f"{tokenizer.vocab_size:,} tokens, pattern {pattern}"
    names = {token_id: text for text, token_id in tokenizer.special_tokens.items()}
    if rules is not None:
        begins = " ".join(f"{names.get(i, '')} {i}".strip() for i in rules.prefix_ids) or "nothing added"
        ends = ", ".join(f"{names.get(i, '')} {i}".strip() for i in sorted(rules.stop_ids)) or "nothing"
        yield "texts", f"begin with {begins}, end at {ends}"
    template = tokenizer.chat_template
    yield "chat template", f"yes, {len(template):,} characters" if template else "no: it goes on from texts"


def _by(facts: ModelFacts, what: str) -> dict[str, dict[str, int]]:
    """Tensors and bytes of each type or part, the most bytes first."""
    groups: dict[str, dict[str, int]] = {}
    for tensor in facts.tensors:
        group = groups.setdefault(getattr(tensor, what), {"tensors": 0, "bytes": 0})
        group["tensors"] += 1
        group["bytes"] += tensor.num_bytes
    return dict(sorted(groups.items(), key=lambda item: -item[1]["bytes"]))


def _draw_bytes(out: Output, facts: ModelFacts) -> None:
    """A bar a part of the model: where people look when they choose what to make smaller."""
    total = sum(tensor.num_bytes for tensor in facts.tensors)
    if not total:
        return
    out.data("\nwhere the bytes are")
    for part, group in _by(facts, "part").items():
        share = group["bytes"] / total
        types = _by_types(facts, part)
        line = Text(f"  {part:<13}")
        line.append(f"{bar(share, _BAR_WIDTH)}", style="cyan")
        line.append(f" {share:5.1%}  {units.num_bytes(group['bytes']):>8}  {types}")
        out.styled(line)


def _by_types(facts: ModelFacts, part: str) -> str:
    counts: dict[str, int] = {}
    for tensor in facts.tensors:
        if tensor.part == part:
            counts[tensor.type] = counts.get(tensor.type, 0) + 1
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def bar(share: float, width: int) -> str:
    """Draw a share of a line of ``width`` columns, to an eighth of a column; what is there at all is seen."""
    eighths = max(1, round(share * width * 8)) if share > 0 else 0
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(width)


def _list_tensors(out: Output, facts: ModelFacts) -> None:
    out.data("\ntensors")
    longest = max((len(tensor.name) for tensor in facts.tensors), default=0)
    for tensor in facts.tensors:
        shape = " x ".join(map(str, tensor.shape))
        out.data(
            for_terminal(
                f"  {tensor.name:<{longest}}  {tensor.type:<5} {shape:>15} {units.num_bytes(tensor.num_bytes):>9}"
            )
        )
