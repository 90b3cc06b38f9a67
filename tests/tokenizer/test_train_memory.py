"""How much memory training takes on a large file, in a process of its own."""

import json
import random
import subprocess
import sys

import pytest

SCRIPT = """
import json, resource, sys
from textmill import Tokenizer

def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

Tokenizer.train(iter(["warm up"]), 258)
before = peak_bytes()
report = Tokenizer.train(sys.argv[1], 2000, memory_limit=int(sys.argv[2]), threads=2).training_report
print(json.dumps([peak_bytes() - before, report.num_bytes]))
"""
LETTERS = {
    "ascii": "etaoinshrdlucmfwypvbgkjqxz",
    "cyrillic": "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё",
    "chinese": [chr(code) for code in range(0x4E00, 0x5E00)],
}
FILE_BYTES = 60_000_000
MEMORY_LIMIT = 40_000_000
# Beside the limit: blocks of 4 MB, a batch of 16 MB, a block decoded to check it, and what the allocator keeps.
OTHER_BYTES = 80_000_000


@pytest.mark.slow
@pytest.mark.parametrize("language", LETTERS)
def test_a_large_file_is_never_held_whole(tmp_path, language):
    draw = random.Random(1)
    stop = "。" if language == "chinese" else " "
    sentences = ["".join(draw.choices(LETTERS[language], k=draw.randint(2, 12))) + stop for _ in range(50_000)]
    path = tmp_path / "a.txt"
    num_bytes = 0
    with path.open("w", encoding="utf-8") as file:
        while num_bytes < FILE_BYTES:
            block = "".join(draw.choices(sentences, k=50_000))
            num_bytes += len(block.encode())
            file.write(block)
    arguments = [sys.executable, "-c", SCRIPT, str(path), str(MEMORY_LIMIT)]
    result = subprocess.run(arguments, capture_output=True, text=True, check=True)
    grown_bytes, bytes_read = json.loads(result.stdout)
    assert bytes_read == num_bytes
    assert grown_bytes < MEMORY_LIMIT + OTHER_BYTES
