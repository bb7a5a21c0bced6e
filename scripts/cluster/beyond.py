# SPDX-License-Identifier: GPL-2.0
"""Calculates how long it takes until many nodes have their root, by what brings it to them; measures nothing. Only what is large is in it, and
switches that pass on whatever their ports can take; requests, DHCP and the nodes' own work are not."""

import argparse
import heapq
import json
import math
import random
import sys
from pathlib import Path
from typing import Any

from archive.tools import replace

# The part of what a wire carries that is content, with frames of 1,500 bytes: Ethernet, IP and TCP take the rest.
CONTENT = 1448 / 1538
GIGABIT = 1e9 * CONTENT / 8
RACK = 64
# A node that lost its power asks again after so many seconds.
AGAIN = 30
# What a torrent has in one piece, and multicast in one packet.
PIECE, PACKET = 4 << 20, 1400


def share(arrivals, size, wire, card, deaths=0.0, chance=None):
    """Has clients fetch `size` bytes over a wire that they share evenly; returns when each has all. A part of them, `deaths`, loses what it has at some
    point, and begins anew. `wire` and `card` are bytes a second: the server's, and what a client can take."""
    chance = chance or random.Random(1)
    coming = [(at, number) for number, at in enumerate(arrivals)]
    heapq.heapify(coming)
    lost = {number: chance.random() for number in range(len(coming)) if chance.random() < deaths}
    # Every client that is at it gets the same: what one has got since the beginning of all is the clock.
    clock, now, done = 0.0, 0.0, {}
    active: list[tuple[float, int]] = []
    while coming or active:
        rate = min(card, wire / len(active)) if active else 0.0
        first = now + (active[0][0] - clock) / rate if active else float("inf")
        if coming and coming[0][0] <= first:
            at, number = heapq.heappop(coming)
            clock, now = clock + (at - now) * rate, at
            heapq.heappush(active, (clock + size * lost.get(number, 1.0), number))
            continue
        clock, now = active[0][0], first
        _, number = heapq.heappop(active)
        if number in lost:
            del lost[number]
            heapq.heappush(coming, (now + AGAIN, number))
        else:
            done[number] = now
    return [done[number] for number in range(len(arrivals))]


def arrivals(count, chance):
    """The times at which nodes that are switched on at once begin: their firmware takes from nothing to five seconds longer than that of the first."""
    return [chance.random() * 5 for _ in range(count)]


def racks(count):
    """The nodes of each rack."""
    return [min(RACK, count - first) for first in range(0, count, RACK)]


def one_head(count, size, wire, deaths, chance):
    """All fetch from one head node."""
    return max(share(arrivals(count, chance), size, wire, GIGABIT, deaths, chance))


def head_per_rack(count, size, wire, deaths, chance):
    """Every rack is a wire of its own with a head node, which has all there is before it begins."""
    return max(max(share(arrivals(nodes, chance), size, wire, GIGABIT, deaths, chance)) for nodes in racks(count))


def cache_per_rack(count, size, wire, deaths, chance):
    """A machine in every rack fetches once from the head node, and passes on what it has whole."""
    there = share([0.0] * len(racks(count)), size, wire, GIGABIT)
    slowest = 0.0
    for nodes, at in zip(racks(count), there, strict=True):
        begin = [max(at, begins) for begins in arrivals(nodes, chance)]
        slowest = max(slowest, *share(begin, size, GIGABIT, GIGABIT, deaths, chance))
    return slowest


def lost(count, loss, chance):
    """The number of nodes, out of `count`, that lose a packet; by the distances between those that do."""
    found = at = 0
    while loss and (at := at + int(math.log(1 - chance.random()) / math.log1p(-loss)) + 1) <= count:
        found += 1
    return found


