"""Each family of models is served as any other: what it samples greedily over the wire is what transformers does (recorded in
tests/golden, of several ranks at once there), and a chat ends well."""
import json

import pytest

from generated import DATA
from system import System
from test_sameness import together
from wire import channel, services


def surely_next(name):
    """(tokens so far, the next one by transformers), where its lead is beyond what bf16's rounding may take away."""
    recorded = json.loads((DATA / f"{name}.json").read_text())
    prompt, greedy = recorded["prompt_ids"], recorded["greedy_ids"]
    sure = [(prompt + greedy[:i], greedy[i]) for i, margin in enumerate(recorded["margins"])
            if margin > 2 * recorded["bf16_max_error"]]
    assert len(sure) > len(greedy) / 2
    return sure


@pytest.mark.parametrize("name", ["tiny-qwen2", "tiny-qwen3", "tiny-llama-tied", "tiny-llama-untied"])
def test_a_family_is_served(name):
    sure = surely_next(name)
    with System(DATA / name, tensor_parallel=2, kv_blocks=512, max_sequences=32) as system:
        [group] = system.groups()
        with channel(group) as connection:
            answers = together(services.InferenceStub(connection), group,
                               [(tokens, 0, 1, {"temperature": 0}) for tokens, _ in sure])
        assert [ids for ids, _ in answers] == [(wanted,) for _, wanted in sure]
        status, answer = system.chat("What is a quire?", max_tokens=20, ignore_eos=True, temperature=0)
        assert status == 200, answer
        assert answer["usage"]["completion_tokens"] == 20
