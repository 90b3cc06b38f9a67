"""What the engine tells of its blocks, told again, gives the blocks that it has."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import textmill
from fakes.tiny_model import write_model
from textmill.studio.engine_feed import Watch, play, pool_event

WORDS = ["the quick brown fox ", "jumps over the lazy dog ", "while seven wizards box ", "the quick brown wizards "]


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("feed")
    write_model(folder)
    return textmill.load(folder, threads=1)


class Blocks:
    """Blocks as a page draws them, from what it is told."""

    def __init__(self, pool):
        self.held = dict(pool["held"])
        self.cached = list(pool["cached"])
        self.free = set(range(pool["num_blocks"])) - set(self.held) - set(self.cached)
        self.published = set(self.cached)
        self.of_answer = {}

    def change(self, what, block, answer):
        holders = self.of_answer.setdefault(answer, [])
        if what == "take":
            self.free.remove(block)
            self.held[block] = 1
            holders.append(block)
        elif what == "share":
            if block in self.cached:
                self.cached.remove(block)
            self.held[block] = self.held.get(block, 0) + 1
            holders.append(block)
        elif what == "publish":
            assert block in self.held
            self.published.add(block)
        elif what in ("give", "keep", "leave"):
            holders.remove(block)
            self.held[block] -= 1
            assert (what == "leave") == bool(self.held[block])
            if not self.held[block]:
                del self.held[block]
                assert (what == "keep") == (block in self.published)
                if what == "keep":
                    self.cached.append(block)
                else:
                    self.free.add(block)
        elif what == "evict":
            assert self.cached.pop(0) == block  # the least recently held goes first
            self.published.remove(block)
            self.free.add(block)
        elif what == "preempt":
            pass
        elif what == "finish":
            assert holders == []
        else:
            raise AssertionError(what)

    def check(self, step):
        assert (len(self.free), len(self.cached)) == (step["num_free"], step["num_cached"])


@settings(max_examples=40, deadline=None)
@given(
    prompts=st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map("".join), min_size=1, max_size=8),
    num_blocks=st.integers(6, 14),
    at_once=st.integers(1, 5),
)
def test_blocks_can_be_followed_from_the_changes_alone(lm, prompts, num_blocks, at_once):
    events = list(play(lm, prompts, max_tokens=12, num_blocks=num_blocks, at_once=at_once))
    assert [name for name, _ in events] == ["pool", *["step"] * (len(events) - 2), "end"]
    blocks = Blocks(events[0][1])
    for number, (_, step) in enumerate(events[1:-1], 1):
        assert step["step"] == number
        for change in step["changes"]:
            blocks.change(*change)
        blocks.check(step)
        assert step["work"]
        for work in step["work"]:
            assert work["num_tokens"] > 0
    assert not blocks.held
    # A small cache changes when an answer is made, and not what it is.
    for prompt, answer in zip(prompts, events[-1][1]["answers"], strict=True):
        assert answer["text"] == lm.generate(prompt, max_tokens=12, ignore_eos=True).text


def test_a_beginning_that_comes_again_is_a_prefix_hit(lm):
    prompts = [WORDS[0] * 5, WORDS[0] * 5]
    events = list(play(lm, prompts, max_tokens=2, num_blocks=20, at_once=1))
    changes = [change for _, step in events[1:-1] for change in step["changes"]]
    shared = [change for change in changes if change[0] == "share"]
    assert shared
    assert {answer for _, _, answer in shared} == {1}
    assert events[-1][1]["answers"][1]["num_cached"] == len(shared) * events[0][1]["block_size"]


def test_who_watches_in_the_middle_can_follow(lm):
    """The first picture and the changes after it fit together, while another thread makes steps."""
    stop = threading.Event()

    def work():
        while not stop.is_set():
            lm.generate([WORDS[0] * 3, WORDS[1] * 4], max_tokens=20)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(8):
            watch = Watch(lm)
            blocks = Blocks(pool_event(lm, lm.batcher.watch(watch.on_change, watch.on_step))[1])
            blocks.of_answer = _Anything()
            seen = []
            while len(seen) < 10:
                seen += watch.take()
            lm.batcher.watch(None, None)
            for _, step in seen:
                for change in step["changes"]:
                    if change[0] not in ("finish", "preempt"):
                        blocks.change(*change)
                blocks.check(step)
    finally:
        stop.set()
        thread.join()


class _Anything(dict):
    """Whose blocks were held before anybody watched is not known."""

    def setdefault(self, key, default):
        return super().setdefault(key, _Forgiving())


class _Forgiving(list):
    def remove(self, value):
        if value in self:
            super().remove(value)


def test_nobody_watching_hears_nothing(lm):
    watch = Watch(lm)
    lm.batcher.watch(watch.on_change, watch.on_step)
    lm.batcher.watch(None, None)
    lm.generate("the", max_tokens=2)
    assert watch.take() == []


def test_the_engine_is_watched_while_a_page_chats(studio):
    with studio.follow("/api/engine/tiny") as first, studio.follow("/api/engine/tiny") as second:
        for one in (first, second):
            one.wait(lambda events: events)
            assert one.events[0][0] == "pool"
            assert one.events[0][1]["model"] == "tiny"
        studio.post("/api/chat", {"model": "tiny", "prompt": "the quick", "max_tokens": 5, "ignore_eos": True})
        for one in (first, second):
            one.wait(
                lambda events: any(list(c[:2]) == ["finish", None] for _, d in events for c in d.get("changes", []))
            )
            blocks = Blocks(one.events[0][1])
            for _, step in one.events[1:]:
                for change in step["changes"]:
                    blocks.change(*change)
                blocks.check(step)


def test_a_played_cache_leaves_the_model_as_it_was(studio):
    ask = {"model": "tiny", "prompt": "the quick", "max_tokens": 5, "seed": 1, "temperature": 0}
    before = studio.post("/api/chat", ask)
    events = studio.post("/api/engine/play", {"model": "tiny", "prompts": WORDS, "num_blocks": 8, "max_tokens": 4})
    assert events[-1][0] == "end"
    after = studio.post("/api/chat", ask)
    assert [data for name, data in before if name == "tokens"] == [data for name, data in after if name == "tokens"]
