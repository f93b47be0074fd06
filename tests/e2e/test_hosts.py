"""A group whose ranks run on several hosts (namespaces that veth pairs and a bridge join): it answers as ranks on one host do,
to the bit; a link that is cut, or one connection of it, ends it, and the coordinator sees that; delay and loss don't. How long
what took is printed."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time

import grpc
import pytest
from generated import tiny_eight, tiny_long
from hosts import Hosts, needs_namespaces, needs_nft
from system import BIN, TINY_MODEL, http, until
from test_one_digest import digest, recorded, workload
from test_ranks import LOST, Rank, start  # noqa: F401 (a fixture)
from test_sameness import solo, together
from wire import begun, channel, generate, request, services

pytestmark = [pytest.mark.tiny, needs_namespaces]
PORT = 29500


def words(flags):
    """The command line's. None: a flag that is not given."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in flags.items() if value is not None]


class HostRank(Rank):
    """A rank on a host of its own."""

    def __init__(self, hosts, rank, ranks, environment=None, **flags):
        options = {"model": TINY_MODEL, "rank": rank, "ranks": ranks, "kv-blocks": 64, "host": "0.0.0.0",
                   "advertise": hosts.address(rank or 0), "rendezvous": f"{hosts.address(0)}:{PORT}", **flags}
        index = rank if rank is not None else int(environment["LWS_WORKER_INDEX"])
        command = hosts.inside(index, BIN / "quire-worker", *words(options))
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})})


@pytest.fixture
def run_rank():
    """run_rank(hosts, rank, ranks, **flags): a rank; what still runs is killed in the end."""
    started = []

    def begin(*args, **flags):
        started.append(HostRank(*args, **flags))
        return started[-1]
    yield begin
    for rank in started:
        rank.process.kill()
        rank.process.wait(60)


@pytest.fixture
def run_group(run_rank):
    """run_group(hosts, ranks, **flags): all ranks of a group."""
    return lambda hosts, ranks, **flags: [run_rank(hosts, rank, ranks, **flags) for rank in range(ranks)]


