"""The commands as a user meets them: what goes to stdout, what to stderr, and the exit codes."""

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest

from fakes.tiny_run import write_recipe
from textmill import Tokenizer
from textmill.cli import main

torch = pytest.importorskip("torch")


def run(*arguments, cwd=None, **options):
    command = [sys.executable, "-m", "textmill", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=560, **options)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a small run that the command trained."""
    folder = tmp_path_factory.mktemp("trained")
    write_recipe(folder, run="run")
    result = run("train", "recipe.toml", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "run\n"
    assert "held-out text:" in result.stderr
    assert "next: textmill generate run/model " in result.stderr
    return folder


@pytest.fixture
def in_trained(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return trained


def test_generate_writes_the_text_to_stdout_and_nothing_else(trained):
    result = run("generate", "run", "the quick", "--max-tokens", 8, cwd=trained)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("the quick")
    assert result.stdout.endswith("\n")
    again = run("generate", "run/model", "-", "--max-tokens", 8, cwd=trained, input="the quick\n")
    assert again.stdout == result.stdout


@pytest.mark.usefixtures("in_trained")
def test_generate_as_json(capsys):
    options = ["--max-tokens", "4", "--temperature", "1", "--seed", "3", "--json"]
    assert main(["generate", "run", "the", *options]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["prompt"] == "the"
    assert len(answer["ids"]) == 4
    assert answer["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda model: (model / "model.safetensors").unlink(), "model.safetensors"),
        (lambda model: _cut(model / "model.safetensors"), "model.safetensors"),
        (lambda model: (model / "config.json").unlink(), "config.json"),
        (lambda model: _cut(model / "config.json"), "config.json"),
        (lambda model: (model / "tokenizer.json").unlink(), "tokenizer.json"),
        (lambda model: _cut(model / "tokenizer.json"), "tokenizer.json"),
    ],
)
def test_a_damaged_model_folder_is_bad_data(trained, tmp_path, capsys, damage, message):
    model = tmp_path / "model"
    model.mkdir()
    for path in (trained / "run" / "model").iterdir():
        (model / path.name).write_bytes(path.read_bytes())
    damage(model)
    assert main(["generate", str(model), "x"]) == 3
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_a_damaged_checkpoint_is_passed_over_aloud(trained, tmp_path):
    shutil.copytree(trained / "run", tmp_path / "run")
    last = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1]
    _cut(last / "model.safetensors")
    result = run("generate", "run", "the", "--max-tokens", 2, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert f"{last.name}/model.safetensors is damaged" in result.stderr
    assert "taking the checkpoint before it" in result.stderr
    assert "engine.py" not in result.stderr


@pytest.mark.usefixtures("in_trained")
def test_resuming_a_finished_run_says_so(capsys):
    assert main(["train", "run", "--resume"]) == 0
    assert "the run is done already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "recipe.toml", "--set", "modle.x=1", "--set", "run.dir=other"], 2, 'did you mean "model"?'),
        (["train", "nowhere.toml"], 2, "there is no recipe"),
        (["train", "recipe.toml"], 2, "--resume"),
        (["train"], 2, "RECIPE"),
        (["trian"], 2, "train"),
        (["train", "recipe.toml", "--no-such-option"], 2, "--no-such-option"),
        (["generate", "nowhere", "x"], 3, "nowhere"),
        (["generate", "run", "x", "--temperature", "-1"], 2, "temperature"),
        (["generate", "run", "x", "--max-tokens", "many"], 2, "many"),
        (["generate", "run", "x", "--threads", "100000"], 2, "threads is 100000, and must be 1 to 1,024"),
        (["train", "recipe.toml", "--set", "run.dir=other", "--set", "model.preset=huge"], 2, "huge"),
        (["train", "recipe.toml", "--set", "run.dir=other", "--set", "model.num_attention_heads=3"], 2, "heads"),
        (["train", "recipe.toml", "--set", "run.dir=other", "--set", "tokenizer.pattern=foo"], 2, 'pattern "foo"'),
        (["train", "recipe.toml", "--set", "run.dir=other", "--set", "tokenizer.vocab_size=10"], 2, "257 or more"),
        (["train", "recipe.toml", "--set", "run.dir=other", "--params", "30Q"], 2, '--params is "30Q"'),
        (["train", "recipe.toml", "--set", "run.dir=other", "--params", "0"], 2, "--params is 0"),
        (["train", "recipe.toml", "--set", "run.dir=other", "--params=-1M"], 2, "--params is -1M"),
        (["train", "recipe.toml", "--set", "run.dir=other", "--params", "1M"], 2, "hidden_size and num_hidden_layers"),
        (["train", "recipe.toml", "--set", "run.dir=other", "--minutes", "0"], 2, "--minutes is 0"),
        (["demo", "--minutes", "0"], 2, "--minutes is 0"),
        (["demo", "--text", "nowhere"], 3, "nowhere does not exist"),
        (["demo", "--text", "empty"], 3, "is an empty folder"),
        (["demo", "--text", "pictures"], 3, "none is text"),
        (["demo", "--text", "latin"], 3, "is not UTF-8"),
        (["tokenizer", "encode", "nowhere.json", "x"], 3, "nowhere.json"),
        (["tokenizer", "train", "words", "--vocab-size", "10"], 2, "10"),
        (["tokenizer", "train", "words", "--pattern", "gpt3"], 2, 'did you mean "gpt2"?'),
        (["tokenizer", "decode", "run/tokenizer.json", "twelve"], 2, "whole numbers"),
        (["tokenizer", "decode", "run/tokenizer.json", "999999"], 3, "999999"),
    ],
)
def test_what_is_wrong_ends_in_its_exit_code_with_a_message(in_trained, capsys, arguments, code, message):
    (in_trained / "empty").mkdir(exist_ok=True)
    for name, content in (("pictures/a.png", b"\x89PNG"), ("latin/a.txt", b"na\xefve")):
        (in_trained / name).parent.mkdir(exist_ok=True)
        (in_trained / name).write_bytes(content)
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert not (in_trained / "runs").exists(), "a command that was refused leaves nothing behind"
    assert not (in_trained / "other").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_the_middle_of_training_saves_and_stops(tmp_path, number, code):
    write_recipe(tmp_path, steps=5000, run="run")
    command = [sys.executable, "-m", "textmill", "train", "recipe.toml"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "run" / "events.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (log.exists() and log.read_text().count('"step", ') >= 8):
        time.sleep(0.01)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == code, stderr
    assert "stopped at step" in stderr
    assert "error" not in stderr, "somebody wanted it"
    assert "go on with: textmill train run --resume" in stderr
    assert "Traceback" not in stderr
    assert stdout == ""
    assert (tmp_path / "run" / "report.html").is_file()


def test_doctor(capsys):
    assert main(["doctor", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["core"] == "ok"
    assert facts["problems"] == []
    assert main(["doctor"]) == 0
    assert "all is well" in capsys.readouterr().out


def test_a_command_imports_only_what_it_needs():
    """From the command to the first token in a second: neither torch nor the other commands are on the way."""
    code = (
        "import sys; from textmill.cli import main; main(['--version']); import textmill.infer.engine, "
        "textmill.cli.generate; print([m for m in ('torch', 'transformers', 'huggingface_hub', 'textmill.train', "
        "'textmill.cli.demo', 'textmill.cli.chat') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_tokenizer_commands(tmp_path, capsys):
    (tmp_path / "a.txt").write_text(
        "the cat sat on the mat, while other animals stood behind the window and watched. " * 50
    )
    path = tmp_path / "tokenizer.json"
    assert main(["tokenizer", "train", str(tmp_path / "a.txt"), "--vocab-size", "275", "-o", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    assert Tokenizer.load(path).vocab_size == 275
    assert main(["tokenizer", "encode", str(path), "the cat 🤖"]) == 0
    ids = capsys.readouterr().out.split()
    assert main(["tokenizer", "decode", str(path), *ids]) == 0
    assert capsys.readouterr().out == "the cat 🤖"
    assert main(["tokenizer", "encode", str(path), "the cat 🤖", "--json"]) == 0
    assert [str(token) for token in json.loads(capsys.readouterr().out)] == ids
    assert main(["tokenizer", "explain", str(path), "the cat 🤖"]) == 0
    picture = capsys.readouterr().out
    assert "U+1F916" in picture
    assert "11110000 10011111 10100100 10010110" in picture
    assert main(["tokenizer", "explain", str(path), "the", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pieces"][0]["text"] == "the"


def test_training_a_tokenizer_on_top_of_another(tmp_path, capsys):
    (tmp_path / "a.md").write_text("the cat sat on the mat. " * 50)
    base, more = tmp_path / "tokenizer.json", tmp_path / "more.json"
    glob = str(tmp_path / "*.md")
    assert main(["tokenizer", "train", glob, "--vocab-size", "262", "-o", str(base)]) == 0
    capsys.readouterr()
    options = ["--seed", " dog", "--memory-limit-mb", "20", "--min-frequency", "40", "--report"]
    assert (
        main(["tokenizer", "train", glob, "--extend", str(base), "--vocab-size", "280", "-o", str(more), *options]) == 0
    )
    captured = capsys.readouterr()
    assert json.loads(captured.out) == Tokenizer.load(more).training_report.to_dict()
    assert "give more text, or a smaller --vocab-size" in captured.err.replace("\n", " ")
    loaded = Tokenizer.load(more)
    assert loaded.special_tokens == {"<|endoftext|>": 0}
    assert len(loaded.encode(" dog")) == 1
    assert main(["tokenizer", "train", str(tmp_path / "*.txt")]) == 3


@pytest.mark.parametrize(
    "arguments",
    [
        *([], ["demo"], ["train"], ["generate"], ["chat"], ["serve"], ["studio"], ["tokenizer", "train"], ["doctor"]),
        *(["model"], ["model", "get"], ["model", "show"], ["model", "estimate"], ["model", "convert"]),
        *(["runs"], ["runs", "ls"], ["runs", "show"], ["runs", "compare"], ["data", "plan"]),
    ],
)
def test_help_begins_with_examples(arguments, capsys):
    assert main([*arguments, "--help"]) == 0
    out = capsys.readouterr().out
    assert "textmill" in out
    lines = out.splitlines()
    examples = lines[lines.index("For example:") + 1 :]
    examples = examples[: examples.index("")]
    assert len(examples) >= 2
    assert all(line.startswith("    ") for line in examples), "an example is wrapped"


@pytest.mark.parametrize("page", [[], ["runs"], ["data"], ["model"], ["tokenizer"]])
def test_a_page_of_commands_says_what_each_does(page, capsys):
    assert main([*page, "--help"]) == 0
    panel = capsys.readouterr().out.split("─ Commands ")[1].splitlines()[1:]
    listed = [line.strip("│ ") for line in panel if line.startswith("│ ") and line[2] != " "]
    assert len(listed) >= 3
    assert all(len(line.split()) > 2 for line in listed), listed


def test_descriptions_of_options_fill_their_lines(capsys):
    assert main(["train", "--help"]) == 0
    lines = [line.strip("│ ") for line in capsys.readouterr().out.splitlines()]
    assert "Width, depth, heads," in " ".join(lines)
    assert not any(len(line.split()) == 1 and line.endswith(",") for line in lines)


def test_a_traceback_only_when_asked_for(capsys):
    assert main(["generate", "nowhere", "x"]) == 3
    assert "Traceback" not in capsys.readouterr().err
    assert main(["generate", "nowhere", "x", "-vv"]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == "0.1.0"


def _cut(path):
    path.write_bytes(path.read_bytes()[:-100])
