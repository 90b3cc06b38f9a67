"""Adapters with random factors for a model in a folder or a GGUF, large enough to change what it says."""

import numpy as np

from textmill.checkpoint.adapter_files import AdapterConfig, Factors, fingerprint_of, write_adapter
from textmill.checkpoint.stored_model import open_model

MATRICES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def random_factors(shapes, *, rank=4, seed=1, matrices=MATRICES, deviation=0.3):
    """Factors for those of a model's matrices, by their names and shapes, that end so."""
    rng = np.random.default_rng(seed)
    return {
        name: Factors(
            rng.normal(0, deviation, (rank, shape[1])).astype(np.float32),
            rng.normal(0, deviation, (shape[0], rank)).astype(np.float32),
        )
        for name, shape in sorted(shapes.items())
        if name.removesuffix(".weight").endswith(matrices)
    }


def write_random_adapter(folder, base, *, alpha=4.0, rank=4, is_marked=True, **factors):
    """Write one for the model at ``base``; returns its folder. It says of which weights it is if ``is_marked``."""
    model = open_model(base)
    config = AdapterConfig(base=str(base), rank=rank, alpha=alpha, targets=MATRICES)
    shapes = {name: tensor.shape for name, tensor in model.tensors.items()}
    folder.mkdir(parents=True)
    fingerprint = fingerprint_of(model) if is_marked else {}
    write_adapter(folder, config, random_factors(shapes, rank=rank, **factors), fingerprint)
    return folder
