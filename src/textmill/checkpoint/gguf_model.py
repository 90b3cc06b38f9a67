"""A GGUF file as a stored model: sizes, tensors by Hugging Face's names, the tokenizer, how texts end."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from textmill.base.errors import DataError
from textmill.base.gguf import Header, read_header
from textmill.base.gguf_blocks import READABLE, dequantize
from textmill.checkpoint.gguf_config import read_config
from textmill.checkpoint.gguf_names import ROPE_FACTORS, gguf_name, row_order
from textmill.checkpoint.huggingface import check_vocabularies
from textmill.checkpoint.named_errors import named_in_errors
from textmill.checkpoint.stored_model import StoredModel, StoredTensor
from textmill.checkpoint.tensors import check_shapes
from textmill.checkpoint.text_rules import TextRules
from textmill.model.config import ModelConfig

if TYPE_CHECKING:
    from textmill.tokenizer.tokenizer import Tokenizer


def open_gguf(path: Path) -> StoredModel:
    """Open a GGUF file, reading and checking its header, which its tokenizer is then made of.

    Raises:
        DataError: the file is damaged, of another architecture, or asks for what cannot be reproduced exactly.
    """
    header = read_header(path)
    with named_in_errors(path):
        _check_whole(header)
        _check_types(header)
        data = _map(path, max((info.end for info in header.tensors.values()), default=0))
        config = read_config(header, _rope_divisors(header, data))
        tensors = _stored_tensors(header, config, data)
    return StoredModel(
        path=path,
        config=config,
        tensors=tensors,
        load_tokenizer=lambda: _tokenizer(path, header, config),
        load_text_rules=lambda tokenizer: _text_rules(config, tokenizer),
    )


def _check_whole(header: Header) -> None:
    parts = header.value("split.count", int, 1)
    if parts > 1:
        raise DataError(f"it is one of {parts} parts of a model; join them: llama-gguf-split --merge FIRST OUT.gguf")


def _check_types(header: Header) -> None:
    for name, info in header.tensors.items():
        if info.type.name not in READABLE:
            raise DataError(
                f'its tensor "{name[:80]}" is of the type {info.type.name}, which this release does not read '
                f"({', '.join(READABLE)} it does). Take the model in one of these"
            )
        if len(info.shape) == 1 and info.type.block_size > 1:
            raise DataError(
                f'its tensor "{name[:80]}" is a norm or a bias in blocks ({info.type.name}), not in numbers'
            )


def _map(path: Path, end: int) -> np.ndarray:
    try:
        with path.open("rb") as file:
            array = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype=np.uint8)
    except (OSError, ValueError) as error:
        raise DataError(f"it cannot be mapped into memory: {error}") from error
    if len(array) < end:
        raise DataError(f"its tensors end at byte {end:,}, and the file now at {len(array):,}: it is being written to")
    return array


def _rope_divisors(header: Header, data: np.ndarray) -> np.ndarray | None:
    info = header.tensors.get(ROPE_FACTORS)
    if info is None:
        return None
    if info.type.name != "F32" or len(info.shape) != 1:
        raise DataError(f"its {ROPE_FACTORS} is {info.type.name} {list(info.shape)}, and must be F32 in one dimension")
    return dequantize("F32", data[info.start : info.end], info.shape)


def _stored_tensors(header: Header, config: ModelConfig, data: np.ndarray) -> dict[str, StoredTensor]:
    expected = config.tensor_shapes()
    found = {name: info.shape for name, info in header.tensors.items() if name != ROPE_FACTORS}
    check_shapes({gguf_name(name): shape for name, shape in expected.items()}, found, "the file")
    architecture = header.value("general.architecture", str, "")
    tensors = {}
    for name, shape in expected.items():
        info = header.tensors[gguf_name(name)]
        tensors[name] = StoredTensor(
            type=info.type.name,
            shape=shape,
            data=data[info.start : info.end],
            row_order=row_order(name, config, architecture),
        )
    return tensors


def _tokenizer(path: Path, header: Header, config: ModelConfig) -> Tokenizer:
    from textmill.tokenizer import self_check
    from textmill.tokenizer.formats import gguf
    from textmill.tokenizer.tokenizer import Tokenizer

    with named_in_errors(path):
        vocabulary, chat_template = gguf.from_header(header)
        tokenizer = Tokenizer(vocabulary, chat_template=chat_template)
        self_check.check(tokenizer)
        check_vocabularies(config, tokenizer, "the file")
    return tokenizer


def _text_rules(config: ModelConfig, tokenizer: Tokenizer) -> TextRules:
    """What the file's values say, which ``config`` and the tokenizer were made of."""
    prefix_ids = tokenizer.prefix_ids
    return TextRules(
        bos_token_id=prefix_ids[0] if prefix_ids else config.bos_token_id,
        prefix_ids=prefix_ids,
        stop_ids=frozenset({*config.eos_token_ids, *tokenizer.stop_ids}),
        tokenizer_bos_id=config.bos_token_id,
        tokenizer_eos_id=next(iter(config.eos_token_ids), None),
    )
