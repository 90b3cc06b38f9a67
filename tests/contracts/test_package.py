"""The wheel in an empty environment: the command, the library and the recipes, without torch."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.alone, pytest.mark.package, pytest.mark.slow, pytest.mark.timeout(600)]


def run(*command, cwd=None):
    return subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The bin folder of an environment that holds the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("package")
    built = run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    if built.returncode and "Could not find a version" in built.stderr:
        pytest.skip("no package index can be reached, and building the wheel needs one")
    assert built.returncode == 0, built.stderr
    venv.create(folder / "env", with_pip=True)
    constraints = ROOT / "constraints.txt"
    wheel = next(folder.glob("textmill-*.whl"))
    done = run(folder / "env/bin/python", "-m", "pip", "install", "--quiet", "--constraint", constraints, wheel)
    assert done.returncode == 0, done.stderr
    return folder / "env" / "bin"


def test_the_command_and_the_library_work_without_torch(installed, tmp_path):
    (tmp_path / "a.txt").write_text("the cat sat on the mat " * 100)
    assert run(installed / "textmill", "doctor", cwd=tmp_path).returncode == 0
    trained = run(installed / "textmill", "tokenizer", "train", "a.txt", "--vocab-size", "270", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    code = "import textmill; t = textmill.Tokenizer.load('tokenizer.json'); print(t.decode(t.encode('the cat')))"
    assert run(installed / "python", "-c", code, cwd=tmp_path).stdout == "the cat\n"
    assert run(installed / "python", "-c", "import torch").returncode != 0


def test_what_needs_torch_says_how_to_get_it(installed, tmp_path):
    for command in (["demo"], ["train", "tiny"]):
        result = run(installed / "textmill", *command, cwd=tmp_path)
        assert result.returncode == 2
        assert "pip install 'textmill[train]'" in result.stderr


def test_the_wheel_carries_the_recipes_and_the_types(installed):
    code = "import textmill, pathlib; print(pathlib.Path(textmill.__file__).parent)"
    package = Path(run(installed / "python", "-c", code).stdout.strip())
    shipped = sorted(path.name for path in (ROOT / "recipes").iterdir())
    assert sorted(path.name for path in (package / "recipes").iterdir()) == shipped
    assert (package / "py.typed").exists()
    assert (package / "_core.pyi").exists()
