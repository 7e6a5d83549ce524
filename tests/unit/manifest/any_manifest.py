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

_FEW = "abcdefghijklmnopqrstuvwxyz0123456789"


def _words_of(inner: str, max_size: int) -> st.SearchStrategy[str]:
    """Letters and digits, and between them also what is in `inner`. A regular expression says it shorter, and costs
    most of the time of the tests that draw from it."""
    return st.text(_FEW + inner, min_size=1, max_size=max_size).filter(lambda word: not {word[0], word[-1]} & {*inner})


# Strategies are made once: one that is made in a draw is validated in every draw.
_NAMES = _words_of("-", 12)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
_LINES = st.text(st.sampled_from("abc/é漢\"'\\#,.=[]{}"), min_size=1, max_size=12)
_ENV_KEYS = st.text(_FEW + _FEW[:26].upper() + "_", min_size=1, max_size=9).filter(lambda key: not key[0].isdigit())
_LABEL_KEYS = _words_of("./_-", 10).filter(lambda key: not key.startswith("ployz."))
_PATHS = st.lists(_LINES.map(lambda line: line.replace("/", "")).filter(lambda p: p not in {"", ".", ".."}), min_size=1)
_DURATIONS = st.integers(10, 24 * 3_600_000).map(lambda milliseconds: milliseconds / 1000)
_PORTS = st.integers(1, 65535)
_WORDS = st.lists(_TEXTS, max_size=3).map(tuple)
_IDS = st.integers(0, 2**32 - 2)
_OWNERS = st.builds(Owner, _IDS, _IDS)
_VOLUMES = st.lists(
    st.builds(
        Volume,
        name=_NAMES.map(VolumeName),
        quota_bytes=st.none() | st.integers(2**20, 2**63 - 1) | st.integers(1, 2**20).map(lambda gib: gib << 30),
        mode=st.none() | st.integers(0, 0o7777),
        owner=st.none() | _OWNERS,
        recordsize_bytes=st.none() | st.integers(9, 24).map(lambda bits: 1 << bits),
        compression=st.none() | st.sampled_from(["on", "off", "lz4", "gzip-9", "zstd-19"]),
        atime=st.none() | st.booleans(),
        logbias=st.none() | st.sampled_from(["latency", "throughput"]),
        sync=st.none() | st.sampled_from(["standard", "always"]),
    ),
    max_size=3,
    unique_by=lambda volume: volume.name,
).map(tuple)
_SECRETS = st.lists(st.builds(Secret, _NAMES.map(SecretName)), max_size=2, unique=True).map(tuple)
_REACHABLE_FROM = st.sampled_from([None, (), ("*",), ("web", "monitoring")])
_SECRET_TARGETS = st.tuples(st.booleans(), st.booleans(), _OWNERS)
_SERVICE_NAMES = st.lists(_NAMES, max_size=3, unique=True)
_NUMBERS = st.lists(_PORTS, min_size=12, max_size=12, unique=True)
_ABSOLUTE = _PATHS.map(lambda parts: "/" + "/".join(parts[:3]))
_TARGETS = st.lists(_ABSOLUTE, max_size=3, unique=True)
_PLACEMENTS = st.just(Global()) | st.integers(1, 100).map(Replicated)
_HOOK = st.none() | st.builds(Hook, st.lists(_TEXTS, min_size=1, max_size=3).map(tuple), _DURATIONS)
_HOOKS = st.builds(Hooks, _HOOK, _HOOK)
_READINESS = st.none() | st.builds(
    Readiness, st.just(ExecProbe(("true", "-x"))), _DURATIONS, _DURATIONS, st.integers(1, 10_000), _DURATIONS
)
_TEMPLATES = st.builds(
    Template,
    image=_LINES,
    command=_WORDS,
    entrypoint=_WORDS,
    user=st.sampled_from(["", "999", "postgres:999"]),
    env=st.dictionaries(_ENV_KEYS, _TEXTS, max_size=4),
    labels=st.dictionaries(_LABEL_KEYS, _TEXTS, max_size=2),
    cap_add=st.sampled_from([(), ("NET_ADMIN", "SYS_TIME")]),
    cap_drop=st.sampled_from([(), ("ALL",)]),
    sysctls=st.sampled_from([{}, {"net.core.somaxconn": "1024"}]),
    resources=st.builds(Resources, st.none() | st.integers(1, 10**6), st.none() | st.integers(6 * 2**20, 2**63 - 1)),
    pull_policy=st.sampled_from(["missing", "always", "never"]),
    stop_signal=st.sampled_from(["", "SIGINT", "SIGRTMIN+3"]),
    stop_grace_period_s=_DURATIONS,
)
_PORTS_NAMED = st.builds(ServicePort, _NAMES.map(PortName), _PORTS)
_HTTP_PATHS = st.sampled_from(["/", "/api/", "/a_b/%20"])


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    volumes = draw(_VOLUMES)
    names = draw(_SERVICE_NAMES)
    numbers = iter(draw(_NUMBERS))
    secrets = draw(_SECRETS)
    services = tuple(_service(draw, name, volumes, next(numbers), next(numbers)) for name in names)
    services = tuple(evolve(each, template=evolve(each.template, secrets=_mounts(draw, secrets))) for each in services)
    manifest = Manifest(Namespace(draw(_NAMES)), volumes, secrets, services, draw(_REACHABLE_FROM))
    return evolve(manifest, intent=_everything_moves(manifest)) if draw(st.booleans()) else manifest


