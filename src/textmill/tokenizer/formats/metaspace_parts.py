"""The parts of a tokenizer.json over characters that are always written alike."""

from textmill.tokenizer.characters import SPACE

PREPEND = {"type": "Prepend", "prepend": SPACE}
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
REPLACE_BACK = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
BYTE_FALLBACK, FUSE = {"type": "ByteFallback"}, {"type": "Fuse"}
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
# Gemma's: once spaces are replaced, it finds none.
SPLIT_AT_SPACES = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
METASPACE = ("type", "replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep")
SCHEMES = ("always", "first", "never")
