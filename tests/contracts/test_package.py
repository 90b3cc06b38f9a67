"""The wheel in an empty environment: the command, the library, the recipes and the page, without torch or Node."""

import contextlib
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.alone, pytest.mark.package, pytest.mark.slow, pytest.mark.timeout(1800)]


def run(*command, cwd=None):
    return subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def page():
    """The page's files, as `make studio` builds them."""
    dist = ROOT / "src" / "textmill" / "studio" / "dist"
    if not (dist / "index.html").is_file():
        if shutil.which("npm") is None:
            pytest.skip("the page is not built, and npm is not here to build it")
        built = run("make", "studio", cwd=ROOT)
        assert built.returncode == 0, built.stderr
    return sorted(path.relative_to(dist).as_posix() for path in dist.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def installed(tmp_path_factory, page):
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


def test_without_what_serves_it_says_how_to_get_it(installed, tmp_path):
    """It stands before the test that installs the extra into the same environment."""
    assert run(installed / "python", "-c", "import uvicorn").returncode != 0
    result = run(installed / "textmill", "studio", cwd=tmp_path)
    assert result.returncode == 2
    assert "pip install 'textmill[serve]'" in result.stderr


def test_the_page_comes_with_the_wheel_and_needs_neither_node_nor_a_compiler(installed, page, tmp_path):
    """With nothing on the path but the environment itself, the studio shows its page and the bundled example."""
    (wheel,) = installed.parents[1].glob("textmill-*.whl")
    inside = zipfile.ZipFile(wheel).namelist()
    prefix = "textmill/studio/dist/"
    assert sorted(name.removeprefix(prefix) for name in inside if name.startswith(prefix)) == page
    assert not any("node_modules" in name or "studio-web" in name for name in inside)
    constraints = ROOT / "constraints.txt"
    served = f"textmill[serve] @ {wheel.as_uri()}"
    done = run(installed / "python", "-m", "pip", "install", "--quiet", "--constraint", constraints, served)
    assert done.returncode == 0, done.stderr
    command = [installed / "textmill", "studio", "--port", "0", "--no-open"]
    environment = {"PATH": str(installed), "HOME": str(tmp_path)}
    with studio(command, cwd=tmp_path, env=environment) as address:
        document = fetched(address)
        assert "<script" in document
        assets = re.findall(r'(?:src|href)="\./([^"]+)"', document)
        assert assets
        for name in assets:
            assert fetched(f"{address}/{name}")
        assert '"view":"tokens"' in fetched(f"{address}/api/session")
        assert '"state":"finished"' in fetched(f"{address}/api/runs/example")


@contextlib.contextmanager
def studio(command, **options):
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True, **options)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate()
    assert process.returncode == 143


def fetched(address):
    with urllib.request.urlopen(address) as response:
        return response.read().decode("utf-8", "replace")


def test_the_source_distribution_carries_the_page(tmp_path, page):
    """So that whoever builds from it needs no Node."""
    environment = tmp_path / "env"
    venv.create(environment, with_pip=True)
    backend = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    done = run(environment / "bin/python", "-m", "pip", "install", "--quiet", *backend)
    if done.returncode and "Could not find a version" in done.stderr:
        pytest.skip("no package index can be reached, and the backend comes from one")
    code = "import sys, scikit_build_core.build as b; print(b.build_sdist(sys.argv[1]))"
    built = run(environment / "bin/python", "-c", code, tmp_path, cwd=ROOT)
    assert built.returncode == 0, built.stderr
    (archive,) = tmp_path.glob("textmill-*.tar.gz")
    with tarfile.open(archive) as file:
        names = [name.partition("/")[2] for name in file.getnames()]
    prefix = "src/textmill/studio/dist/"
    assert sorted(name.removeprefix(prefix) for name in names if name.startswith(prefix)) == page
    assert not any("node_modules" in name for name in names)
    assert "studio-web/package.json" in names
