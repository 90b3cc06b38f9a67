"""The engine's end after an error, with a cluster that is slow to stop in the place of Ray."""

import socket
import types

import pytest

from textmill.base.errors import ConfigError, DataError
from textmill.data.engines import ray as engine_module
from textmill.data.engines.ray import RayEngine


class SlowCluster:
    """Ray's functions over numbers: task 0 fails, the others end only when asked to, with or without force."""

    class exceptions:  # noqa: N801  as in ray
        class RayError(Exception):
            pass

        class RayTaskError(RayError):
            cause = DataError("a task failed")

    def __init__(self, ends_when):
        self.ends_when, self.asked, self.ended, self.waited_s = ends_when, [], {0}, 0.0

    def is_initialized(self):
        return True

    def cluster_resources(self):
        return {"CPU": 2}

    def remote(self, **options):
        return lambda function: types.SimpleNamespace(remote=lambda task: task)

    def cancel(self, reference, force=False):
        self.asked.append((reference, force))
        if force in self.ends_when:
            self.ended.add(reference)

    def wait(self, references, num_returns, timeout):
        done = [reference for reference in references if reference in self.ended][:num_returns]
        self.waited_s += timeout
        return done, [reference for reference in references if reference not in done]

    def get(self, reference):
        raise self.exceptions.RayTaskError


def run_to_the_error(cluster, monkeypatch):
    """Returns what the engine told meanwhile."""
    told = []
    monkeypatch.setattr(engine_module, "require_extra", lambda *_: cluster)
    with pytest.raises(DataError, match="a task failed"):
        list(RayEngine(tell=told.append).run(print, range(9), lambda: None))
    return told


def test_tasks_that_end_when_they_are_asked_to_are_not_forced(monkeypatch):
    cluster = SlowCluster(ends_when={False})
    assert run_to_the_error(cluster, monkeypatch) == []
    assert cluster.asked == [(task, False) for task in (1, 2, 3, 4)]
    assert cluster.ended >= {1, 2, 3, 4}


def test_tasks_that_do_not_end_are_forced_to(monkeypatch):
    cluster = SlowCluster(ends_when={True})
    (told,) = run_to_the_error(cluster, monkeypatch)
    assert "waiting up to 60 s for 4 tasks on the Ray cluster: each was asked to end" in told
    assert cluster.asked == [(task, force) for force in (False, True) for task in (1, 2, 3, 4)]


def test_tasks_that_still_run_are_told_of_beside_the_error(monkeypatch):
    cluster = SlowCluster(ends_when=set())
    with pytest.warns(UserWarning, match=r"4 tasks on the Ray cluster .* 120 s .*may still write.*output\.dir"):
        told = run_to_the_error(cluster, monkeypatch)
    assert [message.partition(": each ")[2][:12] for message in told] == ["was asked to", "is forced to"]
    assert cluster.waited_s == pytest.approx(2 * 60, abs=1)


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "127.0.0.1:99999"])
def test_where_nobody_listens_is_told_at_once(monkeypatch, address):
    """Ray itself tries for many minutes."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else answers there meanwhile
        address = address.format(port=taken.getsockname()[1])
        cluster = SlowCluster(ends_when=set())
        cluster.is_initialized = lambda: False
        monkeypatch.setattr(engine_module, "require_extra", lambda *_: cluster)
        with pytest.raises(ConfigError, match=f"there is no Ray cluster at {address}: .* ray start --head"):
            RayEngine(address)
