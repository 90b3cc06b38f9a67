"""Conversations made tokens once: by one process or several, kept with the run, the first bad line told."""

import datetime
import json

import pytest

from fakes.tiny_model import TEMPLATE, tokenizer
from textmill.base.errors import ConfigError, DataError
from textmill.tune import tokenized as module
from textmill.tune.chat_tokens import ChatTokenizer
from textmill.tune.preference_tokens import PairTokenizer
from textmill.tune.tokenized import tokenized

STOPS = frozenset({tokenizer().special_tokens["<|im_end|>"]})


def chats(context=40, too_long="drop", words=None):
    return ChatTokenizer(tokenizer=words or tokenizer(), model="m", stop_ids=STOPS, context=context, too_long=too_long)


def pairs():
    return PairTokenizer(
        tokenizer=tokenizer(),
        prefix_ids=(),
        end_id=2,
        stop_ids=STOPS,
        context=100,
        prompt_context=50,
        too_long="refuse",
    )


def chat(number):
    return {
        "messages": [
            {"role": "user", "content": f"the fox {number}?"},
            {"role": "assistant", "content": "jumps " * (1 + number % 50)},
        ]
    }


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "chats.jsonl"
    file.write_text("".join(json.dumps(chat(number)) + "\n\n" for number in range(200)))
    return file


class Told:
    def __init__(self):
        self.said, self.begun, self.done = [], [], []

    def of(self, paths, maker, folder):
        return tokenized(paths, maker, folder, say=self.said.append, begin=self.begun.append, progress=self.done.append)


def as_lists(items):
    return [([ids.tolist() for ids in one.to_arrays()], one.where) for one in items]


def test_they_are_kept_and_read_back_with_what_was_said(tmp_path, path):
    first, again = Told(), Told()
    made = first.of([path], chats(), tmp_path / "run")
    wanted = [chats()(chat(number), f"{path}:{2 * number + 1}")[0] for number in range(200)]
    assert 0 < sum(one is None for one in wanted) < 200
    assert as_lists(made) == as_lists(one for one in wanted if one is not None)
    assert first.said == [f"{sum(one is None for one in wanted)} conversations longer than 40 tokens left out"]
    assert first.begun == [path.stat().st_size]
    assert first.done[-1] == path.stat().st_size
    read = again.of([path], chats(), tmp_path / "run")
    assert as_lists(read) == as_lists(made)
    assert (again.said, again.begun, again.done) == (first.said, [], [])
    assert [one.is_answer.tolist() for one in read] == [one.is_answer.tolist() for one in made]


def test_pairs_are_kept_too(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"a {n}", "chosen": "b", "rejected": "c"}) + "\n" for n in range(9)))
    made, told = Told().of([path], pairs(), tmp_path), Told()
    assert told.of([path], pairs(), tmp_path) == made
    assert told.begun == []
    assert len(made) == 9


@pytest.mark.parametrize("what", ["data", "context", "too_long", "template", "clock", "file"])
def test_another_input_is_made_anew(tmp_path, path, what):
    Told().of([path], chats(), tmp_path)
    maker = {
        "context": chats(context=30),
        "too_long": chats(too_long="cut"),
        "template": chats(words=tokenizer().with_chat_template("x" + TEMPLATE)),
        "clock": chats(words=tokenizer().with_clock(datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))),
    }.get(what, chats())
    if what == "data":
        path.write_text(path.read_text() + json.dumps(chat(3)) + "\n")
    elif what == "file":
        (file,) = (tmp_path / "tokens").iterdir()
        file.write_bytes(file.read_bytes()[:-9])
    told = Told()
    told.of([path], maker, tmp_path)
    assert told.begun == [path.stat().st_size]


def test_several_processes_make_the_same(tmp_path, path, monkeypatch):
    made = Told().of([path], chats(), tmp_path / "one")
    monkeypatch.setattr(module, "_BLOCK_BYTES", 4000)
    assert as_lists(Told().of([path], chats(), tmp_path / "blocks")) == as_lists(made)
    monkeypatch.setattr(module, "_BYTES_FOR_PROCESSES", 1)
    engines = []
    engine = module.LocalEngine
    monkeypatch.setattr(module, "LocalEngine", lambda workers: engines.append(engine(2)) or engines[-1])
    told = Told()
    assert as_lists(told.of([path], chats(), tmp_path / "two")) == as_lists(made)
    assert engines[0].workers == 2
    assert len(told.done) > 2
    assert told.done == sorted(told.done)
    with path.open("a") as file:
        file.write("{\n")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:100], "[]\n", *lines[100:]]))
    with pytest.raises(DataError, match=f"^{path}:101: a line must hold an object"):
        Told().of([path], chats(), tmp_path / "bad")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=f"cannot read {tmp_path / 'none.jsonl'}"):
        Told().of([tmp_path / "none.jsonl"], chats(), tmp_path)
    assert not list(tmp_path.iterdir())
