"""Worker groups that no coordinator starts: quire-worker once for each rank."""
import contextlib
import uuid

from test_ranks import Rank


@contextlib.contextmanager
def group_by_hand(model, ranks, kv_blocks=2048, **flags):
    """Serves while this stands: {"address", "epoch"}, and the processes as "ranks"."""
    name, flags = f"quire-test-{uuid.uuid4().hex}", {"kv-blocks": kv_blocks, **flags}
    started = []
    try:
        for rank in range(ranks):
            started.append(Rank("quire-worker", name, rank, ranks, model=model, **flags))
        port = started[0].until("group_ready")["port"]
        yield {"address": f"127.0.0.1:{port}", "epoch": flags.get("group_epoch", 1), "ranks": started}
    finally:
        for rank in started:
            rank.process.kill()
            rank.process.wait(60)
