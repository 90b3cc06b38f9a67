"""The bundled example: what was recorded of it is what the studio answers, and it needs nothing beside it."""

import copy
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from textmill.studio.example import make
from textmill.studio.subjects import EXAMPLE_FOLDER

ROOT = Path(__file__).parents[2]
# What a machine takes is its own; so are the last bits of numpy's sums.
TIMES = {"seconds", "first_token_s", "tokens_per_s", "estimated_s", "is_loaded"}
_REFERENCE = ROOT / "docs" / "reference" / "studio-api.md"


@pytest.fixture(scope="module")
def answers():
    """In a process of its own, whose engine runs in plain C++."""
    done = subprocess.run([sys.executable, make.__file__, "print"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", list(make.CALLS))
def test_what_was_recorded_is_what_is_answered(answers, name):
    recorded = json.loads((EXAMPLE_FOLDER / f"{name}.json").read_text())
    check_alike(joined(recorded), joined(answers[name]), name)


def joined(answer):
    """A stream without what time decides: how many tokens had come when somebody looked."""
    if not isinstance(answer, list):
        return answer
    events = []
    for event in answer:
        if event["event"] == "tokens" and events and events[-1]["event"] == "tokens":
            events[-1]["data"]["tokens"] += event["data"]["tokens"]
        else:
            events.append(copy.deepcopy(event))
    return events


def check_alike(recorded, answered, place):
    if isinstance(recorded, dict):
        assert recorded.keys() == answered.keys(), place
        if "base64" in recorded:
            assert {**recorded, "base64": ""} == {**answered, "base64": ""}
            return
        for key, value in recorded.items():
            if key not in TIMES:
                check_alike(value, answered[key], f"{place}.{key}")
    elif isinstance(recorded, list):
        assert len(recorded) == len(answered), place
        for number, (one, other) in enumerate(zip(recorded, answered, strict=True)):
            check_alike(one, other, f"{place}[{number}]")
    elif isinstance(recorded, float) and isinstance(answered, int | float):
        assert answered == pytest.approx(recorded, rel=1e-3, abs=2e-4), place
    else:
        assert recorded == answered, place


def test_every_recorded_answer_can_be_asked_for(bare):
    for name in make.CALLS:
        assert bare.get(f"/api/example/{name}") == json.loads((EXAMPLE_FOLDER / f"{name}.json").read_text())


def test_it_is_small_and_names_no_place_of_a_machine():
    files = [path for path in EXAMPLE_FOLDER.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1_500_000
    for path in files:
        if path.suffix in (".json", ".jsonl"):
            assert not re.search(r'"(/|[A-Z]:\\\\)(root|home|tmp|work|Users)', path.read_text())


def test_every_view_has_something_with_nothing_at_hand(bare):
    told = bare.get("/api/session")
    assert told["open"] == {"view": "tokens", "tokenizer": "example", "model": "example", "run": "example"}
    assert bare.post("/api/chat", {"model": "example", "prompt": "def ", "max_tokens": 3})[-1][0] == "end"
    assert bare.post("/api/chat", {"model": "example@100", "prompt": "def ", "max_tokens": 3})[-1][0] == "end"
    assert bare.get("/api/runs/example")["step"] == bare.get("/api/runs/example")["num_steps"]


def keys_of(value, place=""):
    """The names of all there is, lists by their first elements; tables of names are left out."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{place}.{key}"
            yield from keys_of(inner, f"{place}.{key}")
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield from keys_of(value[0], place)


# Names of tokens, of special tokens and of options are data, and a stream's second event differs from its first.
_FREE = re.compile(r"\.(vocabulary|special_tokens|sampling|recipe|plan|environment|config|held_out|scores|figures)\.")


@pytest.mark.parametrize(
    ("heading", "name", "number"),
    [
        ("GET /api/session", "session", 0),
        ("POST /api/tokens", "tokens", 0),
        ("POST /api/tokens/explain", "explain", 0),
        ("POST /api/tokens/why", "why", 0),
        ("POST /api/tokens/vocabulary", "vocabulary", 0),
        ("POST /api/tokens/compare", "compare", 0),
        ("GET /api/models/NAME", "model", 0),
        ("/api/positions", "positions", 0),
        ("GET /api/memory", "memory", 0),
        ("Runs", "runs", 0),
        ("Runs", "run", 1),
        ("Runs", "series", 2),
        ("Runs", "tail", 3),
        ("Runs", "runs-compare", 4),
    ],
)
def test_the_reference_shows_what_is_answered(answers, heading, name, number):
    text = _REFERENCE.read_text()
    section = text[text.index(f"\n## {heading}\n") :]
    shown = json.loads(re.findall(r"```json\n(.*?)```", section, re.DOTALL)[number])
    answered = set(keys_of(answers[name]))
    missing = {key for key in keys_of(shown) if key not in answered and not _FREE.search(key)}
    assert not {key for key in missing if not _is_of_an_empty_list(key, answers[name])}


def _is_of_an_empty_list(key, value):
    for part in key.strip(".").split("."):
        if isinstance(value, list):
            if not value:
                return True
            value = value[0]
        if value is None or not isinstance(value, dict):
            return True
        if part not in value:
            return False
        value = value[part]
    return False


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("POST /api/attention", "attention"),
        ("GET /api/engine/MODEL and POST /api/engine/play", "engine"),
        ("POST /api/chat", "chat"),
    ],
)
def test_the_reference_shows_the_events_of_streams(answers, heading, name):
    text = _REFERENCE.read_text()
    section = text[text.index(f"\n## {heading}\n") :]
    shown = json.loads(re.search(r"```json\n(.*?)```", section, re.DOTALL)[1])
    answered = {}
    for event in answers[name]:
        answered.setdefault(event["event"], set()).update(event["data"])
    for event in shown:
        assert set(event["data"]) == answered[event["event"]], event["event"]


@pytest.mark.parametrize("arguments", [["no-such-thing"], ["--port", "70000"]])
def test_the_command_refuses_what_there_is_not(tmp_path, arguments):
    command = [sys.executable, "-m", "textmill", "studio", *arguments, "--no-open"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode in (2, 3)
    assert "no-such-thing" in done.stderr or "0 to 65535" in done.stderr
