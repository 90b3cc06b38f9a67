"""A loaded model: prompts in, text out, in the order of a request's life: prompt, prefill, draw, decode, show."""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, Unpack, overload

import numpy as np

from textmill.base.errors import ConfigError, DataError, did_you_mean, require_extra
from textmill.checkpoint.huggingface import load_config, load_tokenizer
from textmill.checkpoint.sources import resolve_model
from textmill.checkpoint.text_rules import TextRules, load_text_rules
from textmill.infer.detokenize import TextStream
from textmill.infer.request import Completion, Delta, FinishReason, Options, Request
from textmill.infer.runners.runner import Runner
from textmill.infer.sampler import log_softmax, most_probable, sample
from textmill.model.config import ModelConfig

if TYPE_CHECKING:
    from textmill.tokenizer.tokenizer import Tokenizer

Message: TypeAlias = Mapping[str, Any]
Prompt: TypeAlias = str | Sequence[int] | np.ndarray

_WEIGHTS = ("auto", "f32", "bf16")
_KV = ("f32", "bf16")
_NATIVE = ("int8", "int4", "file")
_DEFAULT_MAX_TOKENS = 256
# torch crashes where the system cannot give it the threads it asks for.
_THREADS_MAX = 1024
# Tokens of a prompt in one forward pass: enough to fill the matrix products, small beside the weights.
_PREFILL_CHUNK = 512


def load(  # noqa: PLR0917  the order is part of the public contract
    path: str | os.PathLike[str],
    device: str = "cpu",
    weights: str = "auto",
    kv: str = "bf16",
    context: int | None = None,
    threads: int | None = None,
) -> LanguageModel:
    """Load a model to generate with.

    Args:
        path: a model folder, or a run (its last good checkpoint).
        device: where to compute, as torch names it.
        weights: what weights are kept and computed in: ``auto`` as stored (bf16 in f32 where the CPU has no bf16),
            ``f32`` or ``bf16``.
        kv: what keys and values are kept in: ``bf16`` or ``f32``. It touches generation, and not ``logits``.
        context: tokens of prompt and answer together, up to the model's own, which it is unless given.
        threads: of the CPU; as many as torch takes unless given.

    Raises:
        DataError: where the model is missing, damaged, or asks for what cannot be reproduced exactly.
        ConfigError: for a value out of its range.
        MissingExtraError: without torch.
    """
    _check_choice("weights", weights, _WEIGHTS)
    _check_choice("kv", kv, _KV)
    if threads is not None and (
        not isinstance(threads, int) or isinstance(threads, bool) or not 1 <= threads <= _THREADS_MAX
    ):
        raise ConfigError(f"threads is {threads!r}, and must be 1 to {_THREADS_MAX:,}")
    folder = resolve_model(Path(path), on_damage=_warn_of_damage)
    config = load_config(folder)
    context = _check_context(context, config)
    require_extra("torch", "train", "running a model")
    from textmill.infer.runners.torch import open_runner

    tokenizer = load_tokenizer(folder, config)
    rules = load_text_rules(folder, config, tokenizer)
    runner = open_runner(folder, config, device=device, weights=weights, kv=kv, threads=threads)
    return LanguageModel(config, tokenizer, rules, runner, context=context)


