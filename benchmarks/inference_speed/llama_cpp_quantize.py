"""Have llama.cpp quantise an F32 GGUF as its own tool does by default.

python -m inference_speed.llama_cpp_quantize SOURCE TARGET q4_0
"""

from __future__ import annotations

import ctypes
import sys

import llama_cpp

from inference_speed.llama_cpp_engine import silence

_FILE_TYPES = {"q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0, "q4_1": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_1}


def quantize(source: str, target: str, kind: str) -> None:
    """Write ``target``; RuntimeError where llama.cpp does not."""
    silence()
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = _FILE_TYPES[kind]
    status = llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params))
    if status:
        raise RuntimeError(f"llama.cpp cannot quantise {source} as {kind}: {status}")


if __name__ == "__main__":
    quantize(*sys.argv[1:])
