from __future__ import annotations

import pytest
from attrs import evolve

from ployz.events.types import SlotPlacement
from ployz.host.ports import BindMount, ContainerSpec, PublishedPort
from ployz.ids import MachineId, ServiceName, SlotName, VolumeRef
from ployz.manifest import parse
from ployz.plan import names
from ployz.plan.container import container_spec, service_of, volumes_of
from tests.unit.plan.examples import DB, POSTGRES, A, operation, postgres

FULL = """
namespace = "production"
volumes = [{ name = "data" }]
[[services]]
name = "web"
service_ports = [{ name = "http", container_port = 80 }, { name = "dns", container_port = 53, protocol = "udp" }]
publish = [{ service_port = "http", host_port = 8080 }, { service_port = "dns", host_port = 53 }]
restart = "always"
[services.template]
image = "web:1"
command = ["serve", "--all"]
entrypoint = ["/bin/init"]
user = "33:33"
env = { MODE = "full", PLOYZ_SLOT = "mine" }
labels = { tier = "front" }
mounts = [
  { source = { volume = "data" }, target = "/data", readonly = true },
  { source = { bind = "/etc/hosts" }, target = "/hosts" },
  { source = "tmpfs", target = "/run" },
]
cap_add = ["NET_ADMIN"]
cap_drop = ["ALL"]
sysctls = { "net.core.somaxconn" = "1024" }
resources = { cpu_millicores = 1500, memory_bytes = "1G" }
stop_signal = "SIGINT"
"""


def placement(service: str = "web", slot: str = "slot-1") -> SlotPlacement:
    return SlotPlacement(
        service=ServiceName(service),
        slot=SlotName(slot),
        machine=A,
        ipv6="fd00:1:0:1::10",
        ipv4="10.210.0.16",
        image_id="sha256:web",
        template_hash="hash",
        operation_id=operation(1),
    )


def mountpoint(volume: VolumeRef) -> str:
    return f"/volumes/{volume}"


def spec(text: str = FULL, at: SlotPlacement | None = None) -> ContainerSpec:
    return container_spec(
        parse(text), at or placement(), mountpoint=mountpoint, secrets_folder="/secrets", nameserver="10.210.0.1"
    )


def test_everything_in_the_template_is_in_the_container() -> None:
    made = spec()
    assert made == ContainerSpec(
        name=f"production.web.slot-1.{operation(1)}",
        image_id="sha256:web",
        labels={
            "tier": "front",
            "ployz.namespace": "production",
            "ployz.service": "web",
            "ployz.slot": "slot-1",
            "ployz.operation": operation(1),
            "ployz.template": "hash",
        },
        ipv6="fd00:1:0:1::10",
        ipv4="10.210.0.16",
        hostname="web-slot-1",
        command=("serve", "--all"),
        entrypoint=("/bin/init",),
        env={
            "MODE": "full",
            "PLOYZ_MACHINE": "machine-a",
            "PLOYZ_NAMESPACE": "production",
            "PLOYZ_SERVICE": "web",
            "PLOYZ_SLOT": "slot-1",
        },
        user="33:33",
        mounts=(
            BindMount("/volumes/production/data", "/data", readonly=True),
            BindMount("/etc/hosts", "/hosts", follows=True),
        ),
        tmpfs=("/run",),
        ports=(PublishedPort(80, 8080), PublishedPort(53, 53, "udp")),
        nameservers=("10.210.0.1",),
        search_domains=("production.ployz.internal", "ployz.internal"),
        ndots=2,
        cap_add=("NET_ADMIN",),
        cap_drop=("ALL",),
        sysctls={"net.core.somaxconn": "1024"},
        cpu_millicores=1500,
        memory_bytes=1 << 30,
        stop_signal="SIGINT",
        restart="no",
    )


@pytest.mark.parametrize("restart", ["no", "on-failure", "always", "unless-stopped"])
def test_docker_never_restarts_by_itself_whatever_the_manifest_says(restart: str) -> None:
    assert spec(FULL.replace('restart = "always"', f'restart = "{restart}"')).restart == "no"


def test_a_template_without_limits_has_none() -> None:
    made = spec(POSTGRES, placement("db"))
    assert (made.cpu_millicores, made.memory_bytes, made.command, made.user) == (0, 0, (), "")


def test_a_hostname_is_a_label_that_dns_takes() -> None:
    name = "a" * 60
    made = spec(FULL.replace('"web"', f'"{name}"'), placement(name, "b-machine"))
    assert len(made.hostname) <= 63
    assert made.hostname == name + "-b"
    cut_at_a_dash = spec(FULL.replace('"web"', f'"{"a" * 62}"'), placement("a" * 62, "slot-1"))
    assert cut_at_a_dash.hostname == "a" * 62


def test_a_moved_container_differs_in_what_it_knows_of_its_place_and_in_its_operation_alone() -> None:
    here = spec()
    there = spec(at=evolve(placement(), machine=MachineId("machine-b"), operation_id=operation(2)))
    moved = evolve(here, name=there.name, labels=there.labels, env={**here.env, "PLOYZ_MACHINE": "machine-b"})
    assert there == moved


def test_the_container_that_settling_makes_is_the_one_that_was_committed() -> None:
    world = postgres()
    (placed,) = world.view.placement.of_service(DB)
    made = container_spec(
        parse(POSTGRES), placed, mountpoint=mountpoint, secrets_folder="/secrets", nameserver="10.210.0.1"
    )
    assert made.labels[names.LABEL_OPERATION] == placed.operation_id
    assert made.labels[names.LABEL_TEMPLATE] == placed.template_hash


def test_the_volumes_of_a_service_are_told_in_full() -> None:
    assert volumes_of(parse(FULL), ServiceName("web")) == (VolumeRef.parse("production/data"),)


def test_a_service_that_is_not_there_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="is not in the manifest"):
        service_of(parse(FULL), ServiceName("other"))


@pytest.mark.parametrize(
    ("asked", "dropped"),
    [
        ("", ("NET_RAW",)),
        ('cap_drop = ["CHOWN"]', ("CHOWN", "NET_RAW")),
        ('cap_add = ["SYS_NICE"]', ("NET_RAW",)),
        ('cap_add = ["NET_RAW"]', ()),
        ('cap_add = ["CAP_NET_RAW"]', ()),
        ('cap_add = ["ALL"]', ()),
        ('cap_drop = ["ALL"]', ("ALL",)),
        ('cap_drop = ["NET_RAW"]', ("NET_RAW",)),
    ],
)
def test_raw_sockets_are_for_who_asks_for_them(asked: str, dropped: tuple[str, ...]) -> None:
    text = f'namespace = "production"\n[[services]]\nname = "web"\n[services.template]\nimage = "web:1"\n{asked}\n'
    assert spec(text).cap_drop == dropped
