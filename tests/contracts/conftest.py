"""Fixtures of the ZFS contract: each of its tests runs on the fake and on the real programs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from ployz.host.ports import Dataset
from tests.pools import Pool, real_pool
from tests.zfs_benches import Bench, FakeBench, RealBench

_serials = itertools.count()


@pytest.fixture(scope="module")
def zfs_pool() -> Iterator[Pool]:
    with real_pool() as pool:
        yield pool


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.real)])
def bench(request: pytest.FixtureRequest) -> Bench:
    return FakeBench() if request.param == "fake" else RealBench(request.getfixturevalue("zfs_pool"))


@pytest.fixture
def top(bench: Bench) -> Dataset:
    """A dataset name that no other test uses; its volumes go below it."""
    return f"{bench.pool}/ployz{next(_serials)}"
