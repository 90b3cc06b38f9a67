"""Makes the bundled example: ``make studio-example``.

    python src/textmill/studio/example/make.py train      the model and its run, from example.toml: some minutes
    python src/textmill/studio/example/make.py record     an answer of every endpoint, from them: a second
    python src/textmill/studio/example/make.py print      the same to standard output

What is recorded does not depend on the machine, but for times: the engine runs in plain C++, the same everywhere.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
EARLY_STEP = 100
TEXT = '''def naïve(self, text="🤖 été"):
    """Return the tokens of a text, don't split numbers like 123456."""
    return [token for token in self.tokenizer.encode(text) if token is not None]
'''
PROMPT = "def read(self, path):\n    with open(path) as file:\n        return file."
TEMPLATE_PROMPT = "def __init__(self"
PROMPTS = [
    "import os, sys, re, json, time\n\nclass Reader:\n    def __init__(self, path):\n",
    "import os, sys, re, json, time\n\nclass Reader:\n    def read(self):\n",
    "import os, sys, re, json, time\n\nclass Writer:\n    def __init__(self, path):\n",
    "from collections import deque\n",
    "import os, sys, re, json, time\n\nclass Reader:\n    def close(self):\n",
]
# Of each name: the call, and what it sends. The example alone is there, so that the answers are the same everywhere.
CALLS: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "session": ("GET", "/api/session", None),
    "tokens": ("POST", "/api/tokens", {"tokenizer": "example", "text": TEXT}),
    "explain": ("POST", "/api/tokens/explain", {"tokenizer": "example", "text": "naïve 🤖 tokens"}),
    "why": ("POST", "/api/tokens/why", {"tokenizer": "example", "text": "tokenizer"}),
    "vocabulary": (
        "POST",
        "/api/tokens/vocabulary",
        {"tokenizer": "example", "text": "re", "script": "Latin", "count": 20},
    ),
    "compare": ("POST", "/api/tokens/compare", {"a": "example", "b": "bytes.json", "text": TEXT}),
    "positions": ("GET", "/api/positions?model=example", None),
    "model": ("GET", "/api/models/example", None),
    "memory": ("GET", "/api/memory?model=example", None),
    "attention": ("POST", "/api/attention", {"model": "example", "text": PROMPT}),
    "engine": (
        "POST",
        "/api/engine/play",
        {"model": "example", "prompts": PROMPTS, "max_tokens": 20, "num_blocks": 8, "at_once": 3},
    ),
    "runs": ("GET", "/api/runs", None),
    "run": ("GET", "/api/runs/example", None),
    "series": ("GET", "/api/runs/example/series?figure=loss&figure=grad_norm&figure=lr&points=200", None),
    "tail": ("GET", "/api/runs/example/tail?offset={offset}&step={step}", None),
    "runs-compare": ("GET", "/api/runs-compare?run=example&run=other", None),
    "chat": (
        "POST",
        "/api/chat",
        {
            "model": "example",
            "prompt": TEMPLATE_PROMPT,
            "max_tokens": 48,
            "temperature": 0,
            "alternatives": 5,
            "seed": 1,
        },
    ),
}


def train() -> None:
    """Train the model, and take of its run what the example needs."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "runs" / "example"
        _textmill("train", str(HERE / "example.toml"), "--set", f"run.dir={run}")
        take(run)


def take(run: Path) -> None:
    """Take of a run its log, its configuration, and two checkpoints in eight bits."""
    shutil.copyfile(run / "events.jsonl", HERE / "events.jsonl")
    config = json.loads((run / "config.json").read_text())
    config["recipe"]["run"]["dir"] = "runs/example"
    (HERE / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    early = run / "checkpoints" / f"step-{EARLY_STEP:08d}"
    for model, name in ((run, "model.gguf"), (early, f"step-{EARLY_STEP}.gguf")):
        _textmill("model", "convert", str(model), str(HERE / name), "--type", "q8_0", "--force")


def _textmill(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "textmill", *arguments], check=True)


def record() -> dict[str, Any]:
    """Ask every endpoint; returns what it answered, by name."""
    from textmill import Tokenizer

    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "runs" / "other"
        other.mkdir(parents=True)
        config = json.loads((HERE / "config.json").read_text())
        config["recipe"]["schedule"]["peak_lr"] /= 2
        (other / "config.json").write_text(json.dumps(config))
        lines = (HERE / "events.jsonl").read_bytes().splitlines(keepends=True)
        (other / "events.jsonl").write_bytes(b"".join(lines[: len(lines) // 2]))
        tokenizer = Path(folder) / "bytes.json"
        Tokenizer.train(iter(["text"]), 256, "gpt2").save(tokenizer)
        return asyncio.run(_record(Path(folder), tokenizer))


async def _record(folder: Path, tokenizer: Path) -> dict[str, Any]:
    from textmill.serve.stepper import Stepper
    from textmill.studio.app import App
    from textmill.studio.loaded import Loaded
    from textmill.studio.routes import Desk
    from textmill.studio.subjects import Subjects

    def fail(error: BaseException) -> None:
        raise AssertionError("the engine failed") from error

    stepper = Stepper(asyncio.get_running_loop(), on_failure=fail)
    answers: dict[str, Any] = {}
    try:
        app = App(Desk(Loaded(Subjects(["example", str(tokenizer)], folder / "runs")), stepper))
        for name, (method, template, body) in CALLS.items():
            path = template.format(offset=_tail_offset(), step=_tail_step())
            answers[name] = _parsed(*await _call(app, method, path, body))
    finally:
        stepper.stop(10.0)
    session = answers["session"]
    for kind in ("tokenizers", "models", "runs"):
        session[kind] = [subject for subject in session[kind] if subject["kind"] == "example"]
    answers["runs"]["runs"] = [line for line in answers["runs"]["runs"] if line["name"] == "example"]
    return answers


def _tail_offset() -> int:
    lines = (HERE / "events.jsonl").read_bytes().splitlines(keepends=True)
    return sum(map(len, lines[:-8]))


def _tail_step() -> int:
    lines = (HERE / "events.jsonl").read_text().splitlines()[:-8]
    return max(json.loads(line)["step"] for line in lines)


async def _call(app: Any, method: str, path: str, body: dict[str, Any] | None) -> tuple[str, bytes]:
    """Call the application in this process; the content type of its response, and its body."""
    path, _, query = path.partition("?")
    sent = [{"type": "http.request", "body": b"" if body is None else json.dumps(body).encode(), "more_body": False}]
    received: list[dict[str, Any]] = []
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def receive() -> dict[str, Any]:
        if not sent:
            await never
        return sent.pop()

    async def send(message: Any) -> None:
        received.append(dict(message))

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": headers}
    await app(scope, receive, send)
    data = b"".join(message.get("body", b"") for message in received[1:])
    assert received[0]["status"] == 200, (path, data)
    return dict(received[0]["headers"])[b"content-type"].decode(), data


def _parsed(content_type: str, data: bytes) -> Any:
    if not content_type.startswith("text/event-stream"):
        return json.loads(data)
    events = []
    for block in data.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            events.append({"event": fields["event"], "data": json.loads(fields["data"])})
    return events


def main(command: str) -> None:
    """Carry out one of the commands."""
    if command == "train":
        train()
    os.environ["TEXTMILL_ISA"] = "portable"
    answers = record()
    if command == "print":
        sys.stdout.write(json.dumps(answers))
        return
    for name, answer in answers.items():
        (HERE / f"{name}.json").write_text(json.dumps(answer, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "record")
