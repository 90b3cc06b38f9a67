"""Where the benchmark keeps what it makes; all of it can be deleted and is made again."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "build" / "bench" / "data"
TRIALS = ROOT / "build" / "bench" / "data-quick"
WORK = ROOT / "build" / "bench" / "data-work"
PEERS = ROOT / "build" / "peers"
PAGE = ROOT / "docs" / "benchmarks" / "data.md"
