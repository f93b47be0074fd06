"""The text files of a model change while it is served: token ids of the old ones never reach a group that has the new."""
import json
import os
import signal

import pytest

from generated import tiny_long
from stream import Outcome, Stream, retried
from system import System

TOKENS = 20000  # that a stream of them still runs when its group ends


@pytest.mark.tiny
def test_a_stream_of_the_old_text_never_goes_on_with_the_new(tmp_path):
    model = tiny_long(tmp_path, TOKENS)
    with System(model, drain_seconds=0) as system:
        stream = Stream(system, "Go on", max_tokens=TOKENS, ignore_eos=True, seed=1)
        payloads = iter(stream)
        first = [next(payloads) for _ in range(5)]
        text = json.loads((model / "tokenizer_config.json").read_text())
        text["chat_template"] += "{# new #}"
        (model / "tokenizer_config.json").write_text(json.dumps(text))
        [group] = system.groups()
        os.kill(group["process"]["pids"][0], signal.SIGTERM)
        outcome = Outcome(first + list(payloads))
        assert outcome.error and "have just changed; send the request again" in outcome.error["message"], vars(outcome)
        assert outcome.error["code"] == "model_changed"
        assert outcome.terminals == outcome.done == 1
        status, answer = retried(lambda: system.chat("Hi", max_tokens=3))
        assert status == 200, answer
        assert system.groups()[0]["epoch"] > group["epoch"]
