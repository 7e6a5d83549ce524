"""What the `zfs` and `zpool` programs print, read into values.

Pure: text in, values out. Tabs separate fields (names may hold blanks), and numbers are exact (`-p`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ployz.errors import Code, Failed
from ployz.host.ports import Dataset, DatasetSize, DatasetState, Keep, Snapshot, ZfsFeatures

USER_PREFIX = "ployz:"

Properties = Mapping[str, str]

TREE_PROPERTIES = "guid,createtxg,creation,used,referenced,userrefs"
"""Of a dataset and its snapshots, in one `zfs get`: `zfs list` of zfs-fuse rounds guids to `3.27E`."""

_SEND_FLAGS = re.compile(r"^\s*send \[-(\w+)\]", re.MULTILINE)
_RECEIVE_FLAGS = re.compile(r"^\s*receive \[-(\w+)\]", re.MULTILINE)
_MANY_SNAPSHOTS = re.compile(r"^\s*snapshot .*> \.\.\.$", re.MULTILINE)
_TO_NAME = re.compile(r"^\s*toname = (.*)$", re.MULTILINE)
_TO_GUID = re.compile(r"^\s*toguid = 0x([0-9a-f]+)$", re.MULTILINE)
RESUME_TOKEN = re.compile(r"[0-9]+(-[0-9a-f]+)+")
_MANY_SETTINGS = re.compile(r"^\s*set .*<property=value> \.\.\. <", re.MULTILINE)


def features(usage: str, receive_u: str) -> ZfsFeatures:
    """From the usage text of a bare `zfs`, and the answer to `receive -u`, which zfs-fuse has but does not list."""
    send = _SEND_FLAGS.search(usage)
    receive = _RECEIVE_FLAGS.search(usage)
    if send is None or receive is None:
        raise Failed(Code.ZFS_FAILED, f"the zfs program prints no usage text that can be read: {usage[:200]!r}")
    return ZfsFeatures(
        estimate={"n", "P"} <= set(send[1]),
        resume="s" in receive[1],
        multi_snapshot=_MANY_SNAPSHOTS.search(usage) is not None,
        multi_set=_MANY_SETTINGS.search(usage) is not None,
        receive_unmounted="invalid option" not in receive_u,
    )


def properties(text: str) -> dict[str, dict[str, str]]:
    """`zfs get -Hp -o name,property,value`: the properties of each dataset and snapshot, by its full name."""
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        name, _, rest = line.partition("\t")
        key, tab, value = rest.partition("\t")
        if not tab:
            raise Failed(Code.ZFS_FAILED, f"zfs get printed a line that cannot be read: {line!r}")
        found.setdefault(name, {})[key] = value
    return found


def own_properties(text: str) -> dict[str, str]:
    """`zfs get -Hp -o property,value,source all` of one dataset, without user properties that its parent lent it.

    An epoch that was never given to a dataset proves nothing about it.
    """
    found = {}
    for line in text.splitlines():
        key, _, rest = line.partition("\t")
        value, _, source = rest.rpartition("\t")
        if ":" not in key or not source.startswith("inherited"):
            found[key] = value
    return found


def local_properties(text: str) -> dict[str, str]:
    """Of the same text: what was set on the dataset itself, or came with a stream, but for ployz's own."""
    lines = (line.split("\t") for line in text.splitlines())
    return {
        fields[0]: "\t".join(fields[1:-1])
        for fields in lines
        if fields[-1] in ("local", "received") and not fields[0].startswith(USER_PREFIX)
    }


def number(values: Properties, key: str) -> int:
    """An exact number. `-` and an absent key are failures: an unknown size is not 0."""
    try:
        return int(values[key])
    except (KeyError, ValueError) as error:
        raise Failed(Code.ZFS_FAILED, f"zfs gave no number for {key}: {values.get(key)!r}") from error


def bound(values: Properties, key: str) -> int:
    """0: none. A block device, which somebody may have made where volumes lie, has no quotas at all."""
    return number(values, key) if key in values else 0


