"""Fuzzing of what reads models: valid small files are damaged by somebody who knows how they are built.

    python fuzz_loaders.py gguf|folder SECONDS SEED FOLDER

Each damaged model is opened, every tensor and the tokenizer are read, and where the native engine is there it runs
eight tokens. Only errors that textmill makes for its users may come out, in little memory and time. The model at hand
lies in FOLDER/now, so that one that kills the process is there to be looked at.
"""

import copy
import json
import random
import resource
import shutil
import struct
import sys
import time
import traceback
from pathlib import Path

import numpy as np

_MEMORY_MAX = 6 << 30  # of addresses; the files have less than 1 MB, and torch is never loaded
_SECONDS_MAX = 10.0
_NUMBERS = (0, 1, 2, 3, 7, 31, 32, 33, 255, 256, 65535, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32)
_LONG_NUMBERS = (*_NUMBERS, 1 << 40, (1 << 62), (1 << 63) - 1, 1 << 63, (1 << 64) - 32, (1 << 64) - 1)
_WEIGHTS, _CACHES = ("auto", "f32", "bf16", "int8", "int4", "file"), ("f32", "bf16", "int8")
_JSON_VALUES = (
    *(None, True, False, 0, -1, 1, 2, 3.5, 1e308, -1e-308, 1 << 31, 1 << 63, 10**30, "", "a", "\ud800", "x" * 5000),
    *([], {}, [[]], [1, 2], {"a": None}, float("nan"), float("inf"), "U64", "F32", "BF16", "llama", "yarn", [[[[[]]]]]),
)


