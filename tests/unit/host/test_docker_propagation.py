"""Which binds follow the host: those below a mount that passes on what is mounted and unmounted below it."""

from __future__ import annotations

from attrs import evolve

from ployz.host.docker.propagation import following
from ployz.host.ports import BindMount
from ployz.host.zfs.mounts import parse_mountinfo
from tests.unit.host.test_docker_translate import SPEC

MOUNTS = parse_mountinfo(
    """\
21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
22 21 0:30 / /srv rw,relatime - tmpfs tmpfs rw
23 21 0:31 / /mnt rw,relatime master:7 - tmpfs tmpfs rw
"""
)


def test_only_where_the_host_passes_it_on_and_only_what_is_to_follow() -> None:
    binds = ("/", "/srv/data", "/mnt", "/nowhere")
    spec = evolve(SPEC, mounts=(*(BindMount(each, "/x", follows=True) for each in binds), BindMount("/", "/y")))
    made = following(spec, MOUNTS)
    assert [each.follows for each in made.mounts] == [True, False, True, True, False]
    assert evolve(made, mounts=spec.mounts) == spec