def ratio(values: Properties) -> float:
    """`compressratio`: `1.83x`, or without the x from newer programs."""
    try:
        return float(values["compressratio"].removesuffix("x"))
    except (KeyError, ValueError) as error:
        raise Failed(Code.ZFS_FAILED, f"zfs gave no compression ratio: {values.get('compressratio')!r}") from error


def logical_bytes(values: Properties) -> int:
    """Of the data. Older ZFS does not count that, and has the ratio of all that the dataset uses."""
    if values.get("logicalreferenced", "-") != "-":
        return number(values, "logicalreferenced")
    return round(number(values, "referenced") * ratio(values))


def snapshot(name: str, values: Properties) -> Snapshot:
    return Snapshot(
        name=name,
        guid=number(values, "guid"),
        created_s=number(values, "creation"),
        referenced_bytes=number(values, "referenced"),
        used_bytes=number(values, "used"),
        holds=number(values, "userrefs"),
    )


def state(
    dataset: Dataset,
    own: Properties,
    tree: Mapping[str, Properties],
    mounted_at: str | None,
    local: Properties | None = None,
) -> DatasetState | None:
    """`own` from own_properties, `tree` from `get -r -d 1` of TREE_PROPERTIES, which runs into children, too.

    None: it was destroyed between the two.
    """
    if dataset not in tree:
        return None
    prefix = f"{dataset}@"
    snapshots = [(name.removeprefix(prefix), values) for name, values in tree.items() if name.startswith(prefix)]
    snapshots.sort(key=lambda each: number(each[1], "createtxg"))
    return DatasetState(
        name=dataset,
        guid=number(tree[dataset], "guid"),
        used_bytes=number(own, "used"),
        referenced_bytes=number(own, "referenced"),
        available_bytes=number(own, "available"),
        quota_bytes=bound(own, "refquota"),
        mounted_at=mounted_at,
        readonly=own.get("readonly") == "on",
        properties={key.removeprefix(USER_PREFIX): value for key, value in own.items() if key.startswith(USER_PREFIX)},
        snapshots=tuple(snapshot(name, values) for name, values in snapshots),
        resume_token=None if own.get("receive_resume_token", "-") == "-" else own["receive_resume_token"],
        total_quota_bytes=bound(own, "quota"),
        snapshots_bytes=number(own, "usedbysnapshots"),
        logical_bytes=logical_bytes(own),
        local=local or {},
    )


SIZE_PROPERTIES = "referenced,refquota,quota,usedbysnapshots"


def sizes(text: str, above: Dataset) -> list[DatasetSize]:
    """`zfs get -Hp -r -o name,property,value` of SIZE_PROPERTIES, which also lists snapshots: file systems alone."""
    return [
        DatasetSize(
            name=name,
            referenced_bytes=number(values, "referenced"),
            quota_bytes=number(values, "refquota"),
            total_quota_bytes=number(values, "quota"),
            snapshots_bytes=number(values, "usedbysnapshots"),
        )
        for name, values in properties(text).items()
        if name != above and "@" not in name and values.get("quota", "-") != "-"
    ]


def clones(text: str, dataset: Dataset) -> list[Keep]:
    """`zfs list -H -o name,origin` of a whole pool: the clones of the dataset's snapshots."""
    lines = (line.partition("\t") for line in text.splitlines())
    return [Keep(origin.partition("@")[2], clone=name) for name, _, origin in lines if origin.startswith(f"{dataset}@")]


def holds(text: str) -> list[Keep]:
    """`zfs holds -H`: name, tag and time of each."""
    lines = (line.split("\t") for line in text.splitlines())
    return [Keep(fields[0].partition("@")[2], tag=fields[1]) for fields in lines if len(fields) > 1]


def resumed(text: str) -> tuple[str, int] | None:
    """The snapshot's full name and its guid, in what `zfs send -nvP -t` tells of its token."""
    name, guid = _TO_NAME.search(text), _TO_GUID.search(text)
    return (name[1], int(guid[1], 16)) if name and guid else None


def estimate(text: str) -> int:
    """The `size` line of `zfs send -nP`."""
    for line in text.splitlines():
        kind, _, size = line.partition("\t")
        if kind == "size" and size.isdecimal():
            return int(size)
    raise Failed(Code.ZFS_FAILED, f"zfs send -nP printed no size: {text[:200]!r}")
