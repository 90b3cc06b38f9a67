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
from collections.abc import Callable, Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill.base import safetensors
from textmill.base.errors import DataError
from textmill.base.files import write_file
from textmill.checkpoint.converted_tensor import read_values, values_by_parts
from textmill.checkpoint.json_files import read_json, read_optional_json, to_json
from textmill.checkpoint.stored_model import StoredModel, StoredTensor
from textmill.checkpoint.tensors import cast
from textmill.model.config import HEAD, TABLE
from textmill.model.machine import num_cores

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
BASE = "adapter_base.json"
_IN_CHECKPOINT = "model.safetensors"
_PREFIX = "base_model.model."
_MAGNITUDE = "lora_magnitude_vector"
# A head merged whole in float64 would take more than a small model.
_VALUES_AT_ONCE = 1 << 17
_PART = re.compile(
    r"(?:base_model\.model\.)?(.+?)(?:\.adapter)?\.(?:(lora_[AB]|base_layer)\.weight|(lora_magnitude_vector)(?:\.weight)?)"
)
# Keys of PEFT's that change the product, each with what stands for its absence: other values are refused.
_REFUSED: dict[str, tuple[Any, ...]] = {
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
    "ensure_weight_tying": (False, None),
    "init_lora_weights": (True, False, None, "gaussian", "eva", "orthogonal"),
}
# Keys that are read, and those that say where an adapter came from, how it was learned, or which layers it may lie in:
# which it does lie in, its file of factors says.
_KNOWN = frozenset(
    {
        *_REFUSED,
        *("peft_type", "base_model_name_or_path", "r", "lora_alpha", "target_modules", "use_rslora", "use_dora"),
        *("task_type", "auto_mapping", "revision", "inference_mode", "peft_version", "lora_dropout"),
        *("exclude_modules", "layers_to_transform", "layers_pattern", "qalora_group_size"),
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
        dora: whether rows of the merged matrix are scaled to magnitudes that are learned, too (arXiv:2402.09353).
    """

    base: str
    rank: int
    alpha: float
    targets: tuple[str, ...]
    dropout: float = 0.0
    root_scaled: bool = False
    dora: bool = False

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
            "use_dora": self.dora,
            "modules_to_save": None,
            "inference_mode": True,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """The two factors of a matrix [O, I].

    Attributes:
        a: float32[R, I].
        b: float32[O, R].
        magnitude: of DoRA: the norm of each row of the merged matrix, float32[O].
        copy: the matrix itself, which PEFT keeps with factors of ``lm_head``, in the type of the file.
    """

    a: NDArray[np.float32]
    b: NDArray[np.float32]
    magnitude: NDArray[np.float32] | None = None
    copy: NDArray[Any] | None = None


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter, and no model of its own beside it."""
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file()


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
        raise DataError(f"{path}: base_model_name_or_path is {base!r}; name the model that it was learned with")
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
        dora=bool(table.get("use_dora")),
    )


def read_factors(folder: Path, config: AdapterConfig, *, merges: bool = False) -> dict[str, Factors]:
    """Read the factors by the name of the matrix that they are added to (``....weight``).

    Args:
        folder: of the adapter.
        config: what its configuration says.
        merges: whether they are to be merged. Only so can they have magnitudes, which are of whole matrices.

    Raises:
        DataError: a file is missing or damaged, or holds something else; named.
    """
    if config.dora and not merges:
        raise DataError(
            f"{folder / CONFIG}: use_dora is True, and rows are scaled to magnitudes only in an adapter that is merged "
            "into its base. Give its folder in the place of a model, as a model of its own"
        )
    path = next((folder / name for name in (WEIGHTS, _IN_CHECKPOINT) if (folder / name).is_file()), None)
    if path is None:
        pickled = (folder / "adapter_model.bin").exists()
        hint = "; adapter_model.bin is a pickle, which may run code: save it as safetensors" if pickled else ""
        raise DataError(f"{folder / WEIGHTS} does not exist{hint}")
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for name, array in safetensors.load(path).items():
        match = _PART.fullmatch(name)
        if match is None or (match[2] == "base_layer" and match[1] + ".weight" != HEAD):
            raise DataError(f"{path} holds {name}, which is no factor of a linear layer's adapter")
        found.setdefault(match[1] + ".weight", {})[match[2] or match[3]] = array
    if not found:
        raise DataError(f"{path} holds no factors, so it would change nothing. Save or copy the adapter again")
    return {name: _factors(path, name, parts, config) for name, parts in found.items()}


def _factors(path: Path, name: str, parts: Mapping[str, NDArray[Any]], config: AdapterConfig) -> Factors:
    """The factors of a matrix, of the parts that a file has of them."""
    pair = [cast(parts[part], "f32") for part in ("lora_A", "lora_B") if part in parts]
    if len(pair) != 2 or any(factor.ndim != 2 for factor in pair):
        raise DataError(f"{path} lacks one of the two factors of {name}")
    a_RI, b_OR = pair
    ranks = a_RI.shape[0], b_OR.shape[1]
    if ranks != (config.rank, config.rank):
        raise DataError(f"{path}: the factors of {name} have the ranks {ranks}, and {CONFIG} says {config.rank}")
    magnitude = parts.get(_MAGNITUDE)
    if (magnitude is not None) != config.dora:
        raise DataError(
            f"{path} {'lacks' if config.dora else 'holds'} magnitudes of {name}, and use_dora in {CONFIG} is "
            f"{config.dora}"
        )
    if magnitude is not None and magnitude.shape != (len(b_OR),):
        raise DataError(f"{path}: the magnitudes of {name} are {list(magnitude.shape)}, and it has {len(b_OR)} rows")
    return Factors(a_RI, b_OR, None if magnitude is None else cast(magnitude, "f32"), parts.get("base_layer"))


def write_adapter(
    folder: Path, config: AdapterConfig, factors: Mapping[str, Factors], fingerprint: Mapping[str, Any]
) -> None:
    """Write an adapter into a folder that is there; names of matrices are Hugging Face's."""
    write_config(folder, config, fingerprint)
    tensors = {}
    for name, pair in factors.items():
        stem = _PREFIX + name.removesuffix(".weight")
        tensors[f"{stem}.lora_A.weight"], tensors[f"{stem}.lora_B.weight"] = pair.a, pair.b
        if pair.magnitude is not None:
            tensors[f"{stem}.{_MAGNITUDE}"] = pair.magnitude
    safetensors.save(folder / WEIGHTS, tensors, {"format": "pt"})


def write_config(folder: Path, config: AdapterConfig, fingerprint: Mapping[str, Any]) -> None:
    """Write the two small files alone."""
    write_file(folder / CONFIG, to_json(config.to_peft()))
    write_file(folder / BASE, to_json(dict(fingerprint)))


def merged(
    weight_OI: NDArray[np.float32], factors: Factors, scale: float, *, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """``W + scale * B A``, its rows scaled to magnitudes where there are any; in float64, and rounded once.

    It is written into ``out``, which may be W itself, and into an array of its own unless that is given.
    """
    whole_OI = np.empty(weight_OI.shape, np.float32) if out is None else out
    a_RI = factors.a.astype(np.float64)
    num_rows = max(1, _VALUES_AT_ONCE // weight_OI.shape[1])
    for begin in range(0, len(whole_OI), num_rows):
        rows = slice(begin, begin + num_rows)
        exact_NI = scale * np.matmul(factors.b[rows].astype(np.float64), a_RI)
        exact_NI += weight_OI[rows]
        if factors.magnitude is not None:
            norm_N = np.linalg.norm(exact_NI, axis=1)
            # A row of zeros has no direction, and stays one.
            exact_NI *= (factors.magnitude[rows] / np.where(norm_N > 0, norm_N, 1))[:, None]
        whole_OI[rows] = exact_NI
    return whole_OI


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
    for name, pair in factors.items():
        if pair.copy is not None and not _is_copy(pair.copy, base.tensors[name_in(base.tensors, name)]):
            raise DataError(
                f"{folder} holds {name} itself, and it is not that of {base.path}: it was learned, or is of another "
                f"model. {_advice(folder, config)}; or merge the adapter with PEFT (merge_and_unload)"
            )
    check_values(folder, config, base, lambda: fingerprint_of(base)["values_sha256"])


def check_shapes(folder: Path, config: AdapterConfig, factors: Mapping[str, Factors], base: StoredModel) -> None:
    """Refuse a model that lacks a matrix which an adapter changes, or has it in another shape (``DataError``)."""
    for name, pair in factors.items():
        shape = (pair.b.shape[0], pair.a.shape[1])
        stored = base.tensors.get(name_in(base.tensors, name))
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


def _is_copy(copy: NDArray[Any], stored: StoredTensor) -> bool:
    """Whether a matrix is a stored one, rounded to the type that it is in."""
    values = np.ascontiguousarray(read_values(stored))
    type_name = {2: "bf16" if copy.dtype == safetensors.BFLOAT16 else "f16"}.get(copy.dtype.itemsize, "f32")
    return np.array_equal(cast(cast(values, type_name), "f32"), cast(copy, "f32"))


def name_in(base: Container[str], name: str) -> str:
    """What a base calls a matrix that an adapter changes: where it has no head, that is the table."""
    return TABLE if name == HEAD and HEAD not in base else name


def names_of(targets: Sequence[str], names: Sequence[str]) -> list[str]:
    """The layers that targets mean, as PEFT understands them: a whole name, or what one ends with after a dot."""
    return [name for name in names if any(name == one or name.endswith(f".{one}") for one in targets)]


def _advice(folder: Path, config: AdapterConfig) -> str:
    return (
        f'It says that it was learned with "{config.base}": take that model, or name it as base_model_name_or_path in '
        f"{folder / CONFIG} where that is another name for it"
    )