def main(kind, seconds, seed, folder):
    """Damage models until the time is over; returns 1 with the seed's file kept where something got through."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_MAX, _MEMORY_MAX))
    draw = random.Random(seed)
    sources = sorted((folder / "valid").iterdir())
    end, count, refused = time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        source = draw.choice([path for path in sources if (path.suffix == ".gguf") == (kind == "gguf")])
        target = folder / f"now{source.suffix}"
        (damage_gguf if kind == "gguf" else damage_folder)(source, target, draw)
        begin = time.process_time()
        try:
            refused += not use(target, draw.choice(_WEIGHTS), draw.choice(_CACHES))
        except Exception:  # noqa: BLE001  whatever it is, it is what is looked for
            traceback.print_exc()
            print(f"after {count} models: {target}, made of {source.name}", file=sys.stderr)
            return 1
        if time.process_time() - begin > _SECONDS_MAX:
            print(f"{target} took {time.process_time() - begin:.0f} s", file=sys.stderr)
            return 1
        count += 1
    print(f"{count} damaged models, of which {refused} were refused")
    return 0


def use(path, weights="auto", kv="f32"):
    """Read all that a model has; False where it was refused."""
    from textmill.base.errors import ConfigError, DataError, StorageError
    from textmill.checkpoint.converted_tensor import read_values
    from textmill.checkpoint.stored_model import open_model

    try:
        stored = open_model(path)
        for name, shape in stored.config.tensor_shapes().items():
            assert read_values(stored.tensors[name]).shape == shape
        tokenizer = stored.load_tokenizer()
        stored.load_text_rules(tokenizer)
        ids = tokenizer.encode("It's a test.")[:8]
        run_native(stored, ids or [0], weights, kv)
    except (ConfigError, DataError, StorageError) as error:
        str(error).encode()  # what cannot be printed is no message
        return False
    return True


def run_native(stored, ids, weights, kv):
    """One forward pass, where the engine is there."""
    from textmill import _core

    if not hasattr(_core, "Inference"):
        return
    from textmill.infer.runners.native import open_runner
    from textmill.infer.runners.runner import Chunk

    runner = open_runner(stored, weights=weights, kv=kv, context=16, threads=1, kv_memory=1 << 24)
    blocks = list(range(-(-len(ids) // runner.block_size)))
    logits = runner.forward([Chunk(ids=ids, start=0, blocks=blocks, num_logits=1)])
    assert logits.shape == (1, stored.config.vocab_size)


def damage_bytes(data, draw, where):
    """Flip bits, cut, repeat, move or overwrite, mostly before ``where``, the end of the header."""
    data = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        size = max(1, min(len(data), where) if draw.random() < 0.8 else len(data))
        at = draw.randrange(size)
        match draw.randrange(7):
            case 0 | 1 if data:
                data[min(at, len(data) - 1)] ^= 1 << draw.randrange(8)
            case 2:
                data[at : at + 8] = struct.pack("<Q", draw.choice(_LONG_NUMBERS))
            case 3:
                data[at : at + 4] = struct.pack("<I", draw.choice(_NUMBERS) & 0xFFFFFFFF)
            case 4:
                del data[at : at + draw.choice((1, 4, 8, 64))]
            case 5:
                data[at:at] = data[at : at + draw.choice((1, 8, 64))]
            case 6:
                del data[at if draw.random() < 0.3 else max(0, len(data) - draw.choice((1, 31, 32, 33, 500))) :]
    return bytes(data)


# GGUF


def damage_gguf(source, target, draw):
    """Damage the bytes, the numbers of the header where they stand, or what is written in it."""
    data = source.read_bytes()
    match draw.randrange(4):
        case 0:
            end = max(place for place, _ in places_of_numbers(data))
            target.write_bytes(damage_bytes(data, draw, end))
        case 1 | 2:
            target.write_bytes(damage_numbers(data, draw))
        case 3:
            damage_meaning(source, target, draw)


def damage_numbers(data, draw):
    """Overwrite counts, lengths, types, sizes and offsets of the header."""
    data = bytearray(data)
    places = list(places_of_numbers(bytes(data)))
    few = [place for place in places if place[0] < 4000 or place[0] > places[-1][0] - 3000]
    for _ in range(draw.choice((1, 1, 2, 3))):
        at, size = draw.choice(few if draw.random() < 0.8 else places)
        before = int.from_bytes(data[at : at + size], "little")
        near = (before + draw.choice((-1, 1, -32, 32, 8))) % (1 << 8 * size)
        number = near if draw.random() < 0.5 else draw.choice(_LONG_NUMBERS) % (1 << 8 * size)
        data[at : at + size] = number.to_bytes(size, "little")
    return bytes(data)


def places_of_numbers(data):
    """(offset, bytes) of every number of a valid header: an own little reader, which trusts the file."""
    at = 24
    yield from ((4, 4), (8, 8), (16, 8))
    num_tensors, num_values = struct.unpack_from("<QQ", data, 8)
    sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

    def text():
        nonlocal at
        place, at = at, at + 8 + struct.unpack_from("<Q", data, at)[0]
        return place, 8

    for _ in range(num_values):
        yield text()
        yield (at, 4)
        kind, at = struct.unpack_from("<I", data, at)[0], at + 4
        count = 1
        if kind == 9:
            yield from ((at, 4), (at + 4, 8))
            kind, count = struct.unpack_from("<IQ", data, at)
            at += 12
        for _ in range(count):
            if kind == 8:
                yield text()
            else:
                yield (at, sizes[kind])
                at += sizes[kind]
    for _ in range(num_tensors):
        yield text()
        num_dimensions = struct.unpack_from("<I", data, at)[0]
        yield (at, 4)
        at += 4
        yield from ((at + 8 * place, 8) for place in range(num_dimensions))
        at += 8 * num_dimensions
        yield from ((at, 4), (at + 4, 8))
        at += 12


def damage_meaning(source, target, draw):
    """Write a whole file that says something else: other values, types and shapes of tensors, odd numbers."""
    from textmill.base import gguf_writer
    from textmill.base.gguf import read_header
    from textmill.base.gguf_types import TENSOR_TYPES

    header, data = read_header(source), source.read_bytes()
    values = dict(header.values)
    tensors = {name: (info.type, info.shape, data[info.start : info.end]) for name, info in header.tensors.items()}
    for _ in range(draw.choice((1, 1, 2, 3))):
        name = draw.choice(list(values))
        match draw.randrange(8):
            case 0:
                del values[name]
            case 1 | 2:
                values[name] = other_value(values[name], draw)
            case 3:
                values[f"{values.get('general.architecture', 'llama')}.{draw.choice(_KEYS)}"] = other_value(1, draw)
            case 4 | 5:
                tensor = draw.choice(list(tensors))
                kind, shape = draw.choice(list(TENSOR_TYPES.values())), other_shape(tensors[tensor][1], draw)
                if shape[-1] % kind.block_size == 0 and np.prod(shape, dtype=float) < 1e6:
                    num_bytes = int(np.prod(shape)) // kind.block_size * kind.block_bytes
                    tensors[tensor] = (kind, shape, draw.randbytes(num_bytes))
            case 6:
                tensor = draw.choice(list(tensors))
                tensors[draw.choice(list(tensors)) + draw.choice(("", "x", ".bias"))] = tensors.pop(tensor)
            case 7:
                tensor = draw.choice(list(tensors))
                kind, shape, content = tensors[tensor]
                odd = struct.pack("<f", draw.choice((float("nan"), float("inf"), -float("inf"), 3e38, 1e-45)))
                at = draw.randrange(max(1, len(content) - 3))
                tensors[tensor] = (kind, shape, (content[:at] + odd + content[at + 4 :])[: len(content)])
        values = values or {"a": 1}
    to_write = [
        gguf_writer.TensorToWrite(name, kind.name, shape, lambda content=content: np.frombuffer(content, np.uint8))
        for name, (kind, shape, content) in tensors.items()
    ]
    gguf_writer.save(target, values, to_write)


_KEYS = (
    *("rope.scaling.type", "rope.scaling.factor", "rope.scaling.original_context_length", "attention.sliding_window"),
    *("expert_count", "rope.scale_linear", "attention.sliding_window_pattern", "rope.scaling.yarn_beta_fast"),
    *("logit_scale", "attention.key_length", "block_count", "context_length", "embedding_length", "vocab_size"),
)


def other_value(value, draw):
    """Another value of the same kind, or of another kind."""
    if isinstance(value, list) and value and draw.random() < 0.8:
        items = list(value)
        at = draw.randrange(len(items))
        items[at] = draw.choice(("", items[0], "a b", "\x00", "Ġ" * 700, "𝄞", " ", items[at] + " x"))
        return items if draw.random() < 0.7 else items[:at]
    if isinstance(value, np.ndarray) and value.size and value.dtype != np.bool_ and draw.random() < 0.8:
        array = value.copy()
        array[draw.randrange(array.size)] = draw.choice((0, 1, 2, 3, 6, 7, 100))
        return array if draw.random() < 0.7 else array[: draw.randrange(array.size)]
    numbers = (0, 1, 2, 3, 5, 64, 4096, 1 << 20, (1 << 31) - 1, (1 << 32) - 1, (1 << 64) - 1, -1, -(1 << 63))
    fractions = (0.0, -0.0, 1.0, 0.5, -1.0, 1e-30, 1e30, float("nan"), float("inf"))
    texts = ("", "llama", "qwen2", "yarn", "linear", "none", "gpt2", "gpt-2", "{{", "{% for x in y %}", "a" * 9999)
    arrays = (np.zeros(0, "i4"), np.ones(3, "u1"), np.full(2, np.nan), np.array([True, False]), [], ["a", "b"])
    return draw.choice((*numbers, *fractions, *texts, True, False, *arrays))


def other_shape(shape, draw):
    """A shape that is near, or far off."""
    shape = list(shape)
    at = draw.randrange(len(shape))
    shape[at] = draw.choice((1, 2, 32, 64, 256, shape[at] + 1, shape[at] * 2, max(1, shape[at] // 2), shape[at]))
    return tuple(shape) if draw.random() < 0.8 else draw.choice(((*shape, 1), tuple(shape[::-1]), (shape[0],)))


# Folders


_WEIGHTS_OF_FILES = {"config.json": 4, "tokenizer.json": 2, "tokenizer_config.json": 1, "generation_config.json": 1}


def damage_folder(source, target, draw):
    """Damage one file of a model folder: its bytes, or the JSON in it."""
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(source, target)
    paths = [path for path in sorted(target.iterdir()) if path.suffix in {".json", ".safetensors"}]
    weights = [_WEIGHTS_OF_FILES.get(path.name, 3) for path in paths]
    for _ in range(draw.choice((1, 1, 2))):
        path = draw.choices(paths, weights)[0]
        if path.suffix == ".safetensors":
            path.write_bytes(damage_safetensors(path.read_bytes(), draw))
        elif draw.random() < 0.3:
            path.write_bytes(damage_bytes(path.read_bytes(), draw, 400))
        else:
            path.write_bytes(damaged_json(path.read_bytes(), draw))


def damage_safetensors(data, draw):
    """Damage bytes, or the JSON of the header with a length that fits it again."""
    length = int.from_bytes(data[:8], "little")
    if length > len(data) - 8 or draw.random() < 0.4:
        return damage_bytes(data, draw, 8 + length)
    header = damaged_json(data[8 : 8 + length], draw)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def damaged_json(text, draw):
    """Replace, remove, add or nest something anywhere in a JSON text."""
    try:
        table = json.loads(text)
    except (ValueError, RecursionError):
        return text
    for _ in range(draw.choice((1, 1, 2, 3))):
        parent, key = None, None
        item = table
        while isinstance(item, dict | list) and item and (parent is None or draw.random() < 0.7):
            parent = item
            key = draw.choice(list(item)) if isinstance(item, dict) else draw.randrange(len(item))
            item = item[key]
        if parent is None:
            break
        match draw.randrange(6):
            case 0 if isinstance(parent, dict):
                del parent[key]
            case 5 if isinstance(parent, dict):
                parent[draw.choice(("", "\ud800", "x" * 5000, key + "x"))] = parent.pop(key)
            case 1 if isinstance(parent, dict):
                parent[draw.choice(("a", "head_dim", "rope_scaling", "sliding_window", "layer_types", "dtype"))] = (
                    copy.deepcopy(item)
                )
            case 2 if isinstance(item, int) and not isinstance(item, bool):
                parent[key] = item + draw.choice((-1, 1, 2, 64, -64, 1 << 32))
            case _:
                parent[key] = copy.deepcopy(draw.choice(_JSON_VALUES))
    nested = draw.random() < 0.02
    return (b"[" * 100_000 if nested else b"") + json.dumps(table).encode("utf-8", "surrogatepass")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))
