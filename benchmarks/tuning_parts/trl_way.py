"""A case by TRL's SFTTrainer and PEFT, by the Python of their environment: trl_way.py CASE.json OUT.json.

Loss on all tokens: TRL masks by marks that SmolLM2's template lacks, and the loss costs it the same either way.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from pathlib import Path

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Clock(TrainerCallback):
    """Notes how long each step takes."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_begin(self, *arguments, **keywords) -> None:
        """A step begins; its batch was made before."""
        self.begin = time.perf_counter()

    def on_step_end(self, *arguments, **keywords) -> None:
        """It ends."""
        self.times.append(time.perf_counter() - self.begin)


class Counting:
    """Collates as what it stands before does, and counts tokens."""

    def __init__(self, collate) -> None:
        self.collate, self.counts = collate, []

    def __call__(self, rows):
        """Make a batch."""
        batch = self.collate(rows)
        self.counts.append(int(batch["attention_mask"].sum()))
        return batch


def main() -> None:
    """Tune, and write tokens a second (padding not counted) and the most memory."""
    case = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(case["threads"])
    lines = Path(case["data"]).read_text().splitlines()
    clock = Clock()
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(case["model"], dtype=torch.float32),
        args=SFTConfig(
            output_dir=f"{case['folder']}/trl",
            use_cpu=True,
            bf16=False,
            report_to="none",
            save_strategy="no",
            per_device_train_batch_size=case["rows"],
            max_steps=case["steps"],
            learning_rate=2e-4,
            warmup_steps=0,
            weight_decay=0.0,
            gradient_checkpointing=False,
            max_length=1024,
            packing=False,
            dataloader_num_workers=0,
        ),
        train_dataset=Dataset.from_list([json.loads(line) for line in lines]),
        processing_class=AutoTokenizer.from_pretrained(case["model"]),
        peft_config=LoraConfig(
            r=case["rank"], lora_alpha=2 * case["rank"], target_modules=TARGETS, task_type="CAUSAL_LM"
        ),
        callbacks=[clock],
    )
    counting = Counting(trainer.data_collator)
    trainer.data_collator = counting
    trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    speeds = [count / time_s for count, time_s in zip(counting.counts, clock.times, strict=False)]
    figures = {"tokens_per_s": statistics.median(speeds[2:]), "peak_bytes": peak}
    Path(sys.argv[2]).write_text(json.dumps(figures))


main()