def _mounts(draw: st.DrawFn, secrets: tuple[Secret, ...]) -> tuple[SecretMount, ...]:
    drawn = [draw(_SECRET_TARGETS) for _ in secrets]
    return tuple(
        SecretMount(each.name, f"/secret-{at}" if named else "", 0o400, owner)
        for at, (each, (mounted, named, owner)) in enumerate(zip(secrets, drawn, strict=True))
        if mounted
    )


def _service(draw: st.DrawFn, name: str, volumes: tuple[Volume, ...], host_port: int, listen_port: int) -> Service:
    port = draw(_PORTS_NAMED)
    sources: list[Source] = [TmpfsSource(), BindSource(draw(_ABSOLUTE))]
    sources += [VolumeSource(volume.name) for volume in volumes]
    mounts = tuple(Mount(draw(st.sampled_from(sources)), target) for target in draw(_TARGETS))
    has_volume = any(isinstance(mount.source, VolumeSource) for mount in mounts)
    http = HttpRoute(port.name, (f"{name}.example.com",), draw(_HTTP_PATHS))
    probes: list[TcpProbe | HttpProbe | ExecProbe] = [
        TcpProbe(port.name),
        HttpProbe(port.name, "/healthz?a=1"),
        ExecProbe(("true", "-x")),
    ]
    readiness, probe = draw(_READINESS), draw(st.sampled_from(probes))
    return Service(
        name=ServiceName(name),
        template=evolve(draw(_TEMPLATES), mounts=mounts),
        placement=Replicated() if has_volume else draw(_PLACEMENTS),
        service_ports=(port,),
        publish=draw(st.sampled_from([(), (Publish(port.name, host_port),)])),
        routes=draw(st.sampled_from([(), (http,), (http, TcpRoute(port.name, listen_port))])),
        readiness=evolve(readiness, probe=probe) if readiness is not None else None,
        restart=draw(st.sampled_from(["no", "on-failure", "always", "unless-stopped"])),
        hooks=draw(_HOOKS) if has_volume else Hooks(),
    )


def _everything_moves(manifest: Manifest) -> Intent:
    here, there = MachineId("machine-a"), MachineId("machine-b")
    movable = [service.name for service in manifest.services if not isinstance(service.placement, Global)]
    return Intent(
        tuple(VolumeMove(volume.name, here, there) for volume in manifest.volumes),
        tuple(ServiceMove(name, there) for name in movable),
    )
