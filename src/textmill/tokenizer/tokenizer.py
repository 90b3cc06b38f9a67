"""The tokenizer: text to token ids and back, exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.base.errors import ConfigError, DataError
from textmill.base.files import write_file
from textmill.tokenizer import self_check
from textmill.tokenizer import train as training
from textmill.tokenizer.chat import ChatTemplate, write_chat_template
from textmill.tokenizer.corpus import Source
from textmill.tokenizer.explain import Explainer
from textmill.tokenizer.explanation import Explanation
from textmill.tokenizer.formats import files, hugging_face_writer, tiktoken
from textmill.tokenizer.merge_table import MergeTable
from textmill.tokenizer.normalize import normalize, places_with_dropped, with_prefix_space
from textmill.tokenizer.report import TrainingReport, read_report, write_report
from textmill.tokenizer.special import AddedTokens, Part, SpecialPolicy
from textmill.tokenizer.stream import StreamDecoder
from textmill.tokenizer.utf8 import to_bytes
from textmill.tokenizer.vocabulary import Encoder, Vocabulary
from textmill.tokenizer.why_not import why_not
from textmill.tokenizer.why_not_answer import WhyNot

Text = str | bytes
TextT = TypeVar("TextT", str, bytes)
Span = tuple[int, int]

FILE_NAME = files.TOKENIZER_JSON


@dataclass(frozen=True, slots=True, eq=False)
class TokenBatch:
    """The tokens of several texts.

    Attributes:
        ids: uint32[num_tokens]: the ids of all texts, one after the other.
        offsets: int64[num_texts + 1]: text i has ids[offsets[i]:offsets[i + 1]].
    """

    ids: NDArray[np.uint32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[np.uint32]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"text {index} of {len(self)}")
        index %= len(self)
        return self.ids[self.offsets[index] : self.offsets[index + 1]]

    def __iter__(self) -> Iterator[NDArray[np.uint32]]:
        return (self[index] for index in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TokenBatch):
            return NotImplemented
        return np.array_equal(self.ids, other.ids) and np.array_equal(self.offsets, other.offsets)

    __hash__ = None  # type: ignore[assignment]

    def tolist(self) -> list[list[int]]:
        """Return a list of ids for each text."""
        return [ids.tolist() for ids in self]


class Tokenizer:
    """Byte-level BPE, lossless on any bytes, or BPE over characters as sentencepiece's, lossless on normalised text.

    Of a loaded tokenizer that normalises text, puts a space before it, or has no token for some bytes (``normalizer``,
    ``missing_bytes``), what is decoded is the text after that.

    Immutable: one object may be shared by threads and forked processes, pickled, and compared by content. ``encode``
    never adds tokens of its own accord, and text never becomes a control token unless ``special`` asks for it.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        chat_template: ChatTemplate | None = None,
        training_report: TrainingReport | None = None,
    ) -> None:
        self._vocabulary = vocabulary
        self._chat_template = chat_template
        self._training_report = training_report
        self._encoder, self._inner_encoder = vocabulary.build_encoders()
        self._added = AddedTokens(vocabulary.added, vocabulary.normalizer)
        self._missing_bytes = self._encoder.missing_bytes if isinstance(self._encoder, _core.Encoder) else b""
        self._is_plain = not vocabulary.normalizer and not vocabulary.adds_prefix_space

    @classmethod
    def train(  # noqa: PLR0917  the order is part of the public contract
        cls,
        source: Source,
        vocab_size: int = 32_000,
        pattern: str = training.DEFAULT_PATTERN,
        special_tokens: Sequence[str] = (),
        tie: str = "hf",
        threads: int | None = None,
        memory_limit: int | None = None,
        *,
        min_frequency: int = 0,
        max_token_length: int | None = None,
        seed_tokens: Sequence[Text] = (),
        extend: Tokenizer | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> Self:
        """Learn a vocabulary from text.

        The result does not depend on the number of threads, on batches or on the memory limit, and is merge for merge
        that of Hugging Face's ``BpeTrainer``. Special tokens get the first ids, then the 256 bytes, then merges.

        Args:
            source: a path, folder or glob ("data/*.jsonl") or a list of them, each file also packed (.gz, .zst); any
                other iterable holds the texts themselves. Files are read in parts, cut where an ASCII letter stands
                before a space or newline; a file without such a place is held whole.
            vocab_size: bytes, merges and special tokens together. Fewer come out where the text has no pair left.
            pattern: how text is split into pieces that no token crosses: gpt2, cl100k, o200k, llama3, qwen2, qwen3,
                smollm, deepseek-v3, tekken, nanochat, char, or any regex.
            special_tokens: texts of control tokens.
            tie: which of two pairs of equal count is merged first; "hf": the one with the smaller ids.
            threads: None is one for each core.
            memory_limit: bytes that counting and merging may hold, besides 16 MB of text on its way. Over it, counts
                go to files in the temporary folder, and the result is the same.
            min_frequency: pairs that stand less often in the text are not merged.
            max_token_length: tokens of more than two bytes have fewer bytes than this, as in ``BpeTrainer``.
            seed_tokens: texts that must be tokens, whatever the text holds; they come first, part by part. A seed
                that the pattern splits is never reached.
            extend: a tokenizer whose ids, merges, pattern and special tokens all stay. New special tokens get the ids
                after its highest, and then new merges, learned from the text as it encodes it.
            progress: called with the bytes read so far: of files as they lie on disk, or of texts.

        Raises:
            ConfigError: an argument is unknown or out of range.
            DataError: there is no text, or a file cannot be read as text.
            StorageError: the temporary folder has no room for what the memory limit leaves no room for.
            TextmillError: not even the different pieces of the text fit into ``memory_limit``.
        """
        options = training.TrainingOptions(
            vocab_size=vocab_size,
            pattern=pattern,
            special_tokens=special_tokens,
            tie=tie,
            threads=threads,
            memory_limit=memory_limit,
            min_frequency=min_frequency,
            max_token_length=max_token_length,
            seed_tokens=seed_tokens,
            extend=extend._vocabulary if extend is not None else None,
        )
        vocabulary, report = training.train_vocabulary(source, options, progress)
        chat_template = extend._chat_template if extend is not None else None
        return cls(vocabulary, chat_template=chat_template, training_report=report)

    @classmethod
    def load(
        cls, path: str | Path, *, pattern: str | None = None, special_tokens: Mapping[str, int] | None = None
    ) -> Self:
        """Read a tokenizer, and check it on a little text.

        Args:
            path: a tokenizer.json, a tekken.json, a folder with one of them (and its chat template), a ``*.gguf``, of
                which only the header is read, a sentencepiece ``*.model``, or a ``*.tiktoken``.
            pattern: how text is split; only for a rank file, which does not say.
            special_tokens: texts and ids of control tokens; only for a rank file.

        Raises:
            DataError: the file is damaged, or has a feature that textmill does not reproduce exactly.
        """
        path = Path(path)
        if path.suffix == ".tiktoken":
            vocabulary, chat_template = tiktoken.read(path, pattern, special_tokens), None
        elif pattern is not None or special_tokens is not None:
            raise ConfigError(f"pattern and special_tokens are for *.tiktoken files; {path.name} holds its own")
        else:
            vocabulary, chat_template = files.read(path)
        with files.named_in_errors(path):
            report = read_report(path / FILE_NAME if path.is_dir() else path, vocabulary.content_hash)
            tokenizer = cls(vocabulary, chat_template=chat_template, training_report=report)
            self_check.check(tokenizer)
        return tokenizer

    def save(self, path: str | Path) -> None:
        """Write ``*.tiktoken``, ``*.json``, or tokenizer.json (and the chat template) into a folder.

        Beside a .json goes the training report, where there is one: tokenizer.report.json.

        Raises:
            DataError: the format cannot hold this tokenizer exactly.
            StorageError: the file cannot be written; what stood there before is whole.
        """
        path = Path(path)
        if path.suffix == ".tiktoken":
            write_file(path, tiktoken.to_ranks(self._vocabulary))
        elif path.suffix == ".json" and not path.is_dir():
            self._save_report(path)
            write_file(path, hugging_face_writer.to_json(self._vocabulary))
        else:
            self._save_report(path / FILE_NAME)
            write_file(path / FILE_NAME, hugging_face_writer.to_json(self._vocabulary))
            if self._chat_template is not None:
                write_chat_template(path, self._chat_template)

    def _save_report(self, file: Path) -> None:
        if self._training_report is not None:
            write_report(file, self._training_report, self.sha256)

    def encode(self, text: Text, special: SpecialPolicy = "text") -> list[int]:
        """Turn a text into token ids.

        Args:
            text: str, or bytes of any kind. A lone surrogate in a str becomes U+FFFD, as in tiktoken.
            special: what becomes of the texts of special tokens: "text" takes them as ordinary text, so that no input
                can forge a control token; "parse" makes them tokens; "forbid" refuses them; a set names those to parse.

        Raises:
            DataError: ``special="forbid"`` and the text holds a special token.
        """
        if special == "text" and self._is_plain:
            return self._encoder.encode(text)
        ids: list[int] = []
        for place, part in enumerate(self._added.split(to_bytes(text), special)):
            ids += [part.token_id] if part.token_id is not None else self._encode_ordinary(part.text, place)
        return ids

    def encode_batch(
        self, texts: Iterable[Text], threads: int | None = None, special: SpecialPolicy = "text"
    ) -> TokenBatch:
        """Turn texts into token ids on several threads; the arrays are the same for any number of them."""
        if isinstance(texts, str | bytes):
            raise TypeError("encode_batch takes a list of texts, and this is one text; encode takes one")
        texts = list(texts)
        num_threads = training.check_threads(threads)
        if special == "text" and self._is_plain:
            return TokenBatch(*self._encoder.encode_batch(texts, num_threads))
        split_texts = [self._added.split(to_bytes(text), special) for text in texts]
        encoded = [
            iter(self._encode_parts(encoder, parts, num_threads))
            for encoder, parts in (
                (self._encoder, [parts[0] for parts in split_texts if parts]),
                (self._inner_encoder, [part for parts in split_texts for part in parts[1:]]),
            )
        ]
        arrays = [[next(encoded[place > 0]) for place in range(len(parts))] for parts in split_texts]
        lengths = [sum(map(len, parts)) for parts in arrays]
        flat = [array for parts in arrays for array in parts]
        ids = np.concatenate(flat) if flat else np.empty(0, dtype=np.uint32)
        return TokenBatch(ids, np.concatenate(([0], np.cumsum(lengths))).astype(np.int64))

    def _encode_parts(self, encoder: Encoder, parts: Sequence[Part], num_threads: int) -> Iterator[NDArray[np.uint32]]:
        ordinary = [self._prepared(part.text) for part in parts if part.token_id is None]
        encoded = iter(TokenBatch(*encoder.encode_batch(ordinary, num_threads)))
        for part in parts:
            yield next(encoded) if part.token_id is None else np.array([part.token_id], dtype=np.uint32)

    def encode_with_spans(self, text: Text, special: SpecialPolicy = "text") -> tuple[list[int], list[Span]]:
        """Turn a text into ids and the (begin, end) of each in the bytes of its UTF-8; the spans tile them.

        With a normalizer they are places in the text as it was given: of several tokens that the normalizer made of
        the same characters, the first has these characters as its span, and those of the others are empty. Where
        sentencepiece's normalizer made them it is the last that has the span. A space that was added has none.
        """
        ids: list[int] = []
        ends = [np.zeros(1, dtype=np.int64)]
        for place, part in enumerate(self._added.split(to_bytes(text), special)):
            if part.token_id is None and self._vocabulary.characters is not None:
                part_ids, places = self._encode_characters(part.text, place)
            elif part.token_id is None:
                prepared = self._prepared(part.text)
                part_ids = self._encoder.encode(prepared)
                lengths = [len(self._vocabulary.tokens[token_id]) for token_id in part_ids]
                places = np.cumsum(lengths, dtype=np.int64)
                if self._missing_bytes:
                    places = places_with_dropped(places, prepared, self._missing_bytes)
                num_added = len(prepared) - len(part.text)  # the space before it takes no byte of the text
                places = np.maximum(places - num_added, 0)
            else:
                part_ids = [part.token_id]
                places = np.array([len(part.text)], dtype=np.int64)
            ids += part_ids
            ends.append(part.segment.original_places(part.begin + places))
        edges = np.maximum.accumulate(np.concatenate(ends)).tolist()
        if ids:
            edges[-1] = len(to_bytes(text))  # a part at the end may have become nothing
        return ids, list(pairwise(edges))

    def count(self, text: Text, special: SpecialPolicy = "text") -> int:
        """Count the tokens of a text without making a list of them."""
        if special == "text" and self._is_plain:
            return self._encoder.count(text)
        parts = self._added.split(to_bytes(text), special)
        return sum(
            1 if part.token_id is not None else self._encoder_at(place).count(self._prepared(part.text))
            for place, part in enumerate(parts)
        )

    def truncate(self, text: TextT, max_tokens: int) -> TextT:
        """Cut a text to what at most ``max_tokens`` tokens hold, as ordinary text; the same type comes back.

        The cut is between two tokens of the whole text, at the end of a character where the text is a str, and what is
        left has no more than ``max_tokens`` tokens by itself. Without a normalizer, and where bytes are merged, ids are
        made for no more of the text than that.

        Raises:
            ConfigError: ``max_tokens`` is negative.
        """
        if max_tokens < 0:
            raise ConfigError(f"max_tokens is {max_tokens}, and must be 0 or more")
        data = to_bytes(text)
        budget = max_tokens
        while True:
            head = data[: self._head_bytes(data, budget)]
            if isinstance(text, str):
                head = head.decode(errors="ignore").encode()  # a cut inside a character goes back to its begin
            if budget == 0 or self.count(head) <= max_tokens:
                return cast(TextT, head.decode() if isinstance(text, str) else head)
            budget -= 1  # cut off, what was one token may be two

    def _head_bytes(self, data: bytes, max_tokens: int) -> int:
        """Count the bytes of the first tokens of a text."""
        if self._is_plain and isinstance(self._encoder, _core.Encoder):
            return self._encoder.head(data, max_tokens)[0]
        ids, spans = self.encode_with_spans(data)
        return len(data) if len(ids) <= max_tokens else (spans[max_tokens - 1][1] if max_tokens else 0)

    def decode(self, ids: Iterable[int]) -> str:
        """Turn ids into text; bytes that are not UTF-8 become U+FFFD. Raises ``DataError`` for a wrong id."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Turn ids into exactly the bytes that they stand for. Raises ``DataError`` for an id that is no token."""
        array = np.asarray(ids if isinstance(ids, np.ndarray | list | tuple) else list(ids))
        if array.size == 0:
            return b""
        if array.ndim != 1 or array.dtype.kind not in "iu" or array.dtype == np.uint64:
            raise DataError(f"ids must be a list of whole numbers, and are {array.ndim}-dimensional {array.dtype}")
        if isinstance(self._encoder, _core.CharacterEncoder):
            return self._vocabulary.decode_characters(array)
        try:
            return self._encoder.decode(np.ascontiguousarray(array, dtype=np.int64))
        except ValueError as error:
            raise DataError(f"cannot decode: {error}") from error

    def stream_decoder(self) -> StreamDecoder:
        """Decode a token at a time: ``push(id)`` and ``finish()`` return text, and never half a character."""
        characters = self._vocabulary.characters
        return StreamDecoder(self.token_bytes, characters.strip if characters else None)

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes of a token, ``b""`` for a hole in the vocabulary. Raises ``DataError`` for a wrong id."""
        if not 0 <= token_id < self.vocab_size:
            raise DataError(f"id {token_id} is no token: the vocabulary has ids 0 to {self.vocab_size - 1}")
        return self._vocabulary.tokens[token_id]

    def explain(self, text: Text, special: SpecialPolicy = "text") -> Explanation:
        """Take a text apart: characters, bytes, what is changed before splitting, pieces, merges, tokens.

        Where characters are merged (sentencepiece), the pieces are what no merge crosses.

        Raises:
            DataError: ``special="forbid"`` and the text holds a special token.
        """
        data = to_bytes(text)
        counts = self._training_report.merge_counts if self._training_report else None
        explainer = Explainer(self._vocabulary, self.merge_table, (self._encoder, self._inner_encoder), counts)
        return explainer.explain(data, self._added.split(data, special), self.encode_with_spans(data, special)[1])

    def why_not(self, token: Text) -> WhyNot:
        """Say whether a text is one token, whether a text can become it, and if not, which merge is missing or lost.

        ``str()`` of the answer is a few sentences, ``to_dict()`` what JSON can hold.
        """
        return why_not(self._vocabulary, self.merge_table, self.encode_with_spans, to_bytes(token))

    def is_canonical(self, ids: Iterable[int], special: SpecialPolicy = "text") -> bool:
        """Say whether ``encode`` gives these ids for what they decode to: other ids can stand for the same text.

        Args:
            ids: with control tokens among them, ``special="parse"`` makes those again.
            special: as in ``encode``.

        Raises:
            DataError: an id is no token.
        """
        ids = list(ids)
        return self.encode(self.decode_bytes(ids), special) == ids

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool = True
    ) -> list[int]:
        """Render messages with the model's chat template, to token ids.

        Control tokens come from the template's own text only: whatever a message holds is encoded as ordinary text.

        Raises:
            ConfigError: there is no chat template.
            DataError: the template fails, or refuses the messages.
        """
        if self._chat_template is None:
            raise ConfigError(
                "this tokenizer has no chat template: load it from a model folder with chat_template.jinja, "
                "or add one with with_chat_template()"
            )
        ids: list[int] = []
        ordinary = b""
        for text, is_trusted in self._chat_template.render(messages, add_generation_prompt=add_generation_prompt):
            parts = self._added.split(to_bytes(text), "parse" if is_trusted else "text")
            for part in parts:
                if part.token_id is not None:
                    ids += [*self._encode_ordinary(ordinary, len(ids)), part.token_id]
                    ordinary = b""
                else:
                    ordinary += part.text
        return ids + self._encode_ordinary(ordinary, len(ids))

    def _encode_ordinary(self, text: bytes, place: int) -> list[int]:
        return self._encoder_at(place).encode(self._prepared(text))

    def _encode_characters(self, text: bytes, place: int) -> tuple[list[int], NDArray[np.int64]]:
        """Return the ids of an ordinary text, and the bytes of it where they end: the last one at the text's end."""
        encoder = self._encoder_at(place)
        assert isinstance(encoder, _core.CharacterEncoder)
        ids, ends = encoder.encode_with_spans(text)
        ends[-1:] = len(text)  # spaces at the end may have been taken away
        return ids.tolist(), ends

    def _encoder_at(self, place: int) -> Encoder:
        """The encoder of an ordinary text, by whether anything stands before it."""
        return self._encoder if place == 0 else self._inner_encoder

    def _prepared(self, text: bytes) -> bytes:
        """What is split and merged for an ordinary text. Normalised text stays as it is; joined parts may change."""
        text = normalize(text, self._vocabulary.normalizer)
        return with_prefix_space(text) if self._vocabulary.adds_prefix_space else text

    def with_chat_template(self, template: str, **variables: str) -> Self:
        """Return a copy with a chat template (Jinja); ``bos_token`` and ``eos_token`` are what templates ask for."""
        return type(self)(
            self._vocabulary,
            chat_template=ChatTemplate(template, tuple(sorted(variables.items()))),
            training_report=self._training_report,
        )

    @property
    def chat_template(self) -> str | None:
        """The Jinja text of the chat template."""
        return self._chat_template.text if self._chat_template else None

    @property
    def vocab_size(self) -> int:
        """The highest id and one: bytes, merges and special tokens, and holes where a file has them."""
        return len(self._vocabulary.tokens)

    @property
    def pattern(self) -> str:
        """The name of the pattern that splits text into pieces."""
        return self._vocabulary.pattern.name

    @property
    def normalizer(self) -> str:
        """What becomes of a text before it is split: "" nothing, "nfc" Unicode normalisation form C."""
        return self._vocabulary.normalizer

    @property
    def missing_bytes(self) -> bytes:
        """Bytes that no token stands for: they are left out of a text, as Hugging Face leaves them out."""
        return self._missing_bytes

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """The tokens that end a text, where the file says so (GGUF)."""
        return self._vocabulary.stop_ids

    @property
    def special_tokens(self) -> dict[str, int]:
        """Texts and ids of the added tokens."""
        return dict(self._added.ids)

    @property
    def vocabulary(self) -> Vocabulary:
        """Tokens and merges as plain data."""
        return self._vocabulary

    @cached_property
    def merge_table(self) -> MergeTable:
        """The merges, to ask which joins two tokens and which make one."""
        return MergeTable(self._vocabulary)

    @property
    def prefix_ids(self) -> tuple[int, ...]:
        """What the file's post-processor puts before a text (BOS). ``encode`` never does."""
        return self._vocabulary.prefix_ids

    @property
    def suffix_ids(self) -> tuple[int, ...]:
        """What the file's post-processor puts after a text (EOS). ``encode`` never does."""
        return self._vocabulary.suffix_ids

    @property
    def training_report(self) -> TrainingReport | None:
        """How the vocabulary was learned, with a count for each merge; None where that is not known."""
        return self._training_report

    @cached_property
    def sha256(self) -> str:
        """A hash of all that decides which ids a text gets: 64 hexadecimal digits."""
        return self._vocabulary.content_hash()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tokenizer):
            return NotImplemented
        return (
            self.sha256 == other.sha256
            and (self.prefix_ids, self.suffix_ids, self.stop_ids)
            == (other.prefix_ids, other.suffix_ids, other.stop_ids)
            and self._chat_template == other._chat_template
        )

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self._vocabulary, self._chat_template, self._training_report)

    def __repr__(self) -> str:
        specials = len(self._vocabulary.added)
        return f"Tokenizer(vocab_size={self.vocab_size}, pattern={self.pattern!r}, special_tokens={specials})"


def _rebuild(
    cls: type[Tokenizer],
    vocabulary: Vocabulary,
    chat_template: ChatTemplate | None,
    report: TrainingReport | None,
) -> Tokenizer:
    return cls(vocabulary, chat_template=chat_template, training_report=report)
