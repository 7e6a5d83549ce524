"""A strategy that makes any valid manifest: `manifests()`."""

from __future__ import annotations

from attrs import evolve
from hypothesis import strategies as st

from ployz.ids import MachineId, Namespace, SecretName, ServiceName, VolumeName
from ployz.manifest.model import (
    BindSource,
    ExecProbe,
    Global,
    Hook,
    Hooks,
    HttpProbe,
    HttpRoute,
    Intent,
    Manifest,
    Mount,
    Owner,
    PortName,
    Publish,
    Readiness,
    Replicated,
    Resources,
    Secret,
    SecretMount,
    Service,
    ServiceMove,
    ServicePort,
    Source,
    TcpProbe,
    TcpRoute,
    Template,
    TmpfsSource,
    Volume,
    VolumeMove,
    VolumeSource,
)

_NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
_LINES = st.text(st.sampled_from("abc/é漢\"'\\#,.=[]{}"), min_size=1, max_size=12)
_ENV_KEYS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
_LABEL_KEYS = st.from_regex(r"[a-z0-9]([a-z0-9./_-]{0,8}[a-z0-9])?", fullmatch=True)
_PATHS = st.lists(_LINES.map(lambda line: line.replace("/", "")).filter(lambda p: p not in {"", ".", ".."}), min_size=1)
_DURATIONS = st.integers(10, 24 * 3_600_000).map(lambda milliseconds: milliseconds / 1000)
_PORTS = st.integers(1, 65535)
_WORDS = st.lists(_TEXTS, max_size=3).map(tuple)


def _absolute(parts: list[str]) -> str:
    return "/" + "/".join(parts[:3])


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    volumes = draw(st.lists(_volumes(), max_size=3, unique_by=lambda volume: volume.name).map(tuple))
    names = draw(st.lists(_NAMES, max_size=3, unique=True))
    numbers = iter(draw(st.lists(_PORTS, min_size=12, max_size=12, unique=True)))
    secrets = draw(st.lists(st.builds(Secret, _NAMES.map(SecretName)), max_size=2, unique=True).map(tuple))
    services = tuple(draw(_services(name, volumes, next(numbers), next(numbers))) for name in names)
    services = tuple(evolve(each, template=evolve(each.template, secrets=draw(_mounts(secrets)))) for each in services)
    manifest = Manifest(Namespace(draw(_NAMES)), volumes, secrets, services)
    return evolve(manifest, intent=_everything_moves(manifest)) if draw(st.booleans()) else manifest


@st.composite
def _mounts(draw: st.DrawFn, secrets: tuple[Secret, ...]) -> tuple[SecretMount, ...]:
    ids = st.integers(0, 2**32 - 2)
    return tuple(
        SecretMount(each.name, draw(st.sampled_from(["", f"/secret-{at}"])), 0o400, draw(st.builds(Owner, ids, ids)))
        for at, each in enumerate(secrets)
        if draw(st.booleans())
    )


def _volumes() -> st.SearchStrategy[Volume]:
    ids = st.integers(0, 2**32 - 2)
    return st.builds(
        Volume,
        name=_NAMES.map(VolumeName),
        quota_bytes=st.none() | st.integers(2**20, 2**63 - 1) | st.integers(1, 2**20).map(lambda gib: gib << 30),
        mode=st.none() | st.integers(0, 0o7777),
        owner=st.none() | st.builds(Owner, ids, ids),
        recordsize_bytes=st.none() | st.integers(9, 24).map(lambda bits: 1 << bits),
        compression=st.none() | st.sampled_from(["on", "off", "lz4", "gzip-9", "zstd-19"]),
        atime=st.none() | st.booleans(),
        logbias=st.none() | st.sampled_from(["latency", "throughput"]),
        sync=st.none() | st.sampled_from(["standard", "always"]),
    )


@st.composite
def _services(draw: st.DrawFn, name: str, volumes: tuple[Volume, ...], host_port: int, listen_port: int) -> Service:
    port = ServicePort(PortName(draw(_NAMES)), draw(_PORTS))
    sources: list[Source] = [TmpfsSource(), BindSource(_absolute(draw(_PATHS)))]
    sources += [VolumeSource(volume.name) for volume in volumes]
    targets = draw(st.lists(_PATHS.map(_absolute), max_size=3, unique=True))
    mounts = tuple(Mount(draw(st.sampled_from(sources)), target) for target in targets)
    has_volume = any(isinstance(mount.source, VolumeSource) for mount in mounts)
    http = HttpRoute(port.name, (f"{name}.example.com",), draw(st.sampled_from(["/", "/api/", "/a_b/%20"])))
    probe = draw(
        st.sampled_from([TcpProbe(port.name), HttpProbe(port.name, "/healthz?a=1"), ExecProbe(("true", "-x"))]),
    )
    return Service(
        name=ServiceName(name),
        template=draw(_templates(mounts)),
        placement=Replicated() if has_volume else draw(st.just(Global()) | st.integers(1, 100).map(Replicated)),
        service_ports=(port,),
        publish=draw(st.sampled_from([(), (Publish(port.name, host_port),)])),
        routes=draw(st.sampled_from([(), (http,), (http, TcpRoute(port.name, listen_port))])),
        readiness=draw(
            st.none() | st.builds(Readiness, st.just(probe), _DURATIONS, _DURATIONS, st.integers(1, 10_000), _DURATIONS)
        ),
        restart=draw(st.sampled_from(["no", "on-failure", "always", "unless-stopped"])),
        hooks=draw(st.builds(Hooks, _hooks(), _hooks())) if has_volume else Hooks(),
    )


def _hooks() -> st.SearchStrategy[Hook | None]:
    return st.none() | st.builds(Hook, st.lists(_TEXTS, min_size=1, max_size=3).map(tuple), _DURATIONS)


def _templates(mounts: tuple[Mount, ...]) -> st.SearchStrategy[Template]:
    return st.builds(
        Template,
        image=_LINES,
        command=_WORDS,
        entrypoint=_WORDS,
        user=st.sampled_from(["", "999", "postgres:999"]),
        env=st.dictionaries(_ENV_KEYS, _TEXTS, max_size=4),
        mounts=st.just(mounts),
        labels=st.dictionaries(_LABEL_KEYS.filter(lambda key: not key.startswith("ployz.")), _TEXTS, max_size=2),
        cap_add=st.sampled_from([(), ("NET_ADMIN", "SYS_TIME")]),
        cap_drop=st.sampled_from([(), ("ALL",)]),
        sysctls=st.sampled_from([{}, {"net.core.somaxconn": "1024"}]),
        resources=st.builds(
            Resources, st.none() | st.integers(1, 10**6), st.none() | st.integers(6 * 2**20, 2**63 - 1)
        ),
        pull_policy=st.sampled_from(["missing", "always", "never"]),
        stop_signal=st.sampled_from(["", "SIGINT", "SIGRTMIN+3"]),
        stop_grace_period_s=_DURATIONS,
    )


def _everything_moves(manifest: Manifest) -> Intent:
    here, there = MachineId("machine-a"), MachineId("machine-b")
    movable = [service.name for service in manifest.services if not isinstance(service.placement, Global)]
    return Intent(
        tuple(VolumeMove(volume.name, here, there) for volume in manifest.volumes),
        tuple(ServiceMove(name, there) for name in movable),
    )
