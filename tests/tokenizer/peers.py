"""What other tokenizers say of a text, where asking them takes more than an import."""

import base64
import json
import os
import subprocess
import sys

import pytest

from fakes.made_once import one_at_a_time
from tokenizer.vocabularies import data_folder, vocabulary

_MISTRAL_SCRIPT = """
import json, sys
from mistral_common.tokens.tokenizers.tekken import Tekkenizer
t = Tekkenizer.from_file(sys.argv[1])
ids = [t.encode(text, bos=False, eos=False) for text in json.load(open(sys.argv[2]))]
specials = [t.id_to_piece(i) for i in range(t.num_special_tokens)]
json.dump([ids, t.n_words, t.bos_id, t.eos_id, specials], sys.stdout)
"""


def tiktoken_encoding(name, monkeypatch):
    """An encoding of tiktoken's with its own pattern and special tokens, its ranks read from our copy of its file."""
    tiktoken = pytest.importorskip("tiktoken")
    from tiktoken_ext import openai_public

    lines = vocabulary(f"{name.removesuffix('_base')}.tiktoken").read_bytes().splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines)}
    monkeypatch.setattr(openai_public, "load_tiktoken_bpe", lambda *_, **__: ranks)
    return tiktoken.Encoding(**getattr(openai_public, name)())


def mistral_common_says(path, texts, folder):
    """The ids of each text, the number of tokens, BOS, EOS, and the special tokens, by mistral-common.

    It holds numpy below the version that is used here, so it gets an environment of its own.
    """
    (folder / "texts.json").write_text(json.dumps(texts))
    command = [str(_mistral_python()), "-c", _MISTRAL_SCRIPT, str(path), str(folder / "texts.json")]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def _mistral_python():
    """The interpreter of an environment with mistral-common in it, made once; skips where it cannot be made."""
    folder = data_folder() / f"mistral-common-1.13.1-{sys.version_info[0]}.{sys.version_info[1]}"
    python = folder / "bin" / "python"
    with one_at_a_time(folder):
        if not (folder / ".made").exists():
            for command in (
                [sys.executable, "-m", "venv", "--clear", str(folder)],
                [str(python), "-m", "pip", "install", "--quiet", "mistral-common==1.13.1"],
            ):
                done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
                if done.returncode:
                    pytest.skip(f"cannot install mistral-common: {done.stderr.strip()[-200:]}")
            (folder / ".made").touch()
    return python
