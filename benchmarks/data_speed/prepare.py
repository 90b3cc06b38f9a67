"""How fast raw jsonl becomes shards, beside datatrove and encoding alone, and whether memory grows with the input.

    python -m data_speed.prepare PATH ... [--rounds 5] [--workers 2] [--memory]     (in benchmarks/)

PATH is a text file or a folder of them, cut into documents of 4 KB. A tokenizer of 32,000 tokens is trained on them
first. Processes run in turn, forwards and backwards; datatrove in an environment below build/peers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from data_speed.dedup import environment_python
from textmill import Tokenizer

WAYS = Path(__file__).parent / "prepare_ways"
DOCUMENT_CHARACTERS = 4096
END = "<|endoftext|>"


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory", action="store_true", help="also prepare 1 GB and 4 GB")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = documents(arguments.paths)
        once, large = folder / "once.jsonl", folder / "large.jsonl"
        write(once, texts, 1)
        write(large, texts, max(1, 200_000_000 // (DOCUMENT_CHARACTERS * len(texts))))
        tokenizer = folder / "tokenizer.json"
        Tokenizer.train(str(once), 32_000, special_tokens=(END,)).save(tokenizer)
        figures = {"documents": len(texts), **speeds(once, large, tokenizer, arguments.rounds, arguments.workers)}
        if arguments.memory:
            figures["memory"] = memory(folder, texts, tokenizer, arguments.workers)
        print(json.dumps(figures, indent=2))


def documents(paths: list[Path]) -> list[str]:
    """Cut text files into documents of 4,096 characters."""
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*.txt")))]
    texts = []
    for file in files:
        text = file.read_text(errors="ignore")
        texts += [text[i : i + DOCUMENT_CHARACTERS] for i in range(0, len(text), DOCUMENT_CHARACTERS)]
    return texts


def write(path: Path, texts: list[str], copies: int) -> None:
    """Write documents as lines of JSON; every copy begins words later and ends with these, so that none is the same."""
    with path.open("w") as file:
        for copy in range(copies):
            for number, text in enumerate(texts):
                begin = copy * 17 % DOCUMENT_CHARACTERS
                shifted = text if copy == 0 else f"{copy} {text[begin:]}{text[:begin]}"
                file.write(json.dumps({"id": f"{copy}-{number}", "text": shifted}, ensure_ascii=False) + "\n")


def speeds(once: Path, large: Path, tokenizer: Path, rounds: int, workers: int) -> dict[str, Any]:
    """Medians of rounds: seconds of each way, and ratios within rounds."""
    ways: dict[str, list[Any]] = {
        "textmill": [sys.executable, WAYS / "textmill_way.py", once, tokenizer, workers, "full"],
        "datatrove": [environment_python("datatrove"), "-I", WAYS / "datatrove_way.py", once, tokenizer, workers],
        "shards, one process": [sys.executable, WAYS / "textmill_way.py", large, tokenizer, 1, "plain"],
        "shards, processes": [sys.executable, WAYS / "textmill_way.py", large, tokenizer, workers, "plain"],
        "encode_batch": [sys.executable, WAYS / "textmill_way.py", large, tokenizer, workers, "encode"],
    }
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    for round_ in range(rounds):
        for name in list(ways)[:: -1 if round_ % 2 else 1]:
            runs[name].append(run(ways[name]))
    times = {name: [each["time_s"] for each in of] for name, of in runs.items()}
    ratio = lambda a, b: [x / y for x, y in zip(times[a], times[b], strict=True)]  # noqa: E731
    return {
        "seconds": {name: statistics.median(of) for name, of in times.items()},
        "tokens": {name: of[0]["tokens"] for name, of in runs.items()},
        "datatrove / textmill": sorted(ratio("datatrove", "textmill")),
        "encode_batch / shards, one process": sorted(ratio("encode_batch", "shards, one process")),
        "encode_batch / shards, processes": sorted(ratio("encode_batch", "shards, processes")),
    }


def memory(folder: Path, texts: list[str], tokenizer: Path, workers: int) -> dict[str, int]:
    """Peak memory of the largest process, in bytes, with everything on, by input size."""
    peaks = {}
    for gigabytes in (1, 4):
        path = folder / f"{gigabytes}.jsonl"
        write(path, texts, gigabytes * 1_000_000_000 // (DOCUMENT_CHARACTERS * len(texts)))
        command = [sys.executable, WAYS / "textmill_way.py", path, tokenizer, workers, "memory"]
        peaks[f"{gigabytes} GB"] = run(command)["peak_kb"] * 1024
        path.unlink()
    return peaks


def run(command: list[Any]) -> dict[str, Any]:
    """Run a way once, and read what it prints last."""
    done = subprocess.run(
        [*map(str, command)], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


if __name__ == "__main__":
    main()
