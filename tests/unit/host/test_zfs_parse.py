"""Reading what `zfs` prints: texts as they came from OpenZFS 2.1.11 and zfs-fuse 0.7.0."""

from __future__ import annotations

import attrs
import pytest

from ployz.errors import Code, Failed
from ployz.host.ports import Holder, Keep
from ployz.host.zfs import parse
from ployz.host.zfs.failures import Says, busy, failure, stream_failure

ZFS_FUSE_USAGE = """\
usage: zfs command args ...
where 'command' is one of the following:

	snapshot [-r] [-o property=value] ... <filesystem@snapname|volume@snapname>
	set <property=value> <filesystem|volume|snapshot> ...
	send [-RDp] [-[iI] snapshot] <snapshot>
	receive [-vnF] <filesystem|volume|snapshot>
	receive [-vnF] -d <filesystem>
"""

OPENZFS_USAGE = """\
usage: zfs command args ...
where 'command' is one of the following:

	snapshot [-r] [-o property=value] ... <filesystem|volume>@<snap> ...
	set <property=value> ... <filesystem|volume|snapshot> ...
	send [-DnPpRvLecwhb] [-[i|I] snapshot] <snapshot>
	send [-nvPe] -t <receive_resume_token>
	receive [-vMnsFhu] [-o <property>=<value>] ... [-x <property>] ...
	receive -A <filesystem|volume>
"""

TREE = """\
tank/a\tguid\t3077663102748593018
tank/a\tcreatetxg\t7
tank/a\tcreation\t1795443668
tank/a\tused\t2048
tank/a\treferenced\t1024
tank/a@zebra\tguid\t18446744073709551615
tank/a@zebra\tcreatetxg\t9
tank/a@zebra\tcreation\t1795443669
tank/a@zebra\tused\t10
tank/a@zebra\treferenced\t1000
tank/a@zebra\tuserrefs\t1
tank/a@ant two\tguid\t5
tank/a@ant two\tcreatetxg\t10
tank/a@ant two\tcreation\t1795443670
tank/a@ant two\tused\t0
tank/a@ant two\treferenced\t1024
tank/a@ant two\tuserrefs\t0
tank/a/child\tguid\t6
tank/a/child\tcreatetxg\t8
tank/a#mark\tguid\t5
"""

OWN = """\
type\tfilesystem\t-
used\t2048\t-
available\t100\t-
referenced\t1024\t-
compressratio\t1.50x\t-
quota\t4096\tlocal
refquota\t0\tdefault
usedbysnapshots\t512\t-
readonly\ton\tlocal
ployz:epoch\t3\tlocal
ployz:operation\top-1\tinherited from tank
other:epoch\t4\tlocal
"""


def test_zfs_fuse_has_few_features() -> None:
    features = parse.features(ZFS_FUSE_USAGE, "missing snapshot argument usage: …")
    assert attrs.astuple(features) == (False, False, False, False, True)


def test_openzfs_has_every_feature() -> None:
    features = parse.features(OPENZFS_USAGE, "missing snapshot argument usage: …")
    assert attrs.astuple(features) == (True, True, True, True, True)


def test_an_option_that_is_refused_is_no_feature() -> None:
    assert not parse.features(ZFS_FUSE_USAGE, "invalid option 'u' usage: …").receive_unmounted


def test_a_program_without_a_usage_text_is_a_failure() -> None:
    with pytest.raises(Failed, match="modules are not loaded"):
        parse.features("The ZFS modules are not loaded.", "")


def test_a_state_is_read_with_its_own_snapshots_in_the_order_of_their_making() -> None:
    state = parse.state("tank/a", parse.own_properties(OWN), parse.properties(TREE), "/mnt")
    assert state is not None
    assert [(each.name, each.guid) for each in state.snapshots] == [("zebra", 2**64 - 1), ("ant two", 5)]
    assert (state.guid, state.used_bytes, state.referenced_bytes) == (3077663102748593018, 2048, 1024)
    assert (state.quota_bytes, state.available_bytes, state.readonly, state.mounted_at) == (0, 100, True, "/mnt")
    assert state.properties == {"epoch": "3"}
    assert (state.total_quota_bytes, state.snapshots_bytes) == (4096, 512)
    assert state.logical_bytes == 1536
    assert parse.logical_bytes({"logicalreferenced": "77", "referenced": "1"}) == 77


def test_a_block_device_has_no_quota() -> None:
    own = {key: value for key, value in parse.own_properties(OWN).items() if key not in ("quota", "refquota")}
    state = parse.state("tank/a", own, parse.properties(TREE), None)
    assert state is not None
    assert (state.quota_bytes, state.total_quota_bytes) == (0, 0)


