"""A text of as many words as asked for, the same on every run, whose parts are all different; and what a tiny model's chat
template and tokenizer make of it."""
import json

import jinja2
import tokenizers

import generated_models
import tiny_models

# As a chat, a few tokens over 131,000: with 40 more it is within the 131,072 of --rope-scaling yarn:4:32768.
WORDS = 25_940


def text(words):
    letters = iter(generated_models.hash_bytes(131, 0, 12 * words).tolist())
    return " ".join("".join(chr(97 + next(letters) % 26) for _ in range(2 + next(letters) % 6)) for _ in range(words))


def tokenizer():
    return tokenizers.Tokenizer.from_str(json.dumps(tiny_models.tokenizer_json()))


def chat_ids(content):
    template = jinja2.Template(tiny_models.CHAT_TEMPLATE)
    prompt = template.render(messages=[{"role": "user", "content": content}], add_generation_prompt=True)
    return tokenizer().encode(prompt, add_special_tokens=False).ids
