"""The pre-tokenizers that GGUF files name (``tokenizer.ggml.pre``) and do not describe.

What each name splits is what llama.cpp's ``src/llama-vocab.cpp`` says, except where that approximates the
tokenizer.json that the models were trained with: there it is the original.
"""

from __future__ import annotations

from typing import NamedTuple

from textmill.base.errors import DataError, did_you_mean
from textmill.tokenizer.formats.punctuation import PUNCTUATION
from textmill.tokenizer.patterns import pattern_named

_GPT2 = pattern_named("gpt2").regexes[0]
_QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
# The letters, punctuation, and Chinese and Korean that DeepSeek's first tokenizers name one by one.
_DEEPSEEK_LETTERS = (
    r"\x{41}-\x{5A}\x{61}-\x{7A}\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}"
    r"\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}"
    r"\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}"
    r"\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}"
    r"\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}"
    r"\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}"
    r"\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}"
    r"\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}"
    r"\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}"
    r"\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}"
    r"\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}"
    r"\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}"
    r"\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}"
)
_DEEPSEEK_PUNCTUATION = (
    r"\x{21}-\x{2F}\x{3A}-\x{7E}\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}"
)
_DEEPSEEK_CJK = r"[\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+"


class Pre(NamedTuple):
    """What a name of ``tokenizer.ggml.pre`` stands for.

    Attributes:
        regexes: how text is split, a stage each.
        normalizer: that of the tokenizer.json which models with this name come from; a GGUF does not say.
        whole_pieces: a piece that is a token is not merged.
        adds_bos: where the file does not say.
        number_bytes_stand_apart: see ``formats.pre_tokenizer.PreTokenizer``.
    """

    regexes: tuple[str, ...]
    normalizer: str = ""
    whole_pieces: bool = False
    adds_bos: bool = False
    number_bytes_stand_apart: bool = False


PRE = {
    "gpt-2": Pre((_GPT2,)),
    "mpt": Pre((_GPT2,), normalizer="nfc"),
    **dict.fromkeys(("smollm", "starcoder", "refact"), Pre((r"\p{N}", _GPT2))),
    "command-r": Pre((r"\p{N}", _GPT2), normalizer="nfc"),
    # The original: Punctuation, ByteLevel, Digits, and three ASCII digits. llama.cpp splits by its newer \p{P}.
    "falcon": Pre((f"[{PUNCTUATION}]+", _GPT2, "[0-9]+", "[0-9][0-9][0-9]"), number_bytes_stand_apart=True),
    "qwen2": Pre(pattern_named("qwen2").regexes, normalizer="nfc"),
    "qwen35": Pre((_QWEN35,), normalizer="nfc"),
    "llama-bpe": Pre(pattern_named("llama3").regexes, whole_pieces=True, adds_bos=True),
    # llama.cpp's one name for this pattern without whole pieces.
    "dbrx": Pre(pattern_named("cl100k").regexes),
    "deepseek-llm": Pre(
        (
            r"[\r\n]",
            rf"\s?[{_DEEPSEEK_LETTERS}]+",
            rf"\s?[{_DEEPSEEK_PUNCTUATION}]+",
            r"\s+$",
            _DEEPSEEK_CJK,
            r"\p{N}+",
        )
    ),
    "deepseek-coder": Pre((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _DEEPSEEK_CJK, r"\p{N}")),
    "deepseek-v3": Pre(pattern_named("deepseek-v3").regexes),
    # llama.cpp writes the classes of upper and lower case letters of these two as "not a-z" and "not A-Z".
    "tekken": Pre(pattern_named("tekken").regexes, whole_pieces=True),
    "gpt-4o": Pre(pattern_named("o200k").regexes),
}


def pre_named(name: str) -> Pre:
    """Look a name up; raises ``DataError`` for one that is not known."""
    if name not in PRE:
        raise DataError(
            f'its pre-tokenizer (tokenizer.ggml.pre) is "{name[:80]}", which textmill does not know'
            f"{did_you_mean(name[:80], PRE)} Known: {', '.join(PRE)}"
        )
    return PRE[name]
