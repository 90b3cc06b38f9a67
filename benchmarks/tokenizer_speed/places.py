"""Where the benchmark keeps what it makes; all of it can be deleted and is made again."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
CORPORA = ROOT / "build" / "corpora"
PEERS = ROOT / "build" / "peers"
PEER_PYTHON = PEERS / "bin" / "python"
VOCABULARY = PEERS / "vocabulary"
RANKS = VOCABULARY / "cl100k_base.tiktoken"
TOKENIZER_JSON = VOCABULARY / "tokenizer.json"
RESULTS = ROOT / "build" / "tokenizer-speed"
PAGE = ROOT / "docs" / "benchmarks" / "tokenizer.md"
