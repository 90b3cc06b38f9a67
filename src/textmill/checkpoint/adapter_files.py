"""Low-rank adapters (LoRA) in PEFT's format: what their files say, read with care and written.

    FOLDER/
    ├── adapter_config.json           rank, alpha, and of which model
    ├── adapter_model.safetensors     two factors for each adapted matrix, by PEFT's names
    └── adapter_base.json             a fingerprint of that model, where textmill wrote the adapter

A checkpoint of a run has its factors in ``model.safetensors`` instead. Nothing here needs torch.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill.base import safetensors
from textmill.base.errors import DataError
from textmill.base.files import write_file
from textmill.checkpoint.converted_tensor import values_by_parts
from textmill.checkpoint.json_files import read_json, read_optional_json, to_json
from textmill.checkpoint.stored_model import StoredModel, StoredTensor
from textmill.checkpoint.tensors import cast
from textmill.model.machine import num_cores

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
BASE = "adapter_base.json"
_IN_CHECKPOINT = "model.safetensors"
_PREFIX = "base_model.model."
_FACTOR = re.compile(r"(?:base_model\.model\.)?(.+)\.(lora_[AB])\.weight")
# Keys of PEFT's that change the product, each with what stands for its absence: other values are refused.
_REFUSED: dict[str, tuple[Any, ...]] = {
    "use_dora": (False, None),
    "use_qalora": (False, None),
    "use_bdlora": (False, None, {}),
    "fan_in_fan_out": (False, None),
    "bias": ("none", None),
    "lora_bias": (False, None),
    "modules_to_save": (None, []),
    "rank_pattern": (None, {}),
    "alpha_pattern": (None, {}),
    "layer_replication": (None, []),
    "target_parameters": (None, []),
    "trainable_token_indices": (None, [], {}),
    "alora_invocation_tokens": (None, []),
    "arrow_config": (None, {}),
    "kasa_config": (None, {}),
    "monteclora_config": (None, {}),
    "velora_config": (None, {}),
    "init_lora_weights": (True, False, None, "gaussian", "eva", "orthogonal"),
}
# Keys that are read, and those that say where an adapter came from, how it was learned, or which layers it may lie in:
# which it does lie in, its file of factors says.
_KNOWN = frozenset(
    {
        *_REFUSED,
        *("peft_type", "base_model_name_or_path", "r", "lora_alpha", "target_modules", "use_rslora"),
        *("task_type", "auto_mapping", "revision", "inference_mode", "peft_version", "lora_dropout"),
        *("exclude_modules", "layers_to_transform", "layers_pattern", "ensure_weight_tying", "qalora_group_size"),
        *("loftq_config", "eva_config", "corda_config", "lora_ga_config", "megatron_config", "megatron_core"),
        *("runtime_config",),
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class AdapterConfig:
    """What ``adapter_config.json`` says.

    Attributes:
        base: the model that the adapter is for, as PEFT and ``textmill`` are told one.
        rank: of every product of factors.
        alpha: what that is multiplied by, over ``rank``.
        targets: names of the layers.
        dropout: of what goes in, while it is learned.
        root_scaled: whether ``alpha`` is over the rank's root (arXiv:2312.03732).
    """

    base: str
    rank: int
    alpha: float
    targets: tuple[str, ...]
    dropout: float = 0.0
    root_scaled: bool = False

    @property
    def scale(self) -> float:
        """What the product of the factors is multiplied by."""
        return self.alpha / (math.sqrt(self.rank) if self.root_scaled else self.rank)

    def to_peft(self) -> dict[str, Any]:
        """As PEFT writes it."""
        return {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": self.base,
            "r": self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": self.dropout,
            "target_modules": list(self.targets),
            "bias": "none",
            "fan_in_fan_out": False,
            "use_rslora": self.root_scaled,
            "use_dora": False,
            "modules_to_save": None,
            "inference_mode": True,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """The two factors of a matrix [O, I].

    Attributes:
        a: float32[R, I].
        b: float32[O, R].
    """

    a: NDArray[np.float32]
    b: NDArray[np.float32]


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter."""
    return (folder / CONFIG).is_file()


