"""Check the torch runner and the trainer on a CUDA device, measure them, and write docs/benchmarks/gpu.md.

    .venv/bin/python benchmarks/gpu.py [--only decode,prefill] [--device cpu --small]

Without a CUDA device it says so and does nothing. Each part has a process and a time limit of its own, so that one that
fails or hangs leaves the others; what fails is on the page too, and the script then ends with 1. With --small, on any
device, parts run on a tiny model, to see that they work; nothing is written.
"""

from __future__ import annotations

import argparse
import datetime
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from marked_page import with_measured

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks" / "gpu.md"
# Models of 8 billion parameters take 16 GB in bf16, and what they compute with.
_LARGE_BYTES = 24 << 30
_BUDGET_S = 590


def main() -> None:
    """Run the parts one after another, print what they found, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--device", default="cuda", help="torch's name of the device")
    parser.add_argument("--small", action="store_true", help="tiny models, to see that everything runs")
    parser.add_argument("--part", help="print this part alone, in this process")
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    if unknown := set(names) - set(PARTS):
        parser.error(f"{min(unknown)} is none of {', '.join(PARTS)}")
    if arguments.part:
        if arguments.small:
            _use_one_thread()
        print(PARTS[arguments.part][2](arguments.device, arguments.small))
        return
    if reason := why_not(arguments.device):
        print(f"make gpu-check does nothing here: {reason}")
        return
    measured, succeeded = _run_parts(names, ["--device", arguments.device] + ["--small"] * arguments.small)
    if not arguments.small and names == list(PARTS):
        PAGE.write_text(with_measured(PAGE, f"{measured}\n"))
    raise SystemExit(0 if succeeded else 1)


def _use_one_thread() -> None:
    """Tiny products gain nothing from a second thread, and lose much where the cores are busy."""
    import torch

    torch.set_num_threads(1)


def why_not(device: str) -> str | None:
    """Why nothing can be measured, as a sentence; None where it can."""
    try:
        import torch
    except ImportError:
        return "torch is not installed (pip install 'textmill[train]')."
    if device != "cuda" or torch.cuda.is_available():
        return None
    if torch.version.cuda is None:
        return f"torch {torch.__version__} was built without CUDA; with an NVIDIA GPU, install a build that has it."
    return f"torch {torch.__version__} finds no CUDA device."


def _tests(device: str, small: bool) -> str:
    """The last line of the tests that are marked; those that fail are printed and end this process."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "gpu",
        "tests/infer/test_torch_cuda.py",
        "tests/model/test_segments.py",
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = result.stdout.splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR", "E  "))]
    if result.returncode:
        raise SystemExit("\n".join([*failed[:40], *lines[-1:], result.stderr[-2000:]]))
    return f"`pytest -m gpu`: {lines[-1].strip()}."


def _agreement(device: str, small: bool) -> str:
    from gpu_parts import agreement

    return agreement.table(device, small=small)


def _decode(device: str, small: bool) -> str:
    from gpu_parts import speed

    return speed.decode("smollm2-135m", device, small=small)


def _prefill(device: str, small: bool) -> str:
    from gpu_parts import speed

    return speed.prefill("smollm2-135m", device, small=small)


def _decode_large(device: str, small: bool) -> str:
    from gpu_parts import speed

    return speed.decode(_large(device), device, small=small)


def _prefill_large(device: str, small: bool) -> str:
    from gpu_parts import speed

    return speed.prefill(_large(device), device, small=small)


def _large(device: str) -> str:
    """A model that is large for the device."""
    import torch

    has_room = device == "cuda" and torch.cuda.mem_get_info()[0] >= _LARGE_BYTES
    return "llama-3.1-8b" if has_room else "qwen3-0.6b"


def _kernels(device: str, small: bool) -> str:
    from gpu_parts import kernels

    return kernels.table(device, small=small)


def _training_parity(device: str, small: bool) -> str:
    from gpu_parts import training

    return training.parity(device, small=small)


def _training_speed(device: str, small: bool) -> str:
    from gpu_parts import training

    return training.speed(device, small=small)


def _training_memory(device: str, small: bool) -> str:
    from gpu_parts import training

    return training.memory(device, small=small)


# Each part's heading, its limit in seconds, and what makes its text.
PARTS: dict[str, tuple[str, int, Callable[[str, bool], str]]] = {
    "tests": ("Tests", 100, _tests),
    "agreement": ("One way beside another", 110, _agreement),
    "decode": ("Decoding", 50, _decode),
    "prefill": ("Prompts", 30, _prefill),
    "decode-large": ("Decoding with a larger model", 80, _decode_large),
    "prefill-large": ("Prompts with a larger model", 50, _prefill_large),
    "kernels": ("Where a decoding step's time goes", 40, _kernels),
    "training": ("A training step beside the CPU's", 60, _training_parity),
    "training-speed": ("Training", 200, _training_speed),
    "training-memory": ("The memory of a training step", 120, _training_memory),
}


def _run_parts(names: Sequence[str], options: Sequence[str]) -> tuple[str, bool]:
    """Markdown of all parts, and whether every one succeeded."""
    begin = time.monotonic()
    texts, succeeded = [_machine()], True
    for name in names:
        heading, limit_s, _ = PARTS[name]
        left_s = _BUDGET_S - (time.monotonic() - begin)
        text, is_right = _run_part(name, options, min(limit_s, left_s))
        succeeded &= is_right
        texts.append(f"## {heading}\n\n{text}")
        print(f"{texts[-1]}\n", flush=True)
    return "\n\n".join(texts), succeeded


def _run_part(name: str, options: Sequence[str], limit_s: float) -> tuple[str, bool]:
    if limit_s <= 0:
        return f"Left out: the {_BUDGET_S} s for all parts were over.", False
    command = [sys.executable, __file__, "--part", name, *options]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # what it started holds the device, too
        out, err = process.communicate()
        return _quoted(f"Stopped after {limit_s:.0f} s.", out + err), False
    if process.returncode == 0:
        return out.strip(), True
    return _quoted("Failed:", out + err), False


def _quoted(heading: str, said: str) -> str:
    return "\n".join([heading, "", *(f"    {line}" for line in said.strip().splitlines()[-25:])])


def _machine() -> str:
    import torch

    if not torch.cuda.is_available():
        return f"torch {torch.__version__}, no CUDA device."
    of = torch.cuda.get_device_properties(0)
    return (
        f"{of.name}, {of.total_memory / 1e9:.0f} GB, compute capability {of.major}.{of.minor}; "
        f"torch {torch.__version__}, CUDA {torch.version.cuda}; {datetime.datetime.now(datetime.UTC):%Y-%m-%d}."
    )


if __name__ == "__main__":
    main()
