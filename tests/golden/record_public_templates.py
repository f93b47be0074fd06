"""Records, by digest, what transformers makes of every public chat template that scripts/fetch-test-vocabularies fetches.

    python tests/golden/record_public_templates.py [TESTDATA]     (default build/testdata/text; needs transformers and jinja2)

The templates are their authors', so neither they nor their texts are in this repository. Writes public_templates.json into
tests/golden/data/text: the conversations, and for each template one digest (SHA-256) and length per conversation, null where
rendering fails. The whole texts go to TESTDATA/public_prompts, where the test finds them to show the first difference.
"""

import hashlib
import json
import sys
import time
from pathlib import Path

from transformers.utils.chat_template_utils import _compile_jinja_template

from record_templates import CLOCK, DATA, ROOT, SYSTEM, WEATHER, assistant, tool, user

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
UNIX_SECONDS = 1767225599  # 2025-12-31 23:59:59, for strftime_now

BOOK = {"type": "function", "function": {
    "name": "book", "description": "Books a \"trip\"; <none> & all.\nSecond line.",
    "parameters": {"type": "object", "required": ["to", "legs"], "properties": {
        "to": {"type": "string", "description": "Where to: Zürich, 東京"},
        "class": {"type": "string", "enum": ["first", "second"], "default": "second"},
        "age": {"type": ["integer", "null"], "minimum": 0, "maximum": 150},
        "pets": {"anyOf": [{"type": "string"}, {"type": "null"}], "nullable": True},
        "legs": {"type": "array", "description": "One by one", "minItems": 1, "items": {
            "type": "object", "required": ["km"], "properties": {
                "km": {"type": "number", "description": "How far"}, "via": {"type": "array", "items": {"type": "string"}},
                "opts": {"type": "object", "properties": {"quiet": {"type": "boolean"}}, "additionalProperties": False}}}}}}}}
CALL = ("book", {"to": "東京 <x> \"q\"", "legs": [{"km": 12.5, "via": ["A", "B"], "opts": {"quiet": True}}], "age": None, "n": 3})
PLAIN = {"type": "function", "function": {
    "name": "add", "description": "Adds <two> numbers & says so.", "parameters": {"type": "object", "required": ["a"], "properties": {
        "a": {"type": "integer", "description": "The first"}, "b": {"type": "integer", "description": "The second"}}}}}


def nine(arguments):
    """A conversation with what picky templates want: tool call ids of nine characters, turns that alternate."""
    call = {"id": "abcdefgh1", "type": "function", "function": {"name": "add", "arguments": arguments}}
    return {"messages": [user("1+2?"), {"role": "assistant", "content": "", "tool_calls": [call]},
                         {"role": "tool", "tool_call_id": "abcdefgh1", "name": "add", "content": "3"}, assistant("3."), user("ty")],
            "tools": [PLAIN], "extra": {"functions": "[{}]", "datetime": "2024-07-26 12:00"}}


def named(message, **fields):
    return {**message, **fields}


CONVERSATIONS = [
    {"messages": [user("Hello!")]},
    {"messages": [SYSTEM, user("Hi, naïve 🎉 日本語 e\u0301 \u00a0 \u2028.")]},
    {"messages": [SYSTEM, user("a"), assistant("b"), user(" c\n"), assistant("<think>\nhm\n</think>\n\nd"), user("e")]},
    {"messages": [user("a"), assistant("b")], "add_generation_prompt": False},
    {"messages": []},
    {"messages": [user("weather?")], "tools": [WEATHER]},
    {"messages": [SYSTEM, user("book it")], "tools": [WEATHER, CLOCK, BOOK]},
    {"messages": [user("go"), assistant("", ("get_weather", {"city": "Paris"}))], "tools": [WEATHER, BOOK], "add_generation_prompt": False},
    {"messages": [SYSTEM, user("go"), assistant("", CALL), named(tool("{\"ok\": true}"), name="book"), assistant("Booked."), user("ty")],
     "tools": [BOOK, CLOCK]},
    {"messages": [user("both"), assistant("Let me see.", ("get_weather", {"city": "天津"}), ("clock", {})), tool("sunny"), tool("12:00\n"),
                  user("thanks")], "tools": [WEATHER, CLOCK]},
    {"messages": [user("both"), assistant("", ("get_weather", {"city": "Rome", "days": 2}), CALL), named(tool("rain"), name="get_weather"),
                  {"role": "tool", "tool_call_id": "call_1", "content": "[1, 2]", "name": "book"}], "tools": [WEATHER, BOOK]},
    {"messages": [user("1+1?"), named(assistant("2"), reasoning_content="add"), user("2+2?")], "extra": {"enable_thinking": True}},
    {"messages": [user("1+1?"), named(assistant("", CALL), reasoning_content="I should book."), named(tool("done"), name="book")],
     "tools": [BOOK], "extra": {"enable_thinking": False, "thinking": False}},
    {"messages": [user("q")], "tools": [CLOCK], "extra": {"thinking": True, "reasoning_effort": "high"}},
    {"messages": [user("a"), SYSTEM, user("b"), user("c"), assistant("d"), assistant("e")]},
    {"messages": [{"role": "developer", "content": "Be brief."}, user("x")], "tools": []},
    {"messages": [SYSTEM]},
    nine({"a": 1, "b": 2}),
    nine("{\"a\": 1, \"b\": 2}"),
]


def render(template, conversation):
    try:
        return template.render(messages=conversation["messages"], tools=conversation.get("tools"), documents=None,
                               add_generation_prompt=conversation.get("add_generation_prompt", True), **SPECIAL,
                               **conversation.get("extra", {}))
    except Exception:  # whatever it is, the interpreter must refuse too
        return None


def record(path, prompts):
    """One [digest, bytes] or null per conversation."""
    try:
        template = _compile_jinja_template(path.read_text())
    except Exception:
        return None
    template.globals["strftime_now"] = lambda form: time.strftime(form, time.gmtime(UNIX_SECONDS))
    digests = []
    for i, conversation in enumerate(CONVERSATIONS):
        text = render(template, conversation)
        if text is not None:
            (prompts / f"{path.stem}.{i}.txt").write_bytes(text.encode())
        digests.append(text if text is None else [hashlib.sha256(text.encode()).hexdigest(), len(text.encode())])
    return digests


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "testdata" / "text"
    prompts = folder / "public_prompts"
    prompts.mkdir(exist_ok=True)
    recorded = {path.name: record(path, prompts) for path in sorted((folder / "public_templates").glob("*.jinja"))}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(digests, separators=(',', ':'))}" for name, digests in recorded.items())
    conversations = ",\n".join(json.dumps(conversation) for conversation in CONVERSATIONS)
    (DATA / "public_templates.json").write_text(
        f'{{"unix_seconds": {UNIX_SECONDS}, "special": {json.dumps(SPECIAL)},\n"conversations": [\n{conversations}\n],\n'
        f'"templates": {{\n{lines}\n}}}}\n')


if __name__ == "__main__":
    main()
