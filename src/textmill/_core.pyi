"""
The native core of textmill: byte strings and numpy arrays in, numpy arrays out.
"""

from collections.abc import (
    Callable,
    Iterable,
    Sequence,
    Set as AbstractSet
)
from typing import Annotated, Final, Literal

import numpy
import numpy.typing
from numpy.typing import NDArray


UNICODE_VERSION: str = '16.0.0'

def unicode_ranges(name: str) -> numpy.typing.NDArray[numpy.uint32]:
    """
    First and last code points of the ranges of a property: a general category or a group of them (Lu, L),
    a script (Han), whitespace or word (\\w): uint32[n, 2]. ValueError where there is none of that name.
    """

def case_pairs() -> numpy.typing.NDArray[numpy.uint32]:
    """
    Each character that equals others where case is ignored, and the next one of these, the last followed by
    the first: uint32[n, 2], ascending. One character for one: the sharp s does not equal "ss".
    """

GAP: int = 65535

class Splitter:
    """A compiled pattern. Immutable; any thread may use it."""

    def __init__(self, stage_regexes: Sequence[str], function: Callable[[bytes], Iterable[tuple[int, int]]] | None = None) -> None:
        """
        Each regex splits the pieces of the one before. ValueError names what the automaton cannot match; then a
        function that takes a text and gives the end and the alternative of each piece can split instead.
        """

def last_cut(splitters: Sequence[Splitter], text: bytes, ascii_only: bool = False) -> int:
    """
    The last place inside a text where it can be cut so that no piece of any of the splitters changes, whatever
    stands around the text; 0 where there is none. ascii_only: only between two ASCII characters.
    """

def split(splitter: Splitter, text: str | bytes) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.uint16]]:
    """
    Split a text into pieces: the end of each in bytes, int64[n], and the alternative that matched, uint16[n],
    counted over all stages; GAP for text that none did.
    """

class Encoder:
    """
    Text to token ids and back. It makes no special token from text. Immutable; any thread may use it.
    """

    def __init__(self, splitter: Splitter, tokens: Sequence[bytes], merges: numpy.typing.NDArray[numpy.uint32], special_ids: numpy.typing.NDArray[numpy.uint32], whole_pieces: bool = False, drops_bytes: bool = False) -> None:
        """
        tokens[id] is the bytes of a token, b'' for a hole; merges is (left, right, product) ids by rank,
        uint32[n, 3]; with whole_pieces, a piece that is a token is not merged; with drops_bytes, bytes without a token are
        left out of a text. ValueError where they do not fit.
        """

    def encode(self, text: str | bytes) -> list[int]:
        """Token ids of a text."""

    def encode_batch(self, texts: Sequence[str | bytes], num_threads: int = 0) -> tuple[numpy.typing.NDArray[numpy.uint32], numpy.typing.NDArray[numpy.int64]]:
        """
        Ids of all texts one after the other, and where each text begins, int64[len(texts) + 1].
        """

    def encode_documents(self, data: numpy.typing.NDArray[numpy.uint8], offsets: numpy.typing.NDArray[numpy.int64], end: int, num_threads: int = 0) -> tuple[numpy.typing.NDArray[numpy.uint16] | numpy.typing.NDArray[numpy.uint32], numpy.typing.NDArray[numpy.int64]]:
        """
        Ids of texts that stand side by side, data[offsets[i]:offsets[i + 1]], end behind each, and how many ids each has with it; uint16 where the
        vocabulary has at most 65,536 ids. ValueError for an end that is no id.
        """

    def count(self, text: str | bytes) -> int:
        """The number of tokens of a text."""

    def head(self, text: str | bytes, max_tokens: int) -> tuple[int, int]:
        """
        The bytes of the first max_tokens tokens of a text, and how many tokens these are.
        """

    def decode(self, ids: numpy.typing.NDArray[numpy.int64]) -> bytes:
        """The bytes of tokens. ValueError for an id that is no token."""

    @property
    def missing_bytes(self) -> bytes:
        """The bytes that no token stands for, which are left out of a text."""

    def trace(self, piece: str | bytes) -> tuple[numpy.typing.NDArray[numpy.uint32], numpy.typing.NDArray[numpy.uint32]]:
        """
        How one piece is merged: rows of (first byte, left, right, product, rank), uint32[n, 5], and its ids.
        """

