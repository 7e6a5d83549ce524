"""What the file that says how etcd is reached may hold; and which etcd is trusted."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from ployz.errors import Code, Refused
from ployz.facts.etcd.access import EtcdAccess
from ployz.facts.etcd.forms import after_prefix
from ployz.facts.etcd.version import support

SECRET = "correct horse"  # noqa: S105 - of nobody
ACCESS = EtcdAccess(("https://192.0.2.7:2379", "https://[2001:db8::7]:2379"), user="ployz", password=SECRET)


def test_it_is_read_back_as_it_was_written() -> None:
    assert EtcdAccess.parse(ACCESS.text(), "here") == ACCESS


def test_no_file_is_no_etcd(tmp_path: Path) -> None:
    assert EtcdAccess.load(tmp_path / "etcd.json") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"endpoints": []}',
        '{"endpoints": ["192.0.2.7:2379"]}',
        '{"endpoints": ["https://h/v3"]}',
        '{"endpoints": ["https://h"], "pasword": ""}',
    ],
)
def test_a_file_with_a_mistake_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Refused) as refused:
        EtcdAccess.parse(text, "etcd.json")
    assert refused.value.code is Code.INVALID_CONFIG
    assert "endpoints" in refused.value.problem.advice


def test_secrets_are_not_shown() -> None:
    assert SECRET not in repr(evolve(ACCESS, key_pem=SECRET))


def test_a_certificate_that_is_none_is_refused() -> None:
    with pytest.raises(Refused, match="certificates"):
        evolve(ACCESS, ca_pem="nonsense").tls()


@pytest.mark.parametrize("version", ["3.5.28", "3.5.30", "3.6.9", "3.7.0", "4.0.0"])
def test_an_etcd_with_the_fixes_is_trusted(version: str) -> None:
    assert support(version).works
    assert not support(version).concern


@pytest.mark.parametrize("version", ["3.4.23", "3.5.27", "3.6.0", "3.6.8"])
def test_an_etcd_without_them_works_and_is_not_for_production(version: str) -> None:
    assert support(version).works
    assert "3.5.28 or 3.6.9" in support(version).concern


@pytest.mark.parametrize("version", ["3.3.25", "2.3.8", "", "nonsense"])
def test_an_etcd_that_is_too_old_does_not_work(version: str) -> None:
    assert not support(version).works


@pytest.mark.parametrize(("prefix", "end"), [(b"a/", b"a0"), (b"a\xff", b"b"), (b"\xff", b"\0"), (b"", b"\0")])
def test_what_begins_with_a_prefix_ends_before(prefix: bytes, end: bytes) -> None:
    assert after_prefix(prefix) == end
