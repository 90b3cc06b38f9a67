"""textmill as a model of lm-evaluation-harness, named ``textmill`` there.

    import textmill.eval.harness                                                   # registers it
    lm_eval.simple_evaluate("textmill", "pretrained=runs/tiny/model,weights=f32", tasks=["arc_easy"])

Its answers are those of the harness's own ``hf`` model on the same weights, as far as float32 rounds alike; what the
requests of a document share is computed once. A text is encoded as that model does it: what reads like a control token
becomes one, for a chat template's text comes as a string.
"""

from __future__ import annotations

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
from textmill.checkpoint.sources import resolve_model
from textmill.eval.prefix_tree import ScoredText
from textmill.eval.scorer import open_scorer
from textmill.infer.engine import LanguageModel, load
from textmill.tokenizer.end_of_text import end_of_text

_Request = tuple[Any, list[int], list[int]]
_TEXTS_AT_ONCE = 256
_PROMPTS_AT_ONCE = 64
_MAX_GEN_TOKS = 256
# How the harness's tasks, and those written for one backend, call the same things.
_MOST_TOKENS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_DRAWING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed")
_OF_OTHERS = ("do_sample", "until", *_MOST_TOKENS)


@register_model("textmill")
class TextmillLM(TemplateLM):
    """A model that textmill runs.

    Args:
        pretrained: a model folder, a ``*.gguf`` file, a run, a name, or a model that ``textmill.load`` has loaded.
        device: ``cpu`` is the native engine; another is torch's name of it.
        weights: as for ``textmill.load``; ``kv`` is float32 unless given, so that scores are the model's.
        max_length: tokens of prompt and answer together.
        threads: of the CPU.
        batch_size: is the harness's, and not needed: passes are filled whatever the requests.
        max_batch_size: the same.
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
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
    ) -> None:
        super().__init__()
        if isinstance(pretrained, LanguageModel):
            self.lm, self._name = pretrained, "textmill"
        else:
            path = resolve_model(pretrained)
            self.lm = load(path, device or "cpu", weights, kv, max_length, threads)
            self._name = str(path)
        self.tokenizer = self.lm.tokenizer
        self._device = device or "cpu"

    @property
    def eot_token_id(self) -> int:
        """What ends a text."""
        ids = self.lm.config.eos_token_ids or tuple(sorted(self.lm.rules.stop_ids))
        return ids[0] if ids else end_of_text(self.tokenizer)

    @property
    def prefix_token_id(self) -> int:
        """What a text without a context follows: BOS, or what ends texts where there is none."""
        bos = self.lm.rules.bos_token_id
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

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Encode a text; BOS comes before it where the model's files ask for it, unless it is there."""
        ids = self.tokenizer.encode(string, special="parse")
        prefix = list(self.lm.rules.prefix_ids)
        if add_special_tokens is False or ids[: len(prefix)] == prefix:
            return ids
        return [*prefix, *ids]

    def apply_chat_template(self, chat_history: Sequence[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Lay out a conversation by the model's template, as a text."""
        if self.tokenizer.chat_template is None:
            raise DataError("this model has no chat template; evaluate it without apply_chat_template")
        ids = self.tokenizer.apply_chat_template(chat_history, add_generation_prompt=add_generation_prompt)
        return self.tokenizer.decode(ids)

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
                    found.append(completion.text)
                    self.cache_hook.add_partial("generate_until", request.args, completion.text)
                    bar.update(1)
        return found

    def _options(self, given: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(given) - {*_OF_OTHERS, *_DRAWING})
        if unknown:
            known = (*_OF_OTHERS, *_DRAWING)
            raise ConfigError(
                f'a task asks for "{unknown[0]}", which is not known here{did_you_mean(unknown[0], known)}'
            )
        options = {name: given[name] for name in _DRAWING if given.get(name) is not None}
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