def test_a_dataset_that_went_between_two_looks_is_absent() -> None:
    assert parse.state("tank/b", parse.own_properties(OWN), parse.properties(TREE), None) is None


def test_a_line_that_is_no_property_is_a_failure() -> None:
    with pytest.raises(Failed, match="cannot be read"):
        parse.properties("tank/a\tguid\n")


@pytest.mark.parametrize("values", [{}, {"used": "-"}, {"used": "3.27E"}])
def test_a_size_that_is_not_known_is_a_failure_and_not_0(values: dict[str, str]) -> None:
    with pytest.raises(Failed, match="no number for used"):
        parse.number(values, "used")


@pytest.mark.parametrize("text", ["1.83x", "1.83"])
def test_a_compression_ratio_is_read_with_and_without_its_x(text: str) -> None:
    assert parse.ratio({"compressratio": text}) == 1.83


def test_an_estimate_is_the_size_line() -> None:
    assert parse.estimate("incremental\ttank/src@a\ttank/src@b\t5260592\nsize\t5260600\n") == 5260600


def test_an_estimate_without_a_size_is_a_failure() -> None:
    with pytest.raises(Failed, match="no size"):
        parse.estimate("full\ttank/src@a\t67236976\n")


# ---------------------------------------------------------------- complaints


@pytest.mark.parametrize(
    "words",
    [
        "cannot open 'tank/nope': dataset does not exist",
        "cannot open 'nopool': no such pool",
        "could not find any snapshots to destroy; check snapshot names.",
    ],
)
def test_these_words_mean_absent(words: str) -> None:
    assert Says.ABSENT.found_in(words)


@pytest.mark.parametrize(
    "words",
    [
        "cannot open 'susp/d': pool I/O is currently suspended",
        "The ZFS modules are not loaded. Try running '/sbin/modprobe zfs' as root to load them.",
        "internal error: failed to initialize ZFS library",
        "nsenter: cannot open /proc/1234/ns/mnt: No such file or directory",
    ],
)
def test_these_words_do_not_mean_absent(words: str) -> None:
    assert not Says.ABSENT.found_in(words)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("cannot receive new filesystem stream: out of space", Code.NO_SPACE),
        ("cannot receive incremental stream: destination pool2/q/x space quota exceeded.", Code.NO_SPACE),
        (
            "cannot receive incremental stream: destination pool2/d has been modified since most recent snapshot",
            Code.DATASET_IN_THE_WAY,
        ),
        (
            "cannot receive incremental stream: most recent snapshot of pool2/other does not match incremental source",
            Code.DATASET_IN_THE_WAY,
        ),
        (
            "cannot receive new filesystem stream: destination 'pool2/d' exists must specify -F to overwrite it",
            Code.DATASET_IN_THE_WAY,
        ),
        ("cannot receive new filesystem stream: incomplete stream", Code.STREAM_FAILED),
        ("cannot receive new filesystem stream: invalid backup stream", Code.STREAM_FAILED),
        ("cannot receive new filesystem stream: checksum mismatch", Code.STREAM_FAILED),
        ("", Code.STREAM_FAILED),
    ],
)
def test_a_streams_failure_has_the_code_that_says_what_to_do(words: str, code: Code) -> None:
    assert stream_failure(words).code is code


def test_a_failure_is_told_without_the_usage_text_behind_it() -> None:
    error = failure("cannot open 'tank/nope': dataset does not exist usage: snapshot [-r] …")
    assert error.problem.text == "cannot open 'tank/nope': dataset does not exist"


def test_a_full_pool_is_out_of_space() -> None:
    assert failure("cannot create 'small/y': out of space").code is Code.NO_SPACE


def test_who_keeps_a_dataset_busy_is_named_with_the_container() -> None:
    holders = [Holder(7, "postgres", "ab" * 32, "works in its folder /data")] * 7
    text = busy("tank/a", holders).problem.text
    assert text.startswith("tank/a is in use: PID 7 (postgres, container abababababab) works in its folder /data; ")
    assert text.endswith("and 2 more")


def test_holds_and_clones_of_one_datasets_snapshots_are_read() -> None:
    told = "tank/a@one\tkeep\tMon Nov 23 06:49 2026\ntank/a@two\ttwo words\tMon Nov 23 06:50 2026\n"
    assert parse.holds(told) == [Keep("one", tag="keep"), Keep("two", tag="two words")]
    listed = "tank\t-\ntank/a\t-\ntank/b\ttank/a@one\ntank/c\ttank/ab@one\n"
    assert parse.clones(listed, "tank/a") == [Keep("one", clone="tank/b")]
