"""A real HAProxy between real clients and real servers: what gets where, what waits, and that nothing is dropped."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import anyio
import pytest
from attrs import define, evolve, field

from ployz.host.haproxy.driver import HaproxyGateway
from ployz.host.ports import (
    GatewayBackend,
    GatewayServer,
    GatewayState,
    GatewayStatus,
    HttpEntry,
    Mode,
    TcpEntry,
)
from tests.real import need
from tests.upstreams import Upstream, free_port

pytestmark = pytest.mark.real

WEB, API, RAW = "http.production.web.main", "http.production.api.main", "tcp.production.web.main"


@define
class Front:
    """A gateway on ports of its own."""

    folder: Path
    http_port: int = field(factory=free_port)
    https_port: int = field(factory=free_port)
    tcp_port: int = field(factory=free_port)
    connections: int = 2_000

    @property
    def certificates(self) -> Path:
        return self.folder / "certificates"

    @property
    def gateway(self) -> HaproxyGateway:
        """A new ployzd's, each time."""
        return HaproxyGateway(self.folder / "run", self.certificates, self.http_port, self.https_port, self.connections)

    def apply(self, state: GatewayState) -> GatewayStatus:
        gateway = self.gateway

        async def main() -> GatewayStatus:
            await gateway.apply(state)
            return await gateway.status()

        return anyio.run(main, backend="trio")

    def status(self) -> GatewayStatus:
        return anyio.run(self.gateway.status, backend="trio")

    def get(self, path: str = "/", host: str = "www.example.com", source: str = "127.0.0.1") -> tuple[int, str, str]:
        """(Status, body, Retry-After)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=30, source_address=(source, 0))
        try:
            connection.request("GET", path, headers={"Host": host})
            answer = connection.getresponse()
            return answer.status, answer.read().decode().strip(), answer.headers.get("Retry-After", "")
        finally:
            connection.close()


@pytest.fixture(name="front")
def _front(tmp_path: Path) -> Iterator[Front]:
    need("haproxy")
    front = Front(tmp_path)
    yield front
    anyio.run(front.gateway.stop, backend="trio")


@pytest.fixture(name="one")
def _one() -> Iterator[Upstream]:
    with Upstream("one") as upstream:
        yield upstream


def backend(name: str, *upstreams: Upstream) -> GatewayBackend:
    servers = tuple(
        GatewayServer(f"slot-{number}", "127.0.0.1", each.port) for number, each in enumerate(upstreams, start=1)
    )
    return GatewayBackend(name, Mode(name.partition(".")[0]), servers)


def web(front: Front, *upstreams: Upstream) -> GatewayState:
    """By HTTP for any host, and by TCP."""
    return GatewayState(
        http=(HttpEntry("", "/", WEB),),
        tcp=(TcpEntry(front.tcp_port, RAW),),
        backends=(backend(WEB, *upstreams), backend(RAW, *upstreams)),
    )


def held(state: GatewayState, for_ms: int) -> GatewayState:
    until_ms = time.time_ns() // 1_000_000 + for_ms
    return evolve(state, holds={each.name: until_ms for each in state.backends})


class Asking(threading.Thread):
    """One request in the background."""

    def __init__(self, front: Front) -> None:
        super().__init__(daemon=True)
        self._front = front
        self.answer: tuple[int, str, str] | None = None
        self.start()

    def run(self) -> None:
        self.answer = self._front.get()

    def ended(self) -> tuple[int, str, str]:
        self.join(30)
        assert self.answer is not None
        return self.answer


def wait_until_held(front: Front, name: str = WEB) -> None:
    deadline_s = time.monotonic() + 20
    while not ((found := front.status().backend(name)) and found.held):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


# ---------------------------------------------------------------- where it goes


def test_the_longest_prefix_of_the_host_s_own_wins_then_any_host_s(front: Front, one: Upstream) -> None:
    with Upstream("two") as two:
        front.apply(
            GatewayState(
                http=(
                    HttpEntry("www.example.com", "/", WEB),
                    HttpEntry("www.example.com", "/api", API),
                    HttpEntry("", "/status", API),
                    HttpEntry("", "/api/other", WEB),
                ),
                backends=(backend(WEB, one), backend(API, two)),
            )
        )
        for host, path, answer in (
            ("www.example.com", "/", "one /"),
            ("www.example.com", "/api/x", "two /api/x"),
            ("WWW.Example.com:8080", "/api/x", "two /api/x"),
            ("www.example.com", "/api/other", "two /api/other"),
            ("www.example.com", "/status", "one /status"),
            ("other.example.com", "/status", "two /status"),
        ):
            assert front.get(path, host) == (200, answer, "")
        assert front.get("/", "other.example.com")[0] == 404


def test_a_slot_that_refuses_is_passed_over_and_one_that_is_out_gets_nothing(front: Front, one: Upstream) -> None:
    with Upstream("two") as two:
        state = web(front, one, two)
        front.apply(state)
        assert {front.get()[1] for _ in range(10)} == {"one /", "two /"}
        first, second = state.backends[0].servers
        without = evolve(state.backends[0], servers=(evolve(first, is_out=True), second))
        front.apply(evolve(state, backends=(without, state.backends[1])))
        assert {front.get()[1] for _ in range(10)} == {"two /"}
        front.apply(state)
        two.stop()
        assert {front.get()[1] for _ in range(10)} == {"one /"}


def test_a_service_that_is_away_for_a_moment_is_waited_for_and_then_refused_in_words(
    front: Front, one: Upstream
) -> None:
    front.apply(web(front, one))
    one.stop()
    asking = Asking(front)
    time.sleep(0.3)
    one.start()
    assert asking.ended()[:2] == (200, "one /")
    one.stop()
    assert front.get() == (503, "the service does not answer", "5")


# ---------------------------------------------------------------- what waits


def test_what_waits_goes_on_to_whoever_answers_then(front: Front, one: Upstream) -> None:
    state = web(front, one)
    front.apply(state)
    assert front.get()[1] == "one /"
    front.apply(held(state, 60_000))
    asking = Asking(front)
    wait_until_held(front)
    one.stop()
    with Upstream("two", one.port), socket.create_connection(("127.0.0.1", front.tcp_port), timeout=30) as connection:
        connection.sendall(b"GET /raw HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        wait_until_held(front, RAW)
        front.apply(state)
        assert asking.ended()[:2] == (200, "two /")
        assert b"two /raw" in connection.makefile("rb").read()
        found = front.status().backend(WEB)
        assert found is not None
        assert (found.held, found.held_ever, found.expired) == (0, 1, 0)


def test_a_hold_ends_at_its_deadline_with_503_and_when_to_come_again(front: Front, one: Upstream) -> None:
    state = web(front, one)
    front.apply(state)
    front.apply(held(state, 1_500))
    with socket.create_connection(("127.0.0.1", front.tcp_port), timeout=30) as connection:
        asking = Asking(front)
        assert asking.ended() == (503, "the service is moving and was not back in time: try again", "5")
        assert connection.recv(1) == b""
    # Nobody took the hold away, and it is over all the same.
    assert front.get()[1] == "one /"
    found = front.status().backend(WEB)
    assert found is not None
    assert (found.held, found.expired) == (0, 1)


def test_what_waits_in_a_worker_from_before_a_reload_is_let_go_too(front: Front, one: Upstream) -> None:
    state = web(front, one)
    front.apply(state)
    holding = held(state, 60_000)
    front.apply(holding)
    asking = Asking(front)
    wait_until_held(front)
    front.apply(evolve(holding, http=(*state.http, HttpEntry("new.example.com", "/", WEB))))
    later = Asking(front)
    deadline_s = time.monotonic() + 20
    while (found := front.status().backend(WEB)) is None or found.held < 2:
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    front.apply(evolve(state, http=(*state.http, HttpEntry("new.example.com", "/", WEB))))
    assert asking.ended()[:2] == later.ended()[:2] == (200, "one /")


# ---------------------------------------------------------------- changes


class Client(threading.Thread):
    """One request after the other on a connection that is kept, until it is told to stop."""

    def __init__(self, front: Front) -> None:
        super().__init__(daemon=True)
        self._port = front.http_port
        self.answered = 0
        self.failed: list[str] = []
        self.stopping = threading.Event()
        self.start()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self.stopping.is_set():
            try:
                connection.request("GET", "/", headers={"Host": "www.example.com"})
                answer = connection.getresponse()
                if answer.read() != b"one /\n":
                    self.failed.append(f"status {answer.status}")
                self.answered += 1
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                connection.close()
            time.sleep(0.005)
        connection.close()


def test_a_reload_under_load_drops_nothing(front: Front, one: Upstream) -> None:
    state = web(front, one)
    front.apply(state)
    clients = [Client(front) for _ in range(6)]
    try:
        for number in range(6):
            front.apply(evolve(state, http=(*state.http, HttpEntry(f"{number}.example.com", "/", WEB))))
            assert front.get(host=f"{number}.example.com")[0] == 200
    finally:
        for each in clients:
            each.stopping.set()
        for each in clients:
            each.join(30)
    assert [each.failed for each in clients] == [[]] * len(clients)
    assert all(each.answered for each in clients)


def test_a_port_that_another_program_has_is_left_out_and_said(front: Front, one: Upstream) -> None:
    with socket.create_server(("127.0.0.1", front.tcp_port)):
        gateway = front.gateway

        async def main() -> GatewayStatus:
            await gateway.apply(web(front, one))
            return await gateway.status()

        status = anyio.run(main, backend="trio")
        assert status.problems == (f"another program listens on port {front.tcp_port} of this machine",)
        assert front.get()[0] == 200
    front.apply(web(front, one))
    with socket.create_connection(("127.0.0.1", front.tcp_port), timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\nConnection: close\r\n\r\n")
        assert b"200" in connection.makefile("rb").read()


# ---------------------------------------------------------------- TLS


def make_certificate(front: Front, host: str) -> None:
    need("openssl")
    front.certificates.mkdir(exist_ok=True)
    key, pem = front.folder / "key", front.folder / "pem"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(key), "-out", str(pem), "-days", "2", "-subj", f"/CN={host}"]
    subprocess.run([*argv, *files], check=True, capture_output=True)
    (front.certificates / f"{host}.pem").write_text(pem.read_text() + key.read_text())


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def subject(front: Front, host: str) -> bytes:
    """The certificate that is shown for this name."""
    context = trusting()
    with (
        socket.create_connection(("127.0.0.1", front.https_port), timeout=30) as raw,
        context.wrap_socket(raw, server_hostname=host) as connection,
    ):
        shown = connection.getpeercert(binary_form=True)
        assert shown is not None
        return shown


def test_a_service_is_told_what_came_by_tls_and_nobody_can_pretend_it(front: Front, one: Upstream) -> None:
    make_certificate(front, "a.example.com")
    front.apply(web(front, one))
    headers = {"Host": "a.example.com", "X-Forwarded-Proto": "https"}
    plain = http.client.HTTPConnection("127.0.0.1", front.http_port, timeout=30)
    by_tls = http.client.HTTPSConnection("127.0.0.1", front.https_port, timeout=30, context=trusting())
    for connection, expected in ((plain, None), (by_tls, "https")):
        connection.request("GET", "/", headers=headers)
        assert connection.getresponse().read() == b"one /\n"
        assert one.told.get("x-forwarded-proto") == expected
        assert one.told["x-forwarded-for"].endswith("127.0.0.1")
        connection.close()


def test_each_host_gets_its_certificate_and_a_broken_one_turns_off_tls_alone(front: Front, one: Upstream) -> None:
    front.apply(web(front, one))
    make_certificate(front, "a.example.com")
    front.apply(web(front, one))
    make_certificate(front, "b.example.com")
    front.apply(web(front, one))
    assert b"a.example.com" in subject(front, "a.example.com")
    assert b"b.example.com" in subject(front, "b.example.com")
    (front.certificates / "c.pem").write_text("no certificate\n")
    (problem,) = front.apply(web(front, one)).problems
    assert problem.startswith("TLS is off: ")
    assert front.get()[0] == 200


# ---------------------------------------------------------------- what clients pretend


@pytest.mark.parametrize("host", ["a.example.com/admin", "a.example.com/", "/admin", "x, a.example.com/admin"])
def test_a_host_that_is_half_a_path_chooses_no_other_services_route(front: Front, one: Upstream, host: str) -> None:
    with Upstream("admin") as admin:
        state = GatewayState(
            http=(HttpEntry("", "/", WEB), HttpEntry("a.example.com", "/admin", API), HttpEntry("", "/admin", API)),
            backends=(backend(WEB, one), backend(API, admin)),
        )
        front.apply(state)
        assert front.get("/admin/x", "a.example.com")[:2] == (200, "admin /admin/x")
        admin.told = {}
        assert front.get("/x", host)[0] == 400
        assert admin.told == {}
        assert front.get("/x", "a.example.com:80")[:2] == (200, "one /x")


def test_who_asked_is_said_by_the_gateway_alone(front: Front, one: Upstream) -> None:
    front.apply(web(front, one))
    connection = http.client.HTTPConnection("127.0.0.1", front.http_port, timeout=30)
    pretended = {"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Host": "evil", "Forwarded": "for=10.0.0.1"}
    connection.request("GET", "/", headers={"Host": "a.example.com", **pretended})
    assert connection.getresponse().read() == b"one /\n"
    connection.close()
    assert one.told["x-forwarded-for"] in {"127.0.0.1", "::ffff:127.0.0.1"}
    assert not {"x-forwarded-host", "forwarded"} & one.told.keys()


# ---------------------------------------------------------------- who takes too much


def idle(stack: ExitStack, port: int, source: str, number: int) -> None:
    """Connections that say nothing, as many as are not turned away."""
    for _ in range(number):
        with suppress(ConnectionResetError):
            opened = socket.create_connection(("127.0.0.1", port), timeout=5, source_address=(source, 0))
            stack.callback(opened.close)


def test_a_source_that_opens_connections_and_says_nothing_keeps_nobody_else_away(front: Front, one: Upstream) -> None:
    front.connections = 400  # 200 for HTTP, of which one source has 50, and as many for the port of TCP
    front.apply(web(front, one))
    with ExitStack() as stack:
        for port in (front.http_port, front.tcp_port):
            idle(stack, port, "127.0.0.2", 300)
        for _ in range(20):
            assert front.get()[0] == 200
        with socket.create_connection(("127.0.0.1", front.tcp_port), timeout=5) as other:
            other.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert other.recv(100).startswith(b"HTTP/1.")
        said = front.status().problems
        assert [words.partition(" ")[0] for words in said] == ["http", f"port-{front.tcp_port}"]
        assert all("sources that have too many" in words for words in said)


def test_many_sources_that_fill_a_port_of_tcp_leave_http_its_share_and_it_is_said_to_be_full(
    front: Front, one: Upstream
) -> None:
    front.connections = 400
    front.apply(web(front, one))
    with ExitStack() as stack:
        for number in range(2, 7):
            idle(stack, front.tcp_port, f"127.0.0.{number}", 45)
        for _ in range(20):
            assert front.get()[0] == 200
        assert any(f"port-{front.tcp_port} is full: 200 of 200" in words for words in front.status().problems)
