"""A pipeline on a Ray cluster of two nodes gives the bytes that one process gives."""

import pytest

from data.pipelines import hashes, pipeline_of, write_corpus
from textmill.data import job as job_module
from textmill.data.engines.local import LocalEngine
from textmill.data.prepare import prepare


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'textmill[ray]'")
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
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
