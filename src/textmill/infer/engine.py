"""A loaded model: prompts in, text out."""

from __future__ import annotations

import copy
import dataclasses
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, Unpack, overload

import numpy as np

from textmill.base.errors import ConfigError, DataError, did_you_mean, require_extra
from textmill.base.isa import check_isa
from textmill.checkpoint.sources import resolve_model
from textmill.checkpoint.stored_model import StoredModel, open_model
from textmill.checkpoint.text_rules import TextRules
from textmill.infer.answer import Answer, Ending, seeds, whole
from textmill.infer.batcher import Batcher
from textmill.infer.constrain import GrammarCompiler
from textmill.infer.mean_state import MeanState
from textmill.infer.option_checks import as_whole, check_whole
from textmill.infer.request import Completion, Delta, OneAnswer, Options, Request
from textmill.infer.runners.runner import Runner
from textmill.model.config import ModelConfig
from textmill.model.flops import KvType, kv_cache_bytes_of
from textmill.model.ranges import SIZES
from textmill.model.rope_scaling import YarnScaling

if TYPE_CHECKING:
    from textmill.tokenizer.tokenizer import Tokenizer
    from textmill.tokenizer.vocabulary import Vocabulary

Message: TypeAlias = Mapping[str, Any]
Prompt: TypeAlias = str | bytes | Sequence[int] | np.ndarray

_WEIGHTS = ("auto", "f32", "bf16", "int8", "int4", "file")
_KV = ("bf16", "f32", "int8")
_DEFAULT_MAX_TOKENS = 256
# More threads than any machine has cores, and few enough to be started.
_THREADS_MAX = 1024


def load(  # noqa: PLR0917  the order is part of the public contract
    path: str | os.PathLike[str],
    device: str = "cpu",
    weights: str = "auto",
    kv: str = "bf16",
    context: int | None = None,
    threads: int | None = None,
    *,
    kv_memory: int | None = None,
    adapters: Mapping[str, str | os.PathLike[str]] | None = None,
) -> LanguageModel:
    """Load a model to generate with.

    Args:
        path: a model folder, a ``*.gguf`` file, a name, or a run (its last good checkpoint).
        device: ``cpu`` is the native engine, which gives the same answer every time; any other is torch's name of one,
            ``cuda`` for one. On CUDA a warning says why attention is slower than it could be, where it is.
        weights: what weights are kept and computed in: ``auto`` as stored (bf16 computes in f32 where the CPU has no
            bf16), ``f32``, ``bf16``, ``int8``, ``int4``, or ``file``: the blocks of a GGUF as they are.
        kv: what keys and values are kept in: ``bf16``, ``f32`` or ``int8``.
        context: tokens of prompt and answer together, up to the model's own, which it is unless given.
        threads: of the CPU; as many as there are cores unless given.
        kv_memory: bytes for keys and values; unless given room for a text of the whole context, or for what the free
            memory holds.
        adapters: folders of adapters (LoRA) in PEFT's format, by names for ``LanguageModel.with_adapter``; they share
            the model's weights and its batches. On the CPU, and for linear layers of the blocks.

    Raises:
        DataError: where the model is missing, damaged, or asks for what cannot be reproduced exactly.
        ConfigError: for a value out of its range, that of TEXTMILL_ISA in the environment included.
        MissingExtraError: for another device than the CPU, without torch.
    """
    options: dict[str, Any] = {
        "weights": weights,
        "kv": kv,
        "context": context,
        "threads": threads,
        "kv_memory": kv_memory,
    }
    check_isa()
    _check_options(**options)
    stored = open_model(resolve_model(Path(path), on_damage=_warn_of_damage))
    return open_stored(stored, device, adapters=adapters, **options)


