"""quire.v1.Chat on the gateway's --grpc-port, by the examples and by hand: what the HTTP API answers, over gRPC."""
import json
import os
import pathlib
import subprocess
import sys

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from system import BIN, DEMO_MODEL, System, until

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
messages, services = grpc.protos_and_services("proto/chat.proto")
QUESTION = "What is the capital of France?"


@pytest.fixture(scope="module")
def serving():
    with System(DEMO_MODEL, grpc_port=0) as system:
        yield system, json.loads((system.data / "run/gateway").read_text())["grpc"]


@pytest.fixture(scope="module")
def stub(serving):
    with grpc.insecure_channel(serving[1]) as channel:
        yield services.ChatStub(channel)


def key(system):
    return [("authorization", "Bearer " + system.api_key)]


def hello(system, **fields):
    request = messages.ChatRequest(model=system.model, **{"max_tokens": 24, "temperature": 0, **fields})
    request.messages.add(role="user", content=QUESTION)
    return request


def test_the_examples_say_what_http_says(serving):
    system, address = serving
    http = system.openai().chat.completions.create(model=system.model, max_tokens=64, temperature=0,
                                                   messages=[{"role": "user", "content": QUESTION}])
    for command in ([sys.executable, ROOT / "examples/chat_grpc.py"], [BIN.parent / "examples/chat_grpc"]):
        said = subprocess.run([*command, address, system.model, QUESTION], capture_output=True, text=True, timeout=300,
                              env={**os.environ, "QUIRE_API_KEY": system.api_key})
        assert said.returncode == 0, said.stderr
        text, _, usage = said.stdout.rpartition("\n[")
        assert text == http.choices[0].message.content
        assert f"; {http.usage.prompt_tokens} + " in usage


def test_streamed_whole_and_http_are_one_answer(serving, stub):
    system, _ = serving
    wish = {"temperature": 0, "max_tokens": 24, "n": 2, "seed": 7, "logprobs": True, "top_logprobs": 3}
    http = system.openai().chat.completions.create(model=system.model, messages=[{"role": "user", "content": QUESTION}], **wish)
    whole = stub.Chat(hello(system, **wish), metadata=key(system))
    texts, logprobs, finishes, usage = ["", ""], [[], []], ["", ""], None
    for chunk in stub.ChatStream(hello(system, **wish), metadata=key(system)):
        texts[chunk.choice] += chunk.content
        logprobs[chunk.choice] += chunk.logprobs
        finishes[chunk.choice] += chunk.finish_reason
        usage = chunk.usage if chunk.HasField("usage") else usage
    for choice, said in zip(whole.choices, http.choices):
        assert choice.content == said.message.content == texts[choice.index]
        assert choice.finish_reason == said.finish_reason == finishes[choice.index]
        assert list(choice.logprobs) == logprobs[choice.index]
        assert [bytes(entry.bytes) for entry in said.logprobs.content] == [entry.bytes for entry in choice.logprobs]
    assert usage.completion_tokens == whole.usage.completion_tokens == http.usage.completion_tokens
    [model] = stub.ListModels(messages.ListModelsRequest(), metadata=key(system)).models
    assert usage.cost_nano_usd == ((usage.prompt_tokens - usage.cached_tokens) * model.prompt_nano_usd
                                   + usage.cached_tokens * model.cached_prompt_nano_usd
                                   + usage.completion_tokens * model.completion_nano_usd)


def test_errors_have_codes_words_and_details(serving, stub):
    system, _ = serving
    with pytest.raises(grpc.RpcError) as refused:
        stub.Chat(hello(system, temperature=3), metadata=key(system))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "temperature" in refused.value.details()
    assert "grpc-status-details-bin" in dict(refused.value.trailing_metadata())
    for metadata, code in (([], grpc.StatusCode.UNAUTHENTICATED),
                           ([("authorization", "Bearer sk-quire-wrong")], grpc.StatusCode.UNAUTHENTICATED)):
        with pytest.raises(grpc.RpcError) as refused:
            stub.ListModels(messages.ListModelsRequest(), metadata=metadata)
        assert refused.value.code() == code


def test_counts_tokens_and_lists_models(serving, stub):
    system, _ = serving
    http = system.openai().chat.completions.create(model=system.model, max_tokens=1,
                                                   messages=[{"role": "user", "content": QUESTION}])
    assert stub.CountTokens(hello(system), metadata=key(system)).prompt_tokens == http.usage.prompt_tokens
    [model] = stub.ListModels(messages.ListModelsRequest(), metadata=key(system)).models
    assert model.id == system.model and model.max_context > 0 and model.completion_nano_usd > 0


def test_health_and_reflection(serving):
    _, address = serving
    with grpc.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        until("health", lambda: health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING)
        # ServerReflectionRequest{list_services: ""}: what its reply names.
        ask = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        [reply] = list(ask(iter([b"\x3a\x00"])))
        assert b"quire.v1.Chat" in reply
