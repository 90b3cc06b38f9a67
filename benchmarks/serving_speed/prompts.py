"""Chats of random words that have exactly so many tokens, the chat template's among them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from inference_speed import models
from textmill import Tokenizer
from textmill.checkpoint.stored_model import open_model

Chat = list[dict[str, str]]


class Prompts:
    """Makes chats; the same seed makes the same ones.

    Each begins with words of its own, in place of the template's own system message, so that nothing is in a cache.
    """

    def __init__(self, seed: int) -> None:
        self.tokenizer: Tokenizer = open_model(models.shipped()).load_tokenizer()
        self._random = random.Random(seed)
        self._words = _words(self.tokenizer)

    def chats(self, count: int, num_tokens: int) -> list[Chat]:
        """Make ``count`` chats of ``num_tokens`` each, which share nothing."""
        return [self._fitted(_chat(self._text(4), []), num_tokens) for _ in range(count)]

    def sharing(self, count: int, shared: int, own: int) -> list[Chat]:
        """Make chats whose first ``shared`` tokens are alike, with at least ``own`` more in each."""
        system = self._text(shared)
        while len(self.ids(_chat(system, []))) < shared + 4:  # what the template adds behind it is not shared
            system += self._text(1)
        num_tokens = len(self.ids(_chat(system, []))) + own
        return [self._fitted(_chat(system, []), num_tokens) for _ in range(count)]

    def ids(self, chat: Chat) -> list[int]:
        """The tokens that a server makes of it."""
        return self.tokenizer.apply_chat_template(chat, add_generation_prompt=True)

    def _fitted(self, chat: Chat, num_tokens: int) -> Chat:
        missing = num_tokens - len(self.ids(chat))
        assert missing > 0, f"{num_tokens} tokens are too few for the template"
        chat = _chat(chat[0]["content"], [self._text(missing)])
        assert len(self.ids(chat)) == num_tokens
        return chat

    def _text(self, num_words: int) -> str:
        return "".join(self._random.choices(self._words, k=num_words))


def _chat(system: str, said: Sequence[str]) -> Chat:
    return [{"role": "system", "content": system}, {"role": "user", "content": "".join(said)}]


def _words(tokenizer: Tokenizer) -> list[str]:
    """The words of the vocabulary: a blank and small letters, one token wherever they stand."""
    words = (tokenizer.decode_bytes([token_id]).decode(errors="replace") for token_id in range(tokenizer.vocab_size))
    return [word for word in words if word[:1] == " " and word[1:].isascii() and word[1:].isalpha() and word.islower()]