def open_stored(
    stored: StoredModel,
    device: str = "cpu",
    *,
    weights: str = "auto",
    kv: str = "bf16",
    context: int | None = None,
    threads: int | None = None,
    kv_memory: int | None = None,
    adapters: Mapping[str, str | os.PathLike[str]] | None = None,
) -> LanguageModel:
    """Make a model ready to generate, wherever its tensors lie: in a file, or in memory; else as ``load``."""
    check_isa()
    threads, kv_memory = _check_options(weights=weights, kv=kv, context=context, threads=threads, kv_memory=kv_memory)
    length = _check_context(context, stored.config)
    tokenizer = stored.load_tokenizer()
    rules = stored.load_text_rules(tokenizer)
    options = {"weights": weights, "kv": kv, "context": length, "threads": threads, "kv_memory": kv_memory}
    runner = _open_runner(stored, device, _folders(adapters), **options)
    batcher = Batcher(runner)
    if context is not None and batcher.capacity < context:
        raise ConfigError(
            f"context is {context:,}, and there is memory for the keys and values of {batcher.capacity:,} tokens; take "
            "a shorter one, fewer bits (kv int8), or more kv_memory where you gave one"
        )
    return LanguageModel(
        stored.config, tokenizer, rules, batcher, context=min(length, batcher.capacity), adapters=tuple(adapters or ())
    )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MemoryPlan:
    """Bytes that a model takes on the CPU: its weights and adapters, and at most so many for keys and values."""

    weight_bytes: int
    cache_bytes: int


def planned_memory(
    path: str | os.PathLike[str],
    *,
    free: int,
    weights: str = "auto",
    kv: KvType = "bf16",
    context: int | None = None,
    kv_memory: int | None = None,
    adapters: Mapping[str, str | os.PathLike[str]] | None = None,
    **_others: object,
) -> MemoryPlan:
    """What ``load`` with the same options would take of ``free`` bytes; raises as it does.

    Of the model only headers are read.
    """
    from textmill.infer.runners.native import BLOCK_SIZE, plan_memory
    from textmill.infer.runners.native_adapters import read_adapters

    _check_options(weights=weights, kv=kv, threads=None, kv_memory=kv_memory)
    stored = open_model(resolve_model(Path(path), on_damage=_warn_of_damage), headers_only=True)
    length = _check_context(context, stored.config)
    beside = sum(adapter.num_bytes for adapter in read_adapters(_folders(adapters), stored, headers_only=True))
    weight_bytes, num_blocks = plan_memory(stored, weights, kv, length, kv_memory, free=free, beside=beside)
    cache_bytes = num_blocks * kv_cache_bytes_of(stored.config, BLOCK_SIZE, kv)
    return MemoryPlan(weight_bytes=weight_bytes, cache_bytes=cache_bytes)


def _folders(adapters: Mapping[str, str | os.PathLike[str]] | None) -> dict[str, Path]:
    return {name: Path(folder) for name, folder in (adapters or {}).items()}


def _open_runner(stored: StoredModel, device: str, adapters: Mapping[str, Path], **options: Any) -> Runner:
    if device == "cpu":
        from textmill.infer.runners import native
        from textmill.infer.runners.native_adapters import read_adapters

        return native.open_runner(stored, adapters=read_adapters(adapters, stored), **options)
    if adapters:
        raise ConfigError(
            f"adapters share a model's weights on the CPU alone, and the device is \"{device}\". Load an adapter's "
            "folder in the place of a model: it is merged into its base"
        )
    require_extra("torch", "train", f'running a model on "{device}"')
    from textmill.infer.runners import torch

    return torch.open_runner(stored, device=device, **options)


