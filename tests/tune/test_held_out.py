"""What is held out of tuning: the same share whatever else there is, scored on the way; the run does not change."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

import numpy as np
import torch

from textmill.base.errors import ConfigError
from textmill.base.events import read_events
from textmill.checkpoint.huggingface import load_llama
from textmill.checkpoint.store import list_checkpoints
from textmill.train.report import write_report
from textmill.tune.base_model import open_base
from textmill.tune.chat_records import chat_of
from textmill.tune.chat_tokens import ChatTokens, tokens_of
from textmill.tune.held_out import place_of, sample, split
from textmill.tune.preference_tokens import Pair
from tune.tiny_tuning import tune, write_recipe

IDS = st.lists(st.integers(0, 300), min_size=1, max_size=6).map(tuple)


def pair(prompt, number=0):
    return Pair(prompt, (1, number), (2,), f"f:{number}")


@given(prompts=st.lists(IDS, min_size=2, max_size=60), share=st.floats(0.05, 0.95))
def test_a_prompt_is_on_one_side_whatever_else_there_is(prompts, share):
    items = [pair(prompt, number) for number, prompt in enumerate(prompts)]
    try:
        learned, held_out = split(items, share)
    except ConfigError:
        assert len({place_of(item) < share for item in items}) == 1
        return
    assert sorted([*learned, *held_out], key=lambda item: int(item.where[2:])) == items
    assert {item.prompt for item in learned}.isdisjoint(item.prompt for item in held_out)
    assert all(place_of(item) < share for item in held_out)


def test_a_share_is_about_that_of_many():
    _, held_out = split([pair((number, 7)) for number in range(4000)], 0.1)
    assert len(held_out) == pytest.approx(400, abs=4 * math.sqrt(4000 * 0.09))


def test_of_conversations_what_comes_before_the_first_answer_decides():
    ids = np.array([5, 6, 7, 8, 9], np.int32)
    one = ChatTokens(ids, np.array([False, False, False, True, True]), "f:1")
    other = ChatTokens(np.array([5, 6, 7, 1], np.int32), np.array([False, False, False, True]), "f:2")
    assert place_of(one) == place_of(other) == place_of(pair((5, 6, 7)))


@given(st.lists(IDS, min_size=1, max_size=40), st.integers(1, 100))
def test_a_sample_holds_no_more_than_it_may(prompts, max_tokens):
    items = [pair(prompt, number) for number, prompt in enumerate(prompts)]
    chosen = sample(items, max_tokens)
    assert chosen
    assert len(chosen) == 1 or sum(item.num_inputs for item in chosen) <= max_tokens
    assert [item for item in items if item in chosen] == chosen


def evaluations(folder):
    events = read_events(folder / "run" / "events.jsonl")
    return {event.step: event.fields["held_out"] for event in events if event.kind == "eval"}


def weights_of(folder):
    return (list_checkpoints(folder / "run")[-1] / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("kind", "settings", "names"),
    [
        ("sft", ("eval.holdout=0.3",), ["loss", "perplexity"]),
        ("sft", ("eval.holdout=0.3", "tune.rank=3", "tune.dropout=0.2"), ["loss", "perplexity"]),
        ("dpo", ("eval.holdout=0.3",), ["loss", "accuracy", "reward_margin"]),
        ("grpo", ("eval.holdout=0.4", "budget.steps=6"), ["reward", "ended"]),
    ],
)
def test_it_is_scored_on_the_way_and_changes_nothing(tmp_path, kind, settings, names):
    for folder, every in (("often", 2), ("once", 1000)):
        path = write_recipe(tmp_path / folder, kind)
        tune(path, kind, (*settings, f"eval.every_steps={every}"))
    often, once = evaluations(tmp_path / "often"), evaluations(tmp_path / "once")
    last = max(often)
    assert list(often) == [*range(2, last, 2), last]
    assert list(once) == [last]
    assert once[last] == often[last]
    assert list(once[last]) == names
    assert weights_of(tmp_path / "often") == weights_of(tmp_path / "once")
    page = write_report(tmp_path / "often/run").read_text()
    assert "held out of tuning" in page
    assert f">{often[last][names[0]]:.3f}<" in page
    assert "held out" in page.partition("Gradient norm")[0]


def test_a_score_is_that_of_each_answer_by_itself(tmp_path):
    path = write_recipe(tmp_path, "sft")
    lines = (tmp_path / "chats.jsonl").read_text().splitlines()
    (tmp_path / "other.jsonl").write_text("\n".join(lines[:3]))
    tune(path, "sft", (f"eval.data={tmp_path / 'other.jsonl'}", "eval.max_tokens=100000"))
    (last,) = evaluations(tmp_path).values()
    model = load_llama(tmp_path / "run/model")
    base = open_base(str(tmp_path / "base"), 128)
    nats = count = 0
    for line in lines[:3]:
        chat = tokens_of(chat_of(json.loads(line), "f:1"), base.tokenizer, model="m", stop_ids=base.rules.stop_ids)
        with torch.no_grad():
            log_p = model(torch.from_numpy(chat.ids[None, :-1].astype(np.int64)))[0].log_softmax(-1)
        for place in np.flatnonzero(chat.is_answer[1:]):
            nats, count = nats - log_p[place, int(chat.ids[place + 1])].item(), count + 1
    assert last["loss"] == pytest.approx(nats / count, rel=1e-4)
    assert last["perplexity"] == pytest.approx(math.exp(nats / count), rel=1e-4)
