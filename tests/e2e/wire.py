"""A worker group's Serve and the standard health check over real gRPC, as a gateway would call them."""
import hashlib
import hmac
import importlib
import os
import pathlib
import queue
import sys
import tempfile

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_tools import protoc

from system import until

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _compile():
    out = tempfile.mkdtemp(prefix="quire-proto-")
    code = protoc.main(["protoc", f"-I{ROOT}", f"--python_out={out}", f"--grpc_python_out={out}",
                        str(ROOT / "proto/inference.proto")])
    assert code == 0
    sys.path.insert(0, out)
    return importlib.import_module("proto.inference_pb2"), importlib.import_module("proto.inference_pb2_grpc")


pb, services = _compile()


class _Shows(grpc.StreamStreamClientInterceptor):
    """What gateways show (base/net/grpc.h, SessionSecret), with every session."""

    def __init__(self, pepper_file):
        self._secret = hmac.new(pathlib.Path(pepper_file).read_bytes(), b"a gateway to a worker group", hashlib.sha256).hexdigest()

    def intercept_stream_stream(self, continuation, details, requests):
        return continuation(details._replace(metadata=[*(details.metadata or ()), ("quire-session-secret", self._secret)]), requests)


def channel(group):
    """As a gateway has it, where the group has a coordinator, with that one's "pepper_file"."""
    connection = grpc.insecure_channel(group["address"])
    if "pepper_file" not in group:
        return connection
    connection = grpc.intercept_channel(connection, _Shows(group["pepper_file"]))
    until("a group that knows that it is registered", lambda: _knows_gateways(connection))
    return connection


def _knows_gateways(connection):
    """The coordinator lists a group a moment before that one hears of it: gateways then try again."""
    try:
        list(services.InferenceStub(connection).Serve(iter(()), timeout=600))
    except grpc.RpcError as error:
        return "has not registered" not in error.details()
    return True


def request(group, prompt_ids, seed, max_tokens=32, temperature=1.0, logprobs=True, choices=(0,), **sampling):
    """`choices`: their indexes, or whole ones."""
    defaults = {"top_p": 1.0, "repetition_penalty": 1.0, "ignore_eos": True}
    choices = [choice if isinstance(choice, pb.Choice) else pb.Choice(index=choice) for choice in choices]
    return pb.GenerateRequest(
        request_id=os.urandom(16), prompt_ids=prompt_ids, choices=choices, seed=seed, max_tokens=max_tokens,
        cache_salt=b"account", group_epoch=int(group["epoch"]),
        sampling=pb.Sampling(temperature=temperature, logprobs=logprobs, **{**defaults, **sampling}))


PLENTY = 1 << 30


class Ended(grpc.RpcError):
    """A request's own end, where that is none of its answer's."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self._code = next(status for status in grpc.StatusCode if status.value[0] == code)

    def code(self):
        return self._code


class Session:
    """One Serve stream: what is submitted and what comes."""

    def __init__(self, stub, timeout=600):
        self._frames, self._last_tag = queue.SimpleQueue(), 0
        self._stream = stub.Serve(iter(self._frames.get, None), timeout=timeout)

    def submit(self, message, credit=PLENTY):
        self._last_tag += 1
        self._frames.put(pb.GatewayFrame(submit=pb.Submit(tag=self._last_tag, request=message, credit=credit)))
        return self._last_tag

    def abort(self, tag):
        self._frames.put(pb.GatewayFrame(aborts=[tag]))

    def grant(self, tag, tokens):
        self._frames.put(pb.GatewayFrame(credits=[pb.Credit(tag=tag, tokens=tokens)]))

    def __iter__(self):
        """The frames."""
        for frame in self._stream:
            if frame.closing:
                self.close()
            yield frame

    def updates(self):
        for frame in self:
            yield from frame.updates

    def close(self):
        """Nothing more is submitted."""
        self._frames.put(None)

    def done(self):
        return self._stream.done()

    def cancel(self):
        self._stream.cancel()
        self.close()


class Call:
    """One request in a session of its own: iterates over its updates."""

    def __init__(self, stub, message, timeout=600):
        self._session = Session(stub, timeout)
        self._updates, self._over = self._read(), False
        self._session.submit(message)

    def _read(self):
        for update in self._session.updates():
            yield update
            if update.HasField("ended"):
                self._over = True
                self._session.close()
                if update.ended.code != 0:
                    raise Ended(update.ended.code, update.ended.message)
        assert self._over, "the session ended without a status before its request"

    def __iter__(self):
        return self._updates

    def __next__(self):
        return next(self._updates)

    def done(self):
        return self._over or self._session.done()

    def cancel(self):
        self._session.cancel()


class Answer:
    """Of one choice: `ids`, `logprobs`, `top` ([(id, logprob), ...] per id), and why it finished."""

    def __init__(self):
        self.ids, self.logprobs, self.top, self.finished = [], [], [], None


def generate_choices(stub, message):
    """{index: Answer} of all that the request was answered."""
    answers = {choice.index: Answer() for choice in message.choices}
    begins = {choice.index: len(choice.resumed_ids) for choice in message.choices}
    accepted = 0
    for update in Call(stub, message, timeout=300):
        accepted += update.HasField("accepted")
        assert accepted == 1 or (accepted == 0 and update.HasField("ended"))  # refused: the call says why
        if update.HasField("tokens"):
            answer = answers[update.tokens.choice]
            assert update.tokens.first_position == begins[update.tokens.choice] + len(answer.ids)
            assert answer.finished is None
            answer.ids += update.tokens.ids
            answer.logprobs += update.tokens.logprobs
            answer.top += [list(zip(top.ids, top.logprobs)) for top in update.tokens.top_logprobs]
        if update.HasField("finished"):
            assert answers[update.finished.choice].finished is None
            answers[update.finished.choice].finished = update.finished.reason
    assert all(answer.finished is not None for answer in answers.values())
    return answers


def generate(stub, message):
    """(ids, logprobs) of the whole answer of its one choice."""
    [answer] = generate_choices(stub, message).values()
    return tuple(answer.ids), tuple(answer.logprobs)


def begun(stub, group, count, max_tokens):
    """So many requests, each in a session of its own, and each has brought a token."""
    calls = [Call(stub, request(group, [1, 2, 3], seed=seed, max_tokens=max_tokens)) for seed in range(count)]
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
