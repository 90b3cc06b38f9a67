"""A conversation: its messages, and a file to keep them in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textmill.base.errors import ConfigError, DataError
from textmill.base.files import write_file
from textmill.checkpoint.json_files import read_json, to_json

_ROLES = ("user", "assistant")
Message = dict[str, str]


class Conversation:
    """What was said, in turns: user, assistant, user, ...

    Attributes:
        system: what the model is told before the first turn; None leaves it to the chat template.
        turns: the messages of user and assistant.
    """

    def __init__(self, system: str | None = None) -> None:
        self.system = system
        self.turns: list[Message] = []

    @property
    def messages(self) -> list[Message]:
        """All messages as a chat template takes them."""
        system = [{"role": "system", "content": self.system}] if self.system is not None else []
        return [*system, *self.turns]

    def ask(self, text: str) -> None:
        """Add a message of the user."""
        self.turns.append({"role": "user", "content": text})

    def answer(self, text: str) -> None:
        """Add the model's answer."""
        self.turns.append({"role": "assistant", "content": text})

    @property
    def is_unanswered(self) -> bool:
        """Whether the last message is the user's."""
        return bool(self.turns) and self.turns[-1]["role"] == "user"

    def take_back(self, role: str) -> Message | None:
        """Remove and return the last message where it is of this role; None where it is not."""
        if not self.turns or self.turns[-1]["role"] != role:
            return None
        return self.turns.pop()

    def reset(self) -> None:
        """Forget all turns; the system message stays."""
        self.turns.clear()

    def save(self, path: Path) -> None:
        """Write the conversation as JSON.

        Raises:
            ConfigError: another file is there, which would be lost.
            StorageError: the file cannot be written.
        """
        if path.is_dir():
            raise ConfigError(f"{path} is a folder; give the name of a file")
        if path.exists():
            try:
                _checked(read_json(path), path)
            except DataError as error:
                raise ConfigError(f"{path} is there, and is no saved conversation; choose another name") from error
        write_file(path, to_json({"messages": self.messages}))

    @classmethod
    def load(cls, path: Path) -> Conversation:
        """Read a conversation; raises ``DataError`` where the file is missing, damaged or no conversation."""
        messages = _checked(read_json(path), path)
        conversation = cls()
        if messages and messages[0]["role"] == "system":
            conversation.system = messages.pop(0)["content"]
        conversation.turns = messages
        return conversation


def _checked(table: dict[str, Any], path: Path) -> list[Message]:
    """The messages of a saved conversation: strings, user and assistant in turns, perhaps after a system message."""
    messages = table.get("messages")
    if not isinstance(messages, list) or not all(map(_is_message, messages)):
        raise DataError(f'{path} holds no conversation: "messages" must be a list of {{"role": ..., "content": ...}}')
    plain = [{"role": message["role"], "content": message["content"]} for message in messages]
    turns = plain[1:] if plain and plain[0]["role"] == "system" else plain
    for number, message in enumerate(turns):
        if message["role"] != _ROLES[number % 2]:
            raise DataError(
                f'{path}: message {number + 1} is of the role "{message["role"][:40]}", and {_ROLES[number % 2]} is due'
            )
    return plain


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str) and isinstance(value.get("content"), str)
