"""Clients that use a service while something happens to it, and record what they were told."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, field

from tests.e2e.cluster import Cluster

COUNTING = """
import json, sys, threading, time, urllib.request
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
turn, going_on = 0, True
while going_on:
    last = ended.is_set()
    url = f"http://{sys.argv[1 + turn % 2]}:8080/"
    turn += 1
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            print(answer.read().decode().strip(), flush=True)
        going_on = not last
    except (OSError, ValueError):
        time.sleep(0.02)
"""
"""One request after the other, by IPv4 and IPv6 in turn, until one asked after the end of the input; prints answers."""

WRITING = """
import os, subprocess, sys, threading
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
number, going_on = 0, True
psql = ["psql", "-qtA", "-v", "ON_ERROR_STOP=1", "-h", sys.argv[1], "-U", "postgres", "-d", "app", "-c"]
while going_on:
    last = ended.is_set()
    number += 1
    environment = os.environ | {"PGCONNECT_TIMEOUT": "2"}
    insert = [*psql, f"insert into acknowledged values ({number})"]
    try:
        done = subprocess.run(insert, env=environment, capture_output=True, timeout=4)
    except subprocess.TimeoutExpired:
        continue
    if done.returncode == 0:
        print(number, flush=True)
        going_on = not last
"""
"""Commits one row after the other, until one begun after the end of the input; prints those acknowledged."""


@define
class Client:
    """`answers` is there when it has ended."""

    answers: list[Any] = field(factory=list)


@contextmanager
def client(cluster: Cluster, machine: str, program: str, *arguments: str) -> Iterator[Client]:
    """In a machine, while the block runs. It has had at least one answer before, and one after it."""
    process = cluster.start(machine, sys.executable, "-uc", program, *arguments)
    found = Client()
    try:
        assert process.stdout is not None
        found.answers.append(json.loads(process.stdout.readline()))
        yield found
        stdout, stderr = process.communicate(timeout=30)
        assert process.returncode == 0, stderr
        found.answers += [json.loads(line) for line in stdout.splitlines()]
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def counts(client: Client) -> list[int]:
    return [answer["count"] for answer in client.answers]


def machines(client: Client) -> list[str]:
    """Each machine that answered, in order, once for each stay."""
    seen: list[str] = []
    for answer in client.answers:
        if seen[-1:] != [answer["machine"]]:
            seen.append(answer["machine"])
    return seen


def sql(cluster: Cluster, machine: str, address: str, query: str) -> str:
    argv = ["psql", "-qtA", "-h", address, "-U", "postgres", "-d", "app", "-c", query]
    return cluster.inside(machine, *argv).strip()
