"""Templates that write the date: a run that goes on on another day goes on with the texts that it began with."""

import datetime
import json
from types import SimpleNamespace

import pytest

pytest.importorskip("torch")

from fakes.tiny_model import TEMPLATE
from textmill.base.errors import DataError
from textmill.tokenizer import chat_render
from textmill.tune import pipeline
from tune.tiny_tuning import tune, write_recipe


def set_clock(monkeypatch, day):
    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.datetime(2026, 1, day, 12, tzinfo=tz)

    for module in (pipeline, chat_render):
        monkeypatch.setattr(module, "datetime", SimpleNamespace(datetime=Clock, UTC=datetime.UTC))


@pytest.mark.parametrize("kind", ["sft", "dpo", "grpo"])
def test_a_run_goes_on_with_the_date_of_its_beginning(tmp_path, monkeypatch, kind):
    path = write_recipe(tmp_path, kind)
    (tmp_path / "base/chat_template.jinja").write_text("{{ strftime_now('%d') }}\n" + TEMPLATE)
    if kind == "grpo":  # a text is not written by a template
        line = {"prompt": [{"role": "user", "content": "the fox?"}], "letter": "o"}
        (tmp_path / "prompts.jsonl").write_text(json.dumps(line) + "\n")
    settings = ("budget.steps=1",)
    set_clock(monkeypatch, 3)
    tune(path, kind, settings)
    kept = json.loads((tmp_path / "run/inputs.json").read_text())
    assert datetime.datetime.fromisoformat(kept["began"]).day in {2, 3, 4}, "whatever the zone"
    set_clock(monkeypatch, 20)
    tune(path, kind, settings)  # it resumes
    # The same run begun on the other day would have had other texts.
    other = kept | {"began": "2026-01-20T12:00:00+00:00"}
    (tmp_path / "run/inputs.json").write_text(json.dumps(other))
    with pytest.raises(DataError, match="the data are not those"):
        tune(path, kind, settings)