def parse_ranks(file: bytes) -> list[bytes]:
    """
    The tokens of a rank file by rank, b'' for ranks that it leaves out. ValueError names the line.
    """

def merges_from_ranks(tokens: Sequence[bytes]) -> numpy.typing.NDArray[numpy.uint32]:
    """
    The merges that a rank file means, (left, right, product), uint32[n, 3]; tokens[rank], b'' for a hole.
    """

class EncodeCall:
    """A tokenizer's `encode`, which is its `_encode`."""

    def __init__(self, encoder: Encoder | None) -> None:
        """
        With an encoder, short texts go there at once where no other argument is given.
        """

    def encode(self, text: str | bytes, special: Literal["text", "parse", "forbid"] | AbstractSet[str] = "text") -> list[int]:
        """
        Turn a text into token ids.

        Args:
            text: str, or bytes of any kind. A lone surrogate in a str becomes U+FFFD, as in tiktoken.
            special: what becomes of the texts of special tokens: "text" takes them as ordinary text, so that no input
                can forge a control token; "parse" makes them tokens; "forbid" refuses them; a set names those to parse.

        Raises:
            TypeError: the text is neither str nor bytes.
            ConfigError: ``special`` is none of these, or names no special token.
            DataError: ``special="forbid"`` and the text holds a special token.
        """

class MemoryLimitError(MemoryError):
    pass

class SpillError(OSError):
    pass

def alphabet() -> bytes:
    """The 256 bytes in the order in which they get their token ids."""

class Trainer:
    """
    Learns the merges of a vocabulary, once. One thread at a time may use it.
    """

    def __init__(self, splitter: Splitter, num_threads: int = 0, memory_limit: int = 0, spill_folder: str = '/tmp') -> None:
        """
        Zero threads are one for each core; memory_limit is in bytes, 0 for none; over it, words go to files
        without a name in spill_folder.
        """

    def add(self, texts: Sequence[str | bytes]) -> None:
        """
        Count the pieces of texts, each split by itself. MemoryLimitError, SpillError.
        """

    def learn(self, num_tokens: int, tokens: Sequence[bytes], merges: numpy.typing.NDArray[numpy.uint32], seeds: numpy.typing.NDArray[numpy.uint32], never: Sequence[bytes] = (), whole_pieces: bool = False, min_frequency: int = 1, max_token_length: int = 0) -> tuple[numpy.typing.NDArray[numpy.uint32], numpy.typing.NDArray[numpy.uint64]]:
        """
        Learn merges on top of a vocabulary: its tokens by id (b"" where no text becomes it) and merges. Seeds
        are merges to make first, their products counted on from the last token; no other merge makes what is in
        never. Returns (left, right, product) by rank, uint32[n, 3], and how often each pair stood in the text,
        uint64[n].
        """

    @property
    def num_bytes(self) -> int:
        """Bytes of text seen."""

    @property
    def num_pieces(self) -> int:
        """Pieces seen."""

    @property
    def num_words(self) -> int:
        """Different pieces seen; known after learning."""

    @property
    def num_ties(self) -> int:
        """Merges where another pair stood as often."""

    @property
    def token_counts(self) -> Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C')]:
        """
        uint64[num_tokens]: how often each token stands in the text after all merges.
        """

    @property
    def num_spilled_runs(self) -> int:
        """How often words went to disk."""

    @property
    def num_spilled_bytes(self) -> int:
        """Bytes of the words that went to disk."""

class CharacterVocab:
    """Pieces of characters and how they merge. Immutable."""

    def __init__(self, pieces: Sequence[str], kinds: numpy.typing.NDArray[numpy.uint8], scores: numpy.typing.NDArray[numpy.float32], merges: numpy.typing.NDArray[numpy.uint32], byte_fallback: bool) -> None:
        """
        kinds[id] is sentencepiece's number for the type of a piece, 0 for a hole. With scores, neighbours merge
        that are a piece together, the highest score first; with none, merges is (left, right, product) by rank,
        uint32[n, 3]. ValueError where they do not fit.
        """

    def merges(self) -> numpy.typing.NDArray[numpy.uint32]:
        """
        All merges by rank, uint32[n, 3]; ids from the number of pieces on are characters without a piece.
        """

