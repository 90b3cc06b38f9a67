"""Tokens as they are told beside their log-probabilities: a text, its bytes, its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from textmill.infer.answer import Answer
from textmill.infer.request import Delta
from textmill.infer.sampler import log_softmax, most_probable
from textmill.serve.wire_responses import CompletionLogprobs, TokenLogprob, TopLogprob

if TYPE_CHECKING:
    from textmill.tokenizer.tokenizer import Tokenizer

TokenBytes = Callable[[int], bytes]


def chat_logprobs(delta: Delta, token_bytes: TokenBytes) -> list[TokenLogprob]:
    """What a chat's client is told of the tokens of one piece."""
    return [
        TokenLogprob(
            **_told(token_bytes(token_id), logprob),
            top_logprobs=[TopLogprob(**_told(token_bytes(other), value)) for other, value in top.items()],
        )
        for token_id, logprob, top in zip(
            delta.ids, delta.logprobs or (), delta.top_logprobs or ({},) * len(delta.ids), strict=True
        )
    ]


def _told(data: bytes, logprob: float) -> dict:
    return {"token": data.decode(errors="replace"), "logprob": logprob, "bytes": list(data)}


class CompletionTokens:
    """Tells a completion's tokens, piece by piece, with the place of each in the whole text."""

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int], *, num_alternatives: int, echoes: bool) -> None:
        self._token_bytes = tokenizer.token_bytes
        self._num_alternatives = num_alternatives
        self._decoder = tokenizer.stream_decoder(() if echoes else prompt)
        self._offset = 0

    def tell(
        self,
        ids: Sequence[int],
        logprobs: Sequence[float | None],
        tops: Sequence[Mapping[int, float] | None],
    ) -> CompletionLogprobs:
        """Tell the next tokens; of the first of a prompt the log-probability is None."""
        told = CompletionLogprobs(tokens=[], token_logprobs=list(logprobs), top_logprobs=[], text_offset=[])
        for token_id, logprob, top in zip(ids, logprobs, tops, strict=True):
            text = self._text(token_id)
            told.tokens.append(text)
            told.text_offset.append(self._offset)
            self._offset += len(self._decoder.push(token_id))
            if logprob is None or top is None:
                told.top_logprobs.append(None)
                continue
            alternatives: dict[str, float] = {}
            for other, value in list(top.items())[: max(self._num_alternatives, 1)]:
                alternatives.setdefault(self._text(other), value)
            alternatives.setdefault(text, logprob)
            told.top_logprobs.append(alternatives)
        return told

    def _text(self, token_id: int) -> str:
        """A token's text; as OpenAI writes what is not whole characters, so that two of them stay different."""
        data = self._token_bytes(token_id)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


class PromptLogprobs:
    """Notes what the model thought of a prompt's own tokens, while it reads them."""

    def __init__(self, answer: Answer, num_alternatives: int) -> None:
        """Listen to an answer that is not submitted yet: its prompt will be computed whole."""
        self.logprobs: list[float | None] = [None] * answer.num_prompt
        self.tops: list[dict[int, float] | None] = [None] * answer.num_prompt
        self._ids = answer.ids[: answer.num_prompt]
        self._num_ids = answer.ending.num_ids
        self._num_alternatives = max(num_alternatives, 1)
        answer.on_prompt_rows = self._note

    def _note(self, start: int, logits_TV: np.ndarray) -> None:
        for row, logits_V in enumerate(logits_TV, start + 1):
            if row < len(self._ids) and self._ids[row] < self._num_ids:
                logprobs_V = log_softmax(logits_V[: self._num_ids])
                self.logprobs[row] = float(logprobs_V[self._ids[row]])
                self.tops[row] = most_probable(logprobs_V, self._num_alternatives)
