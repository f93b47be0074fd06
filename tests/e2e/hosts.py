"""Hosts on one machine: network namespaces that a bridge joins, each with a link that can be taken down, drop what is sent to
another, or lead through a program that delays and loses frames (there is no netem everywhere), and a firewall."""
import pathlib
import random
import re
import shutil
import subprocess
import sys
import uuid

import pytest

# -I -S: nothing of ours is imported in a namespace, where each of many starts would take its time.
SLOW_WIRE = [sys.executable, "-I", "-S", str(pathlib.Path(__file__).with_name("slow_wire.py"))]


def ip(*words, check=True):
    return subprocess.run(["ip", *map(str, words)], check=check, capture_output=True, text=True)


def may_have_namespaces():
    if shutil.which("ip") is None:
        return False
    name = f"quire-{uuid.uuid4().hex[:8]}"
    made = ip("netns", "add", name, check=False)
    bridged = ip("-n", name, "link", "add", "name", "br0", "type", "bridge", check=False)
    ip("netns", "del", name, check=False)
    return made.returncode == 0 and bridged.returncode == 0


needs_namespaces = pytest.mark.skipif(sys.platform != "linux" or not may_have_namespaces(),
                                      reason="no network namespaces here: they need root, iproute2 and a kernel with bridges")


needs_nft = pytest.mark.skipif(shutil.which("nft") is None, reason="no nft here: it is of the Debian package nftables")


class Hosts:
    """`count` hosts; this process is on their network, too, at `here`."""

    def __init__(self, count, lossy=()):
        """`lossy`: (host, delay_s, loss) of the one, the last, whose link leads through a program that delays and loses."""
        self.id = uuid.uuid4().hex[:8]
        self.net = f"10.{random.randrange(100, 250)}.{random.randrange(1, 250)}"
        self.here, self.made, self.programs = f"{self.net}.250", [], []
        try:
            self._namespace("switch")
            ip("-n", self.name("switch"), "link", "add", "name", "br0", "type", "bridge")
            ip("-n", self.name("switch"), "link", "set", "br0", "up")
            ip("link", "add", f"q{self.id}", "type", "veth", "peer", "name", "here", "netns", self.name("switch"))
            self._plug("here")
            ip("addr", "add", f"{self.here}/24", "dev", f"q{self.id}")
            ip("link", "set", f"q{self.id}", "up")
            lossy = {host: how for host, *how in lossy}
            for host in range(count):
                self._host(host, lossy.get(host))
        except Exception:
            self.close()
            raise

    def name(self, what):
        return f"quire-{self.id}-{what}"

    def address(self, host):
        return f"{self.net}.{host + 1}"

    def inside(self, host, *command):
        """The command line that runs `command` on that host."""
        return ["ip", "netns", "exec", self.name(host), *map(str, command)]

    def _namespace(self, what):
        ip("netns", "add", self.name(what))
        self.made.append(self.name(what))
        ip("-n", self.name(what), "link", "set", "lo", "up")

    def _plug(self, port):
        ip("-n", self.name("switch"), "link", "set", port, "master", "br0", "up")

    def _host(self, host, lossy):
        self._namespace(host)
        port, end = f"p{host}", self.name("switch")
        if lossy:
            self._namespace(f"wire{host}")
            end = self.name(f"wire{host}")
            ip("-n", end, "link", "add", "far", "type", "veth", "peer", "name", port, "netns", self.name("switch"))
            ip("-n", end, "link", "set", "far", "up")
        ip("-n", self.name(host), "link", "add", "eth0", "type", "veth", "peer", "name", "near" if lossy else port,
           "netns", end)
        self._plug(port)
        if lossy:
            ip("-n", end, "link", "set", "near", "up")
        ip("-n", self.name(host), "addr", "add", f"{self.address(host)}/24", "dev", "eth0")
        ip("-n", self.name(host), "link", "set", "eth0", "up")
        if lossy:
            for place, device in [*((each, "eth0") for each in range(host + 1)), ("switch", port),
                                  (f"wire{host}", "near"), (f"wire{host}", "far")]:
                subprocess.run(self.inside(place, *SLOW_WIRE, "plain", device), check=True)
            subprocess.run([*SLOW_WIRE, "plain", f"q{self.id}"], check=True)
            self.programs.append(subprocess.Popen(self.inside(f"wire{host}", *SLOW_WIRE, "wire", *lossy),
                                                  stdout=subprocess.PIPE))

    def cut(self, host):
        ip("-n", self.name(host), "link", "set", "eth0", "down")

    def drop(self, host, other):
        """What `host` sends to the other vanishes; what comes from there arrives."""
        ip("-n", self.name(host), "route", "add", "blackhole", f"{self.address(other)}/32")

    def firewall(self, host, *matches):
        """From now on nftables drops on that host what matches any of these, whether it comes or goes."""
        rules = "".join(f"chain {hook} {{ type filter hook {hook} priority 0; {' '.join(f'{match} drop;' for match in matches)} }}\n"
                        for hook in ("input", "output"))
        subprocess.run(self.inside(host, "nft", "-f", "-"), input=f"table inet cut {{\n{rules}}}\n", check=True, text=True)

    def connections(self, host, other):
        """{port on `host`: (bytes sent, bytes received)} of its connections to the other."""
        lines = subprocess.run(self.inside(host, "ss", "-tinHO", "dst", self.address(other)), check=True, capture_output=True,
                               text=True).stdout.splitlines()

        def count(line, what):
            found = re.search(rf"\b{what}:(\d+)", line)
            return int(found[1]) if found else 0
        return {int(re.search(rf"{self.address(host)}:(\d+)", line)[1]): (count(line, "bytes_sent"), count(line, "bytes_received"))
                for line in lines}

    def lost_frames(self):
        """On all lossy links, which lead nowhere from now on."""
        for program in self.programs:
            program.kill()
        return sum(len(program.stdout.read().splitlines()) for program in self.programs)

    def close(self):
        for program in self.programs:
            program.kill()
            program.wait()
            program.stdout.close()
        for name in self.made:
            ip("netns", "del", name, check=False)
        ip("link", "del", f"q{self.id}", check=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
