"""What TRL makes of batches of tokens: run by the Python of its own environment, never by ours.

trl_script.py CASES.json OUT.safetensors: a case names folders of models, the kind of loss and its settings, and texts
in tokens; what comes out is the loss of each case and the gradient of every weight.
"""

import json
import sys
from pathlib import Path

import torch
from datasets import Dataset
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

PAD = 0


def right_padded(rows, fill):
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows])


def left_padded(rows, fill):
    longest = max(len(row) for row in rows)
    return torch.tensor([[*[fill] * (longest - len(row)), *row] for row in rows])


def dpo(case, common, tokenizer):
    from trl import DPOConfig, DPOTrainer

    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(case["model"], dtype=torch.float32),
        ref_model=AutoModelForCausalLM.from_pretrained(case["reference"], dtype=torch.float32),
        args=DPOConfig(**common, beta=case["beta"], loss_type=case["loss_type"]),
        train_dataset=Dataset.from_list([{"prompt": "the", "chosen": " quick", "rejected": " lazy"}]),
        processing_class=tokenizer,
    )
    texts = [pair[side] for side in (0, 1) for pair in case["pairs"]]  # the chosen ones come first
    inputs = {
        "input_ids": right_padded([prompt + answer for prompt, answer in texts], PAD),
        "attention_mask": right_padded([[1] * len(prompt + answer) for prompt, answer in texts], 0),
        "completion_mask": right_padded([[0] * len(prompt) + [1] * len(answer) for prompt, answer in texts], 0),
    }
    trainer.model.train()
    return trainer.model, trainer._compute_loss(trainer.model, inputs, return_outputs=False)


def grpo(case, common, tokenizer):
    from trl import GRPOConfig, GRPOTrainer

    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(case["model"], dtype=torch.float32),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=GRPOConfig(
            **common,
            beta=case["beta"],
            epsilon=case["clip_low"],
            epsilon_high=case["clip_high"],
            loss_type=case["loss_type"],
            use_bias_correction_kl=case["unbiased_kl"],
            temperature=case["temperature"],
            max_completion_length=case["max_tokens"],
            num_generations=2,
        ),
        train_dataset=Dataset.from_list([{"prompt": "the"}]),
        processing_class=tokenizer,
    )
    prompts, answers = zip(*case["texts"], strict=True)
    inputs = {
        "prompt_ids": left_padded(prompts, PAD),
        "prompt_mask": left_padded([[1] * len(prompt) for prompt in prompts], 0),
        "completion_ids": right_padded(answers, PAD),
        "completion_mask": right_padded([[1] * len(answer) for answer in answers], 0),
        "advantages": torch.tensor(case["advantages"]),
        "old_per_token_logps": right_padded(case["old_log_p"], 0.0),
        "ref_per_token_logps": right_padded(case["reference_log_p"], 0.0),
        "num_items_in_batch": torch.tensor(float(sum(len(answer) for answer in answers))),
    }
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    return trainer.model, trainer._compute_loss(trainer.model, inputs)


def sft(case, common, tokenizer):
    from trl import SFTConfig, SFTTrainer

    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(case["model"], dtype=torch.float32),
        args=SFTConfig(**common, max_length=None),
        train_dataset=Dataset.from_list([{"prompt": "the", "completion": " quick"}]),
        processing_class=tokenizer,
    )
    inputs = {
        "input_ids": right_padded([ids for ids, _ in case["texts"]], PAD),
        "attention_mask": right_padded([[1] * len(ids) for ids, _ in case["texts"]], 0),
        "labels": right_padded([labels for _, labels in case["texts"]], -100),
    }
    trainer.model.train()
    return trainer.model, trainer.compute_loss(trainer.model, inputs)


def main():
    said = {}
    for number, case in enumerate(json.loads(Path(sys.argv[1]).read_text())):
        tokenizer = AutoTokenizer.from_pretrained(case["model"])
        tokenizer.pad_token = tokenizer.eos_token
        common = {
            "output_dir": case["folder"],
            "use_cpu": True,
            "bf16": False,
            "report_to": "none",
            "per_device_train_batch_size": 2,
            "gradient_checkpointing": False,
        }
        model, loss = {"sft": sft, "dpo": dpo, "grpo": grpo}[case["kind"]](case, common, tokenizer)
        loss.backward()
        said |= {f"{number}/{name}": parameter.grad.contiguous() for name, parameter in model.named_parameters()}
        said[f"{number}/loss"] = loss.detach().reshape(1)
    save_file(said, sys.argv[2])


main()
