import pytest

from textmill.base.errors import DataError
from textmill.checkpoint import cache
from textmill.checkpoint.sources import resolve_model
from textmill.checkpoint.store import save_checkpoint


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TEXTMILL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def run(tmp_path, tensors):
    for step in (1, 2):
        save_checkpoint(tmp_path / "runs" / "mine", step, model=tensors, optimizer={}, state={})
    return tmp_path / "runs" / "mine"


def keep(name, *files):
    """Put a model into the cache, as if it had been fetched."""
    folder = cache.folder_of(name)
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file).write_text("x")
    records = {file: cache.FileRecord(num_bytes=1, sha256="0" * 64) for file in files}
    cache.write_record(folder, cache.Record(name=name, source="a test", files=records))
    return folder


def test_a_model_folder_is_itself(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert resolve_model(tmp_path) == tmp_path


def test_a_gguf_file_is_itself_and_so_is_a_folder_that_holds_one(tmp_path):
    (tmp_path / "a.gguf").write_text("")
    assert resolve_model(tmp_path / "a.gguf") == tmp_path / "a.gguf"
    assert resolve_model(tmp_path) == tmp_path / "a.gguf"
    (tmp_path / "b.gguf").write_text("")
    with pytest.raises(DataError, match=r"holds 2 models; name one of them: .*a\.gguf.*b\.gguf"):
        resolve_model(tmp_path)


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


def test_a_run_that_ended_before_its_first_checkpoint(tmp_path):
    """Its configuration is that of a run, not of a model."""
    (tmp_path / "config.json").write_text('{"format_version": 2}')
    (tmp_path / "events.jsonl").touch()
    with pytest.raises(DataError, match=r"no checkpoint yet.*resume"):
        resolve_model(tmp_path)


def test_what_was_fetched_goes_by_its_name(tmp_path):
    small = keep("small-model", "a.gguf", "LICENSE")
    folder = keep("Org/Name-1.7B", "config.json", "model.safetensors")
    several = keep("Org/Name-GGUF", "q4.gguf", "q8.gguf")
    assert resolve_model("small-model", runs=tmp_path) == small / "a.gguf"
    assert resolve_model("Org/Name-1.7B", runs=tmp_path) == folder
    assert resolve_model("Org/Name-GGUF/q8.gguf", runs=tmp_path) == several / "q8.gguf"
    with pytest.raises(DataError, match=r"Org/Name-GGUF/q4\.gguf, Org/Name-GGUF/q8\.gguf"):
        resolve_model("Org/Name-GGUF", runs=tmp_path)
    assert cache.cached_names() == ["Org/Name-1.7B", "Org/Name-GGUF", "small-model"]


def test_what_lies_here_comes_before_what_was_fetched(tmp_path, monkeypatch):
    keep("mine", "config.json")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    assert str(resolve_model("mine")) == "mine"


def test_a_fetched_model_that_lost_bytes(tmp_path):
    folder = keep("small-model", "a.gguf")
    (folder / "a.gguf").write_text("xx")
    with pytest.raises(DataError, match=r"has 2 bytes, and had 1.*textmill model get small-model"):
        resolve_model("small-model", runs=tmp_path)
    (folder / "a.gguf").unlink()
    with pytest.raises(DataError, match=r"is missing.*textmill model get small-model"):
        resolve_model("small-model", runs=tmp_path)


@pytest.mark.parametrize("name", ["../cache/models/small-model", "a/../small-model", "", "..", "x" * 5000])
def test_a_name_cannot_leave_the_cache(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    keep("small-model", "a.txt")
    with pytest.raises(DataError):
        resolve_model(name)


def test_what_was_looked_at_is_said(tmp_path, run):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=r"neither config\.json, checkpoints nor a GGUF file"):
        resolve_model(tmp_path / "folder")
    with pytest.raises(DataError, match="is a file, and no GGUF file"):
        resolve_model(tmp_path / "file")
    with pytest.raises(
        DataError, match=r"smollm2-135m-instruct does not exist.*with: textmill model get smollm2-135m-"
    ):
        resolve_model("smollm2-135m-instruct", runs=tmp_path)
    with pytest.raises(DataError, match=r'Did you mean "smollm2-135m-instruct"\?'):
        resolve_model("smollm-135m", runs=tmp_path)
    with pytest.raises(DataError, match=r'Did you mean "mine"\?'):
        resolve_model("mien", runs=run.parent)
    with pytest.raises(DataError, match=r"hub.*textmill model get Org/Name"):
        resolve_model("Org/Name", runs=tmp_path)