class CharacterEncoder:
    """
    Text to token ids, by merging characters. It makes no control token from text. Immutable; any thread may use it.
    """

    def __init__(self, vocab: CharacterVocab, dummy_prefix: int, dummy_suffix: bool, remove_extra_spaces: bool, escape_spaces: bool, charsmap: bytes, fuse_unknown: bool, splits_words: bool, whole_words: bool) -> None:
        """
        dummy_prefix: 0 never, 1 always, 2 unless the text begins with a space. ValueError for a damaged charsmap.
        """

    def encode(self, text: str | bytes) -> list[int]:
        """Token ids of a text."""

    def encode_with_spans(self, text: str | bytes) -> tuple[numpy.typing.NDArray[numpy.uint32], numpy.typing.NDArray[numpy.int64]]:
        """Token ids of a text, and the byte of it where each ends."""

    def encode_batch(self, texts: Sequence[str | bytes], num_threads: int = 0) -> tuple[numpy.typing.NDArray[numpy.uint32], numpy.typing.NDArray[numpy.int64]]:
        """
        Ids of all texts one after the other, and where each text begins, int64[len(texts) + 1].
        """

    def count(self, text: str | bytes) -> int:
        """The number of tokens of a text."""

    def trace(self, text: str | bytes) -> tuple[bytes, numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.uint32], numpy.typing.NDArray[numpy.uint32], numpy.typing.NDArray[numpy.int64]]:
        """
        How a text is merged: the normalised text, and of each of its bytes and its end the place in the text,
        int64[k + 1]; words of (end, number of steps, number of tokens), int64[n, 3]; steps of (first byte, left,
        right, product, rank), uint32[m, 5]; ids, and where each token ends. Places are in the normalised text.
        """

def nfc(text: str | bytes) -> bytes:
    """
    A text in Unicode normalisation form C, as Hugging Face makes it; bytes that are not UTF-8 stay.
    """

def nfc_changes(text: str | bytes) -> tuple[bytes, numpy.typing.NDArray[numpy.int64]]:
    """
    A text in NFC, and the stretches that changed: (begin, end) in the result and (begin, end) in the text,
    int64[n, 4], from left to right. What lies between them is the same in both.
    """

class AddedTokens:
    """
    Finds the texts of added tokens in a text. Immutable; any thread may use it.
    """

    def __init__(self, texts: Sequence[bytes], tokens: numpy.typing.NDArray[numpy.uint32]) -> None:
        """
        tokens is (id, single_word, lstrip, rstrip) of each text, the last three 0 or 1: uint32[n, 4].
        ValueError for a text that is empty, double or longer than 65,536 bytes, or 64 MB of texts.
        """

    def split(self, text: str | bytes) -> numpy.typing.NDArray[numpy.int64]:
        """
        The parts of a text, (begin, end, id), int64[n, 3]: bytes, and the id -1 for what is no added token.
        """

def block_checksums(data: numpy.typing.NDArray[numpy.uint8], block_bytes: int) -> numpy.typing.NDArray[numpy.uint64]:
    """
    A checksum of 64 bits for each block of so many bytes, the last one shorter; uint64[blocks].
    """

def parse_json_lines(data: numpy.typing.NDArray[numpy.uint8], fields: list[list[bytes]], max_line_bytes: int, num_threads: int = 1, task_bytes: int = 1048576) -> tuple[list[tuple[numpy.typing.NDArray[numpy.uint8], numpy.typing.NDArray[numpy.int64]]], numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64], int]:
    """
    The fields of lines of JSON, each named by its keys from the outermost object inwards; the first one is a record's text. Returns data and offsets of each field's values, the records' lines from 0, int64[lines, 3] of the lines that Python's json is to look at (number, begin, end), and how many lines there are.
    """

def text_hashes(data: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], num_threads: int = 1) -> Annotated[NDArray[numpy.uint64], dict(shape=(None, None), order='C')]:
    """
    128 bits of each text, uint64[n, 2]: equal texts have equal ones, and others do not in practice.
    """

