"""Models by name within a budget: who is loaded, who makes room, and who is told what."""

import gc
import random
import threading
import time
import weakref

import pytest

from textmill.base.errors import DataError
from textmill.serve.api_error import ApiError
from textmill.serve.model_pool import ModelPool, Pooled


class Model:
    def __init__(self, name):
        self.name = name


class Shelf:
    """Counts what is loaded."""

    def __init__(self, sizes, memory, *, seconds=0.0):
        self.loads = []
        self.alive = weakref.WeakSet()
        self.seconds = seconds
        self.error = None
        self.pool = ModelPool(
            [Pooled(name=name, num_bytes=size, load=lambda name=name: self.load(name)) for name, size in sizes.items()],
            memory=memory,
        )

    def load(self, name):
        self.loads.append(name)
        time.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        model = Model(name)
        self.alive.add(model)
        return model

    def use(self, name):
        with self.pool.lease(name) as model:
            return model.name

    @property
    def names(self):
        return [model.name for model in self.pool.loaded]


def test_a_model_is_loaded_once_and_stays():
    shelf = Shelf({"a": 1, "b": 1}, memory=2)
    assert shelf.pool.try_take("a") is None
    assert [shelf.use(name) for name in ("a", "a", "b", "a", None)] == ["a", "a", "b", "a", "a"]
    assert shelf.loads == ["a", "b"]
    lease = shelf.pool.try_take("b")
    assert lease.model.name == "b"
    lease.give_back()
    lease.give_back()
    assert shelf.pool.names == ["a", "b"]
    assert shelf.pool.num_bytes == 2


def test_the_one_used_longest_ago_makes_room():
    shelf = Shelf({"a": 2, "b": 2, "c": 2, "big": 5}, memory=5)
    for name in ("a", "b", "a", "c"):
        shelf.use(name)
    assert shelf.names == ["a", "c"]
    shelf.use("big")
    assert shelf.names == ["big"]
    gc.disable()
    try:
        shelf.use("a")
        assert {model.name for model in shelf.alive} == {"a"}  # the others' memory is free at once
    finally:
        gc.enable()


def test_a_model_in_use_stays():
    shelf = Shelf({"a": 2, "b": 2, "c": 2}, memory=4)
    with shelf.pool.lease("a"):
        shelf.use("b")
        shelf.use("c")
        assert shelf.names == ["a", "c"]
        with shelf.pool.lease("c"), pytest.raises(ApiError, match="takes 2 B, and 0 B of 4 B are free") as refused:
            shelf.use("b")
        assert refused.value.status == 503
        assert dict(refused.value.headers)[b"retry-after"].isdigit()
    assert shelf.use("b") == "b"


def test_what_cannot_be_had_is_told():
    shelf = Shelf({"a": 2, "huge": 9}, memory=4)
    with pytest.raises(ApiError, match='no model "x"; this server has "a", "huge"') as unknown:
        shelf.use("x")
    assert unknown.value.status == 404
    with pytest.raises(ApiError, match='"huge" takes 9 B, and this server has 4 B') as huge:
        shelf.use("huge")
    assert huge.value.status == 400
    assert shelf.loads == []


def test_a_load_is_shared_by_those_who_wait():
    shelf = Shelf({"a": 1}, memory=1, seconds=0.1)
    used = []
    threads = [threading.Thread(target=lambda: used.append(shelf.use("a"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert used == ["a"] * 8
    assert shelf.loads == ["a"]


def test_a_load_that_fails_fails_for_all_and_is_tried_anew():
    shelf = Shelf({"a": 1}, memory=1, seconds=0.1)
    shelf.error = DataError("the file is damaged")
    errors = []

    def use():
        try:
            shelf.use("a")
        except DataError as error:
            errors.append(error)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 4
    assert shelf.pool.num_bytes == 0
    shelf.error = None
    assert shelf.use("a") == "a"


def test_an_interrupted_load_is_taken_over_by_the_next():
    shelf = Shelf({"a": 1}, memory=1)
    shelf.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        shelf.use("a")
    shelf.error = None
    assert shelf.use("a") == "a"


def test_many_threads_never_exceed_the_budget():
    sizes = {name: size for size, name in enumerate("abcdef", 1)}
    shelf = Shelf(sizes, memory=10, seconds=0.001)
    most, refused = [], []

    def use(seed):
        rng = random.Random(seed)
        for _ in range(40):
            name = rng.choice("abcdef")
            try:
                with shelf.pool.lease(name) as model:
                    assert model.name == name
                    most.append(shelf.pool.num_bytes)
                    assert model in shelf.pool.loaded
                    time.sleep(rng.random() / 500)
            except ApiError as error:
                assert error.status == 503  # noqa: PT017  one of many
                refused.append(name)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) <= 10
    assert len(most) > 20
    assert sum(sizes[model.name] for model in shelf.pool.loaded) == shelf.pool.num_bytes
