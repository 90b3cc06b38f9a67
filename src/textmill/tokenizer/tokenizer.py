"""The tokenizer: text to token ids and back, exactly."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, SupportsIndex

import numpy as np

from textmill import _core
from textmill.base.errors import ConfigError, DataError
from textmill.tokenizer import model_folder, self_check
from textmill.tokenizer.batch import TokenBatch
from textmill.tokenizer.chat import ChatTemplate, without_end
from textmill.tokenizer.formats import files
from textmill.tokenizer.patterns import DEFAULT_PATTERN
from textmill.tokenizer.report import TrainingReport, read_report, report_file
from textmill.tokenizer.special import SpecialPolicy
from textmill.tokenizer.stream import StreamDecoder
from textmill.tokenizer.text_encoder import Span, Text, TextEncoder
from textmill.tokenizer.threads import check_threads
from textmill.tokenizer.token_ids import to_array, to_id
from textmill.tokenizer.truncate import TextT, truncate
from textmill.tokenizer.utf8 import to_bytes
from textmill.tokenizer.vocabulary import Vocabulary

# What only some calls need is imported there: a tokenizer loads in a few hundredths of a second.
if TYPE_CHECKING:
    import datetime

    from numpy.typing import NDArray

    from textmill.text.text_batch import TextBatch
    from textmill.tokenizer.corpus import Source
    from textmill.tokenizer.explanation import Explanation
    from textmill.tokenizer.merge_table import MergeTable
    from textmill.tokenizer.outline import Outline
    from textmill.tokenizer.why_not_answer import WhyNot

FILE_NAME = files.TOKENIZER_JSON
_FIELDS = frozenset({"_vocabulary", "_chat_template", "_training_report", "_texts", "_encoder", "_is_plain"})


class Tokenizer(_core.EncodeCall):
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
        self._texts = TextEncoder(vocabulary)
        self._encoder = self._texts.at_start
        self._is_plain = self._texts.is_plain
        super().__init__(self._encoder if self._is_plain and isinstance(self._encoder, _core.Encoder) else None)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse what is not set while the object is made."""
        if name not in _FIELDS or name in vars(self):
            raise AttributeError(f"a Tokenizer is immutable, and {name} cannot be set; make another one")
        super().__setattr__(name, value)

    @classmethod
    def train(  # noqa: PLR0917  the order is part of the public contract
        cls,
        source: Source,
        vocab_size: int = 32_000,
        pattern: str = DEFAULT_PATTERN,
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
        on_merging: Callable[[], object] | None = None,
    ) -> Self:
        """Learn a vocabulary from text.

        The result does not depend on the number of threads, on batches or on the memory limit, and is merge for merge
        that of Hugging Face's ``BpeTrainer``. Special tokens get the first ids, then the 256 bytes, then merges.

        Args:
            source: a path, folder or glob ("data/*.jsonl") or a list or tuple of them, each file also packed (.gz,
                .zst); any other iterable holds the texts themselves. Files are read in parts, cut where the pattern
                ends a piece whatever stands around it, as after a word; a file without such a place is held whole.
                What a folder holds besides text is left out with a warning, and counted in the report.
            vocab_size: bytes, merges and special tokens together. Fewer come out where the text has no pair left.
            pattern: how text is split into pieces that no token crosses: gpt2, cl100k, o200k, llama3, qwen2, qwen3,
                smollm, deepseek-v3, tekken, nanochat, char, or any regex.
            special_tokens: texts of control tokens. None is ever learned as an ordinary token: a pair that would make
                one is not merged, where ``BpeTrainer`` would give text the id of the control token.
            tie: which of two pairs of equal count is merged first; "hf": the one with the smaller ids.
            threads: None is one for each core.
            memory_limit: bytes that counting and merging may hold, besides 32 MB of text on its way. Over it, counts
                go to files in the temporary folder, and the result is the same.
            min_frequency: pairs that stand less often in the text are not merged.
            max_token_length: tokens of more than two bytes have fewer bytes than this, as in ``BpeTrainer``.
            seed_tokens: texts that must be tokens, whatever the text holds; they come first, part by part. A seed
                that the pattern splits is never reached.
            extend: a tokenizer whose ids, merges, pattern and special tokens all stay. New special tokens get the ids
                after its highest, and then new merges, learned from the text as it encodes it.
            progress: called with the bytes read so far: of files as they lie on disk, or of texts.
            on_merging: called once, when all is read and merges begin to be learned.

        Raises:
            ConfigError: an argument is unknown or out of range.
            DataError: there is no text, or a file cannot be read as text.
            StorageError: the temporary folder has no room for what the memory limit leaves no room for.
            TextmillError: not even the different pieces of the text fit into ``memory_limit``.
        """
        from textmill.tokenizer.train import train_vocabulary
        from textmill.tokenizer.training_options import check_options

        if progress is not None and not callable(progress):
            raise ConfigError(f"progress is {progress!r}, and must be a function that takes the bytes read so far")
        if on_merging is not None and not callable(on_merging):
            raise ConfigError(f"on_merging is {on_merging!r}, and must be a function without arguments")
        if extend is not None and not isinstance(extend, Tokenizer):
            raise ConfigError(f"extend is {extend!r}, and must be a tokenizer: Tokenizer.load(path)")
        options = check_options(
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
        vocabulary, report = train_vocabulary(source, options, progress, on_merging)
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
            from textmill.tokenizer.formats import tiktoken

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
        """Write ``*.tiktoken``, ``*.json``, or, into a folder, tokenizer.json and what belongs to it.

        Beside a .json goes the training report, where there is one: tokenizer.report.json. A folder also gets the chat
        template and, in tokenizer_config.json, its tokens and ``stop_ids``; what that file says besides stays, and a
        template that was there goes. A single file holds neither of them. A .tiktoken holds tokens alone: its pattern
        and special tokens are to be given when it is loaded.

        Args:
            path: a file that ends in .tiktoken or .json; a folder that is there, or a name without an ending for one.

        Raises:
            ConfigError: the path has another ending.
            DataError: the format cannot hold this tokenizer exactly.
            StorageError: a file cannot be written; what stood there before is whole.
        """
        if not str(path):
            raise ConfigError('the path to save to is empty (""); the folder that you are in is "."')
        path = Path(path)
        is_folder = path.is_dir() or not path.suffix
        if not is_folder and path.suffix not in {".tiktoken", ".json"}:
            raise ConfigError(
                f'cannot tell the format of "{path}": give a file that ends in .json or .tiktoken, or a folder; one '
                "with a dot in its name must be there already"
            )
        if path.suffix == ".tiktoken" and not is_folder:
            from textmill.tokenizer.formats import tiktoken

            contents: dict[Path, bytes | str | None] = {path: tiktoken.to_ranks(self._vocabulary)}
        else:
            from textmill.tokenizer.formats import hugging_face_writer

            file = path / FILE_NAME if is_folder else path
            contents = {file: hugging_face_writer.to_json(self._vocabulary)}
            if self._training_report is not None:
                contents |= dict([report_file(file, self._training_report, self.sha256)])
        if is_folder:
            is_same = self._is_in(path)
            if not is_same:
                model_folder.check_no_other_files(path)
            texts = {*self.special_tokens, *(token.decode(errors="replace") for token in self._vocabulary.tokens)}
            contents |= model_folder.contents(
                path, self._chat_template, self.stop_ids, texts.__contains__, is_same=is_same
            )
        elif self._chat_template is not None and model_folder.read_chat_template(path.parent) is None:
            warnings.warn(f"{path} does not hold the chat template; save into a folder to keep it", stacklevel=2)
        from textmill.base.files import write_files

        write_files(contents)

    def _is_in(self, folder: Path) -> bool:
        """Whether a folder holds this very tokenizer."""
        try:
            return files.read(folder)[0].content_hash() == self.sha256
        except DataError:
            return False

    def _encode(self, text: Text, special: SpecialPolicy = "text") -> list[int]:
        """Encode what ``encode`` does not do by itself: all but short texts without a policy."""
        if special == "text" and self._is_plain:
            return self._encoder.encode(text)
        return self._texts.encode(text, special)

    _encode.__qualname__ = "Tokenizer.encode"  # what Python says of wrong arguments names what was called

    def encode_batch(
        self, texts: Iterable[Text], threads: int | None = None, special: SpecialPolicy = "text"
    ) -> TokenBatch:
        """Turn texts into token ids on several threads; the arrays are the same for any number of them."""
        if isinstance(texts, str | bytes):
            raise TypeError("encode_batch takes a list of texts, and this is one text; encode takes one")
        if not isinstance(texts, Iterable):
            raise TypeError(f"encode_batch takes a list of texts, and texts is a {type(texts).__name__}")
        texts = list(texts)
        num_threads = check_threads(threads)
        if special == "text" and self._is_plain:
            return TokenBatch(*self._encoder.encode_batch(texts, num_threads))
        return self._texts.encode_batch(texts, num_threads, special)

    def encode_documents(
        self, texts: TextBatch, end: int, threads: int | None = None
    ) -> tuple[NDArray[np.uint16 | np.uint32], NDArray[np.int64]]:
        """Turn documents into ids as they stand in shards: ``end`` behind each; the same for any number of threads.

        Returns:
            the ids of all, uint16[n] where the vocabulary has at most 65,536 and uint32[n] otherwise, and how many
            each document has with its end, int64[len(texts)].

        Raises:
            ConfigError: ``end`` is no id.
        """
        num_threads = check_threads(threads)
        if not 0 <= end < self.vocab_size:
            raise ConfigError(f"the id that ends documents is {end}, and there are ids 0 to {self.vocab_size - 1}")
        if self._is_plain and isinstance(self._encoder, _core.Encoder):
            return self._encoder.encode_documents(texts.data, texts.offsets, end, num_threads)
        batch = self.encode_batch(texts, threads)
        lengths = np.diff(batch.offsets) + 1
        ids = np.full(len(batch.ids) + len(texts), end, np.uint16 if self.vocab_size <= 1 << 16 else np.uint32)
        is_text = np.ones(len(ids), bool)
        is_text[np.cumsum(lengths) - 1] = False
        ids[is_text] = batch.ids
        return ids, lengths

    def encode_with_spans(self, text: Text, special: SpecialPolicy = "text") -> tuple[list[int], list[Span]]:
        """Turn a text into ids and the (begin, end) of each in the bytes of its UTF-8; the spans tile them.

        With a normalizer they are places in the text as it was given: of several tokens that the normalizer made of
        the same characters, the first has these characters as its span, and those of the others are empty. Where
        sentencepiece's normalizer made them it is the last that has the span. A space that was added has none.
        """
        return self._texts.encode_with_spans(text, special)

    def count(self, text: Text, special: SpecialPolicy = "text") -> int:
        """Count the tokens of a text without making a list of them."""
        return self._texts.count(text, special)

    def truncate(self, text: TextT, max_tokens: SupportsIndex, special: SpecialPolicy = "text") -> TextT:
        """Cut a text to what at most ``max_tokens`` tokens hold; the same type comes back.

        The cut is between two tokens of the whole text, at the end of a character where the text is a str, and what is
        left has no more than ``max_tokens`` tokens by itself. Without a normalizer, and where bytes are merged, ids are
        made for no more of ordinary text than that.

        Args:
            text: what to cut.
            max_tokens: how many tokens may be left.
            special: as in ``encode``.

        Raises:
            ConfigError: ``max_tokens`` is negative, or no whole number.
            DataError: ``special="forbid"`` and the text holds a special token.
        """
        return truncate(self._texts, text, max_tokens, special)

    def decode(self, ids: Iterable[SupportsIndex]) -> str:
        """Turn ids into text; bytes that are not UTF-8 become U+FFFD. Raises ``DataError`` for a wrong id."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Iterable[SupportsIndex]) -> bytes:
        """Turn ids into exactly the bytes that they stand for. Raises ``DataError`` for an id that is no token."""
        array = to_array(ids, self.vocab_size)
        if self._vocabulary.characters is not None:
            return self._vocabulary.characters.decode(array, self._vocabulary.tokens)
        assert isinstance(self._encoder, _core.Encoder)
        try:
            return self._encoder.decode(array)
        except ValueError as error:
            raise DataError(f"cannot decode: {error}") from error

    def stream_decoder(self, prompt: Iterable[SupportsIndex] = ()) -> StreamDecoder:
        """Decode a token at a time: ``push(id)`` and ``finish()`` return text, and never half a character.

        Args:
            prompt: ids that stand before: what comes out is the text that the pushed ids add to theirs. A tokenizer
                that puts a space before a text takes it off at the start of a stream, and not after a prompt.

        Raises:
            DataError: an id of the prompt is no token.
        """
        characters = self._vocabulary.characters
        prompt_ids = to_array(prompt, self.vocab_size).tolist()
        return StreamDecoder(self.token_bytes, characters.strip if characters else None, prompt_ids)

    def token_bytes(self, token_id: SupportsIndex) -> bytes:
        """Return the bytes of a token, ``b""`` for a hole in the vocabulary. Raises ``DataError`` for a wrong id."""
        return self._vocabulary.tokens[to_id(token_id, self.vocab_size)]

    def explain(self, text: Text, special: SpecialPolicy = "text") -> Explanation:
        """Take a text apart: characters, bytes, what is changed before splitting, pieces, merges, tokens.

        Where characters are merged (sentencepiece), the pieces are what no merge crosses.

        Raises:
            DataError: ``special="forbid"`` and the text holds a special token.
        """
        from textmill.tokenizer.explain import Explainer

        data = to_bytes(text)
        texts = self._texts
        counts = self._training_report.merge_counts if self._training_report else None
        explainer = Explainer(self._vocabulary, self.merge_table, (texts.at_start, texts.after_token), counts)
        return explainer.explain(data, texts.added.split(data, special), self.encode_with_spans(data, special)[1])

    def outline(self, text: Text, special: SpecialPolicy = "text") -> Outline:
        """Take a text apart as ``explain`` does, in columns: quick enough for every keystroke of 10 KB.

        Raises:
            DataError: ``special="forbid"`` and the text holds a special token.
        """
        from textmill.tokenizer.outline import Outliner

        data = to_bytes(text)
        ids, spans = self.encode_with_spans(data, special)
        outliner = Outliner(self._vocabulary, self.merge_table, (self._texts.at_start, self._texts.after_token))
        return outliner.outline(data, self._texts.added.split(data, special), ids, [end for _, end in spans])

    def why_not(self, token: Text) -> WhyNot:
        """Say whether a text is one token, whether a text can become it, and if not, which merge is missing or lost.

        ``str()`` of the answer is a few sentences, ``to_dict()`` what JSON can hold.
        """
        from textmill.tokenizer.why_not import why_not

        return why_not(self._vocabulary, self.merge_table, self.encode_with_spans, to_bytes(token))

    def is_canonical(self, ids: Iterable[SupportsIndex], special: SpecialPolicy = "text") -> bool:
        """Say whether ``encode`` gives these ids for what they decode to: other ids can stand for the same text.

        Args:
            ids: with control tokens among them, ``special="parse"`` makes those again.
            special: as in ``encode``.

        Raises:
            DataError: an id is no token.
        """
        ids = to_array(ids, self.vocab_size).tolist()
        return self.encode(self.decode_bytes(ids), special) == ids

    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool = True,
        *,
        continue_final_message: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[int]:
        """Render messages with the model's chat template, to token ids.

        Control tokens come from the template's own text only: whatever a message or a tool holds is encoded as ordinary
        text.

        Args:
            messages: objects with a role and a content.
            add_generation_prompt: end with what an answer begins with.
            continue_final_message: end within the last message, right after its content, so that it can be gone on
                with; nothing may be added then.
            tools: what the template is given under this name, as ``{"type": "function", "function": {...}}`` each; one
                that does not ask for tools leaves them out.

        Raises:
            ConfigError: there is no chat template, or both are asked for.
            DataError: the template fails, or refuses the messages.
        """
        if continue_final_message and add_generation_prompt:
            raise ConfigError("add_generation_prompt begins a new message, and continue_final_message goes on with one")
        parts = self._need_chat_template().render(messages, add_generation_prompt=add_generation_prompt, tools=tools)
        return self._texts.encode_rendered(without_end(parts, messages) if continue_final_message else parts)

    def _need_chat_template(self) -> ChatTemplate:
        if self._chat_template is None:
            raise ConfigError(
                "this tokenizer has no chat template: load it from a model folder with chat_template.jinja, "
                "or add one with with_chat_template()"
            )
        return self._chat_template

    def chat_with_answers(self, messages: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[bool]]:
        """Render a conversation to token ids, and tell which of them the template marks as the model's to write.

        Marks are the blocks ``{% generation %}``; a template without them marks nothing (``marks_answers``).

        Raises:
            ConfigError: there is no chat template.
            DataError: the template fails, or refuses the messages.
        """
        return self._texts.encode_rendered_with_marks(
            self._need_chat_template().render(messages, add_generation_prompt=False)
        )

    @property
    def marks_answers(self) -> bool:
        """Whether the chat template marks what the model is to write."""
        return self._chat_template is not None and self._chat_template.marks_answers

    def with_chat_template(self, template: str, **variables: str) -> Self:
        """Return a copy with a chat template (Jinja); ``bos_token`` and ``eos_token`` are what templates ask for.

        Raises:
            ConfigError: the template or a variable is no text.
        """
        for name, text in {"template": template, **variables}.items():
            if not isinstance(text, str):
                raise ConfigError(f"{name} must be a text, and is a {type(text).__name__}")
        return type(self)(
            self._vocabulary,
            chat_template=ChatTemplate(template, tuple(sorted(variables.items()))),
            training_report=self._training_report,
        )

    def with_clock(self, now: datetime.datetime) -> Self:
        """Return a copy whose chat template takes ``now`` for the time, and not that of each rendering.

        Raises:
            ConfigError: there is no chat template.
        """
        return type(self)(
            self._vocabulary,
            chat_template=dataclasses.replace(self._need_chat_template(), now=now),
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
        return self._texts.missing_bytes

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """The tokens that end a text, where the file says so (GGUF)."""
        return self._vocabulary.stop_ids

    @property
    def special_tokens(self) -> dict[str, int]:
        """Texts and ids of the added tokens."""
        return dict(self._texts.added.ids)

    @property
    def vocabulary(self) -> Vocabulary:
        """Tokens and merges as plain data."""
        return self._vocabulary

    @cached_property
    def merge_table(self) -> MergeTable:
        """The merges, to ask which joins two tokens and which make one."""
        from textmill.tokenizer.merge_table import MergeTable

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
