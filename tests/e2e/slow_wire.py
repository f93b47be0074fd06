"""What hosts.py runs in namespaces: `plain DEVICE` turns a device's offloads off, `wire DELAY_S LOSS` joins the devices near and
far as a wire does that delays and loses frames, and says "lost" for each that it did lose."""
import contextlib
import ctypes
import fcntl
import heapq
import os
import random
import select
import socket
import struct
import sys
import time

ETH_P_ALL = 3
OUTGOING = 4  # PACKET_OUTGOING


def make_plain(device):
    """No offloads: frames leave whole and with their checksums, as a wire has them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        for command in (0x17, 0x19, 0x1F, 0x24, 0x2C):  # ETHTOOL_STXCSUM, SSG, STSO, SGSO, SGRO
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            request = struct.pack("16sP", device.encode(), ctypes.addressof(value))
            try:
                fcntl.ioctl(handle, 0x8946, request + b"\0" * (40 - len(request)))  # SIOCETHTOOL
            except OSError:
                pass  # what it does not have needs not be turned off


def run_wire(delay_s, loss):
    """Frames from near to far and back, each late by delay_s, one in 1/loss never. Before all other work: a wire is not slow
    because the machine is busy."""
    with contextlib.suppress(OSError):  # not every container may
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    ends = {}
    for device in ("near", "far"):
        ends[device] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        ends[device].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        ends[device].bind((device, ETH_P_ALL))
    other = {ends["near"]: ends["far"], ends["far"]: ends["near"]}
    draw, under_way, count = random.Random(1), [], 0
    while True:
        wait = max(0, under_way[0][0] - time.monotonic()) if under_way else None
        for end in select.select(list(other), [], [], wait)[0]:
            frame, address = end.recvfrom(65536)
            if address[2] == OUTGOING:
                continue
            count += 1
            if draw.random() < loss:
                print("lost", flush=True)
            else:
                heapq.heappush(under_way, (time.monotonic() + delay_s, count, other[end], frame))
        while under_way and under_way[0][0] <= time.monotonic():
            _, _, end, frame = heapq.heappop(under_way)
            try:
                end.send(frame)
            except OSError:
                pass  # a queue is full or the link is down: lost


if __name__ == "__main__":
    if sys.argv[1] == "plain":
        make_plain(sys.argv[2])
    else:
        run_wire(float(sys.argv[2]), float(sys.argv[3]))
