"""What a recipe leaves out of ``[schedule]``, ``[optimizer]``, ``[eval]`` and ``[spikes]`` where a model is tuned.

Those of pretraining would be some hundred times too fast for preferences, and decay weights that are to stay.

==== =========== ======== =============================================================================================
kind all weights adapters from
==== =========== ======== =============================================================================================
sft  1e-4        2e-4     SmolLM2's 1e-3 is for steps of a million tokens (arXiv:2502.02737 §5); 16 conversations are
                          about a hundredth of that, and Adam's rate goes with the root (arXiv:2205.10287).
                          Adapters: QLoRA's (arXiv:2305.14314), which TRL's documentation has, too
dpo  1e-6        1e-5     SmolLM2's; adapters ten times that, as TRL's documentation has it (Zephyr's: 5e-6)
grpo 1e-6        1e-5     DeepSeekMath's (arXiv:2402.03300); adapters ten times that
==== =========== ======== =============================================================================================

The rest is SmolLM2's: half a cosine to 0 after a tenth of warmup, AdamW as transformers has it, no decay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PEAK_LR: dict[str, tuple[float, float]] = {"sft": (1e-4, 2e-4), "dpo": (1e-6, 1e-5), "grpo": (1e-6, 1e-5)}


def with_tuning_defaults(table: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what a recipe's table with ``[tune]`` leaves out; what it gives stays, right or wrong."""
    tune = table["tune"]
    if not isinstance(tune, Mapping) or tune.get("kind") not in _PEAK_LR:
        return dict(table)
    of_all, of_adapters = _PEAK_LR[tune["kind"]]
    schedule = _given(table, "schedule")
    defaults: dict[str, dict[str, Any]] = {
        "schedule": {"kind": "cosine", "peak_lr": of_all if tune.get("rank") is None else of_adapters},
        "optimizer": {"betas": [0.9, 0.999], "weight_decay": 0.0},
        "eval": {"holdout": 0.0},
        # Conversations are few, and chosen: none is passed over because a set that is known by heart makes losses jump.
        "spikes": {"action": "off"},
    }
    if "warmup_steps" not in schedule:
        defaults["schedule"]["warmup_fraction"] = 0.1
    if schedule.get("kind", "cosine") == "cosine":
        defaults["schedule"]["min_lr_ratio"] = 0.0
    return {**table, **{name: {**values, **_given(table, name)} for name, values in defaults.items()}}


def _given(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    given = table.get(name, {})
    return given if isinstance(given, Mapping) else {}
