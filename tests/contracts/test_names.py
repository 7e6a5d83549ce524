"""The contract of the NameServer port, held by the fake and by dnsmasq on addresses of the loopback."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import anyio
import pytest
from attrs import frozen

from ployz.errors import Code, Failed
from ployz.host.dnsmasq import Dnsmasq
from ployz.host.fakes.names import FakeNameServer
from ployz.host.ports import HostRecord, NameServer
from tests.dns import ELSEWHERE, NXDOMAIN, Answer, answering_everything, ask
from tests.real import need

DB = ("slot-1.db.production.ployz.internal", "db.production.ployz.internal")
WEB = "web.production.ployz.internal"
RECORDS = (
    HostRecord("10.210.0.16", DB),
    HostRecord("fd77:7:0:1::10", DB),
    HostRecord("10.210.0.17", (f"slot-1.{WEB}", WEB)),
    HostRecord("10.210.0.18", (f"slot-2.{WEB}", WEB)),
)


@frozen
class Subject:
    server: NameServer
    ask: Callable[[str, str], Answer]


def do(call: Callable[[], Awaitable[None]]) -> None:
    anyio.run(call, backend="trio")


def serve(server: NameServer, records: Sequence[HostRecord]) -> None:
    do(lambda: server.serve(records))


def of_fake(fake: FakeNameServer, name: str, kind: str) -> Answer:
    known = any(name in each.names for each in fake.served or ())
    found = sorted(fake.resolve(name, 4 if kind == "A" else 6))
    return Answer(0 if known else NXDOMAIN, found, [0] * len(found))


@pytest.fixture
def dnsmasq() -> Iterator[Dnsmasq]:
    """With a folder that everybody may pass through, as /run is."""
    need("dnsmasq", "setsid", "ip")
    folder = Path(f"/run/ployz-test-{os.getpid()}")
    resolvers = folder / "resolv.conf"
    folder.mkdir()
    resolvers.write_text(f"nameserver {address(2)}\n")
    made = Dnsmasq(folder / "names", folder / "programs", "ployz.internal", (address(1),), str(resolvers))
    own = (f"{address(1)}/32", "dev", "lo")  # over TCP it answers on addresses of interfaces alone
    subprocess.run(["ip", "address", "add", *own], check=True)
    try:
        yield made
    finally:
        subprocess.run(["ip", "address", "delete", *own], check=True)
        do(lambda: made.program().stop(grace_s=2.0))
        for each in sorted(folder.rglob("*"), reverse=True):
            each.rmdir() if each.is_dir() else each.unlink()
        folder.rmdir()


def address(number: int) -> str:
    """Of the loopback, and of this run."""
    pid = os.getpid()
    return f"127.{100 + pid // 62_500 % 100}.{pid // 250 % 250}.{(pid % 250 // 4) * 4 + number}"


@pytest.fixture(params=["fake", pytest.param("dnsmasq", marks=pytest.mark.real)])
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "fake":
        fake = FakeNameServer()
        return Subject(fake, lambda name, kind: of_fake(fake, name, kind))
    real: Dnsmasq = request.getfixturevalue("dnsmasq")
    return Subject(real, lambda name, kind: ask(address(1), name, kind))


def told(subject: Subject, name: str, kind: str = "A") -> list[str] | int:
    """The addresses, or why there is none."""
    answer = subject.ask(name, kind)
    assert not any(answer.ttls), "nobody keeps an answer for later"
    return answer.addresses if answer.code == 0 else answer.code


def test_a_name_is_all_addresses_of_its_family(subject: Subject) -> None:
    serve(subject.server, RECORDS)
    assert told(subject, WEB) == ["10.210.0.17", "10.210.0.18"]
    assert told(subject, f"slot-2.{WEB}") == ["10.210.0.18"]
    for name in DB:
        assert told(subject, name) == ["10.210.0.16"]
        assert told(subject, name, "AAAA") == ["fd77:7:0:1::10"]
    assert told(subject, WEB, "AAAA") == []


def test_it_can_be_asked_what_it_answers_also_when_that_is_more_than_a_datagram_has_room_for(subject: Subject) -> None:
    many = [f"10.210.1.{number}" for number in range(1, 101)]
    serve(subject.server, [*RECORDS, *(HostRecord(each, ("many.production.ployz.internal",)) for each in many)])
    told(subject, WEB)  # which waits for one that is only starting
    assert answered(subject, WEB) == {"10.210.0.17", "10.210.0.18"}
    assert answered(subject, "many.production.ployz.internal") == set(many)
    assert answered(subject, "nothing.production.ployz.internal") == set()


def test_one_that_does_not_run_is_an_error_and_no_answer(subject: Subject) -> None:
    with pytest.raises(Failed) as raised:
        answered(subject, WEB, within_s=0.5)
    assert raised.value.problem.code is Code.PART_FAILED


def answered(subject: Subject, name: str, within_s: float = 10.0) -> set[str]:
    return set(anyio.run(partial(subject.server.addresses, name, timeout_s=within_s), backend="trio"))


def test_what_is_below_the_domain_and_unknown_does_not_exist(subject: Subject) -> None:
    serve(subject.server, RECORDS)
    for name in ("mail.production.ployz.internal", "db.staging.ployz.internal", "nothing.ployz.internal"):
        assert told(subject, name) == NXDOMAIN
        assert told(subject, name, "AAAA") == NXDOMAIN


def test_what_is_served_next_is_all_there_is(subject: Subject) -> None:
    serve(subject.server, RECORDS)
    assert told(subject, WEB) == ["10.210.0.17", "10.210.0.18"]
    serve(subject.server, RECORDS[:3])
    _soon(lambda: told(subject, WEB) == ["10.210.0.17"])
    serve(subject.server, ())
    _soon(lambda: told(subject, WEB) == NXDOMAIN)
    serve(subject.server, ())


def _soon(holds: Callable[[], bool]) -> None:
    """A signal arrives when it does."""

    async def wait() -> None:
        with anyio.fail_after(10):
            while not holds():  # noqa: ASYNC110 - nobody tells when another program did something
                await anyio.sleep(0.02)

    do(wait)


# ---------------------------------------------------------------- dnsmasq alone


@pytest.mark.real
def test_everything_else_is_passed_on_and_nothing_below_the_domain_is(dnsmasq: Dnsmasq) -> None:
    serve(dnsmasq, RECORDS)
    with answering_everything(address(2)) as asked:
        assert ask(address(1), "www.example.com").addresses == [ELSEWHERE]
        assert ask(address(1), "nothing.ployz.internal").code == NXDOMAIN
        assert set(asked) == {"www.example.com"}


@pytest.mark.real
def test_it_goes_on_without_us_and_is_found_again_as_it_was(dnsmasq: Dnsmasq) -> None:
    serve(dnsmasq, RECORDS)
    pid = dnsmasq.program().pid()
    again = Dnsmasq(dnsmasq.folder, dnsmasq.programs, dnsmasq.domain, dnsmasq.listens_on, dnsmasq.resolvers)
    serve(again, RECORDS)
    assert pid is not None
    assert again.program().pid() == pid
    assert ask(address(1), WEB).addresses == ["10.210.0.17", "10.210.0.18"]


@pytest.mark.real
def test_one_that_died_is_started_again_and_one_with_other_arguments_is_replaced(dnsmasq: Dnsmasq) -> None:
    serve(dnsmasq, RECORDS)
    first = dnsmasq.program().pid()
    assert dnsmasq.program().signal(signal.SIGKILL)
    _soon(lambda: dnsmasq.program().pid() is None)
    serve(dnsmasq, RECORDS)
    second = dnsmasq.program().pid()
    assert second not in (first, None)
    other = Dnsmasq(dnsmasq.folder, dnsmasq.programs, "other.internal", dnsmasq.listens_on, dnsmasq.resolvers)
    serve(other, RECORDS)
    assert other.program().pid() not in (second, None)
    assert ask(address(1), "nothing.other.internal").code == NXDOMAIN


@pytest.mark.real
def test_it_does_not_run_as_root(dnsmasq: Dnsmasq) -> None:
    serve(dnsmasq, RECORDS)
    assert ask(address(1), WEB).code == 0
    status = Path(f"/proc/{dnsmasq.program().pid()}/status").read_text()
    (uids,) = [line.split()[1:] for line in status.splitlines() if line.startswith("Uid:")]
    assert "0" not in uids