def read_config(folder: Path) -> AdapterConfig:
    """Read ``adapter_config.json``.

    Raises:
        DataError: it is missing, damaged, or asks for what is not reproduced, named.
    """
    path = folder / CONFIG
    table = read_json(path)
    if table.get("peft_type") != "LORA":
        raise DataError(f"{path}: peft_type is {table.get('peft_type')!r}, and only LORA is read")
    for key in table.keys() - _KNOWN:
        raise DataError(
            f"{path}: {key} is {table[key]!r}, and is no key that is known of adapters: what it means cannot be "
            "reproduced. Take it out if it means nothing, or merge the adapter with PEFT (merge_and_unload) and take "
            "the whole model"
        )
    for key, absent in _REFUSED.items():
        if key in table and table[key] not in absent:
            raise DataError(
                f"{path}: {key} is {table[key]!r}, which is not reproduced. Merge the adapter with PEFT "
                "(merge_and_unload) and take the whole model"
            )
    base, rank, alpha = table.get("base_model_name_or_path"), table.get("r"), table.get("lora_alpha")
    if not isinstance(base, str) or not base:
        raise DataError(f"{path}: base_model_name_or_path is {base!r}; name the model that the adapter is for")
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        raise DataError(f"{path}: r is {rank!r}, and must be a whole number, 1 or more")
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not math.isfinite(alpha):
        raise DataError(f"{path}: lora_alpha is {alpha!r}, and must be a number")
    targets = table.get("target_modules")
    return AdapterConfig(
        base=base,
        rank=rank,
        alpha=float(alpha),
        targets=tuple(map(str, targets)) if isinstance(targets, list) else (str(targets),),
        root_scaled=bool(table.get("use_rslora")),
    )


def read_factors(folder: Path, config: AdapterConfig) -> dict[str, Factors]:
    """Read the factors by the name of the matrix that they are added to (``....weight``).

    Raises:
        DataError: a file is missing or damaged, or holds something else; named.
    """
    path = next((folder / name for name in (WEIGHTS, _IN_CHECKPOINT) if (folder / name).is_file()), None)
    if path is None:
        pickled = (folder / "adapter_model.bin").exists()
        hint = "; adapter_model.bin is a pickle, which may run code: save it as safetensors" if pickled else ""
        raise DataError(f"{folder / WEIGHTS} does not exist{hint}")
    found: dict[str, dict[str, NDArray[np.float32]]] = {}
    for name, array in safetensors.load(path).items():
        match = _FACTOR.fullmatch(name)
        if match is None:
            raise DataError(f"{path} holds {name}, which is no factor of a linear layer's adapter")
        found.setdefault(match[1].replace(".adapter", "") + ".weight", {})[match[2]] = cast(array, "f32")
    for name, pair in found.items():
        if set(pair) != {"lora_A", "lora_B"} or any(array.ndim != 2 for array in pair.values()):
            raise DataError(f"{path} lacks one of the two factors of {name}")
        ranks = pair["lora_A"].shape[0], pair["lora_B"].shape[1]
        if ranks != (config.rank, config.rank):
            raise DataError(f"{path}: the factors of {name} have the ranks {ranks}, and {CONFIG} says {config.rank}")
    return {name: Factors(pair["lora_A"], pair["lora_B"]) for name, pair in found.items()}


def write_adapter(
    folder: Path, config: AdapterConfig, factors: Mapping[str, Factors], fingerprint: Mapping[str, Any]
) -> None:
    """Write an adapter into a folder that is there; names of matrices are Hugging Face's."""
    write_config(folder, config, fingerprint)
    tensors = {}
    for name, pair in factors.items():
        stem = _PREFIX + name.removesuffix(".weight")
        tensors[f"{stem}.lora_A.weight"], tensors[f"{stem}.lora_B.weight"] = pair.a, pair.b
    safetensors.save(folder / WEIGHTS, tensors, {"format": "pt"})


