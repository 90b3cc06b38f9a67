"""Where the benchmark keeps what it makes; all of it can be deleted and is made again."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "build" / "serving-speed" / "results.json"
LOGS = ROOT / "build" / "serving-speed" / "logs"
PEERS = ROOT / "build" / "peers"
PAGE = ROOT / "docs" / "benchmarks" / "serving.md"
