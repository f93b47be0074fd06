"""Generate and the standard health check over real gRPC, as another service would call them."""
import importlib
import os
import pathlib
import sys
import tempfile

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _compile():
    out = tempfile.mkdtemp(prefix="quire-proto-")
    code = protoc.main(["protoc", f"-I{ROOT}", f"--python_out={out}", f"--grpc_python_out={out}",
                        str(ROOT / "proto/inference.proto")])
    assert code == 0
    sys.path.insert(0, out)
    return importlib.import_module("proto.inference_pb2"), importlib.import_module("proto.inference_pb2_grpc")


pb, services = _compile()


def channel(group):
    return grpc.insecure_channel(group["address"])


def request(group, prompt_ids, seed, max_tokens=32, temperature=1.0, logprobs=True, **sampling):
    defaults = {"top_p": 1.0, "repetition_penalty": 1.0, "ignore_eos": True}
    return pb.GenerateRequest(
        request_id=os.urandom(16), prompt_ids=prompt_ids, choices=[pb.Choice(index=0)], seed=seed, max_tokens=max_tokens,
        cache_salt=b"account", group_epoch=int(group["epoch"]),
        sampling=pb.Sampling(temperature=temperature, logprobs=logprobs, **{**defaults, **sampling}))


def generate(stub, message):
    """(ids, logprobs) of the whole answer."""
    ids, logprobs, finished = [], [], False
    for reply in stub.Generate(message, timeout=300):
        if reply.HasField("tokens"):
            assert reply.tokens.first_position == len(ids) and not finished
            ids += reply.tokens.ids
            logprobs += reply.tokens.logprobs
        finished = finished or reply.HasField("finished")
    assert finished
    return tuple(ids), tuple(logprobs)


def begun(stub, group, count):
    """So many long streams, each of which has brought a token."""
    calls = [stub.Generate(request(group, [1, 2, 3], seed=seed, max_tokens=1000), timeout=600) for seed in range(count)]
    for call in calls:
        while not next(call).HasField("tokens"):
            pass
    return calls


def health(group):
    """True while the group says SERVING."""
    with channel(group) as connection:
        try:
            reply = health_pb2_grpc.HealthStub(connection).Check(health_pb2.HealthCheckRequest(), timeout=2)
        except grpc.RpcError:
            return False
        return reply.status == health_pb2.HealthCheckResponse.SERVING