def minhash_bands(data: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], bands: int, rows: int, ngram: int, seed: int, num_threads: int = 1) -> Annotated[NDArray[numpy.uint64], dict(shape=(None, None), order='C')]:
    """
    MinHash keys of texts, uint64[n, bands], over shingles of ngram words; a text without words has zeros.
    """

def shingle_sets(data: numpy.typing.NDArray[numpy.uint8], offsets: numpy.typing.NDArray[numpy.int64], ngram: int, num_threads: int = 1) -> tuple[numpy.typing.NDArray[numpy.uint64], numpy.typing.NDArray[numpy.int64]]:
    """
    The set of shingles of each text, ascending: hashes, and int64[n + 1] of where each set begins.
    """

def minhash_bands_of_sets(shingles: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], bands: int, rows: int, seed: int, num_threads: int = 1) -> Annotated[NDArray[numpy.uint64], dict(shape=(None, None), order='C')]:
    """
    MinHash keys of sets of shingles, as shingle_sets gives them: uint64[n, bands].
    """

def pair_jaccards(shingles: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], pairs: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], num_threads: int = 1) -> Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C')]:
    """
    The Jaccard index of each pair of sets, float64[p], sets as shingle_sets gives them.
    """

def linked_groups(links: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], num_nodes: int) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
    """For each node the least one that links lead to, int64[num_nodes]."""

def edit_lines(data: numpy.typing.NDArray[numpy.uint8], offsets: numpy.typing.NDArray[numpy.int64], num_threads: int, *, end_marks: str, min_words: int, count_words_last: bool, max_word_length: int, min_sentences: int, removes_citations: bool, removes_javascript: bool, removes_policies: bool, drops_lorem_ipsum: bool, drops_curly_brackets: bool) -> tuple[numpy.typing.NDArray[numpy.uint8], numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int8], numpy.typing.NDArray[numpy.int64]]:
    """
    C4's rules for lines. What is left of each text, as data and offsets (dropped ones are empty); why each is
    dropped, int8[num_texts] (-1 kept, 0 lorem ipsum, 1 a curly bracket, 2 too few sentences); and the
    sentences of the lines that stayed, int64[num_texts].
    """

def has_phrase(data: numpy.typing.NDArray[numpy.uint8], offsets: numpy.typing.NDArray[numpy.int64], phrase_data: numpy.typing.NDArray[numpy.uint8], phrase_offsets: numpy.typing.NDArray[numpy.int64], num_threads: int) -> numpy.typing.NDArray[numpy.uint8]:
    """
    Whether one of the phrases stands in each text between characters that are not \\w; uint8[num_texts].
    """

def word_statistics(data: numpy.typing.NDArray[numpy.uint8], offsets: numpy.typing.NDArray[numpy.int64], punctuation: numpy.typing.NDArray[numpy.uint32], num_threads: int) -> numpy.typing.NDArray[numpy.float64]:
    """What Gopher's quality rules ask of each text; float64[num_texts, 8]."""

def line_statistics(data: numpy.typing.NDArray[numpy.uint8], offsets: numpy.typing.NDArray[numpy.int64], end_marks: numpy.typing.NDArray[numpy.uint32], num_threads: int) -> numpy.typing.NDArray[numpy.float64]:
    """What FineWeb's own rules ask of each text; float64[num_texts, 5]."""

def repetition_statistics(data: numpy.typing.NDArray[numpy.uint8], offsets: numpy.typing.NDArray[numpy.int64], num_threads: int) -> numpy.typing.NDArray[numpy.float64]:
    """
    What Gopher's repetition rules ask of each text; float64[num_texts, 13].
    """

def word_spans(data: numpy.typing.NDArray[numpy.uint8], offsets: numpy.typing.NDArray[numpy.int64]) -> tuple[numpy.typing.NDArray[numpy.uint32], numpy.typing.NDArray[numpy.int64]]:
    """
    The words of texts: begin and end of each in bytes of its text, uint32[num_words, 2], and how many there are
    before each text and in all, int64[num_texts + 1].
    """

