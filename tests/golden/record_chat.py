"""Records what Hugging Face transformers answers to whole conversations with the demo model (fp32, greedy), for the end-to-end
tests: template, tokenizer, model, sampling and detokenizer in one. Needs torch and transformers, which CI has not:
    python tests/golden/record_chat.py models/smollm2-135m-instruct
An answer is kept up to its first token without a clear margin, which the server's bf16 might tip."""
import json
import pathlib
import sys

import torch
import transformers

CONVERSATIONS = [
    [{"role": "user", "content": "What is the capital of France?"}],
    [{"role": "user", "content": "Name the planets of the solar system."}],
    [{"role": "user", "content": "Write the numbers from one to ten."}],
    [{"role": "system", "content": "You are brief."}, {"role": "user", "content": "My name is Ada."},
     {"role": "assistant", "content": "Hello Ada."}, {"role": "user", "content": "What is my name?"}],
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello! How can I help?"},
     {"role": "user", "content": "What is water made of?"}],
    [{"role": "user", "content": "Translate to French: good morning"}],
    [{"role": "user", "content": "¿Cuál es la capital de España?"}],
]
MAX_TOKENS, MIN_MARGIN = 24, 0.05


def answer(model, tokenizer, messages):
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    out = model.generate(**inputs, max_new_tokens=MAX_TOKENS, do_sample=False, output_logits=True,
                         return_dict_in_generate=True)
    prompt_tokens = inputs["input_ids"].shape[1]
    ids = out.sequences[0][prompt_tokens:]
    tops = [torch.topk(step[0], 2).values for step in out.logits]
    thin = [i for i, top in enumerate(tops) if (top[0] - top[1]).item() < MIN_MARGIN]
    clear = thin[0] if thin else len(ids)
    return {"messages": messages, "prompt_tokens": prompt_tokens, "completion_tokens": len(ids), "whole": not thin,
            "text": tokenizer.decode(ids[:clear], skip_special_tokens=True)}


def main():
    folder = sys.argv[1]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    answers = [answer(model, tokenizer, messages) for messages in CONVERSATIONS]
    path = pathlib.Path(__file__).parent / "data/models/smollm2-chat.json"
    path.write_text(json.dumps({"max_tokens": MAX_TOKENS, "answers": answers}, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
