"""A chat over gRPC, streamed: python examples/chat_grpc.py HOST:PORT MODEL "What is the capital of France?"
The key is read from QUIRE_API_KEY. Needs grpcio and grpcio-tools, which make the code of proto/chat.proto as this starts."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import grpc  # noqa: E402: it looks for protos in sys.path

messages, services = grpc.protos_and_services("proto/chat.proto")


def main(address, model, question):
    key = [("authorization", "Bearer " + os.environ["QUIRE_API_KEY"])]
    request = messages.ChatRequest(model=model, max_tokens=64, temperature=0)
    request.messages.add(role="user", content=question)
    with grpc.insecure_channel(address) as channel:
        for chunk in services.ChatStub(channel).ChatStream(request, metadata=key, timeout=120):
            print(chunk.content, end="", flush=True)
            if chunk.HasField("usage"):
                print(f"\n[{chunk.finish_reason}; {chunk.usage.prompt_tokens} + {chunk.usage.completion_tokens} tokens, "
                      f"{chunk.usage.cost_nano_usd / 1e9:.9f} USD]")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