class LanguageModel:
    """A model that is ready to generate; ``load`` makes one."""

    def __init__(
        self, config: ModelConfig, tokenizer: Tokenizer, rules: TextRules, runner: Runner, *, context: int
    ) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.context = context
        self._rules = rules
        self._runner = runner

    @overload
    def generate(self, prompt_or_ids: Prompt, **options: Unpack[Options]) -> Completion: ...
    @overload
    def generate(self, prompt_or_ids: Sequence[Prompt], **options: Unpack[Options]) -> list[Completion]: ...
    def generate(
        self, prompt_or_ids: Prompt | Sequence[Prompt], **options: Unpack[Options]
    ) -> Completion | list[Completion]:
        """Go on from a prompt.

        Args:
            prompt_or_ids: a string, to which the model's BOS is added if its files ask for one; or token ids, taken
                as they are; or a list of either, for a list of answers.
            **options: ``max_tokens``, ``temperature``, ``top_k``, ``top_p``, ``min_p``, ``seed``, ``stop``,
                ``logprobs`` and ``ignore_eos``, as ``Request`` explains them.

        Returns:
            A ``Completion``; for a batch a list of them, each the same as alone.

        Raises:
            ConfigError: for an option out of its range, an id that the model has no row for, or a prompt that is
                longer than the context.
        """
        request = Request.of(**options)
        if _is_batch(prompt_or_ids):
            prompts = [self._prompt_ids(prompt) for prompt in prompt_or_ids]
            return [_whole(self._deltas(ids, request)) for ids in prompts]
        return _whole(self._deltas(self._prompt_ids(prompt_or_ids), request))

    def stream(self, prompt_or_ids: Prompt, **options: Unpack[Options]) -> Iterator[Delta]:
        """Go on from one prompt, yielding each piece as it comes; arguments and errors as in ``generate``."""
        if _is_batch(prompt_or_ids):
            raise ConfigError("a stream takes one prompt, and this is a list of them; stream each, or use generate")
        return self._deltas(self._prompt_ids(prompt_or_ids), Request.of(**options))

    def chat(self, messages: Sequence[Message], **options: Unpack[Options]) -> Completion:
        """Answer a conversation, ``[{"role": "user", "content": "..."}, ...]``; options as in ``generate``.

        Raises:
            DataError: where the model has no chat template.
        """
        return _whole(self._deltas(self.chat_ids(messages), Request.of(**options)))

    def chat_ids(self, messages: Sequence[Message]) -> list[int]:
        """Lay out a conversation as the model's chat template does, ready to be answered; raises like ``chat``."""
        if self.tokenizer.chat_template is None:
            raise DataError(
                "this model has no chat template (chat_template.jinja): it was not trained to answer, only to go on "
                "from a text. Use generate, or tune it on conversations first"
            )
        return self._checked(self.tokenizer.apply_chat_template(list(messages), add_generation_prompt=True))

    def logits(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Logits of the token after each id, float32 [T, vocab]; the text is taken as it is and read at once."""
        return self._runner.logits(self._checked(ids))

    def _prompt_ids(self, prompt: Any) -> list[int]:
        if not isinstance(prompt, str):
            return self._checked(prompt)
        ids = [*self._rules.prefix_ids, *self.tokenizer.encode(prompt)]
        if not ids and self._rules.bos_token_id is not None:
            ids = [self._rules.bos_token_id]
        return self._checked(ids)

    def _checked(self, ids: Iterable[int]) -> list[int]:
        if not isinstance(ids, Iterable):
            raise ConfigError(f"a prompt is a string or a list of token ids, and this is {ids!r}")
        numbers = list(ids)
        for number in numbers:
            if not isinstance(number, int | np.integer) or not 0 <= number < self.config.vocab_size:
                raise ConfigError(
                    f"{number!r} is no token id of this model; they are 0 to {self.config.vocab_size - 1:,}"
                )
        if not numbers:
            raise ConfigError(
                "the prompt is empty: ids need at least one, and an empty text a BOS token that the model names"
            )
        if len(numbers) > self.context:
            raise ConfigError(
                f"the prompt has {len(numbers):,} tokens, and the context is {self.context:,}. "
                "Shorten the prompt, or load a model with a longer context"
            )
        return [int(number) for number in numbers]

    def _deltas(self, prompt: list[int], request: Request) -> Iterator[Delta]:
        """Check that there is room for an answer at once, not when the first piece is asked for."""
        room = self.context - len(prompt)
        if room < 1:
            raise ConfigError(
                f"the prompt has {len(prompt):,} tokens, which fill the context of {self.context:,}: no room is left "
                "for an answer. Shorten the prompt, or load a model with a longer context"
            )
        wanted = _DEFAULT_MAX_TOKENS if request.max_tokens is None else request.max_tokens
        return self._run(prompt, request, min(wanted, room))

    def _run(self, prompt: list[int], request: Request, max_tokens: int) -> Iterator[Delta]:
        seed = secrets.randbits(64) if request.seed is None else request.seed
        stop_ids = frozenset() if request.ignore_eos else self._rules.stop_ids
        known = [token_id for token_id in prompt if token_id < self.tokenizer.vocab_size]  # rows that pad have no text
        shown = TextStream(self.tokenizer.stream_decoder(known), request.stop)
        text = self._runner.open(len(prompt) + max_tokens)
        try:
            logits_V = self._prefill(text, prompt)
            for position in range(len(prompt), len(prompt) + max_tokens):
                token_id = sample(logits_V, request, seed, position)
                if token_id in stop_ids:
                    yield _delta(shown.finish(), [], "stop", logits_V, request.logprobs)
                    return
                new_text = shown.push(token_id)
                is_last = position + 1 == len(prompt) + max_tokens
                if is_last and not shown.stopped:
                    new_text += shown.finish()
                reason: FinishReason | None = "stop" if shown.stopped else "length" if is_last else None
                yield _delta(new_text, [token_id], reason, logits_V, request.logprobs)
                if reason is not None:
                    return
                logits_V = self._drawable(self._runner.extend(text, [token_id]))
        finally:
            self._runner.close(text)

    def _prefill(self, text: int, prompt: list[int]) -> np.ndarray:
        chunks = [prompt[start : start + _PREFILL_CHUNK] for start in range(0, len(prompt), _PREFILL_CHUNK)]
        for chunk in chunks[:-1]:
            self._runner.extend(text, chunk)
        return self._drawable(self._runner.extend(text, chunks[-1]))

    def _drawable(self, logits_V: np.ndarray) -> np.ndarray:
        """Check the logits, and rule out rows that only pad the table: they are no tokens."""
        logits_V[self.tokenizer.vocab_size :] = -np.inf
        if not np.isfinite(logits_V[: self.tokenizer.vocab_size]).all():
            raise DataError("the model gives logits that are not finite: its weights hold NaN or infinity, or overflow")
        return logits_V


def _warn_of_damage(error: DataError) -> None:
    warnings.warn(f"{error}; taking the checkpoint before it", stacklevel=3)


def _delta(
    text: str, ids: list[int], reason: FinishReason | None, logits_V: np.ndarray, num_alternatives: int | None
) -> Delta:
    """A piece of a stream for the tokens drawn from ``logits_V``: one, or none at the end of a text."""
    if num_alternatives is None:
        return Delta(text=text, ids=ids, finish_reason=reason)
    logprobs_V = log_softmax(logits_V)
    return Delta(
        text=text,
        ids=ids,
        finish_reason=reason,
        logprobs=[float(logprobs_V[token_id]) for token_id in ids],
        top_logprobs=[most_probable(logprobs_V, num_alternatives) for _ in ids],
    )


def _whole(deltas: Iterator[Delta]) -> Completion:
    pieces = list(deltas)
    reason = pieces[-1].finish_reason
    assert reason is not None, "the last piece of a stream says why it ended"
    told = any(piece.logprobs is not None for piece in pieces)
    return Completion(
        text="".join(piece.text for piece in pieces),
        ids=[token_id for piece in pieces for token_id in piece.ids],
        finish_reason=reason,
        logprobs=[value for piece in pieces for value in piece.logprobs or ()] if told else None,
        top_logprobs=[table for piece in pieces for table in piece.top_logprobs or ()] if told else None,
    )


def _is_batch(prompt: Any) -> TypeGuard[Sequence[Any]]:
    """``[1, 2, 3]`` is one prompt of ids; ``[[1], [2]]``, ``["a", "b"]`` and ``[]`` are batches."""
    if isinstance(prompt, np.ndarray):
        return prompt.ndim > 1
    return isinstance(prompt, list | tuple) and all(
        isinstance(item, str | list | tuple | np.ndarray) for item in prompt
    )


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value in allowed:
        return
    if value in _NATIVE:
        raise ConfigError(
            f'{name} is "{value}", which comes with the native engine; this release has {_listed(allowed)}'
        )
    raise ConfigError(f'{name} is "{value}"{did_you_mean(str(value), allowed)} It may be {_listed(allowed)}')


def _listed(allowed: Iterable[str]) -> str:
    return ", ".join(f'"{choice}"' for choice in allowed)


def _check_context(context: int | None, config: ModelConfig) -> int:
    longest = config.max_position_embeddings
    if context is None:
        return longest
    if not isinstance(context, int) or isinstance(context, bool) or not 1 <= context <= longest:
        raise ConfigError(f"context is {context!r}, and must be 1 to {longest:,}, which the model was made for")
    return context