def openssl(folder, *command):
    subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def certify(tmp_path):
    """certify(role, address): flags of a program with a certificate of this role and, if others dial it, of its address."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl(tmp_path, "req", "-x509", *key, "-subj", "/CN=ca", "-days", "2", "-keyout", "ca.key", "-out", "ca.pem")

    def make(role, address=None):
        (tmp_path / "names").write_text(f"subjectAltName=DNS:quire-{role}{f',IP:{address}' if address else ''}\n")
        openssl(tmp_path, "req", "-new", *key, "-subj", "/CN=quire", "-keyout", f"{role}.key", "-out", "csr")
        openssl(tmp_path, "x509", "-req", "-days", "2", "-extfile", "names", "-CAcreateserial", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-in", "csr", "-out", f"{role}.pem")
        return {"tls_cert": tmp_path / f"{role}.pem", "tls_key": tmp_path / f"{role}.key", "tls_ca": tmp_path / "ca.pem"}
    return make


@pytest.fixture
def secret(tmp_path):
    (tmp_path / "worker_secret").write_text("5a" * 32)
    return {"worker_secret_file": tmp_path / "worker_secret", "insecure": "true"}


def connect(address, tls=None):
    if tls is None:
        return grpc.insecure_channel(address)
    parts = [pathlib.Path(tls[name]).read_bytes() for name in ("tls_ca", "tls_key", "tls_cert")]
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(*parts))


def serving(hosts, ranks):
    """host:port of a group that serves."""
    return f"{hosts.address(0)}:{ranks[0].until('group_ready')['port']}"


def answers(address, tls=None, tokens=24):
    """(ids, logprobs) of a few prompts of mixed lengths."""
    group = {"address": address, "epoch": 1}
    prompts = [[1, 2, 3], [7] * 40, list(range(5, 150))]
    with connect(address, tls) as connection:
        stub = services.InferenceStub(connection)
        return [generate(stub, request(group, ids, seed, tokens, top_k=20)) for seed, ids in enumerate(prompts)]


def end(ranks, code=0):
    for rank in ranks:
        ended, log = rank.end()
        assert ended == code, log


@pytest.mark.parametrize("ranks", [2, 3])
def test_answers_are_those_of_one_host(run_group, start, certify, ranks):  # noqa: F811
    here = [start("quire-worker", rank, ranks=ranks) for rank in range(ranks)]
    wanted = answers(f"127.0.0.1:{here[0].until('group_ready')['port']}")
    with Hosts(ranks) as hosts:
        group = run_group(hosts, ranks, **certify("worker", hosts.address(0)))
        assert answers(serving(hosts, group), certify("gateway")) == wanted
        group[-1].process.send_signal(signal.SIGTERM)  # any rank is told to end, as on one host
        end(group)


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_that_divide_the_leaves_give_the_committed_digest(run_group, certify, tmp_path, ranks):
    """Of a model with eight leaves: what crosses TCP is the top of the same tree as on one host."""
    with Hosts(ranks) as hosts:
        group = run_group(hosts, ranks, model=tiny_eight(tmp_path), isa="avx2", threads=1, kv_blocks=2048,
                          **certify("worker", hosts.address(0)))
        address = serving(hosts, group)
        with connect(address, certify("gateway")) as connection:
            stub, one = services.InferenceStub(connection), {"address": address, "epoch": 1}
            assert digest(solo(stub, one, workload())) == recorded()["cpu-bf16-1"]
            assert digest(together(stub, one, workload())) == recorded()["cpu-bf16-1"]
        group[0].process.send_signal(signal.SIGTERM)
        end(group)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_waits_for_the_others_can_be_told_to_end(run_rank, secret, rank):
    with Hosts(2) as hosts:
        waiting = run_rank(hosts, rank, 2, **secret)
        waiting.until("loading")
        waiting.process.send_signal(signal.SIGTERM)
        end([waiting])


def test_pods_of_a_leader_worker_set_need_no_flags_of_their_own(run_rank, secret):
    with Hosts(2) as hosts:
        ranks = [run_rank(hosts, None, None, rendezvous=None, advertise=hosts.address(index), **secret,
                          environment={"LWS_GROUP_SIZE": "2", "LWS_WORKER_INDEX": str(index),
                                       "LWS_LEADER_ADDRESS": hosts.address(0)}) for index in (0, 1)]
        assert len(answers(serving(hosts, ranks), tokens=3)) == 3
        ranks[0].process.send_signal(signal.SIGTERM)
        end(ranks)


@pytest.mark.parametrize("flag, first, second", [("max-sequences", 64, 32), ("kv-blocks", 64, 65), ("group-epoch", 1, 2)])
def test_ranks_that_differ_do_not_start(run_rank, secret, flag, first, second):
    with Hosts(2) as hosts:
        ranks = [run_rank(hosts, rank, 2, **{**secret, flag: value}) for rank, value in enumerate((first, second))]
        for rank in ranks:
            code, log = rank.end()
            assert code != 0
            assert f"rank 1 has --{flag} {second}, rank 0 has --{flag} {first}" in log


def test_a_rank_with_another_secret_is_not_let_in(run_rank, secret, tmp_path):
    (tmp_path / "another").write_text("6b" * 32)
    with Hosts(2) as hosts:
        run_rank(hosts, 0, 2, **secret)
        code, log = run_rank(hosts, 1, 2, **{**secret, "worker_secret_file": tmp_path / "another"}).end()
        assert code == 1 and "does not know the group's secret" in log


@pytest.mark.parametrize("rank", [0, 1])
def test_nothing_goes_to_another_host_in_the_clear_unless_told(run_rank, secret, rank):
    with Hosts(2) as hosts:
        if rank == 1:
            run_rank(hosts, 0, 2, **secret)
        code, log = run_rank(hosts, rank, 2, **{**secret, "insecure": "false"}).end()
        assert code == 1 and "without mTLS" in log and "--insecure" in log


class Coordinator:
    """One that starts no groups, on this process's address among the hosts. `tls`: flags, else all is in the clear."""

    def __init__(self, hosts, folder, tls=None):
        self.log, self.ready_file, self.data = (folder / "log").open("w"), folder / "ready", folder / "data"
        self.process = subprocess.Popen(
            [BIN / "quire-coordinator", f"--data={self.data}", "--groups=0", f"--host={hosts.here}", "--admin-port=0",
             f"--ready-file={self.ready_file}", *(words(tls) if tls else ["--insecure"])], stdout=self.log, stderr=self.log)
        until("a coordinator", self.ready_file.exists)
        ready = json.loads(self.ready_file.read_text())
        self.admin_url, self.key = "http://" + ready["admin"], json.loads((self.data / "keys.json").read_text())["admin_key"]
        self.address = ready["grpc"]
        self.flags = {"coordinator": self.address, "worker_secret_file": self.data / "worker_secret", "insecure": "true"}

    def session_with(self, address):
        """A channel as a gateway of this coordinator has it."""
        return channel({"address": address, "pepper_file": self.data / "pepper"})

    def serving_groups(self):
        status, answer = http("GET", f"{self.admin_url}/admin/v1/groups", self.key)
        assert status == 200, answer
        return sum(group["state"] == "serving" for group in answer["data"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)
        self.log.close()


@contextlib.contextmanager
def gateway(coordinator, folder, tls):
    """The API's URL of a gateway of this coordinator, once it serves."""
    ready = folder / "gateway-ready"
    with (folder / "gateway-log").open("w") as log:
        process = subprocess.Popen(
            [BIN / "quire-gateway", f"--coordinator={coordinator.address}", f"--pepper-file={coordinator.data}/pepper",
             "--port=0", f"--ready-file={ready}", "--drain-delay-ms=0", *words(tls)], stdout=log, stderr=log)
    try:
        until("a gateway", ready.exists)
        yield "http://" + json.loads(ready.read_text())["api"]
    finally:
        process.terminate()
        assert process.wait(60) == 0


def test_programs_on_several_hosts_trust_certificates_alone(run_group, certify, tmp_path):
    """Coordinator, gateway and ranks, each with the certificate that docs/OPERATIONS.md asks for and nothing in the clear."""
    with Hosts(2) as hosts, Coordinator(hosts, tmp_path, certify("coordinator", hosts.here)) as coordinator:
        group = run_group(hosts, 2, metrics_host="0.0.0.0", coordinator=coordinator.address, **certify("worker", hosts.address(0)))
        until("a group that serves", lambda: coordinator.serving_groups() == 1)
        [listed] = http("GET", f"{coordinator.admin_url}/admin/v1/groups", coordinator.key)[1]["data"]
        assert [address.rsplit(":", 1)[0] for address in listed["rank_metrics"]] == [hosts.address(0), hosts.address(1)]
        key = json.loads((coordinator.data / "keys.json").read_text())["api_key"]
        with gateway(coordinator, tmp_path, certify("gateway")) as url:
            body = {"model": TINY_MODEL.name, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}
            status, answer = http("POST", f"{url}/v1/chat/completions", key, body)
            assert status == 200 and answer["usage"]["completion_tokens"] > 0, answer
        group[0].process.send_signal(signal.SIGTERM)
        end(group)


def cut(hosts, ranks, way):
    """Between the last two."""
    if way == "link down":
        hosts.cut(ranks - 1)
    elif way == "packets dropped by nftables":
        hosts.firewall(ranks - 1, *(f"ip {end} {hosts.address(ranks - 2)}" for end in ("saddr", "daddr")))
    else:
        hosts.drop(ranks - 1, ranks - 2)


@pytest.mark.parametrize("busy", [True, False])
@pytest.mark.parametrize("ranks, way", [(2, "link down"), (2, "packets dropped"), (3, "packets between followers dropped"),
                                        pytest.param(2, "packets dropped by nftables", marks=needs_nft)])
def test_a_cut_link_ends_the_group_and_the_coordinator_sees_it(run_group, tmp_path, ranks, way, busy, capsys):
    with Hosts(ranks) as hosts, Coordinator(hosts, tmp_path) as coordinator:
        group = run_group(hosts, ranks, model=tiny_long(tmp_path, tokens=20000), max_sequences=8, **{"kv-blocks": 8192}, **coordinator.flags)
        address = serving(hosts, group)
        until("a group that serves", lambda: coordinator.serving_groups() == 1)
        with coordinator.session_with(address) as connection:
            stub, one = services.InferenceStub(connection), {"address": address, "epoch": 1}
            calls = begun(stub, one, 4, max_tokens=20000) if busy else []
            cut_at = time.monotonic()
            cut(hosts, ranks, way)
            until("no group that serves", lambda: coordinator.serving_groups() == 0)
            noticed_s = time.monotonic() - cut_at
            for call in calls:
                with pytest.raises(grpc.RpcError):
                    list(call)
        for rank in group:
            code, log = rank.end()
            assert code == LOST, log
            assert "can't be reached: its host has taken nothing" in log
        with capsys.disabled():
            print(f" [{way}, {'busy' if busy else 'idle'}: the coordinator saw it after {noticed_s:.2f} s] ", end="")


@needs_nft
@pytest.mark.parametrize("what", ["tensors", "plans"])
def test_one_connection_that_is_cut_ends_the_group(run_group, tmp_path, what, capsys):
    """As by a firewall that forgot it; the beats' connection is well."""
    with Hosts(2) as hosts, Coordinator(hosts, tmp_path) as coordinator:
        group = run_group(hosts, 2, model=tiny_long(tmp_path, tokens=20000), max_sequences=8, **{"kv-blocks": 8192}, **coordinator.flags)
        address = serving(hosts, group)
        until("a group that serves", lambda: coordinator.serving_groups() == 1)
        with coordinator.session_with(address) as connection:
            calls = begun(services.InferenceStub(connection), {"address": address, "epoch": 1}, 4, max_tokens=20000)
            # Most bytes are the tensors'; of the plans a follower gets many for each that it says.
            load = {"tensors": lambda sent, got: sent + got, "plans": lambda sent, got: got / (1 + sent)}[what]
            ports = hosts.connections(1, 0)
            port = max(ports, key=lambda port: load(*ports[port]))
            cut_at = time.monotonic()
            hosts.firewall(1, f"tcp sport {port}", f"tcp dport {port}")
            until("no group that serves", lambda: coordinator.serving_groups() == 0)
            noticed_s = time.monotonic() - cut_at
            for call in calls:
                with pytest.raises(grpc.RpcError):
                    list(call)
        for rank in group:
            code, log = rank.end()
            assert code == LOST, log
            assert f"can't be reached: its host has taken nothing of the {what} sent to it" in log
        with capsys.disabled():
            print(f" [{what}: the coordinator saw it after {noticed_s:.2f} s] ", end="")


@pytest.mark.parametrize("tokens", [3, pytest.param(200, marks=pytest.mark.full)])
def test_delay_and_loss_are_survived(run_group, start, certify, tokens):  # noqa: F811
    """50 ms each way, one frame in a hundred lost."""
    here = [start("quire-worker", rank) for rank in (0, 1)]
    wanted = answers(f"127.0.0.1:{here[0].until('group_ready')['port']}", tokens=tokens)
    with Hosts(2, lossy=[(1, 0.05, 0.01)]) as hosts:
        group = run_group(hosts, 2, **certify("worker", hosts.address(0)))
        assert answers(serving(hosts, group), certify("gateway"), tokens) == wanted
        group[0].process.send_signal(signal.SIGTERM)
        end(group)
        assert hosts.lost_frames() > 0


def test_a_pause_of_all_ranks_kills_nobody(run_rank, secret):
    with Hosts(2) as hosts:
        group = [run_rank(hosts, 0, 2, **{**secret, "rendezvous": f"0.0.0.0:{PORT}"}), run_rank(hosts, 1, 2, **secret)]
        address = serving(hosts, group)
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for rank in group:
                rank.process.send_signal(number)
            time.sleep(3 if number == signal.SIGSTOP else 0)  # what is tested, not waited for
        assert len(answers(address, tokens=3)) == 3
        group[0].process.send_signal(signal.SIGTERM)
        end(group)
