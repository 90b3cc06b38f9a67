"""Time the demo step by step, and score its model beside gzip and xz; writes docs/benchmarks/demo.md.

    .venv/bin/python benchmarks/demo.py [--runs 3] [--minutes 2]

Run it on a machine that does nothing else. The demo is run several times, each with its own seed, and medians are kept.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from marked_page import with_measured

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "demo.md"
HEADINGS = {
    "1. Text": "reading the text",
    "2. Tokenizer": "training the tokenizer",
    "3. Shards": "writing the shards",
    "4. Model": "timing steps, training",
    "5. How good it is": "scoring and generating",
}


def run_demo(folder: Path, minutes: float, seed: int) -> dict:
    """Run the demo once; returns seconds for each step, and what the run's log says."""
    command = [sys.executable, "-m", "textmill", "demo", "--minutes", str(minutes), "--seed", str(seed)]
    process = subprocess.Popen(
        [*command, "--dir", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    times, step, begin = {}, "starting", time.monotonic()
    assert process.stderr is not None
    for line in process.stderr:
        sys.stderr.write(line)
        if line.strip() in HEADINGS:
            times[step], begin = time.monotonic() - begin, time.monotonic()
            step = HEADINGS[line.strip()]
    times[step] = time.monotonic() - begin
    assert process.wait() == 0
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return {"times": times, "events": events, "plan": json.loads((folder / "config.json").read_text())["plan"]}


def table(results: list[dict]) -> str:
    """Lay the runs' medians out as Markdown."""
    lines = ["| step | seconds, median |", "|---|---|"]
    lines += [
        f"| {step} | {median([result['times'][step] for result in results]):.1f} |" for step in results[0]["times"]
    ]
    total = median([sum(result["times"].values()) for result in results])
    lines += [f"| all | {total:.1f} |", ""]
    lines += ["| held-out text | bytes | textmill, bits per byte | gzip -9 | xz -9 |", "|---|---|---|---|---|"]
    scores = [next(e["scores"] for e in result["events"] if e["kind"] == "validation") for result in results]
    for source in scores[0]:
        size = scores[0][source]["num_bytes"]
        model = median([score[source]["model_bits"] / size for score in scores])
        gzip, xz = (scores[0][source][key] / size for key in ("gzip_bits", "xz_bits"))
        lines.append(f"| {source} | {size:,} | {model:.3f} | {gzip:.3f} | {xz:.3f} |")
    steps = [e for result in results for e in result["events"] if e["kind"] == "step"]
    speed = median([event["tokens_per_s"] for event in steps])
    flops = median([event["flops_per_s"] for event in steps])
    plans = [result["plan"] for result in results]
    last_steps = [max(event["step"] for event in result["events"]) for result in results]
    lines += [
        "",
        f"Training: {speed:,.0f} tokens/s, {flops / 1e9:.0f} GFLOP/s (6 for each parameter but the input table's, "
        f"and attention's), {median(last_steps):.0f} steps in {plans[0]['precision']}.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = [run_demo(Path(folder) / str(seed), arguments.minutes, seed) for seed in range(1, arguments.runs + 1)]
    cores = f"{platform.machine()}, Python {platform.python_version()}"
    measured = f"{arguments.runs} runs of {arguments.minutes:g} minutes, {cores}.\n\n{table(results)}\n"
    PAGE.write_text(with_measured(PAGE, measured))
    print(measured)


if __name__ == "__main__":
    main()
