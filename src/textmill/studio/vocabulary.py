"""Looking through a tokenizer's vocabulary: what holds a text, and what is written in a script."""

from __future__ import annotations

from collections import Counter
from typing import Any

from textmill.base.errors import ConfigError, did_you_mean
from textmill.studio.tokens import told_bytes
from textmill.tokenizer.scripts import scripts_of_characters
from textmill.tokenizer.tokenizer import Tokenizer

FOUND_MAX = 2000
# Groups beside those of Unicode: what is written in no script, and what is a part of a character alone.
NO_SCRIPT = "none"
PARTS = "parts"


class Vocabulary:
    """A tokenizer's tokens with their scripts, made once and looked through often."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokens = tokenizer.vocabulary.tokens
        texts = [_text(token) for token in self._tokens]
        scripts = scripts_of_characters(text for text in texts if text)
        self._folded = [None if text is None else text.casefold() for text in texts]
        self._groups = [_groups(text, scripts) for text in texts]
        counts = Counter(group for groups in self._groups for group in groups)
        self._scripts = sorted(counts.items(), key=lambda item: (-item[1], item[0]))

    def find(self, text: str = "", script: str | None = None, count: int = 200) -> dict[str, Any]:
        """Find the tokens that hold a text, in any case, and have a character of a script; the lowest ids first.

        Args:
            text: what they hold; "#" and a number is the token of this id.
            script: a script by Unicode's name, "none" for tokens without any, "parts" for parts of characters.
            count: tokens to tell at most; all that are found are counted.

        Raises:
            ConfigError: no token is in this script, or the count is out of range.
        """
        known = dict(self._scripts)
        if script is not None and script not in known:
            raise ConfigError(f'no token is of the script "{script[:50]}"{did_you_mean(script[:50], known)}')
        if not 1 <= count <= FOUND_MAX:
            raise ConfigError(f"count is {count:,}, and must be 1 to {FOUND_MAX:,}")
        wanted = text.casefold()
        by_id = int(text[1:]) if text.startswith("#") and text[1:].isascii() and text[1:].isdecimal() else None
        found = [
            token_id
            for token_id, (folded, groups) in enumerate(zip(self._folded, self._groups, strict=True))
            if groups
            and (script is None or script in groups)
            and (token_id == by_id or not wanted or (folded is not None and wanted in folded))
        ]
        return {
            "vocab_size": len(self._tokens),
            "scripts": [{"name": name, "num_tokens": num_tokens} for name, num_tokens in self._scripts],
            "num_found": len(found),
            "tokens": [{"id": token_id, **told_bytes(self._tokens[token_id])} for token_id in found[:count]],
        }


def _text(token: bytes) -> str | None:
    """A token's text, None where it is a part of a character or ends within one."""
    try:
        return token.decode()
    except UnicodeDecodeError:
        return None


def _groups(text: str | None, scripts: dict[str, str]) -> tuple[str, ...]:
    """The scripts of a text; none at all is a hole in the vocabulary, an id without a token."""
    if text is None:
        return (PARTS,)
    found = {scripts[character] for character in text if character in scripts}
    return tuple(sorted(found)) or ((NO_SCRIPT,) if text else ())