def write_config(folder: Path, config: AdapterConfig, fingerprint: Mapping[str, Any]) -> None:
    """Write the two small files alone."""
    write_file(folder / CONFIG, to_json(config.to_peft()))
    write_file(folder / BASE, to_json(dict(fingerprint)))


def merged(weight_OI: NDArray[np.float32], factors: Factors, scale: float) -> NDArray[np.float32]:
    """``W + scale * B A``, computed in float64 and rounded once."""
    product = np.matmul(factors.b.astype(np.float64), factors.a.astype(np.float64))
    return (weight_OI + scale * product).astype(np.float32)


def fingerprint_of(model: StoredModel) -> dict[str, Any]:
    """What tells a model from others: its sizes, and a hash of all its values as float32, however they are stored."""
    names = sorted(model.tensors)
    with ThreadPoolExecutor(max_workers=num_cores()) as threads:
        hashes = list(threads.map(lambda name: _hash_of(name, model.tensors[name]), names))
    return {
        "num_parameters": model.config.num_parameters,
        "values_sha256": hashlib.sha256("".join(hashes).encode()).hexdigest(),
    }


def _hash_of(name: str, stored: StoredTensor) -> str:
    digest = hashlib.sha256(f"{name} {tuple(stored.shape)}".encode())
    for values in values_by_parts(stored):
        digest.update(np.ascontiguousarray(values, "<f4").data)
    return digest.hexdigest()


def check_base(folder: Path, config: AdapterConfig, factors: Mapping[str, Factors], base: StoredModel) -> None:
    """Refuse a model that an adapter is not for.

    Raises:
        DataError: it lacks a matrix or has one of another shape, or is not the one that the adapter was learned with.
    """
    check_shapes(folder, config, factors, base)
    check_values(folder, config, base, lambda: fingerprint_of(base)["values_sha256"])


def check_shapes(folder: Path, config: AdapterConfig, factors: Mapping[str, Factors], base: StoredModel) -> None:
    """Refuse a model that lacks a matrix which an adapter changes, or has it in another shape (``DataError``)."""
    for name, pair in factors.items():
        shape = (pair.b.shape[0], pair.a.shape[1])
        stored = base.tensors.get(name)
        if stored is None or tuple(stored.shape) != shape:
            there = "has no such matrix" if stored is None else f"has it as {list(stored.shape)}"
            raise DataError(
                f"{folder} is an adapter for another model than {base.path}: it changes {name}, {list(shape)}, and the "
                f"model {there}. {_advice(folder, config)}"
            )


def check_values(folder: Path, config: AdapterConfig, base: StoredModel, values_sha256: Callable[[], str]) -> None:
    """Refuse a model of other weights than an adapter was learned with (``DataError``), where it says which these were.

    ``values_sha256`` gives the base's, of ``fingerprint_of``.
    """
    known = read_optional_json(folder / BASE).get("values_sha256")
    if known is not None and known != values_sha256():
        raise DataError(
            f"{folder} is an adapter for another model than {base.path}: sizes are the same, and weights are not. "
            f"{_advice(folder, config)}"
        )


def names_of(targets: Sequence[str], names: Sequence[str]) -> list[str]:
    """The layers that targets mean, as PEFT understands them: a whole name, or what one ends with after a dot."""
    return [name for name in names if any(name == one or name.endswith(f".{one}") for one in targets)]


def _advice(folder: Path, config: AdapterConfig) -> str:
    return (
        f'It says that it was learned with "{config.base}": take that model, or name it as base_model_name_or_path in '
        f"{folder / CONFIG} where that is another name for it"
    )
