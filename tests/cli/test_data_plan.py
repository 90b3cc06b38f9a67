"""``textmill data plan`` as a user meets it."""

import inspect
import json
import subprocess
import sys

import pytest

from textmill.cli import main
from textmill.cli.data_plan import plan as command
from textmill.train.compute_plan import DEFAULT_MFU, PEAK_FLOPS
from textmill.train.recipe import load_recipe, recipe_names


def run(capsys, *arguments):
    code = main(["data", "plan", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_llama_65b(capsys):
    code, out, err = run(capsys, "llama-65b", "--gpus", 2048, "--mfu", 0.476)
    assert code == 0, err
    for line in (
        "llama-65b: 65.3B parameters, 1.4T tokens, 333,786 steps of 4.19M tokens",
        "  wikipedia          4.5 %      63B    25.7B     2.45     2.45",
        "  books              4.5 %      63B    28.3B     2.23     2.23",
        "  GPU-hours      1,025,730 on A100",
        "  days           20.9 on 2,048 GPUs",
        # 65.3 x 10^9 parameters: 3 x 12 bytes over 2,048 GPUs, 8 of them on a host, and the model twice.
        "  host memory    531 GB on a host of 8 GPUs, beside theirs",
        "  MFU            47.6 % of 312 TFLOP/s by the first count, 49.4 % by the second",
    ):
        assert line in out.splitlines(), out
    assert "to train, give commoncrawl, " in err


@pytest.mark.parametrize("name", [name for name in recipe_names() if load_recipe(name).tune is None])
def test_every_shipped_recipe_fits_a_terminal(capsys, name):
    settings = ["--set", "budget.steps=900"] if name in ("tiny", "small") else []
    code, out, err = run(capsys, name, "--gpus", 100_000, "--gpu", "h200", *settings)
    assert code == 0, err
    assert max(map(len, out.splitlines())) <= 80, out


def test_several_stages_say_where_they_begin(capsys):
    code, out, err = run(capsys, "smollm2-1.7b", "--gpus", 256)
    assert code == 0
    assert "stage 5 of 5: context-extension" in out
    assert "  length         75B tokens, 35,763 steps from step 5,204,237" in out
    assert "  rows           256 a step, of 8,192 tokens; RoPE base 130,000" in out
    assert "  openwebmath          5 %     100B        ?        ?        ?" in out
    assert 'warning: "starcoderdata" is read 4.00 times' in err
    assert "a path: --set data.sources." in err


def test_what_is_not_published_is_said(capsys):
    _, out, _ = run(capsys, "smollm2-135m")
    assert "  note           The weights of this mixture are not published" in out


def test_what_follows_from_the_size_is_told(capsys):
    arguments = ("tiny", "--set", "model.params=30M", "--set", "budget.tokens=1e9", "--set", "schedule={}")
    code, out, err = run(capsys, *arguments)
    assert code == 0, err
    derived = out[out.index("\nderived\n") :]
    assert "  model.hidden_size = 512: a multiple of 64" in derived
    assert "schedule.peak_lr = " in derived
    assert "batch.rows" not in derived, "tiny gives its rows"
    assert max(map(len, out.splitlines())) <= 80
    code, out, err = run(capsys, *arguments, "--json")
    found = {value["key"]: value for value in json.loads(out)["derived"]}
    assert found["model.num_hidden_layers"]["value"] == 9
    assert set(found["schedule.peak_lr"]) == {"key", "value", "reason"}


def test_everything_as_json(capsys):
    code, out, err = run(capsys, "smollm2-1.7b-mini", "--gpus", 8, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert [stage["name"] for stage in found["stages"]][-2:] == ["decay", "context-extension"]
    assert set(found["stages"][0]) == {
        "name", "context", "rows", "rope_theta", "first_step", "num_steps", "num_tokens", "first_lr", "last_lr",
        "flops", "flops_with_attention", "sources", "note",
    }  # fmt: skip
    assert set(found["stages"][0]["sources"][0]) == {
        "name", "weight", "num_tokens", "num_tokens_so_far", "unique_tokens", "unique_tokens_from", "epochs",
        "epochs_so_far",
    }  # fmt: skip
    assert found["compute"]["num_gpus"] == found["compute"]["gpus_of_a_host"] == 8
    assert found["compute"]["host_bytes"] > found["host_memory"]["state"] > found["host_memory"]["model"]
    assert len(found["compute"]["stage_days"]) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["llama-65b", "--set", "stages=[{ mixture = { c4 = 0.5, books = 0.4 } }]"], "sum to 0.9, and must sum to 1"),
        (["llama-65b", "--set", "budget.tokens=4e12"], '"wikipedia" is read 7.00 times'),
        (["tiny"], "as in --set budget.steps=1000"),
        (["llama-65"], 'there is no recipe "llama-65"; did you mean "llama-65b"?'),
        (["llama-65b", "--mfu", "47"], "--mfu is 47, and must be above 0 and at most 1"),
        (["llama-65b", "--gpus", "0"], "--gpus is 0, and must be 1 or more"),
        (["llama-65b", "--gpu", "a1000"], "a1000"),
        (["llama-65b", "--set", "budget.tokens=0"], "must be above 0"),
    ],
)
def test_what_is_refused(capsys, arguments, message):
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert message in err
    assert not out


def test_the_options_are_the_librarys():
    parameters = inspect.signature(command).parameters
    assert parameters["mfu"].default == DEFAULT_MFU
    assert all(kind in str(parameters["gpu"].annotation) for kind in PEAK_FLOPS)


def test_a_plan_needs_no_torch():
    """In a process where torch cannot be imported."""
    code = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, NoTorch())
from textmill.cli import main
assert main(["data", "plan", "llama-65b", "--gpus", "2048"]) == 0
assert main(["data", "plan", "smollm2-1.7b", "--json"]) == 0
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=240)
    assert result.returncode == 0, result.stderr