class LanguageModel:
    """A model that is ready to generate; ``load`` makes one. Threads may share it: their answers are made together.

    Attributes:
        config: its sizes.
        tokenizer: between text and ids.
        context: tokens of prompt and answer together.
        rules: how its texts begin and end.
        batcher: makes the answers, for whoever schedules by himself: ``batcher.submit(answer)`` for ``answers(...)``.
        adapters: the names of those that were loaded with it.
        adapter: the name of the one that changes it here; None where it is the model itself.
    """

    def __init__(
        self,
        config: ModelConfig,
        tokenizer: Tokenizer,
        rules: TextRules,
        batcher: Batcher,
        *,
        context: int,
        adapters: tuple[str, ...] = (),
    ) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.context = context
        self.batcher = batcher
        self.rules = rules
        self.adapters = adapters
        self.adapter: str | None = None
        self._num_ids = min(config.vocab_size, _num_tokens(tokenizer.vocabulary))  # rows from there on only pad
        self._grammars = GrammarCompiler(
            tokenizer.vocabulary.tokens[: self._num_ids], self._control_ids(), tokenizer.encode
        )

    def with_adapter(self, name: str | None) -> LanguageModel:
        """The model as one of its adapters changes it; None for the model itself.

        Weights, KV cache and batches are shared: answers that threads ask for of several adapters are made together,
        and each is the same as alone.

        Raises:
            ConfigError: no adapter of that name was loaded.
        """
        if name is not None and name not in self.adapters:
            known = ", ".join(f'"{known}"' for known in self.adapters) or "none"
            raise ConfigError(
                f'there is no adapter "{name}"{did_you_mean(name, self.adapters)} The model was loaded with {known}'
            )
        adapted = copy.copy(self)
        adapted.adapter = name
        return adapted

    @property
    def adapter_number(self) -> int | None:
        """The adapter as ``Chunk`` and ``Answer`` name it; None where it is the model itself."""
        return None if self.adapter is None else self.adapters.index(self.adapter)

    @overload
    def generate(self, prompt_or_ids: Prompt, **options: Unpack[OneAnswer]) -> Completion: ...
    @overload
    def generate(self, prompt_or_ids: Sequence[Prompt], **options: Unpack[OneAnswer]) -> list[Completion]: ...
    @overload
    def generate(self, prompt_or_ids: Prompt | Sequence[Prompt], **options: Unpack[Options]) -> Any: ...
    def generate(self, prompt_or_ids: Prompt | Sequence[Prompt], **options: Unpack[Options]) -> Any:
        """Go on from a prompt.

        Args:
            prompt_or_ids: a text, as a string or its bytes, to which the model's BOS is added if its files ask for one;
                or token ids, taken as they are; or a list of either, for a list of answers.
            **options: of ``Request``, by name.

        Returns:
            An answer for a prompt, a list of answers for a list of prompts; with ``n`` above 1 each answer is a list of
            ``n``. Answers of a batch are made together, and each is the same as alone.

        Raises:
            ConfigError: for an option out of its range, an id that the model has no row for, or a prompt that is
                longer than the context.
            DataError: where the model's logits are not finite.
        """
        request = Request.of(**options)
        if not _is_batch(prompt_or_ids):
            return self._complete([self.prompt_ids(prompt_or_ids)], request)[0]
        return self._complete([self.prompt_ids(prompt) for prompt in prompt_or_ids], request)

    def stream(self, prompt_or_ids: Prompt, **options: Unpack[Options]) -> Iterator[Delta]:
        """Go on from one prompt, yielding each piece as it comes; arguments and errors as in ``generate``.

        Closing the stream, or dropping it, ends the work on it.
        """
        if _is_batch(prompt_or_ids):
            raise ConfigError("a stream takes one prompt, and this is a list of them; stream each, or use generate")
        request = Request.of(**options)
        if request.n > 1:
            raise ConfigError(f"a stream gives one answer, and n is {request.n}; stream each, or use generate")
        (answer,) = self.answers(self.prompt_ids(prompt_or_ids), request)
        return self._stream(answer)

    @overload
    def chat(self, messages: Sequence[Message], **options: Unpack[OneAnswer]) -> Completion: ...
    @overload
    def chat(self, messages: Sequence[Message], **options: Unpack[Options]) -> Any: ...
    def chat(self, messages: Sequence[Message], **options: Unpack[Options]) -> Any:
        """Answer a conversation, ``[{"role": "user", "content": "..."}, ...]``; options as in ``generate``.

        Raises:
            DataError: where the model has no chat template.
        """
        return self._complete([self.chat_ids(messages)], Request.of(**options))[0]

    def chat_ids(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[int]:
        """Lay out a conversation as the model's chat template does, ready to be answered; raises like ``chat``.

        With ``continue_final_message``, and without the other, the last message is what is to be gone on with.
        """
        if self.tokenizer.chat_template is None:
            raise DataError(
                "this model has no chat template (chat_template.jinja): it was not trained to answer, only to go on "
                "from a text. Use generate, or tune it on conversations first"
            )
        ids = self.tokenizer.apply_chat_template(
            messages,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
            tools=tools,
        )
        return self._checked(ids)

    def logits(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Logits of the token after each id, float32 [T, vocab]; the text is taken as it is.

        They come from the passes that generation makes, with keys and values in the type that ``kv`` said.
        """
        prompt = self._checked(ids)
        logits_TV = np.empty((len(prompt), self.config.vocab_size), np.float32)

        def note(start: int, rows_TV: np.ndarray) -> None:
            logits_TV[start : start + len(rows_TV)] = rows_TV

        ending = Ending(max_tokens=0, num_ids=self._num_ids)
        answer = Answer(prompt, Request(), ending, seed=0, on_prompt_rows=note, adapter=self.adapter_number)
        self.batcher.run([answer])
        list(answer.take_deltas())  # raises what kept the rows from being noted
        return logits_TV

    def embed(self, prompts: Sequence[Prompt]) -> np.ndarray:
        """A vector for each text: the mean over its tokens of the last layer's states, normed; float32 [n, width].

        They are made in the passes that generation makes, together with other threads' answers, and each is the same as
        alone. Raises as ``generate`` does for prompts.
        """
        if not _is_batch(prompts):
            raise ConfigError(
                "embed takes a list of texts, or of lists of ids, and this is one of them; put it in a list"
            )
        means = [self.mean_state(self.prompt_ids(prompt)) for prompt in prompts]
        self.batcher.run([mean.answer for mean in means])
        vectors = [mean.value() for mean in means]
        return np.array(vectors, np.float32).reshape(len(vectors), self.config.hidden_size)

    def mean_state(self, prompt: list[int]) -> MeanState:
        """What makes a text's vector once its ``answer`` has been submitted and is at its end; for ``prompt_ids``."""
        return MeanState(prompt, num_ids=self._num_ids, adapter=self.adapter_number)

    def answers(self, prompt: list[int], request: Request) -> list[Answer]:
        """The answers that a request asks for, ``request.n`` of them, for ``batcher.submit``.

        Raises:
            ConfigError: where the prompt leaves no room for an answer, or the request names ids that there are not.
        """
        room = self.context - len(prompt)
        if room < 1:
            raise ConfigError(
                f"the prompt has {len(prompt):,} tokens, which fill the context of {self.context:,}: no room is left "
                "for an answer. Shorten the prompt, or load a model with a longer context"
            )
        wanted = _DEFAULT_MAX_TOKENS if request.max_tokens is None else request.max_tokens
        ending = Ending(max_tokens=min(wanted, room), stop_ids=self._stop_ids(request), num_ids=self._num_ids)
        known = [token_id for token_id in prompt if token_id < self._num_ids]  # rows that pad have no text
        answers = [
            Answer(
                prompt,
                request,
                ending,
                seed=seed,
                decoder=self.tokenizer.stream_decoder(known),
                constraint=self._grammars.begin(request.grammar) if request.grammar is not None else None,
                adapter=self.adapter_number,
            )
            for seed in seeds(request)
        ]
        for answer in answers[1:]:
            answer.elder = answers[0]
        return answers

    def _control_ids(self) -> frozenset[int]:
        """Tokens that are no text, which no grammar may take for their names."""
        named = {token.id for token in self.tokenizer.vocabulary.added if token.is_special}
        ids = {*named, *self.rules.stop_ids, *self.rules.prefix_ids}
        return frozenset(token_id for token_id in ids if token_id < self._num_ids)

    def _stop_ids(self, request: Request) -> frozenset[int]:
        for name, ids in (("stop_ids", request.stop_ids), ("logit_bias", request.logit_bias)):
            unknown = [token_id for token_id in ids if token_id >= self._num_ids]
            if unknown:
                raise ConfigError(f"{name} has {unknown[0]}, which is no token: ids are 0 to {self._num_ids - 1:,}")
        stop_ids = frozenset(request.stop_ids) | (frozenset() if request.ignore_eos else self.rules.stop_ids)
        if request.min_tokens and len(stop_ids & frozenset(range(self._num_ids))) == self._num_ids:
            raise ConfigError("stop_ids are all tokens there are, so no text of min_tokens can be made")
        return stop_ids

    def _stream(self, answer: Answer) -> Iterator[Delta]:
        """Submit only what is read: a stream that is never begun leaves nothing behind."""
        self.batcher.submit(answer)
        yield from self.batcher.deltas(answer)

    def _complete(self, prompts: Sequence[list[int]], request: Request) -> list[Any]:
        """Answer all prompts together: a completion each, or a list of ``n`` each."""
        groups = [self.answers(prompt, request) for prompt in prompts]
        answers = [answer for group in groups for answer in group]
        self.batcher.run(answers)
        completions = [[whole(answer, list(answer.take_deltas())) for answer in group] for group in groups]
        return completions if request.n > 1 else [group[0] for group in completions]

    def prompt_ids(self, prompt: Any) -> list[int]:
        """The ids that a prompt becomes, with the BOS that the model's files ask for; raises like ``generate``."""
        if not isinstance(prompt, str | bytes):
            return self._checked(prompt)
        ids = [*self.rules.prefix_ids, *self.tokenizer.encode(prompt)]
        if not ids and self.rules.bos_token_id is not None:
            ids = [self.rules.bos_token_id]
        return self._checked(ids)

    def _checked(self, ids: Any) -> list[int]:
        if not _is_list(ids):
            raise ConfigError(f"a prompt is a string or a list of token ids, and this is {_shown(ids)}")
        numbers = []
        for item in ids:
            number = as_whole(item)
            if number is None or not 0 <= number < self.config.vocab_size:
                raise ConfigError(
                    f"{item!r} is no token id of this model; they are 0 to {self.config.vocab_size - 1:,}"
                )
            numbers.append(number)
        if not numbers:
            raise ConfigError(
                "the prompt is empty: ids need at least one, and an empty text a BOS token that the model names"
            )
        if len(numbers) > self.context:
            raise ConfigError(
                f"the prompt has {len(numbers):,} tokens, and the context is {self.context:,}. "
                "Shorten the prompt, or load a model with a longer context"
            )
        return numbers


def _warn_of_damage(error: DataError) -> None:
    warnings.warn(f"{error}; taking the checkpoint before it", stacklevel=3)


def _num_tokens(vocabulary: Vocabulary) -> int:
    """One and the last id that has a text: a GGUF lists rows without a token, too, and they are holes at the end."""
    texts = vocabulary.characters.pieces if vocabulary.characters else vocabulary.tokens
    return 1 + max((token_id for token_id, text in enumerate(texts) if text), default=-1)


def _is_list(ids: Any) -> bool:
    """Whether ids come one after another; an array without dimensions says so, and has none."""
    if isinstance(ids, np.ndarray):
        return ids.ndim > 0
    return isinstance(ids, Iterable) and not isinstance(ids, str | bytes | bytearray | Mapping | Set)


def _shown(value: Any) -> str:
    return f"a {type(value).__name__}" if isinstance(value, Iterable) else repr(value)


def _is_batch(prompt: Any) -> TypeGuard[Sequence[Any]]:
    """``[1, 2, 3]`` is one prompt of ids; ``[[1], [2]]``, ``["a", "b"]`` and ``[]`` are batches."""
    if isinstance(prompt, np.ndarray):
        return prompt.ndim > 1
    return isinstance(prompt, list | tuple) and all(
        isinstance(item, str | bytes | list | tuple | np.ndarray) for item in prompt
    )


def _check_options(
    *, weights: str, kv: str, threads: int | None, kv_memory: int | None, **_others: object
) -> tuple[int | None, int | None]:
    """Check what can be checked without the model; returns ``threads`` and ``kv_memory``."""
    _check_choice("weights", weights, _WEIGHTS)
    _check_choice("kv", kv, _KV)
    return (
        None if threads is None else check_whole("threads", threads, 1, _THREADS_MAX),
        None if kv_memory is None else check_whole("kv_memory", kv_memory, 1),
    )


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        listed = ", ".join(f'"{choice}"' for choice in allowed)
        raise ConfigError(f'{name} is "{value}"{did_you_mean(str(value), allowed)} It may be {listed}')


def _check_context(context: int | None, config: ModelConfig) -> int:
    longest = _longest_context(config)
    if context is None:
        return longest
    length = as_whole(context)
    if length is None or not 1 <= length <= longest:
        raise ConfigError(f"context is {context!r}, and must be 1 to {longest:,}, which the model was made for")
    return length


def _longest_context(config: ModelConfig) -> int:
    """Tokens that the model's files say it is good for.

    YaRN is added to a model by its scaling alone: texts get ``factor`` times as long as the original context.
    Of the other kinds linear says no length, and Llama 3.2's models are good for half of what theirs comes to.
    """
    match config.rope_scaling:
        case YarnScaling(factor=factor, original_max_position_embeddings=original):
            extended = min(round(factor * original), SIZES["max_position_embeddings"][1])
            return max(config.max_position_embeddings, extended)
        case _:
            return config.max_position_embeddings
