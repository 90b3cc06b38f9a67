"""A Ray cluster of two nodes: a pipeline gives the bytes that one process gives; after an error nobody is at work."""

import time

import pytest

from data.pipelines import hashes, pipeline_of, write_corpus
from textmill.base.errors import DataError
from textmill.data import job as job_module
from textmill.data.engines import ray as engine_module
from textmill.data.engines.local import LocalEngine
from textmill.data.prepare import prepare


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'textmill[ray]'")
    from ray.cluster_utils import Cluster

    for tries_left in (2, 1, 0):
        nodes = Cluster()
        try:
            nodes.add_node(num_cpus=1, include_dashboard=False)
            nodes.add_node(num_cpus=1)
            nodes.wait_for_nodes()
            break
        except Exception:
            # Ray gives a node 30 seconds to start, which a busy machine may not have for it.
            nodes.shutdown()
            if not tries_left:
                raise
    yield nodes
    ray.shutdown()
    nodes.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_two_nodes_give_the_same_bytes(cluster, tmp_path, monkeypatch):
    from textmill.data.engines.ray import RayEngine

    monkeypatch.setattr(job_module, "UNIT_BYTES_OF_MB", 1 << 14)
    corpus = write_corpus(tmp_path / "corpus")
    tables = {"dedup": {"minhash": True, "recall_sample": 0}, "holdout": {"fraction": 0.1}}
    ray_engine = RayEngine(cluster.address)
    for name, engine in (("here", LocalEngine(1)), ("ray", ray_engine)):
        prepare(pipeline_of(corpus, tmp_path / name / "out", **tables), engine)
    import ray

    assert len([node for node in ray.nodes() if node["Alive"]]) == 2
    ray_engine.close()
    here, there = (hashes(tmp_path / name / "out", tmp_path / name / "out-heldout") for name in ("here", "ray"))
    assert here == there


def contents(folder):
    return {path.name: path.read_text() for path in folder.glob("written-*")}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
@pytest.mark.parametrize(("work_s", "ended_within_s"), [(3, 60.0), (100, 5.0)], ids=["waits", "forces"])
def test_when_an_error_is_raised_no_task_is_at_work_any_more(  # noqa: PLR0917  fixtures
    cluster, tmp_path, monkeypatch, recwarn, work_s, ended_within_s
):
    """The first tasks end within the time that they have, the second ones are far from it."""
    from textmill.data.engines.ray import RayEngine

    def fail_or_write(path):  # here, so that it travels by value
        import contextlib
        import pathlib

        if path is None:
            while not (tmp_path / "began").exists():
                time.sleep(0.05)
            raise DataError("a task failed")
        until = time.monotonic() + work_s
        while time.monotonic() < until:  # it heeds being asked as little as a loop in C++ would
            with contextlib.suppress(KeyboardInterrupt):
                pathlib.Path(path).write_text(str(time.monotonic()))
                (tmp_path / "began").touch()
                time.sleep(0.1)

    monkeypatch.setattr(engine_module, "_ENDED_WITHIN_S", ended_within_s)
    engine = RayEngine(cluster.address)
    paths = [tmp_path / f"written-{number}" for number in range(6)]
    with pytest.raises(DataError, match="a task failed"):
        list(engine.run(fail_or_write, [paths[0], None, *paths[1:]], lambda: None))
    written = contents(tmp_path)
    assert written
    time.sleep(1)
    assert contents(tmp_path) == written, "a task writes every tenth of a second"
    assert not [warning for warning in recwarn if "Ray cluster" in str(warning.message)]
    engine.close()
