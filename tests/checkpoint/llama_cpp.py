"""What llama.cpp makes of GGUF files, by the package cyllama; run as a program, so that a crash of its is its own.

python llama_cpp.py FILE TEXTS.json IDS.json GREEDY: tokens of each text, logits after all the ids, and so many tokens
that it goes on with, each with the logits of the best two, as JSON.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def ask(path, *, texts=(), ids=(), greedy=0):
    """Return what llama.cpp says: values of the file, tokens of texts, float32 logits after the ids, what follows."""
    _check_is_there()
    arguments = [str(path), json.dumps(list(texts)), json.dumps(list(ids)), str(greedy)]
    program = [sys.executable, str(Path(__file__)), *arguments]
    return json.loads(_run(program, path).splitlines()[-1])


def quantise(path, target, file_type):
    """Let llama.cpp write a file in another type, by its number of ``general.file_type``."""
    _check_is_there()
    _run([sys.executable, str(Path(__file__)), str(path), str(target), str(file_type)], path)


def _run(program, path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
    done = subprocess.run(program, capture_output=True, text=True, env=environment, timeout=240, check=False)
    assert done.returncode == 0, f"llama.cpp does not take {path}: {done.stderr[-2000:]}"
    return done.stdout


def _check_is_there():
    if importlib.util.find_spec("cyllama") is None:
        pytest.skip("llama.cpp is not there to compare with: pip install cyllama")


def _go_on(llama, context, logits, num_tokens, position):
    """Take the most probable token every time: [token, its logit, the next best one's]."""
    steps = []
    for place in range(position, position + num_tokens):
        best, second = sorted(range(len(logits)), key=lambda token_id: -logits[token_id])[:2]
        steps.append([best, logits[best], logits[second]])
        context.decode(llama.llama_batch_get_one([best], place))
        logits = [float(value) for value in context.get_logits_ith(-1)]
    return steps


def _main(path, texts, ids, greedy):
    import cyllama.llama.llama_cpp as llama

    class Model(llama.LlamaModel):
        n_vocab = property(lambda self: self.get_vocab().n_vocab)  # which its own get_logits looks for

    llama.disable_logging()
    llama.ggml_backend_load_all()
    model = Model(path)
    vocab = model.get_vocab()
    answer = {
        "values": dict(model.metadata()) if callable(model.metadata) else dict(model.metadata),
        "tokens": [vocab.tokenize(text, False, False) for text in texts],
        "with_specials": [vocab.tokenize(text, True, True) for text in texts],
        "stops": [token_id for token_id in range(vocab.n_vocab) if vocab.is_eog(token_id)],
        "bos": vocab.token_bos(),
        "eos": vocab.token_eos(),
    }
    if ids:
        parameters = llama.LlamaContextParams()
        parameters.n_ctx, parameters.n_threads, parameters.n_threads_batch = 512, 1, 1
        parameters.type_k = parameters.type_v = 0  # F32
        parameters.flash_attn_type = 0
        context = llama.LlamaContext(model, parameters)
        context.decode(llama.llama_batch_get_one(ids, 0))
        answer["logits"] = [float(value) for value in context.get_logits_ith(-1)]
        answer["steps"] = _go_on(llama, context, answer["logits"], greedy, len(ids))
    print(json.dumps(answer))


def _quantise(path, target, file_type):
    import cyllama.llama.llama_cpp as llama

    llama.disable_logging()
    parameters = llama.LlamaModelQuantizeParams()
    parameters.ftype, parameters.nthread = file_type, 1
    llama.model_quantize(path, target, parameters)


if __name__ == "__main__":
    if sys.argv[2].endswith(".gguf"):
        _quantise(sys.argv[1], sys.argv[2], int(sys.argv[3]))
        sys.exit()
    _main(sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3]), int(sys.argv[4]))
