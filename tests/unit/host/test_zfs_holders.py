"""Who uses a dataset, found in a /proc that is written down here."""

from __future__ import annotations

from pathlib import Path

import pytest

from ployz.errors import Failed
from ployz.host.zfs.holders import find_holders
from ployz.host.zfs.mounts import independent, innermost, parse_mountinfo

ROOT = "20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
MOUNTED = ROOT + "90 20 0:67 / /vol/a rw,relatime shared:2 master:3 - fuse.zfs tank/a rw,user_id=0\n"
CONTAINER_ID = "0123456789abcdef" * 4


class Proc:
    """Builds a folder in the shape of /proc."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, pid: int, *, namespace: str = "mnt:[1]", mountinfo: str = MOUNTED, cwd: str = "/") -> Path:
        process = self.folder / str(pid)
        for each in ("ns", "fd", "fdinfo"):
            (process / each).mkdir(parents=True)
        (process / "ns/mnt").symlink_to(namespace)
        (process / "mountinfo").write_text(mountinfo)
        (process / "comm").write_text(f"program-{pid}\n")
        (process / "cgroup").write_text("0::/system.slice\n")
        (process / "maps").write_text("7f00-7f01 r-xp 00000000 08:01 99 /lib/libc.so\n")
        for link, target in (("cwd", cwd), ("root", "/"), ("exe", "/bin/program")):
            (process / link).symlink_to(target)
        return process


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    proc = Proc(tmp_path)
    proc.add(10)
    return proc


def test_our_own_mount_alone_is_no_holder(proc: Proc) -> None:
    assert find_holders("tank/a", "10", proc.folder) == []


def test_a_mount_in_another_namespace_is_named_by_its_first_process_and_container(proc: Proc) -> None:
    theirs = ROOT + "120 20 0:67 / /data rw - zfs tank/a rw\n"
    for pid in (31, 30):
        process = proc.add(pid, namespace="mnt:[2]", mountinfo=theirs)
        (process / "cgroup").write_text(f"5:cpu:/docker/{CONTAINER_ID}\n0::/docker/{CONTAINER_ID}\n")
    (holder,) = find_holders("tank/a", "10", proc.folder)
    assert (holder.pid, holder.command, holder.container_id) == (30, "program-30", CONTAINER_ID)
    assert holder.how == "has it mounted at /data in a mount namespace of its own"


@pytest.mark.parametrize("groups", ["shared:2", "master:2", "shared:5 master:2"])
def test_a_copy_that_goes_when_ours_is_unmounted_is_no_holder(proc: Proc, groups: str) -> None:
    proc.add(30, namespace="mnt:[2]", mountinfo=ROOT + f"120 20 0:67 / /vol/a rw {groups} - zfs tank/a rw\n")
    assert find_holders("tank/a", "10", proc.folder) == []


def test_a_copy_that_outlived_ours_is_a_holder(proc: Proc) -> None:
    (proc.folder / "10/mountinfo").write_text(ROOT)
    proc.add(30, namespace="mnt:[2]", mountinfo=ROOT + "120 20 0:67 / /vol/a rw master:2 - zfs tank/a rw\n")
    assert [each.pid for each in find_holders("tank/a", "10", proc.folder)] == [30]


def test_copies_of_copies_go_with_ours_and_others_stay() -> None:
    lines = ["shared:2", "shared:5 master:2", "master:5", "master:7", ""]
    mounts = parse_mountinfo(
        "".join(
            f"{place} 1 0:67 / /{place} rw {groups}{' ' if groups else ''}- zfs tank/a rw\n"
            for place, groups in enumerate(lines)
        )
    )
    assert [each.mountpoint for each in independent(mounts[:1], mounts[1:])] == ["/3", "/4"]


def test_a_working_folder_on_the_dataset_is_found(proc: Proc) -> None:
    proc.add(30, cwd="/vol/a/deep")
    (holder,) = find_holders("tank/a", "10", proc.folder)
    assert (holder.pid, holder.how) == (30, "works in its folder /vol/a/deep")


def test_a_folder_whose_name_only_begins_alike_is_another(proc: Proc) -> None:
    proc.add(30, cwd="/vol/ab")
    assert find_holders("tank/a", "10", proc.folder) == []


def test_a_folder_on_a_dataset_mounted_inside_is_that_ones(proc: Proc) -> None:
    nested = MOUNTED + "91 90 0:68 / /vol/a/inner rw - zfs tank/a/inner rw\n"
    proc.add(30, mountinfo=nested, namespace="mnt:[1]", cwd="/vol/a/inner/x")
    (proc.folder / "10/mountinfo").write_text(nested)
    assert find_holders("tank/a", "10", proc.folder) == []
    assert [each.pid for each in find_holders("tank/a/inner", "10", proc.folder)] == [30]


def test_an_open_file_is_found_by_its_mount(proc: Proc) -> None:
    process = proc.add(30)
    (process / "fdinfo/3").write_text("pos:\t0\nflags:\t0100001\nmnt_id:\t90\n")
    (process / "fdinfo/4").write_text("pos:\t0\nflags:\t0100001\nmnt_id:\t20\n")
    (process / "fd/3").symlink_to("/vol/a/file")
    (holder,) = find_holders("tank/a", "10", proc.folder)
    assert holder.how == "has the file /vol/a/file open"


def test_a_mapped_file_is_found_by_its_device(proc: Proc) -> None:
    process = proc.add(30)
    (process / "maps").write_text("7f00-7f01 r--s 00000000 00:43 12 /vol/a/file (deleted)\n")
    (holder,) = find_holders("tank/a", "10", proc.folder)
    assert holder.how == "has a file of it in memory"


def test_a_process_is_named_once_however_often_it_uses_the_dataset(proc: Proc) -> None:
    process = proc.add(30, cwd="/vol/a")
    (process / "fdinfo/3").write_text("mnt_id:\t90\n")
    assert len(find_holders("tank/a", "10", proc.folder)) == 1


def test_a_process_that_has_just_ended_is_passed_over(proc: Proc) -> None:
    (proc.folder / "30").mkdir()
    half_gone = proc.add(31, namespace="mnt:[2]")
    for each in ("mountinfo", "cwd", "comm"):
        (half_gone / each).unlink()
    assert find_holders("tank/a", "10", proc.folder) == []


def test_what_may_not_be_read_is_a_failure_and_not_nobody(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    process = proc.add(30)
    real = Path.readlink

    def readlink(path: Path) -> Path:
        if path == process / "ns/mnt":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "readlink", readlink)
    with pytest.raises(Failed, match="Permission denied"):
        find_holders("tank/a", "10", proc.folder)


def test_mountinfo_is_read_with_blanks_in_names_and_any_number_of_optional_fields() -> None:
    text = "36 35 98:0 /mnt1 /mnt\\0402 ro,noatime - zfs tank/a\\040b rw\n" + MOUNTED
    first, _, mounted = parse_mountinfo(text)
    assert (first.mountpoint, first.source, first.readonly, first.device) == ("/mnt 2", "tank/a b", True, (98, 0))
    assert (mounted.id, mounted.readonly) == (90, False)
    assert mounted.is_of("tank/a")


def test_of_two_mounts_on_one_path_the_later_hides_the_earlier() -> None:
    mounts = parse_mountinfo(ROOT + "21 20 0:1 / /x rw - zfs tank/a rw\n22 21 0:2 / /x rw - zfs tank/b rw\n")
    top = innermost("/x/file", mounts)
    assert top is not None
    assert top.source == "tank/b"