def count_words(data: numpy.typing.NDArray[numpy.uint8], offsets: numpy.typing.NDArray[numpy.int64], num_threads: int) -> numpy.typing.NDArray[numpy.int64]:
    """How many words each text has; int64[num_texts]."""

def sentence_ends(utf8: bytes) -> numpy.typing.NDArray[numpy.uint32]:
    """The byte behind each sentence of a text; uint32[num_sentences]."""

class CheckedFiles:
    """
    Files in memory or mapped, whose blocks are checked when first touched.
    """

    def __init__(self, files: Sequence[numpy.typing.NDArray[numpy.uint8]], checksums: Sequence[numpy.typing.NDArray[numpy.uint64]], block_bytes: int) -> None: ...

    def check(self, file: int, begins: numpy.typing.NDArray[numpy.int64], ends: numpy.typing.NDArray[numpy.int64]) -> tuple[int, int] | None:
        """
        File and number of the first damaged block of those that hold the bytes [begin, end) of a file.
        """

class TokenStream:
    """The tokens of files as one stream."""

    def __init__(self, files: CheckedFiles, token_bytes: int) -> None: ...

    def tokens(self, start: int, stop: int) -> tuple[numpy.typing.NDArray[numpy.int64], tuple[int, int] | None]:
        """
        The tokens [start, stop), and the first damaged block, which makes them worthless.
        """

    def gather(self, row_segments: numpy.typing.NDArray[numpy.int64], segment_spans: numpy.typing.NDArray[numpy.int64], segment_firsts: numpy.typing.NDArray[numpy.int64], span_places: numpy.typing.NDArray[numpy.int64], span_lengths: numpy.typing.NDArray[numpy.int64], context: int, padding: int, with_segments: bool) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int32], numpy.typing.NDArray[numpy.int32], tuple[int, int] | None]:
        """
        Inputs, targets, positions and segments, each [rows, context], and the first damaged block.
        """

def pack_best_fit(lengths: numpy.typing.NDArray[numpy.int64], overheads: numpy.typing.NDArray[numpy.uint8], context: int) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64]]:
    """
    Pack documents into rows: int64[rows + 1] pieces before each row; document, offset and length of each.
    """

def feistel_permute(numbers: numpy.typing.NDArray[numpy.int64], size: int, round_keys: numpy.typing.NDArray[numpy.uint64]) -> numpy.typing.NDArray[numpy.int64]:
    """
    The place of each number in a keyed order of those below `size`; int64[n].
    """

def folded_word_spans(data: numpy.typing.NDArray[numpy.uint8]) -> numpy.typing.NDArray[numpy.int64]:
    """
    First and last byte (exclusive) of each word of a text as matching sees words: int64[n, 2].
    """

class NgramIndex:
    """
    Texts of eval items, found in documents by shared n-grams of words and a measure of what
    lies around them. Immutable; any thread may use it.
    """

    def __init__(self, data: numpy.typing.NDArray[numpy.uint8], offsets: numpy.typing.NDArray[numpy.int64], *, ngram: int, min_words: int, measure: str, min_ratio: float) -> None:
        """
        The measure is subsequence, blocks, ngram, whole or containment. Texts of fewer words than `ngram` are
        compared whole, those of fewer than `min_words` not at all. ValueError for a measure that is none.
        """

    @property
    def num_words(self) -> numpy.typing.NDArray[numpy.int64]:
        """Words of each text."""

    def scan(self, data: numpy.typing.NDArray[numpy.uint8], offsets: numpy.typing.NDArray[numpy.int64], num_threads: int = 0) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.int64]]:
        """
        What is found in documents: (document, text, begin, end, n-gram's begin, n-gram's end), places in bytes
        of the document, int64[n, 6]; the ratio of each, float64[n]; and for each text in how many documents an
        n-gram was found and the measure said no, int64[texts]. Zero threads are one for each core.
        """

def hashed_ngrams(data: numpy.typing.NDArray[numpy.uint8], offsets: numpy.typing.NDArray[numpy.int64], num_buckets: int, max_ngram: int = 2, num_threads: int = 0) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.uint32]]:
    """
    The distinct buckets of the n-grams of each text's words, as rows: starts int64[n + 1] and buckets
    uint32[starts[n]]. ValueError where the number of buckets is no power of two.
    """

