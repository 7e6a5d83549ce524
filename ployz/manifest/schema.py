"""The manifest's tables: each key, the shape of its value, and the attribute it spells. Read and written by it.

A key is added here and in `model`, and nowhere else. What must agree between tables is in `check`.
"""

from __future__ import annotations

from ployz.ids import Namespace, SecretName, ServiceName, VolumeName
from ployz.manifest import scalars as s
from ployz.manifest.limits import (
    CUTOVER_HOLD_MAX_S,
    ENTRIES_MAX,
    MACHINES_MAX,
    PAIRS_MAX,
    REPLICAS_MAX,
    SECRETS_MAX,
    SERVICES_MAX,
    VOLUMES_MAX,
)
from ployz.manifest.model import (
    BindSource,
    ExecProbe,
    Global,
    Hook,
    Hooks,
    HttpProbe,
    HttpRoute,
    Intent,
    Leave,
    Manifest,
    Mount,
    Placement,
    PortName,
    Publish,
    Readiness,
    Replicated,
    Resources,
    Route,
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
from ployz.manifest.shapes import Leaf, ListOf, MapOf
from ployz.manifest.tables import Case, Field, OneOf, Table, Variant, Within

_PORT_NAME = s.name(PortName)
_VOLUME_NAME = s.name(VolumeName)
_SECRET_NAME = s.name(SecretName)
_SERVICE_NAME = s.name(ServiceName)
_WORDS = ListOf(s.TEXT, PAIRS_MAX)
_COMMAND = ListOf(s.TEXT, PAIRS_MAX, at_least=1)
_CAPABILITIES = ListOf(s.CAPABILITY, ENTRIES_MAX)
_VERIFY = s.word("guid", "digest")

VOLUME = Table(
    Volume,
    Field("name", _VOLUME_NAME),
    Field("quota", s.QUOTA, "quota_bytes"),
    Field("mode", s.MODE),
    Field("owner", s.OWNER),
    Field("verify", _VERIFY),
    Field("recordsize", s.RECORDSIZE, "recordsize_bytes"),
    Field("compression", s.COMPRESSION),
    Field("atime", s.FLAG),
    Field("logbias", s.word("latency", "throughput")),
    Field("sync", s.SYNC),
)

SECRET = Table(Secret, Field("name", _SECRET_NAME))

# ---------------------------------------------------------------- the template

_VOLUME_SOURCE = Leaf(
    parse=lambda raw: VolumeSource(VolumeName(raw)),
    spell=lambda source: str(source.volume),
    stand_in=VolumeSource(_VOLUME_NAME.stand_in),
)

_SOURCE: OneOf[Source] = OneOf(
    Case("volume", VolumeSource, _VOLUME_SOURCE),
    Case("bind", BindSource, s.BIND),
    words={"tmpfs": TmpfsSource()},
)

_MOUNT = Table(
    Mount,
    Field("source", _SOURCE),
    Field("target", s.TARGET),
    Field("readonly", s.FLAG),
)

_SECRET_MOUNT = Table(
    SecretMount,
    Field("secret", _SECRET_NAME),
    Field("target", s.TARGET),
    Field("mode", s.MODE),
    Field("owner", s.OWNER),
)

_RESOURCES = Table(
    Resources,
    Field("cpu_millicores", s.integer(1, 1_000_000)),
    Field("memory_bytes", s.MEMORY),
)

TEMPLATE = Table(
    Template,
    Field("image", s.IMAGE),
    Field("command", _WORDS),
    Field("entrypoint", _WORDS),
    Field("user", s.USER),
    Field("env", MapOf(s.check_env_key, s.TEXT, PAIRS_MAX)),
    Field("mounts", ListOf(_MOUNT, ENTRIES_MAX)),
    Field("disposable", ListOf(s.TARGET, ENTRIES_MAX)),
    Field("secrets", ListOf(_SECRET_MOUNT, ENTRIES_MAX)),
    Field("labels", MapOf(s.check_label_key, s.TEXT, PAIRS_MAX)),
    Field("cap_add", _CAPABILITIES),
    Field("cap_drop", _CAPABILITIES),
    Field("sysctls", MapOf(s.check_sysctl_key, s.TEXT, PAIRS_MAX)),
    Field("resources", _RESOURCES),
    Field("pull_policy", s.word("missing", "always", "never")),
    Field("stop_signal", s.SIGNAL),
    Field("stop_grace_period", s.duration(0), "stop_grace_period_s"),
)

# ---------------------------------------------------------------- the service

_PLACEMENT: OneOf[Placement] = OneOf(
    Case("replicated", Replicated, Table(Replicated, Field("count", s.integer(1, REPLICAS_MAX)))),
    words={"global": Global()},
)

_SERVICE_PORT = Table(
    ServicePort,
    Field("name", _PORT_NAME),
    Field("container_port", s.PORT),
    Field("protocol", s.word("tcp", "udp")),
)

_PUBLISH = Table(
    Publish,
    Field("service_port", _PORT_NAME),
    Field("host_port", s.PORT),
    Field("host_ip", s.HOST_IP),
)

_HTTP_ROUTE = Table(
    HttpRoute,
    Field("service_port", _PORT_NAME),
    Field("hostnames", ListOf(s.HOSTNAME, ENTRIES_MAX, at_least=1)),
    Field("path_prefix", s.URL_PREFIX),
)

_TCP_ROUTE = Table(
    TcpRoute,
    Field("service_port", _PORT_NAME),
    Field("listen_port", s.PORT),
)

_ROUTE: OneOf[Route] = OneOf(
    Case("http", HttpRoute, _HTTP_ROUTE),
    Case("tcp", TcpRoute, _TCP_ROUTE),
)

_READINESS = Table(
    Readiness,
    Variant(
        "probe",
        (
            Case("tcp", TcpProbe, Table(TcpProbe, Field("service_port", _PORT_NAME))),
            Case("http", HttpProbe, Table(HttpProbe, Field("service_port", _PORT_NAME), Field("path", s.URL_PATH))),
            Case("exec", ExecProbe, Table(ExecProbe, Field("command", _COMMAND))),
        ),
    ),
    Field("interval", s.duration(0.01), "interval_s"),
    Field("timeout", s.duration(0.01), "timeout_s"),
    Field("retries", s.integer(1, 10_000)),
    Field("start_period", s.duration(0), "start_period_s"),
)

_HOOK = Table(Hook, Field("command", _COMMAND), Field("timeout", s.duration(0.01), "timeout_s"))
_HOOKS = Table(Hooks, Field("before_snapshot", _HOOK), Field("after_snapshot", _HOOK))

SERVICE = Table(
    Service,
    Field("name", _SERVICE_NAME),
    Field("placement", _PLACEMENT),
    Field("on", ListOf(s.MACHINE, MACHINES_MAX)),
    Field("service_ports", ListOf(_SERVICE_PORT, ENTRIES_MAX)),
    Field("publish", ListOf(_PUBLISH, ENTRIES_MAX)),
    Field("routes", ListOf(_ROUTE, ENTRIES_MAX)),
    Field("readiness", _READINESS),
    Field("restart", s.word("no", "on-failure", "always", "unless-stopped")),
    Field("on_unready", s.word("tell", "restart")),
    Field("cutover_hold", s.duration(0, CUTOVER_HOLD_MAX_S), "cutover_hold_s"),
    Field("hooks", _HOOKS),
    Field("template", TEMPLATE),
)

# ---------------------------------------------------------------- the whole

_INTENT = Table(
    Intent,
    Field(
        "volumes",
        ListOf(
            Table(
                VolumeMove,
                Field("volume", _VOLUME_NAME),
                Within(
                    "move",
                    (Field("from_machine", s.MACHINE), Field("to_machine", s.MACHINE), Field("verify", _VERIFY)),
                ),
            ),
            VOLUMES_MAX,
        ),
    ),
    Field(
        "services",
        ListOf(
            Table(
                ServiceMove,
                Field("service", _SERVICE_NAME),
                Within("move", (Field("to_machine", s.MACHINE),)),
            ),
            SERVICES_MAX,
        ),
    ),
    Field("bandwidth", s.BANDWIDTH, "bandwidth_bytes_s"),
    Field("max_cutover", s.duration(0.1), "max_cutover_s"),
    Field(
        "leave",
        Table(
            Leave,
            Field("from_machine", s.MACHINE),
            Field("to_machines", ListOf(s.MACHINE, MACHINES_MAX)),
            Field("services", ListOf(_SERVICE_NAME, SERVICES_MAX)),
            Field("gone", s.FLAG),
        ),
    ),
)

MANIFEST = Table(
    Manifest,
    Field("namespace", s.name(Namespace)),
    Field("volumes", ListOf(VOLUME, VOLUMES_MAX)),
    Field("secrets", ListOf(SECRET, SECRETS_MAX)),
    Field("services", ListOf(SERVICE, SERVICES_MAX)),
    Field("reachable_from", ListOf(s.NAMESPACE_OR_ALL, ENTRIES_MAX)),
    Field("intent", _INTENT),
)
