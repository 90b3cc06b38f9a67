"""Time what the studio answers and what a browser shows of it: 10 KB of text in Tokens, a long run. Prints tables.

    .venv/bin/python benchmarks/studio.py [--rounds 50] [--write]

Run it on a machine that does nothing else, with the page built (make studio). The studio is started as a user starts
it, with nothing at hand, and called over its socket; what the browser shows is measured by the page's own tests of
speed. --write puts the tables into docs/benchmarks/studio.md.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import quantiles

from marked_page import with_measured
from textmill.base.events import EventLog

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks" / "studio.md"
LONG_STEPS = 100_000


def main() -> None:
    """Measure, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_long_run(Path(folder) / "runs" / "long")
        lines = [*measured(Path(folder), options.rounds), "", *seen_in_a_browser(Path(folder) / "browser.jsonl")]
    print("\n".join(lines))
    if options.write:
        PAGE.write_text(with_measured(PAGE, "\n".join(lines) + "\n"))


def write_long_run(folder: Path) -> None:
    """A run of many steps."""
    log = EventLog(folder / "events.jsonl")
    log.write("start", 0, num_steps=LONG_STEPS, tokens_per_step=1024)
    for step in range(1, LONG_STEPS + 1):
        log.write("step", step, loss=2 + 8 / step, grad_norm=1.0, lr=1e-3, tokens=1024 * step, tokens_per_s=1e4)
    log.close()


def measured(folder: Path, rounds: int) -> list[str]:
    """Start the studio, and time each call."""
    text = Path(os.__file__).read_text()[:10_000]
    series = f"/api/runs/long/series?figure=loss&points={LONG_STEPS}"
    calls = {
        "first session": ("GET", "/api/session", None),
        "tokens of 10 KB": ("POST", "/api/tokens", {"tokenizer": "example", "text": text}),
        "two tokenizers on 10 KB": ("POST", "/api/tokens/compare", {"a": "example", "b": "example", "text": text}),
        "positions": ("GET", "/api/positions?model=example", None),
        "attention of 64 tokens, all layers": ("POST", "/api/attention", {"model": "example", "text": text[:400]}),
        "100,000 steps, exact": ("GET", series, None),
        "100,000 steps as 2,000 points": ("GET", "/api/runs/long/series?figure=loss&points=2000", None),
    }
    command = [sys.executable, "-m", "textmill", "studio", "--port", "0", "--no-open"]
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port = int(process.stdout.readline().rpartition(":")[2])
    lines = [
        f"Started and listening after {time.perf_counter() - began:.2f} s.",
        "",
        "| call | first, ms | p50, ms | p95, ms | KB |",
        "|---|---|---|---|---|",
    ]
    try:
        for name, call in calls.items():
            first_s, size = timed(port, *call)
            rest = quantiles([timed(port, *call)[0] for _ in range(rounds)], n=20)
            figures = f"{1e3 * first_s:.1f} | {1e3 * rest[9]:.1f} | {1e3 * rest[18]:.1f} | {size / 1e3:.0f}"
            lines.append(f"| {name} | {figures} |")
    finally:
        process.terminate()
        process.wait()
    return lines


def seen_in_a_browser(results: Path) -> list[str]:
    """Let the page's own tests measure it in Debian's Chromium."""
    command = ["npm", "run", "--silent", "test:browser", "--", "tests/browser/speed.test.ts"]
    subprocess.run(
        command,
        cwd=ROOT / "studio-web",
        env=os.environ | {"SPEED_RESULTS": str(results)},
        stdout=sys.stderr,
        check=True,
    )
    lines = ["| in the browser | limit, ms | median, ms | fastest, ms | tries |", "|---|---|---|---|---|"]
    for line in results.read_text().splitlines():
        told = json.loads(line)
        figures = f"{told['limit']} | {told['median']:.1f} | {told['fastest']:.1f} | {told['tries']}"
        lines.append(f"| {told['name']} | {figures} |")
    return lines


def timed(port: int, method: str, path: str, body: dict | None) -> tuple[float, int]:
    """Seconds from the call to the last byte of its answer, and how many bytes those are."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    data = None if body is None else json.dumps(body)
    began = time.perf_counter()
    connection.request(method, path, data, {"Content-Type": "application/json"})
    response = connection.getresponse()
    size = len(response.read())
    seconds = time.perf_counter() - began
    assert response.status == 200, path
    connection.close()
    return seconds, size


if __name__ == "__main__":
    main()