def linear_scores(data: numpy.typing.NDArray[numpy.uint8], offsets: numpy.typing.NDArray[numpy.int64], weights: numpy.typing.NDArray[numpy.float32], bias: float, max_ngram: int = 2, num_threads: int = 0) -> numpy.typing.NDArray[numpy.float32]:
    """
    The bias and the sum of the weights of each text's buckets over the square root of their number:
    float32[n]. There is a weight for each bucket.
    """

def fit_logistic(starts: numpy.typing.NDArray[numpy.int64], buckets: numpy.typing.NDArray[numpy.uint32], labels: numpy.typing.NDArray[numpy.uint8], row_weights: numpy.typing.NDArray[numpy.float32], order: numpy.typing.NDArray[numpy.int64], *, num_buckets: int, learning_rate: float, l2: float) -> tuple[numpy.typing.NDArray[numpy.float32], float]:
    """
    Logistic regression over rows of buckets by AdaGrad, the rows in the order given: the weight of each bucket
    and the bias. ValueError where the arrays do not describe the same rows.
    """

def read_bandwidth(num_threads: int = 0, num_bytes: int = 268435456) -> float:
    """
    Bytes a second that the threads together read from memory; zero threads are one for each core.
    """

class Inference:
    """
    A LLaMA-style model on the processor: its weights, its threads, and the blocks of keys and
    values of its texts. Tensors go by Hugging Face's names without "model.layers.N." and
    ".weight" or ".bias".
    """

    def __init__(self, *, vocab_size: int, hidden_size: int, intermediate_size: int, num_attention_heads: int, num_key_value_heads: int, head_dim: int, rms_norm_eps: float, qk_norm: bool, rope_frequencies: numpy.typing.NDArray[numpy.float32], rope_scale: float, windows: Sequence[int], rotates: Sequence[bool], value_embeddings: Sequence[bool], num_threads: int = 0) -> None:
        """
        For each layer, windows has the tokens that a query sees (0 for all), rotates whether RoPE turns its
        queries and keys, and value_embeddings whether a row of a table is added to each token's values. Zero
        threads are one for each core.
        """

    def set_table(self, layer: int | None, stored: str, data: numpy.typing.NDArray[numpy.uint8]) -> None:
        """
        Copy the input table, or a layer's value embeddings, in the type it is stored in (ggml's name).
        """

    def set_matrix(self, layer: int | None, name: str, weights: str, stored: str, data: numpy.typing.NDArray[numpy.uint8], row_order: numpy.typing.NDArray[numpy.int64] | None = None) -> None:
        """
        Take a matrix as f32, bf16, q8, q4 or q4_min from the bytes of its file; ValueError where a value is not
        finite.
        """

    def set_vector(self, layer: int | None, name: str, stored: str, data: numpy.typing.NDArray[numpy.uint8], row_order: numpy.typing.NDArray[numpy.int64] | None = None) -> None:
        """Take a norm, or the bias of a matrix."""

    def add_adapter(self) -> int:
        """Begin an adapter that changes no matrix yet; its number."""

    def set_factors(self, adapter: int, layer: int, name: str, a: numpy.typing.NDArray[numpy.float32], b: numpy.typing.NDArray[numpy.float32], scale: float) -> None:
        """
        Have an adapter add scale * b a to a matrix of a layer: a [rank, columns of it], b [rows of it, rank].
        ValueError for a matrix that no adapter changes, sizes that do not fit it, and values that are not
        finite.
        """

    def adapter_bytes(self, adapter: int) -> int:
        """Bytes that an adapter's factors take."""

    def open_cache(self, kv: str, num_blocks: int) -> None:
        """
        Make room for keys and values, as f32, bf16 or int8, in blocks of block_size tokens.
        """

    def copy_block(self, source: int, target: int) -> None:
        """
        Make a block's keys and values those of another, for texts that part within it.
        """

    def forward(self, ids: numpy.typing.NDArray[numpy.int32], ids_from: numpy.typing.NDArray[numpy.int32], starts: numpy.typing.NDArray[numpy.int32], blocks: numpy.typing.NDArray[numpy.int32], blocks_from: numpy.typing.NDArray[numpy.int32], num_logits: numpy.typing.NDArray[numpy.int32], adapters: numpy.typing.NDArray[numpy.int32], states: bool = False) -> numpy.typing.NDArray[numpy.float32]:
        """
        Append chunks of texts: chunk i has ids[ids_from[i]:ids_from[i + 1]] and the same of blocks, goes on from
        starts[i] tokens, wants logits after its last num_logits[i], and has the adapter of number adapters[i], or
        none where that is below 0. float32[sum of num_logits, vocab_size]; or
        the states that logits are made of, those of the last layer, normed, float32[sum of num_logits, hidden_size].
        """

    @property
    def num_weight_bytes(self) -> int: ...

    @property
    def num_threads(self) -> int: ...

    @property
    def isa(self) -> str: ...

    block_size: Final[int] = ...
    """(arg: object, /) -> int"""