def multicast(count, size, wire, loss, chance):
    """The head node sends every packet to all, and again what at least one of them has lost, until none has; nodes that die wait for the next turn."""
    missing = [count] * -(-size // PACKET)
    sent = 0
    while missing:
        sent += len(missing)
        missing = [left for waiting in missing if (left := lost(waiting, loss, chance))]
    return 5 + sent * PACKET / min(wire, GIGABIT)


def torrent(count, size, wire, chance):
    """Every node passes on the pieces that it has: in each turn one to another node, and takes one; the head node sends as many as its wire carries."""
    pieces = max(1, -(-size // PIECE))
    whole = (1 << pieces) - 1
    have = [0] * count
    waiting = set(range(count))
    turns, sends = 0, max(1, round(wire / GIGABIT))
    while waiting:
        turns += 1
        order = list(waiting)
        chance.shuffle(order)
        senders = [whole] * sends + [have[node] for node in range(count) if have[node]]
        # A node that has much is as likely to find one that lacks it as any other; what finds none is lost for this turn.
        chance.shuffle(senders)
        for held, node in zip(senders, order, strict=False):
            if useful := held & ~have[node]:
                bits = [bit for bit in range(pieces) if useful >> bit & 1]
                have[node] |= 1 << chance.choice(bits)
                if have[node] == whole:
                    waiting.discard(node)
    return 5 + turns * PIECE / GIGABIT


def table(counts, megabytes, deaths, loss, seed):
    """Seconds for each way and each number of nodes."""
    size = megabytes << 20
    ways: dict[str, Any] = {
        "one head node, 1 Gbit/s": lambda count, chance: one_head(count, size, GIGABIT, deaths, chance),
        "one head node, 10 Gbit/s": lambda count, chance: one_head(count, size, 10 * GIGABIT, deaths, chance),
        f"a head node per {RACK}, 1 Gbit/s each": lambda count, chance: head_per_rack(count, size, GIGABIT, deaths, chance),
        f"a cache per {RACK}, head node 1 Gbit/s": lambda count, chance: cache_per_rack(count, size, GIGABIT, deaths, chance),
        f"a cache per {RACK}, head node 10 Gbit/s": lambda count, chance: cache_per_rack(count, size, 10 * GIGABIT, deaths, chance),
        "multicast, 1 Gbit/s": lambda count, chance: multicast(count, size, GIGABIT, loss, chance),
        "torrent, head node 1 Gbit/s": lambda count, chance: torrent(count, size, GIGABIT, chance),
    }
    return {way: {count: round(how(count, random.Random(seed)), 1) for count in counts} for way, how in ways.items()}


def main(arguments=None):
    """The program of scripts/scale-out."""
    parser = argparse.ArgumentParser(prog="scale-out", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--nodes", type=int, nargs="+", default=[100, 1000, 10000], metavar="N", help="how many (default 100 1000 10000)")
    add("--size", type=int, default=200, metavar="MB", help="what each fetches (default %(default)s MiB)")
    add("--die", type=float, default=5, metavar="PERCENT", help="how many lose their power on the way, where that is simulated (default %(default)s)")
    add("--loss", type=float, default=1e-4, metavar="PART", help="the part of multicast packets that a node does not get (default %(default)s)")
    add("--seed", type=int, default=1, metavar="N", help="of what is random (default %(default)s)")
    add("--out", metavar="FILE", help="also write it there, as JSON")
    options = parser.parse_args(arguments)
    if min(options.nodes) < 1 or options.size < 1 or not 0 <= options.die <= 100 or not 0 <= options.loss < 1:
        parser.error("expected one node and 1 MiB at least, a percentage from 0 to 100, and a loss from 0 to below 1")
    found = table(options.nodes, options.size, options.die / 100, options.loss, options.seed)
    width = max(map(len, found)) + 2
    print(f"seconds until all have {options.size} MiB, calculated".ljust(width) + "".join(f"{count:>12,}" for count in options.nodes))
    for way, seconds in found.items():
        print(way.ljust(width) + "".join(f"{seconds[count]:12,.0f}" for count in options.nodes))
    try:
        if options.out:
            replace(Path(options.out), json.dumps({**vars(options), "seconds": found}, indent=1) + "\n")
    except OSError as error:
        print(f"scale-out: error: cannot write {options.out}: {error.strerror}; name another file by --out", file=sys.stderr)
        return 1
    return 0
