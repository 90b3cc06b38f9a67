"""What PEFT makes of adapters: run by the Python of its own environment, never by ours.

peft_script.py CASE.json OUT.safetensors: logits and greedy tokens of a base with an adapter that the case
names, merged and not, and of one that PEFT makes here with the case's settings and random numbers, and saves; of each
case by name.
"""

import json
import sys
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

# What PEFT says of a head: that a tied one is merged into the table, too, and that it keeps a copy of it.
warnings.filterwarnings("ignore", message=".*(tie_word_embeddings|save_embedding_layers)")


def answers(case):
    ids = torch.tensor(case["ids"])

    def base():
        return AutoModelForCausalLM.from_pretrained(case["base"], dtype=torch.float32)

    def logits(model):
        with torch.no_grad():
            return model.eval()(ids).logits.contiguous()

    def greedy(model):
        whole = ids
        with torch.no_grad():
            for _ in range(20):  # generate() would keep tokens that end a text from being drawn
                whole = torch.cat((whole, model.eval()(whole).logits[:, -1:].argmax(-1)), dim=1)
        return whole

    read = PeftModel.from_pretrained(base(), case["adapter"])
    torch.manual_seed(1)
    made = get_peft_model(base(), LoraConfig(init_lora_weights=False, task_type="CAUSAL_LM", **case["settings"]))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_magnitude_vector" in name:
                parameter.mul_(torch.rand(parameter.shape) + 0.5)
    made.save_pretrained(case["made"])
    tensors = {"read": logits(read), "made": logits(made), "read_greedy": greedy(read), "made_greedy": greedy(made)}
    # PEFT merges what is tied to a table into the table, too.
    return tensors if case["tied"] else tensors | {"merged": logits(read.merge_and_unload())}


def main():
    cases = json.loads(Path(sys.argv[1]).read_text())
    said = {f"{name}/{key}": value for name, case in cases.items() for key, value in answers(case).items()}
    save_file(said, sys.argv[2])


main()