def training_isa() -> str:
    """The tier of instructions that the kernels of training use."""

def training_norm(x: int, added: int, sum: int, weight: int, eps: float, out: int, inverse: int, num_rows: int, width: int, is_bf16: bool, num_threads: int) -> None:
    """
    RMSNorm of rows; `added` and `sum` are 0, or rows that are added first and where the sum goes.
    """

def training_norm_backward(gradient: int, x: int, inverse: int, weight: int, added: int, x_gradient: int, weight_gradient: int, num_rows: int, width: int, is_bf16: bool, num_threads: int) -> None:
    """Gradients of RMSNorm; `added` is 0, or what is added to that of x."""

def training_heads(x: int, x_stride: int, out: int, out_stride: int, num_tokens: int, num_heads: int, dim: int, weight: int, eps: float, inverse: int, cosines: int, sines: int, num_angles: int, is_bf16: bool, num_threads: int) -> None:
    """
    Norms of heads where `weight` is not 0, then their turns where `cosines` is not 0.
    """

def training_heads_backward(gradient: int, gradient_stride: int, x: int, x_stride: int, x_gradient: int, x_gradient_stride: int, num_tokens: int, num_heads: int, dim: int, weight: int, inverse: int, cosines: int, sines: int, num_angles: int, weight_gradient: int, is_bf16: bool, num_threads: int) -> None:
    """Gradients of training_heads."""

def training_swiglu(gate: int, gate_stride: int, up: int, up_stride: int, out: int, num_rows: int, width: int, is_bf16: bool, num_threads: int) -> None:
    """silu(gate) * up"""

def training_swiglu_backward(gradient: int, gate: int, gate_stride: int, up: int, up_stride: int, gate_gradient: int, up_gradient: int, gradient_stride: int, gated: int, num_rows: int, width: int, is_bf16: bool, num_threads: int) -> None:
    """
    Gradients of training_swiglu, and its result again where `gated` is not 0.
    """

def training_cross_entropy(logits: int, targets: int, makes_gradient: bool, num_rows: int, vocab_size: int, z_loss: float, is_bf16: bool, num_threads: int) -> float:
    """
    Sum of -log softmax(logits)[target]; the gradient takes the logits' place. IndexError for a target that is no
    token.
    """

def training_add(x: int, sum: int, num: int, num_threads: int) -> None:
    """Add bf16 to f32."""

def training_attention(shape: tuple[int, int, int, int, int], scale: float, starts: int, q: tuple[int, int, int, int], k: tuple[int, int, int, int], v: tuple[int, int, int, int], o: tuple[int, int, int, int], lse: int, is_bf16: bool, num_threads: int) -> None:
    """
    Causal softmax(q k^T scale) v and log-sums; `starts` is 0, or the first token that each token sees.
    """

def training_attention_backward(shape: tuple[int, int, int, int, int], scale: float, starts: int, q: tuple[int, int, int, int], k: tuple[int, int, int, int], v: tuple[int, int, int, int], o: tuple[int, int, int, int], lse: int, d_o: tuple[int, int, int, int], d_q: tuple[int, int, int, int], d_k: tuple[int, int, int, int], d_v: tuple[int, int, int, int], is_bf16: bool, num_threads: int) -> None:
    """Gradients of training_attention."""
