"""lm-evaluation-harness's client of OpenAI's API against ``textmill serve``: the scores of the model in the process."""

import importlib.util
import signal
import subprocess
import sys

import pytest

from eval.harness_tasks import check_equal, harness_environment, run_pair, write_tasks
from fakes.tiny_model import tokenizer, write_model

pytestmark = [pytest.mark.peer, pytest.mark.slow]
TASKS = ["tiny_choice", "tiny_cloze", "tiny_rolling", "tiny_generate"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("harness")
    write_model(folder / "model", vocab_size=tokenizer().vocab_size)
    write_tasks(folder)
    return folder


@pytest.fixture(scope="module")
def address(folder):
    """A server of the model, in a process of its own on a free port."""
    for module in ("textmill.serve", "uvicorn", "msgspec"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"textmill serve needs {module}, which is not here")
    command = [sys.executable, "-m", "textmill", "serve", f"tiny={folder / 'model'}", "--port", "0"]
    options = ["--weights", "f32", "--kv", "f32", "--threads", "1", "--no-access-log"]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            [*command, *options], env=harness_environment(folder), stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        said = process.stdout.readline().strip()
        assert said.startswith("http://"), (folder / "server.log").read_text()
        yield said
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()


@pytest.mark.parametrize("tokenized", [True, False])
def test_scores_are_those_of_the_model_in_the_process(folder, address, tokenized):
    client = ",".join(
        [
            f"model=tiny,base_url={address}/v1/completions,tokenizer={folder / 'model'}",
            f"tokenizer_backend=huggingface,tokenized_requests={tokenized},num_concurrent=4",
        ]
    )
    run = {
        "name": "served",
        "model": folder / "model",
        "arguments": ["max_length=200"],
        "models": {"textmill": "weights=f32,kv=f32,threads=1", "local-completions": client},
        # Texts instead of ids cannot say where a context ends: log-probabilities need ids.
        "tasks": TASKS if tokenized else ["tiny_generate"],
        "options": {},
    }
    found = run_pair(folder, [run])["served"]
    check_equal(found["textmill"]["run"], found["local-completions"]["run"])
