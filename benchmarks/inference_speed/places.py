"""Where the benchmark keeps what it makes; all of it can be deleted and is made again."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "build" / "inference-speed"
RESULTS = MODELS / "results.json"
TRAINED = ROOT / "build" / "bench-model"
LLAMA_CPP = ROOT / "build" / "peers" / "llama-cpp"
PAGE = ROOT / "docs" / "benchmarks" / "inference.md"
