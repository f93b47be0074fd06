"""What `--weights int8` costs the demo model in quality, as operators ask it themselves (docs/OPERATIONS.md). The figures are
of arithmetic alone, so each machine gets the same."""
import json
import subprocess

from system import BIN, DEMO_MODEL

# Plain prose: of text that a model can hardly predict, another token is the likeliest at the least difference.
TEXT = """The lighthouse stood at the end of the harbor wall, and for more than a hundred years it had shown the fishing boats the
way home. When the weather was clear, one could see its lamp from the hills behind the town, where the sheep were kept in summer.
Every evening the keeper climbed the stairs, cleaned the glass, and lit the lamp before the sun had gone down. He wrote the hour,
the wind, and the state of the sea into a large book, and then he sat at the window and watched the boats come in, one after the
other, until the last of them had tied up at the quay. In winter, when the storms came from the north, he did not sleep at all.
"""


def test_int8_stays_near_bf16(tmp_path):
    (tmp_path / "text").write_text(TEXT)
    ended = subprocess.run([BIN / "quire-weights-quality", "--model", DEMO_MODEL, "--text", tmp_path / "text",
                            "--positions=128", "--window=128"], capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["positions"] == 128
    assert 0 < found["kl_nats"] < 0.01 and found["greedy_agreement"] > 0.9, found
    assert abs(found["perplexity_int8"] / found["perplexity_bf16"] - 1) < 0.02, found
    assert found["weight_mib_int8"] < 0.65 * found["weight_mib_bf16"], found
