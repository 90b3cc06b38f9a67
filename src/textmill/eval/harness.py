"""textmill as a model of lm-evaluation-harness, named ``textmill`` there.

    import textmill.eval.harness                                                   # registers it
    lm_eval.simple_evaluate("textmill", "pretrained=runs/tiny/model,weights=f32", tasks=["arc_easy"])

Its answers are those of the harness's own ``hf`` model on the same weights, as far as float32 rounds alike; what the
requests of a document share is computed once. A text is encoded as that model does it: what reads like a control token
becomes one, for a chat template's text comes as a string; and before it comes what the post-processor of tokenizer.json
puts there, whatever ``add_bos_token`` of tokenizer_config.json says, which transformers 5 passes over.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lm_eval.models  # noqa: F401  # pyrefly: ignore  its own models are registered, too
import numpy as np
from lm_eval.api.model import TemplateLM  # pyrefly: ignore
from lm_eval.api.registry import register_model  # pyrefly: ignore
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window  # pyrefly: ignore
from tqdm import tqdm  # pyrefly: ignore

from textmill.base.errors import ConfigError, DataError, did_you_mean
from textmill.checkpoint.sampling_defaults import load_sampling_defaults
from textmill.checkpoint.sources import resolve_model
from textmill.eval.prefix_tree import ScoredText
from textmill.eval.scorer import open_scorer
from textmill.infer.engine import LanguageModel, load
from textmill.tokenizer.end_of_text import end_of_text

_log = logging.getLogger(__name__)

_Request = tuple[Any, list[int], list[int]]
_TEXTS_AT_ONCE = 256
_PROMPTS_AT_ONCE = 64
_MAX_GEN_TOKS = 256
# How the harness's tasks, and those written for one backend, call the same things.
_MOST_TOKENS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_DRAWING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed")
_OF_OTHERS = ("do_sample", "until", *_MOST_TOKENS)
# Stands at the end of a message that is to be gone on with, while the template lays it out.
_GOES_ON = "<<textmill: the message goes on here>>"


@register_model("textmill")
class TextmillLM(TemplateLM):
    """A model that textmill runs.

    Args:
        pretrained: a model folder, a ``*.gguf`` file, a run, a name, or a model that ``textmill.load`` has loaded.
        device: ``cpu`` is the native engine; another is torch's name of it.
        weights: as for ``textmill.load``; ``kv`` is float32 unless given, so that scores are the model's.
        max_length: tokens of prompt and answer together.
        threads: of the CPU.
        add_bos_token: begin texts with BOS, or with nothing; with what the tokenizer's files say unless given.
        prefix_token_id: what a text without a context follows; BOS unless given, EOS where there is none.
        batch_size: is the harness's, and not needed: passes are filled whatever the requests.
        max_batch_size: the same.
        source: where a model that is loaded comes from.
    """

    backend = "causal"

    def __init__(
        self,
        pretrained: str | Path | LanguageModel,
        *,
        device: str | None = None,
        weights: str = "auto",
        kv: str = "f32",
        max_length: int | None = None,
        threads: int | None = None,
        add_bos_token: bool | None = None,
        prefix_token_id: int | None = None,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        source: Path | None = None,
    ) -> None:
        super().__init__()
        if isinstance(pretrained, LanguageModel):
            self.lm = pretrained
        else:
            source = resolve_model(pretrained)
            self.lm = load(source, device or "cpu", weights, kv, max_length, threads)
        self.tokenizer = self.lm.tokenizer
        self._name = "textmill" if source is None else str(source)
        self._device = device or "cpu"
        self._prefix_token_id = prefix_token_id
        self._prefix_ids = self._what_texts_begin_with(add_bos_token)
        self._control_ids = frozenset(token.id for token in self.tokenizer.vocabulary.added if token.is_special)
        defaults = {} if source is None else load_sampling_defaults(source)
        self._penalty = defaults.get("repetition_penalty")  # which transformers takes for greedy answers, too

    def _what_texts_begin_with(self, add_bos_token: bool | None) -> list[int]:
        bos = self.lm.rules.tokenizer_bos_id
        if add_bos_token is not None:
            return [bos] if add_bos_token and bos is not None else []
        if self.tokenizer.prefix_ids != self.lm.rules.prefix_ids:
            _log.warning(
                "tokenizer_config.json and the post-processor of tokenizer.json do not agree on whether a text begins "
                "with BOS. The post-processor counts here, as for the hf model; add_bos_token says otherwise"
            )
        return list(self.tokenizer.prefix_ids)

    @property
    def eot_token_id(self) -> int:
        """What ends a text."""
        eos = self.lm.rules.tokenizer_eos_id
        if eos is not None:
            return eos
        ids = self.lm.config.eos_token_ids or tuple(sorted(self.lm.rules.stop_ids))
        return ids[0] if ids else end_of_text(self.tokenizer)

    @property
    def prefix_token_id(self) -> int:
        """What a text without a context follows: the tokenizer's BOS, or what ends texts where it has none."""
        if self._prefix_token_id is not None:
            return self._prefix_token_id
        bos = self.lm.rules.tokenizer_bos_id
        return self.eot_token_id if bos is None else bos

    @property
    def max_length(self) -> int:
        """Tokens of context and continuation together."""
        return self.lm.context

    @property
    def max_gen_toks(self) -> int:
        """Tokens to make where a task does not say."""
        return _MAX_GEN_TOKS

    @property
    def tokenizer_name(self) -> str:
        """A name for the harness's caches."""
        return self._name.replace("/", "__")

    def get_model_info(self) -> dict[str, Any]:
        """What the harness writes of the model beside its results."""
        return {"model_num_parameters": self.lm.config.num_parameters}

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Encode a text, with what texts begin with before it unless it begins with BOS itself."""
        ids = self.tokenizer.encode(string, special="parse")
        if add_special_tokens is False or (add_special_tokens is None and ids[:1] == [self.prefix_token_id]):
            return ids
        return [*self._prefix_ids, *ids]

    def apply_chat_template(self, chat_history: Sequence[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Lay out a conversation by the model's template, as a text.

        Without a generation prompt the last message is left open, to be gone on with. A template that refuses a
        conversation gets it without its system message, which is told.
        """
        if self.tokenizer.chat_template is None:
            raise DataError("this model has no chat template; evaluate it without apply_chat_template (--chat)")
        try:
            return self._laid_out(chat_history, add_generation_prompt)
        except DataError as error:
            others = [message for message in chat_history if message["role"] != "system"]
            if len(others) == len(chat_history):
                raise
            _log.warning("%s. The system message is left out", error)
            return self._laid_out(others, add_generation_prompt)

    def _laid_out(self, messages: Sequence[dict[str, str]], add_generation_prompt: bool) -> str:
        if add_generation_prompt:
            return self.tokenizer.decode(self.tokenizer.apply_chat_template(messages))
        *before, last = messages
        # With a space behind it, as a template may take off spaces at a message's end.
        last = {**last, "content": f"{last['content']}{_GOES_ON} "}
        ids = self.tokenizer.apply_chat_template([*before, last], add_generation_prompt=False)
        text, mark, behind = self.tokenizer.decode(ids).rpartition(_GOES_ON)
        if not mark:
            raise DataError("the chat template leaves out what the last message says, which is to be gone on with")
        return text if behind.startswith(" ") else text.rstrip()

    def _loglikelihood_tokens(
        self, requests: Sequence[_Request], disable_tqdm: bool = False, **kwargs: Any
    ) -> list[tuple[float, bool]]:
        texts = [self._text(context, continuation) for _, context, continuation in requests]
        found = []
        with open_scorer(self.lm) as scorer, _bar(len(texts), "loglikelihood", disable_tqdm) as bar:
            for (request, _, _), score in zip(requests, scorer.score(texts, at_once=_TEXTS_AT_ONCE), strict=True):
                answer = (score.total, score.is_greedy)
                found.append(answer)
                if request is not None:
                    self.cache_hook.add_partial("loglikelihood", request, answer)
                bar.update(1)
        return found

    def _text(self, context: list[int], continuation: list[int]) -> ScoredText:
        """The tokens of a request; a context that is too long loses its beginning, as in the harness's own models."""
        ids = [*context, *continuation][-(self.max_length + 1) :]
        if not 0 < len(continuation) < len(ids):
            raise DataError(
                f"a continuation of {len(continuation):,} tokens is to be scored in a context of {self.max_length:,}; "
                "load the model with a larger max_length"
            )
        return ScoredText(np.array(ids, np.int32), len(ids) - len(continuation))

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """The log-probability of whole texts, in windows side by side as the harness cuts them."""
        windows: list[_Request] = []
        counts = []
        for (text,) in (request.args for request in requests):
            cut = get_rolling_token_windows(
                token_list=self.tok_encode(text),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length,
                context_len=1,
            )
            before = len(windows)
            windows += [(None, *make_disjoint_window(window)) for window in cut]
            counts.append(len(windows) - before)
        scores = iter(self._loglikelihood_tokens(windows, disable_tqdm))
        found = []
        for request, count in zip(requests, counts, strict=True):
            found.append(sum(next(scores)[0] for _ in range(count)))
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, found[-1])
        return found

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Go on from texts to one of their ends."""
        found: list[str] = []
        with _bar(len(requests), "generate_until", disable_tqdm) as bar:
            for batch in _alike(requests):
                options = self._options(batch[0].args[1])
                most = self.max_length - options["max_tokens"]
                if most < 1:
                    raise ConfigError(
                        f"{options['max_tokens']:,} tokens are to be made, and the context is {self.max_length:,}: "
                        "there is no room for a prompt"
                    )
                prompts = [self.tok_encode(request.args[0])[-most:] for request in batch]
                for request, completion in zip(batch, self.lm.generate(prompts, **options), strict=True):
                    text = self._written(completion.ids, options["stop"])
                    found.append(text)
                    self.cache_hook.add_partial("generate_until", request.args, text)
                    bar.update(1)
        return found

    def _written(self, ids: Sequence[int], stop: Sequence[str]) -> str:
        """What a model wrote without its control tokens, up to what stops it."""
        text = self.tokenizer.decode([token_id for token_id in ids if token_id not in self._control_ids])
        for end in stop:
            text = text.partition(end)[0]
        return text

    def _options(self, given: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(given) - {*_OF_OTHERS, *_DRAWING})
        if unknown:
            known = (*_OF_OTHERS, *_DRAWING)
            raise ConfigError(
                f'a task asks for "{unknown[0]}", which is not known here{did_you_mean(unknown[0], known)}'
            )
        options: dict[str, Any] = {} if self._penalty is None else {"repetition_penalty": self._penalty}
        options |= {name: given[name] for name in _DRAWING if given.get(name) is not None}
        if given.get("do_sample") is False or "temperature" not in options:
            options["temperature"] = 0.0
        until = given.get("until") or []
        options["stop"] = [text for text in ([until] if isinstance(until, str) else until) if text]
        limits = [given[name] for name in _MOST_TOKENS if given.get(name) is not None]
        options["max_tokens"] = int(limits[0]) if limits else _MAX_GEN_TOKS
        return options


def _alike(requests: Sequence[Any]) -> list[list[Any]]:
    """Requests in batches of those that follow one another and ask for the same."""
    batches: list[list[Any]] = []
    for request in requests:
        last = batches[-1] if batches else None
        if last is not None and last[0].args[1] == request.args[1] and len(last) < _PROMPTS_AT_ONCE:
            last.append(request)
        else:
            batches.append([request])
    return batches


def _bar(total: int, what: str, disable: bool) -> Any:
    return tqdm(total=total, desc=f"Running {what} requests", disable=disable)
