import pytest

from textmill.base.errors import DataError
from textmill.checkpoint.sources import resolve_model
from textmill.checkpoint.store import save_checkpoint


@pytest.fixture
def run(tmp_path, tensors):
    for step in (1, 2):
        save_checkpoint(tmp_path / "runs" / "mine", step, model=tensors, optimizer={}, state={})
    return tmp_path / "runs" / "mine"


def test_a_model_folder_is_itself(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert resolve_model(tmp_path) == tmp_path


def test_a_run_is_its_last_good_checkpoint(run):
    (run / "config.json").write_text("{}")  # a run has a configuration of its own
    assert resolve_model(run).name == "step-00000002"
    (run / "checkpoints" / "step-00000002" / "model.safetensors").write_bytes(b"")
    heard = []
    assert resolve_model(run, on_damage=heard.append).name == "step-00000001"
    assert "step-00000002" in str(heard[0])
    (run / "checkpoints" / "step-00000001" / "state.json").unlink()
    with pytest.raises(DataError, match=r"every checkpoint.*damaged.*step-00000001"):
        resolve_model(run)


def test_a_run_goes_by_its_name(run):
    assert resolve_model("mine", runs=run.parent).name == "step-00000002"


def test_a_run_before_its_first_checkpoint(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(DataError, match="no checkpoint yet"):
        resolve_model(tmp_path)


def test_what_was_looked_at_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"neither config\.json nor checkpoints"):
        resolve_model(tmp_path)
    with pytest.raises(DataError, match="is a file"):
        resolve_model(tmp_path / "file")
    with pytest.raises(DataError, match=r"smollm2-135m-instruct does not exist.*model get"):
        resolve_model("smollm2-135m-instruct", runs=tmp_path)
    with pytest.raises(DataError, match=r"GGUF.*native engine"):
        resolve_model(tmp_path / "model.gguf")
