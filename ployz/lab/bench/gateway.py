"""What clients of a gateway notice: requests at a fixed rate while their service moves, and the gateway's own cost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ployz.lab.bench import load
from ployz.lab.bench.report import Row
from ployz.lab.bench.stage import Stage
from ployz.lab.programs import failed

GATEWAY: Final = "machine-c"
THERE, BACK = "machine-a", "machine-b"
RATE: Final = 200
HOSTNAME: Final = "bench.example"
SETTLE_S: Final = 2.0
"""Before and after the moves, under load."""
END_S: Final = 120
NOTICED_MS: Final = 100
"""A request may take so much longer than the service was down."""
THROUGHPUT_ROUNDS: Final = 9
THROUGHPUT_S: Final = 180

STEADY: Final = Path(__file__).with_name("steady.pl")
"""The service: what limits a load must be neither it nor a process for each request."""

MANIFEST: Final = {
    "namespace": "gateway",
    "volumes": [{"name": "data"}],
    "services": [
        {
            "name": "web",
            "service_ports": [{"name": "http", "container_port": 8080}],
            "routes": [{"http": {"service_port": "http", "hostnames": [HOSTNAME]}}],
            "readiness": {"http": {"service_port": "http"}, "interval": "200ms", "retries": 100},
            "template": {
                "image": "web:latest",
                "entrypoint": ["/usr/bin/perl", "-e", STEADY.read_text()],
                "mounts": [{"source": {"volume": "data"}, "target": "/data"}],
            },
        }
    ],
}


def measure(stage: Stage) -> Sequence[Row]:
    stage.operator.ask("machine", "set", GATEWAY, "gateway=on")
    try:
        return [*_moves(stage), _throughput(stage)]
    finally:
        stage.operator.ask("machine", "set", GATEWAY, "gateway=off")


def _moves(stage: Stage) -> list[Row]:
    stage.operator.deploy(json.dumps(MANIFEST))
    (slot,) = stage.operator.ask("service", "show", "gateway/web")["slots"]
    at, gaps_ms = str(slot["machine"]), []
    process = subprocess.Popen(
        stage.lab.running(GATEWAY).enter([sys.executable, load.__file__, "80", HOSTNAME, "/", str(RATE)]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        time.sleep(SETTLE_S)
        for number in range(stage.effort.gateway_moves):
            at = BACK if at == THERE else THERE
            gaps_ms.append(float(stage.operator.migrate("gateway/web", at).cutover_ms))
            stage.say(f"gateway: move {number + 1} to {at}, cut-over {gaps_ms[-1]:.0f} ms")
        time.sleep(SETTLE_S)
        printed, _ = process.communicate(timeout=END_S)
    finally:
        process.kill()
    found: dict[str, Any] = json.loads(printed)
    stage.say(f"gateway: {found}")
    what = f"HTTP at {RATE}/s through a gateway, {len(gaps_ms)} moves"
    slowest_ms, longest_ms = float(found["slowest_ms"]), max(gaps_ms) + NOTICED_MS
    return [
        Row(f"{what}: failed of {found['requests']} requests", "", sum(found["failed"].values()), at_most=0),
        Row(
            f"{what}: slowest request / longest gap + {NOTICED_MS} ms",
            "ms",
            slowest_ms,
            longest_ms,
            slowest_ms / longest_ms,
            at_most=1.0,
            samples={"gaps": gaps_ms},
        ),
    ]


def _throughput(stage: Stage) -> Row:
    argv = [sys.executable, "-P", "-m", "ployz.lab.bench.throughput", str(THROUGHPUT_ROUNDS)]
    found: dict[str, list[float]] = json.loads(stage.lab.running(GATEWAY).run(argv, deadline_s=THROUGHPUT_S))
    if not all(found.values()):
        raise failed("the gateway's throughput was not measured")
    what = "requests a second through a gateway / a bare HAProxy with a static file"
    return Row.of_medians(what, "/s", found["ployz"], found["bare"], at_least=0.95)
