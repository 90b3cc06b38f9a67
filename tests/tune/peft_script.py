"""What PEFT makes of adapters: run by the Python of its own environment, never by ours.

peft_script.py CASE.json OUT.safetensors: logits and greedy tokens of a base with an adapter that the case names, and of
one that PEFT makes here, with random factors, and saves.
"""

import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM


def main():
    case = json.loads(Path(sys.argv[1]).read_text())
    ids = torch.tensor(case["ids"])

    def base():
        return AutoModelForCausalLM.from_pretrained(case["base"], dtype=torch.float32)

    def logits(model):
        with torch.no_grad():
            return model.eval()(ids).logits.contiguous()

    def greedy(model):
        # No token ends the text, and none is kept from it.
        options = {"max_new_tokens": 20, "min_new_tokens": 20, "eos_token_id": None, "pad_token_id": 0}
        return model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, **options).contiguous()

    read = PeftModel.from_pretrained(base(), case["adapter"])
    torch.manual_seed(1)
    config = LoraConfig(
        r=3,
        lora_alpha=7,
        use_rslora=True,
        target_modules=["q_proj", "down_proj"],
        init_lora_weights=False,
        task_type="CAUSAL_LM",
    )
    made = get_peft_model(base(), config)
    made.save_pretrained(case["made"])
    tensors = {"read": logits(read), "made": logits(made), "read_greedy": greedy(read), "made_greedy": greedy(made)}
    tensors["merged"] = logits(read.merge_and_unload())
    save_file(tensors, sys.argv[2])


main()
