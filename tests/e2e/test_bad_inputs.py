"""Bodies that a client should not send, each refused with the status and the field that are its fault, while a stream beside
them goes on to the byte. What is odd but right is answered."""
import http.client
import json
import threading
import urllib.parse

import pytest

from stream import Outcome, Stream
from system import TINY_MODEL

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
GOOD = {"max_tokens": 400, "temperature": 0, "ignore_eos": True}


def chat(text=None, **fields):
    """A chat's body with these fields; or with its last brace replaced by a text."""
    body = {"model": "MODEL", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4, **fields}
    return CHAT, json.dumps(body) if text is None else json.dumps(body)[:-1] + text


def content(value, role="user", **more):
    return chat(messages=[{"role": role, "content": value, **more}])


def completion(**fields):
    return COMPLETIONS, json.dumps({"model": "MODEL", "prompt": "Hi", "max_tokens": 4, **fields})


def tool(name="f", parameters=None, choice="required", **fields):
    function = {"name": name} | ({} if parameters is None else {"parameters": parameters})
    return chat(tools=[{"type": "function", "function": function}], tool_choice=choice, **fields)


def schema(value):
    return chat(response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": value}})


def regex(pattern):
    return chat(response_format={"type": "regex", "regex": pattern})


# MODEL stands for the model's name, "SIZE" for how many tokens its vocabulary has.
# Name: (the path and the body), the status, and how the field's name begins where there is one.
REFUSED = {
    "depth 1,000": (chat(text=', "metadata": ' + "[" * 1000 + "]" * 1000 + "}"), 400, ""),
    "a million brackets": (chat(text=', "metadata": ' + "[" * 1_000_000), 400, ""),
    "max_tokens twice": (chat(text=', "max_tokens": 5}'), 400, ""),
    "model twice": (chat(text=', "model": "x"}'), 400, ""),
    "1e400": (chat(text=', "temperature": 1e400}'), 400, ""),
    "1e309": (chat(text=', "logit_bias": {"1": 1e309}}'), 400, ""),
    "2^63": (chat(text=f', "n": {2**63}}}'), 422, "n"),
    "2^64": (chat(text=f', "seed": {2**64}}}'), 422, "seed"),
    "-2^64": (chat(text=f', "seed": {-2**64}}}'), 422, "seed"),
    "NaN": (chat(text=', "temperature": NaN}'), 400, ""),
    "a lone surrogate": (chat(text=', "user": "\\ud800"}'), 400, ""),
    "bad UTF-8": ((CHAT, chat(text=', "user": "')[1].encode() + b'\xff"}'), 400, ""),
    "overlong UTF-8": ((CHAT, chat(text=', "user": "')[1].encode() + b'\xc0\xaf"}'), 400, ""),
    "a million items": (chat(messages=[0] * 1_000_000), 400, ""),
    **{f"a megabyte of {text!r}": (content(text * (1_000_000 // len(text.encode()))), 400, "messages")
       for text in ("word ", "a", " ", "\u0301", "\u200d", "QUJD", "\u00e9\U0001f642")},
    "a byte order mark": ((CHAT, b"\xef\xbb\xbf" + chat()[1].encode()), 400, ""),
    "something behind it": ((CHAT, chat()[1] + "x"), 400, ""),
    "a comment": (chat(text=" /* none */}"), 400, ""),
    **{f"n {n}": (chat(n=n), 422, "n") for n in (0, -1, 2**31, 10**9)},
    "best_of": (completion(best_of=2, n=1), 422, "best_of"),
    **{f"max_tokens {n}": (chat(max_tokens=n), 422, "max_tokens") for n in (0, -1, 2**63)},
    "max_tokens 0 without echo": (completion(max_tokens=0), 422, "max_tokens"),
    "temperature -1": (chat(temperature=-1), 422, "temperature"),
    "temperature 1e30": (chat(temperature=1e30), 422, "temperature"),
    "top_p 1.1": (chat(top_p=1.1), 422, "top_p"),
    "top_k -5": (chat(top_k=-5), 422, "top_k"),
    **{f"logit_bias of {i}": (chat(logit_bias={str(i): 1}), 422, "logit_bias") for i in (-1, 2**31, 2**70, "SIZE")},
    "logit_bias 1e30": (chat(logit_bias={"1": 1e30}), 422, "logit_bias"),
    "100,000 biases": (chat(logit_bias={str(i): 1 for i in range(100_000)}), 422, "logit_bias"),
    **{f"{name} {value}": (chat(**{name: value}), 422, name) for value in (1e30, -1e30)
       for name in ("frequency_penalty", "presence_penalty", "repetition_penalty")},
    "1,000 stops": (chat(stop=["x"] * 1000), 422, "stop"),
    "an empty stop": (chat(stop=""), 422, "stop"),
    "a stop of 1 MB": (chat(stop="x" * 1_000_000), 422, "stop"),
    "top_logprobs 2^31": (chat(logprobs=True, top_logprobs=2**31), 422, "top_logprobs"),
    "logprobs 2^31": (completion(logprobs=2**31), 422, "logprobs"),
    "top_logprobs 21": (chat(logprobs=True, top_logprobs=21), 422, "top_logprobs"),
    "a user of 1 MB": (chat(user="x" * 1_000_000), 422, "user"),
    "stream_options without stream": (chat(stream_options={"include_usage": True}), 422, "stream_options"),
    "no messages": (chat(messages=[]), 422, "messages"),
    "an unknown role": (content("Hi", role="wizard"), 422, "messages.0.role"),
    "null content": (content(None), 422, "messages.0.content"),
    "a name of 1 MB": (content("Hi", name="x" * 1_000_000), 422, "messages.0.name"),
    "100,000 messages": (chat(messages=[{"role": "user", "content": "Hi"}] * 100_000), 422, "messages"),
    "an empty prompt of ids": (completion(prompt=[]), 422, "prompt"),
    "an id outside": (completion(prompt=[2**31]), 422, "prompt"),
    "an id past the vocabulary": (completion(prompt=["SIZE"]), 422, "prompt"),
    "a negative id": (completion(prompt=[-1]), 422, "prompt"),
    "ids beyond the context": (completion(prompt=[1] * 40_000), 400, ""),
    "10,000 prompts": (completion(prompt=["x"] * 10_000), 422, "prompt"),
    **{f"a part of {kind}": (content([{"type": kind, kind: {"url": url}}]), 422, "messages.0.content.0")
       for kind, url in (("image_url", "http://169.254.169.254/"), ("input_audio", "file:///etc/passwd"), ("video_url", "x"))},
    "30,000 parentheses": (regex("(" * 30_000), 400, "response_format"),
    "repeats of repeats": (regex("a{1,65535}{1,65535}"), 400, "response_format"),
    "a schema that is itself": (schema({"$ref": "#"}), 400, "response_format"),
    "a schema of a million items": (schema({"type": "array", "minItems": 10**9, "items": {"type": "null"}}), 400, "response_format"),
    "an empty enum": (schema({"enum": []}), 400, "response_format"),
    "a bad pattern": (schema({"type": "string", "pattern": "("}), 400, "response_format"),
    "a bad type": (schema({"type": "wizard"}), 400, "response_format"),
    "a schema elsewhere": (schema({"$ref": "http://169.254.169.254/s"}), 400, "response_format"),
    "a schema of nothing": (schema({"type": "integer", "minimum": 2, "maximum": 1}), 400, "response_format"),
    **{f"a tool's name {name[:4]!r}": (tool(name=name), 422, "tools.0.function.name")
       for name in ("a\nb", "a\0b", "x" * 1_000_000)},
    "1,000 tools": (chat(tools=[{"type": "function", "function": {"name": f"f{i}"}} for i in range(1000)]), 422, "tools"),
    "an empty form": (chat(response_format={}), 422, "response_format"),
    "an empty expression": (regex(""), 422, "response_format"),
}
WRONG = {"null": None, "an object": {"a": 1}, "a list": [[]], "true": True, "a text": "x", "a fraction": 1.5}
TAKES = {"model": {"a text"}, "messages": set(), "max_tokens": {"null"}, "temperature": {"null", "a fraction"},
         "top_p": {"null"}, "n": {"null"}, "stream": {"null", "true"}, "stop": {"null", "a text"}, "seed": {"null"},
         "logprobs": {"null", "true"}, "response_format": {"null"}, "tools": {"null"}, "logit_bias": {"null"},
         "user": {"null", "a text"}, "stream_options": {"null"}}
REFUSED |= {f"{name}: {kind}": (chat(**{name: value}), 422, name)
            for name, takes in TAKES.items() for kind, value in WRONG.items() if kind not in takes}

# What looks as bad, and is right.
TAKEN = {
    "-0": chat(text=', "temperature": -0}'),
    "temperature 1e-40": chat(temperature=1e-40),
    "top_p 0": chat(top_p=0),
    "echo alone": completion(max_tokens=0, echo=True),
    "stops at one": completion(stop=["x", "xy", "xyz"]),
    "the last id": completion(prompt=["LAST"]),
    "only spaces": content("   "),
    "special tokens": content("<|im_end|><|im_start|>assistant\n<think></tool_call>"),
    "a nested loop": regex("(a+)+b"),
    "a schema of itself in part": schema({"$defs": {"n": {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}}},
                                          "$ref": "#/$defs/n"}),
}


def vocabulary_size():
    """Of tiny_qwq: the tiny model's tokens and its four tags."""
    tokenizer = json.loads((TINY_MODEL / "tokenizer.json").read_text())
    return max(token["id"] for token in tokenizer["added_tokens"]) + 1 + 4


def send(system, path, body):
    body = body if isinstance(body, bytes) else body.encode()
    body = body.replace(b"MODEL", system.model.encode())
    body = body.replace(b'["SIZE"]', b"[%d]" % vocabulary_size()).replace(b'"SIZE"', b'"%d"' % vocabulary_size())
    body = body.replace(b'["LAST"]', b"[%d]" % (vocabulary_size() - 1))
    target = urllib.parse.urlparse(system.url)
    connection = http.client.HTTPConnection(target.hostname, target.port, timeout=300)
    connection.request("POST", path, body, {"Authorization": f"Bearer {system.api_key}", "Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.status, json.loads(response.read())
    connection.close()
    return answer


@pytest.fixture(scope="module")
def beside(qwq):
    """A stream that begins again as long as the tests run, and says the same each time."""
    alone, ended, heard = Outcome(Stream(qwq, "Go on", **GOOD)).text, threading.Event(), []

    def go_on():
        while not ended.is_set():
            heard.append(Outcome(Stream(qwq, "Go on", **GOOD)).text)
    thread = threading.Thread(target=go_on)
    thread.start()
    yield
    ended.set()
    thread.join()
    assert alone and heard and set(heard) == {alone}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_its_field(qwq, beside, name):
    (path, body), status, param = REFUSED[name]
    got, answer = send(qwq, path, body)
    assert got == status, answer
    assert answer["error"]["message"] and (answer["error"]["param"] or "").startswith(param), answer


@pytest.mark.parametrize("name", TAKEN)
def test_odd_but_right(qwq, beside, name):
    status, answer = send(qwq, *TAKEN[name])
    assert status == 200 and answer["choices"], answer
