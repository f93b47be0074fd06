"""A public load tool, unmodified, against the running system: AWS Labs' LLMeter, which times streams of the openai SDK.
    scripts/setup --load && .load/bin/python tests/bench/bench_load_tool.py [--model DIR] [--clients 8] [--requests 4]
Fails where one request failed, or where the ledger has other tokens than the tool counted. `scripts/test full` runs it."""
import argparse
import asyncio
import pathlib
import sys

from llmeter.endpoints.openai import OpenAICompletionEndpoint, OpenAICompletionStreamEndpoint
from llmeter.endpoints.openai_response import OpenAIResponseStreamEndpoint
from llmeter.runner import Runner

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from system import DEMO_MODEL, System  # noqa: E402

FIGURES = ("requests_per_minute", "average_output_tokens_per_minute", "time_to_first_token-p50", "time_to_first_token-p99",
           "time_to_last_token-p50", "time_to_last_token-p99")


def load(system, door, clients, requests):
    """(tokens read, tokens written) of all its requests, none of which failed."""
    endpoint = door(model_id=system.model, base_url=f"{system.url}/v1", api_key=system.api_key, max_retries=0)
    texts = ["What is the capital of France?", "Count to twenty.", "Write a sentence about the sea."]
    payloads = [door.create_payload(text, 48) for text in texts]
    result = asyncio.run(Runner(endpoint, clients=clients, n_requests=requests, payload=payloads,
                                progress_bar_stats={}, disable_per_client_progress_bar=True,
                                disable_clients_progress_bar=True).run())
    failed = [response.error for response in result.responses if response.error]
    assert not failed and len(result.responses) == clients * requests, failed[:3]
    print(f"{door.__name__}, {clients} clients, {len(result.responses)} requests, none failed:")
    for name in FIGURES:
        if result.stats.get(name) is not None:
            print(f"  {name} {result.stats[name]:.3f}")
    return result.stats["total_input_tokens"], result.stats["total_output_tokens"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEMO_MODEL, type=pathlib.Path)
    parser.add_argument("--clients", default=8, type=int)
    parser.add_argument("--requests", default=4, type=int, help="of each client")
    options = parser.parse_args()
    with System(options.model) as system:
        counted = [load(system, door, options.clients, options.requests)
                   for door in (OpenAICompletionStreamEndpoint, OpenAICompletionEndpoint)]
        system.wait_for_settles()
        billed = system.usage()
        for field, tokens in zip(("prompt_tokens", "completion_tokens"), zip(*counted)):
            assert sum(row[field] for row in billed) == sum(tokens), f"{field}: {billed} but {counted}"
        print("the ledger has the tokens that it counted")
        load(system, OpenAIResponseStreamEndpoint, options.clients, options.requests)  # it counts none of a cut response


if __name__ == "__main__":
    main()
