"""How fast near duplicates are found, and how many of them, beside other projects.

    python -m data_speed.dedup [PATH ...] [--documents 20000] [--rounds 5] [--threads 2]     (in benchmarks/)

PATH is a text file or a folder of them; the standard library where there is none. Rounds are interleaved;
other projects run in environments below build/peers, which are made when they are first needed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from data_speed.dedup_corpus import JACCARDS, write_corpus
from data_speed.dedup_ways.textmill_way import measure_textmill

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / "build" / "peers"
WAYS = Path(__file__).parent / "dedup_ways"
ENVIRONMENTS = {
    "libs": ["rensa==0.5.0", "datasketch==2.0.0"],
    "datatrove": ["datatrove[io,processing]==0.10.1", "spacy"],
}


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", type=Path, nargs="*")
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ways", nargs="*", default=["textmill", "rensa", "datasketch", "datatrove"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        corpus, pairs = Path(name) / "corpus.jsonl", Path(name) / "pairs.json"
        write_corpus(arguments.paths, arguments.documents, corpus, pairs)
        results: dict[str, list[dict[str, object]]] = {way: [] for way in arguments.ways}
        for _ in range(arguments.rounds):
            for way, runs in results.items():
                runs.append(_run(way, corpus, pairs, arguments.threads))
        lines = corpus.read_text().splitlines()
        wanted = [jaccard for _, _, jaccard in json.loads(pairs.read_text())]
        print(json.dumps(_figures(results, lines, wanted), indent=2))


def _run(way: str, corpus: Path, pairs: Path, threads: int) -> dict[str, object]:
    """Run a way once: textmill here, the others in their environments."""
    if way == "textmill":
        return measure_textmill(corpus, pairs, threads)
    if way == "datatrove":
        command = [environment_python("datatrove"), "-I", WAYS / "datatrove_way.py"]
    else:
        command = [environment_python("libs"), "-I", WAYS / "library_ways.py", way]
    done = subprocess.run([*command, corpus, pairs, str(threads)], check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return figures


def environment_python(environment: str) -> Path:
    """The Python of an environment, made where it is not there."""
    python = PEERS / environment / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", PEERS / environment], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *ENVIRONMENTS[environment]], check=True)
    return python


def _figures(results: dict[str, list[dict[str, object]]], lines: list[str], wanted: list[float]) -> dict[str, object]:
    num_bytes = sum(len(json.loads(line)["text"].encode()) for line in lines)
    medians = {
        way: {key: statistics.median(float(str(run[key])) for run in runs) for key in ("time_s", "signature_s")}
        for way, runs in results.items()
    }
    figures: dict[str, object] = {"documents": len(lines), "bytes": num_bytes, "planted": len(wanted)}
    for way, median in medians.items():
        found = results[way][0]["found"]
        assert isinstance(found, list)
        figures[way] = {
            "documents_per_s": len(lines) / median["time_s"],
            "signature_documents_per_s": len(lines) / median["signature_s"],
            "times_textmill": median["time_s"] / medians["textmill"]["time_s"] if "textmill" in medians else None,
            "found_by_jaccard": {
                f"{jaccard:g}": sum(f for f, w in zip(found, wanted, strict=True) if w == jaccard)
                / wanted.count(jaccard)
                for jaccard in JACCARDS
            },
        }
    return figures


if __name__ == "__main__":
    main()
