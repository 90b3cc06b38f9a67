"""A model on disk: a Hugging Face folder, which transformers and vLLM load as it is.

config.json                      sizes, by ``ModelConfig``
model.safetensors                tensors; large ones of others come in shards with an index
tokenizer.json, tokenizer_config.json, chat_template.jinja
generation_config.json           where generation stops
README.md                        model card
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from textmill.base import safetensors
from textmill.base.errors import ConfigError, DataError
from textmill.base.files import new_folder, write_file
from textmill.checkpoint.card import model_card
from textmill.checkpoint.json_files import read_json, to_json
from textmill.checkpoint.tensors import as_numpy, cast, check_shapes, fill_model
from textmill.model.config import ModelConfig

if TYPE_CHECKING:
    import torch

    from textmill.model.llama import Llama
    from textmill.tokenizer.tokenizer import Tokenizer

_DTYPE_NAMES = {
    np.dtype(np.float32): "float32",
    np.dtype(np.float16): "float16",
    safetensors.BFLOAT16: "bfloat16",
}
# Tables are padded to a multiple that suits the hardware, and hold rows in reserve for tokens to come: DeepSeek-LLM-7B
# has 102,400 rows for 100,015 tokens.
_PADDING_ROWS_MAX = 8192
_MODEL_FILE = re.compile(r".*\.(json|safetensors|jinja|txt|model)|README\.md|LICENSE|\.gitattributes")


def save_model(
    folder: Path,
    config: ModelConfig,
    tensors: Mapping[str, torch.Tensor | np.ndarray],
    tokenizer: Tokenizer,
    *,
    add_bos_token: bool = False,
    generation: Mapping[str, Any] | None = None,
    card: str | None = None,
) -> None:
    """Write a model folder, whole or not at all; an existing one is replaced at the last moment.

    Args:
        folder: the model's folder.
        config: its sizes; ``bos_token_id`` and ``eos_token_id`` are ids of ``tokenizer``.
        tensors: by Hugging Face name, in one of f32, f16 and bf16.
        tokenizer: written as tokenizer.json and, where it has a chat template, chat_template.jinja.
        add_bos_token: whether a prompt begins with the BOS token, where ``tokenizer`` does not say so itself.
        generation: more keys for generation_config.json (``temperature``, for one).
        card: Markdown of the model card; one with the model's sizes is written unless given.

    Raises:
        ConfigError: where the folder holds something that is no part of a model, and would be lost.
        DataError: where tensors, tokenizer and configuration do not fit each other.
        StorageError: where the disk is full or may not be written to.
    """
    arrays = {name: as_numpy(tensor) for name, tensor in tensors.items()}
    check_shapes(config.tensor_shapes(), {name: array.shape for name, array in arrays.items()}, "the model")
    _refuse_to_replace_others(folder)
    with new_folder(folder) as unfinished:
        safetensors.save(unfinished / "model.safetensors", arrays, {"format": "pt"})
        write_small_files(
            unfinished,
            config,
            tokenizer,
            dtype=_dtype_name(arrays),
            add_bos_token=add_bos_token,
            generation=generation,
            card=card,
        )


def write_small_files(
    folder: Path,
    config: ModelConfig,
    tokenizer: Tokenizer,
    *,
    dtype: str = "float32",
    add_bos_token: bool = False,
    generation: Mapping[str, Any] | None = None,
    card: str | None = None,
) -> None:
    """Write what a model folder holds beside its tensors into an existing folder; arguments as in ``save_model``."""
    check_vocabularies(config, tokenizer, str(folder))
    bos = _token_of(config.bos_token_id, tokenizer)
    eos = _token_of(config.eos_token_ids[0] if config.eos_token_ids else None, tokenizer)
    if add_bos_token and bos is None:
        raise DataError("add_bos_token is true, and bos_token_id names no special token of the tokenizer")
    if add_bos_token and tokenizer.prefix_ids not in ((), (config.bos_token_id,)):
        raise DataError(
            f"the tokenizer begins each text with the tokens {list(tokenizer.prefix_ids)}, "
            f"and the model's bos_token_id is {config.bos_token_id}"
        )
    hf_config = config.to_hf(dtype)
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config.max_position_embeddings,
        "bos_token": bos,
        "eos_token": eos,
        **({"add_bos_token": True} if add_bos_token else {}),
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
    }
    generation_config = {
        "bos_token_id": config.bos_token_id,
        "eos_token_id": hf_config["eos_token_id"],
        **(generation or {}),
    }
    write_file(folder / "config.json", to_json(hf_config))
    write_file(folder / "tokenizer_config.json", to_json(tokenizer_config))
    write_file(folder / "generation_config.json", to_json(generation_config))
    write_file(folder / "README.md", card if card is not None else model_card(config))
    if tokenizer.chat_template is not None:
        write_file(folder / "chat_template.jinja", tokenizer.chat_template)
    tokenizer.save(folder / "tokenizer.json")
    if add_bos_token and not tokenizer.prefix_ids:
        _begin_with_bos(folder / "tokenizer.json", str(bos), config.bos_token_id)


def load_config(folder: Path) -> ModelConfig:
    """Read config.json; raises ``DataError`` where it is missing, broken, or asks for what cannot be reproduced."""
    path = folder / "config.json"
    table = read_json(path)
    try:
        return ModelConfig.from_hf(table)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def load_tensors(
    folder: Path, config: ModelConfig | None = None, dtype: str | None = None, *, headers_only: bool = False
) -> dict[str, np.ndarray]:
    """Map a model's tensors into memory, in the order of the forward pass.

    Args:
        folder: holds model.safetensors, or shards and model.safetensors.index.json.
        config: what names and shapes are checked against, before any data is read; config.json unless given.
        dtype: ``f32``, ``f16`` or ``bf16`` to convert to; as stored unless given.
        headers_only: read no tensor; a head that is stored although it is tied is then not compared with its table.

    Raises:
        DataError: for a missing or damaged file, and for a tensor that is missing, unexpected or of a wrong shape.
    """
    config = load_config(folder) if config is None else config
    expected = config.tensor_shapes()
    stored = _stored_tensors(folder)
    found = {name: place.info.shape for name, place in stored.items() if not _is_derived(name)}
    tied_copy = found.pop("lm_head.weight", None) if config.tie_word_embeddings else None
    check_shapes(expected, found, str(folder))
    for name, place in stored.items():
        if name in expected and place.info.dtype not in _DTYPE_NAMES:
            raise DataError(
                f"{place.path} holds {name} in {place.info.dtype}, which is no weight of this release; "
                "take the model in f32, f16 or bf16"
            )
    arrays: dict[str, np.ndarray] = {}
    for path in sorted({place.path for place in stored.values()}):
        arrays |= safetensors.load(path)
    is_compared = tied_copy is not None and not headers_only
    if is_compared and not np.array_equal(arrays["lm_head.weight"], arrays["model.embed_tokens.weight"]):
        raise DataError(
            f"{folder}: config.json ties lm_head.weight to model.embed_tokens.weight, and the file holds two that "
            'differ. Set "tie_word_embeddings" to false in config.json if the model was trained so'
        )
    return {name: arrays[name] if dtype is None else cast(arrays[name], dtype) for name in expected}


def load_llama(folder: Path, dtype: str = "f32") -> Llama:
    """Read a folder's model into torch, its weights in ``f32``, ``f16`` or ``bf16``; raises like ``load_tensors``."""
    import torch

    from textmill.model.llama import Llama

    config = load_config(folder)
    tensors = load_tensors(folder, config)
    model = Llama(config).to({"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[dtype])
    fill_model(model, tensors)
    return model


def load_tokenizer(folder: Path, config: ModelConfig | None = None) -> Tokenizer:
    """Read a folder's tokenizer; raises ``DataError`` where it is missing, or is not the model's (``config``)."""
    path = folder / "tokenizer.json"
    if not path.exists():
        raise DataError(f"{path} does not exist: a model needs its tokenizer. Copy the whole model folder again")
    from textmill.tokenizer.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(folder)
    if config is not None:
        check_vocabularies(config, tokenizer, str(folder))
    return tokenizer


def check_vocabularies(config: ModelConfig, tokenizer: Tokenizer, where: str) -> None:
    """Raise ``DataError`` where the model's table has fewer rows than the tokenizer tokens, or many more."""
    rows, tokens = config.vocab_size, tokenizer.vocab_size
    if rows < tokens:
        reason = "some tokens have no row"
    elif rows - tokens > _PADDING_ROWS_MAX:
        reason = f"more than the {_PADDING_ROWS_MAX:,} rows that padding explains"
    else:
        return
    raise DataError(
        f"{where}: the model's table has {rows:,} rows (vocab_size), and the tokenizer {tokens:,} tokens: {reason}. "
        "They are not of the same model; take the tokenizer that the model was trained with"
    )


class _Place(NamedTuple):
    path: Path
    info: safetensors.TensorInfo


def _stored_tensors(folder: Path) -> dict[str, _Place]:
    """Where each tensor lies, by the headers alone."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.exists():
        return {name: _Place(single, info) for name, info in safetensors.read_header(single).tensors.items()}
    if not index.exists():
        pickles = sorted(path.name for path in folder.glob("*.bin"))
        hint = (
            f". {pickles[0]} is a pickle, which may run code when it is read: save the model as safetensors"
            if pickles
            else ": copy the whole model folder again"
        )
        raise DataError(f"{single} does not exist, and no {index.name} either{hint}")
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(_is_file_name(name) for name in weight_map.values()):
        raise DataError(f"{index} has no weight_map from tensors to files of its folder")
    places: dict[str, _Place] = {}
    for file_name in sorted(set(weight_map.values())):
        path = folder / file_name
        places |= {name: _Place(path, info) for name, info in safetensors.read_header(path).tensors.items()}
    for name, file_name in weight_map.items():
        if name not in places:
            raise DataError(f"{index} says that {file_name} holds {name}, and it does not. Copy the model again")
    return places


def _is_file_name(name: Any) -> bool:
    return isinstance(name, str) and name.endswith(".safetensors") and "/" not in name and "\\" not in name


def _is_derived(name: str) -> bool:
    """Old conversions stored the RoPE frequencies, which follow from the configuration."""
    return name.endswith(".rotary_emb.inv_freq")


def _dtype_name(arrays: Mapping[str, np.ndarray]) -> str:
    dtypes = {array.dtype for array in arrays.values()}
    if len(dtypes) != 1 or not dtypes <= set(_DTYPE_NAMES):
        raise DataError(
            f"a model is saved in one of f32, f16 and bf16, and its tensors are in {sorted(map(str, dtypes))}"
        )
    return _DTYPE_NAMES[dtypes.pop()]


def _refuse_to_replace_others(folder: Path) -> None:
    """A folder is replaced whole: one that holds a run, or somebody's home, is not."""
    if not folder.is_dir():
        return
    others = sorted(path.name for path in folder.iterdir() if path.is_dir() or not _MODEL_FILE.fullmatch(path.name))
    if others:
        raise ConfigError(
            f"{folder} holds {others[0]}, which is no part of a model, and saving there would remove it. "
            "Choose a new folder"
        )


def _begin_with_bos(path: Path, token: str, token_id: int | None) -> None:
    """Add the BOS to tokenizer.json itself: fast tokenizers of transformers look nowhere else."""
    table = read_json(path)
    begin = {"SpecialToken": {"id": token, "type_id": 0}}
    first, second = ({"Sequence": {"id": name, "type_id": number}} for number, name in enumerate("AB"))
    template = {
        "type": "TemplateProcessing",
        "single": [begin, first],
        "pair": [begin, first, second],
        "special_tokens": {token: {"id": token, "ids": [token_id], "tokens": [token]}},
    }
    before = table.get("post_processor")
    table["post_processor"] = template if before is None else {"type": "Sequence", "processors": [before, template]}
    write_file(path, to_json(table))


def _token_of(token_id: int | None, tokenizer: Tokenizer) -> str | None:
    return next((token for token, value in tokenizer.special_tokens.items() if value == token_id), None)
