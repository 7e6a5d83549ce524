"""Answers of a node, one of each kind, fixed for ever: what the golden texts are made from."""

from __future__ import annotations

from attrs import evolve

from ployz.actors.messages import (
    distance,
    drain,
    events,
    gateway,
    invites,
    machine,
    membership,
    operations,
    rotation,
    secrets,
    services,
    takeover,
)
from ployz.errors import Code, Problem
from ployz.events import types
from ployz.events.codec import CODEC
from ployz.ids import (
    ClusterName,
    InviteId,
    MachineId,
    Namespace,
    OperationId,
    SecretRef,
    ServiceName,
    ServiceRef,
    SlotName,
    SlotRef,
    VolumeRef,
)
from ployz.plan.drain import Departure
from ployz.plan.effects import phases
from ployz.plan.model import Change, HoldPlan, ImageOrigin, ImagePlan, Plan, SlotPlan, VolumePlan
from ployz.plan.precopy import Basis, Expected
from ployz.projections.operations import Status

A, B = MachineId("machine-a"), MachineId("machine-b")
PRODUCTION = Namespace("production")
DB, WEB = ServiceName("db"), ServiceName("web")
SLOT = SlotName("slot-1")
SERVICE = ServiceRef(PRODUCTION, DB)
PGDATA = VolumeRef.parse("production/pgdata")
OPERATION = OperationId("op-06bqk8v1h2c4000abcd")
EARLIER = OperationId("op-06bqk8v1h2c4000abcc")
GUID = 17_446_744_073_709_551_615
AT_MS = 1_772_366_400_000
"""2026-03-01 12:00:00Z."""

CLUSTER_SETTINGS = machine.ClusterSettingList((machine.SettingRow("isolation", "on", is_default=False),))
MACHINES = machine.MachineList(
    ClusterName("home"),
    17,
    (
        machine.MachineRow(
            A,
            types.Lifecycle.ACTIVE,
            True,
            "fd12::1",
            "10.211.0.1",
            "192.0.2.7:51820",
            True,
            "0.1.0",
            17,
            2,
            1,
            (
                machine.SettingRow("gateway", "on", False),
                machine.SettingRow("bandwidth", "none", True),
                machine.SettingRow("label.zone", "cellar", False),
            ),
        ),
        machine.MachineRow(
            B,
            types.Lifecycle.STANDBY,
            False,
            "fd12::2",
            "10.211.0.2",
            "[2001:db8::7]:51820",
            False,
            "",
            0,
            0,
            0,
            silent_ms=185_000,
            heard_at="[2001:db8::9]:51820",
        ),
    ),
)
MACHINE = machine.MachineDetail(MACHINES.machines[0], (PGDATA,), (SlotRef(SERVICE, SLOT),), (OPERATION,))
DRAINING = membership.LifecycleChanged(
    A, types.Lifecycle.ACTIVE, types.Lifecycle.DRAINING, 18, (PGDATA,), (SlotRef(SERVICE, SLOT),), (OPERATION,)
)
RESTING = membership.LifecycleChanged(B, types.Lifecycle.STANDBY, types.Lifecycle.STANDBY, 0, (), (), ())
LEAVING = membership.Removal(B, answers=True, volumes=(), slots=(), operations=(), now_ms=AT_MS)
GONE = membership.Removal(
    A,
    answers=False,
    volumes=(
        membership.LostVolume(PGDATA, (membership.OlderCopy(B, AT_MS - 3 * 3_600_000),)),
        membership.LostVolume(VolumeRef.parse("production/wal"), ()),
    ),
    slots=(SlotRef(SERVICE, SLOT),),
    operations=(OPERATION,),
    now_ms=AT_MS,
)
DISTANCES = distance.DistanceTable(
    (A, B, MachineId("machine-c")),
    (distance.Distance(A, B, 1_234, 56, 10), distance.Distance(B, A, -1, 0, 0)),
    (MachineId("machine-c"),),
)
INVITE = invites.InviteToken(InviteId("inv-06bqk8v1h2c4000abcd"), "ployz1-dG9rZW4", AT_MS)
INVITES = invites.InviteList(
    (
        invites.InviteRow(InviteId("inv-06bqk8v1h2c4000abcd"), A, AT_MS, "open"),
        invites.InviteRow(InviteId("inv-06bqk8v1h2c4000abcc"), A, AT_MS - 1000, "used by machine-b"),
    )
)


def placement(service: ServiceName, where: MachineId, number: int) -> types.SlotPlacement:
    return types.SlotPlacement(
        service=service,
        slot=SLOT,
        machine=where,
        ipv6=f"fd12:3456:789a:1::{number:x}",
        ipv4=f"10.210.0.{number}",
        image_id="sha256:cd",
        template_hash="sha256:ef",
        operation_id=EARLIER,
    )


def slot(change: Change, service: ServiceName, where: MachineId, number: int, image: ImagePlan | None) -> SlotPlan:
    previous = None if change is Change.CREATE else placement(service, A, number)
    made = placement(service, where, number)
    return SlotPlan(change, service, SLOT, where, made.ipv6, made.ipv4, "sha256:ef", image, previous)


MIGRATION = Plan(
    kind=types.OperationKind.MIGRATE,
    namespace=PRODUCTION,
    coordinator=A,
    manifest='{"namespace":"production"}',
    slots=(
        slot(Change.MOVE, DB, B, 16, ImagePlan("postgres:17", "sha256:cd", ImageOrigin.COPIED, A, 412 << 20)),
        slot(Change.UNCHANGED, WEB, A, 17, None),
    ),
    volumes=(
        VolumePlan(
            change=Change.MOVE,
            volume=PGDATA,
            machine=B,
            previous=types.VolumePlacement(PGDATA, A, 3),
            quota_bytes=20 << 30,
            mode="0700",
            owner="999:999",
            size_bytes=512 << 20,
            base=f"{EARLIER}.final",
            first_send_bytes=5 << 20,
            expected_rounds=2,
            target_free_bytes=7 << 30,
        ),
    ),
    blockers=(),
    predicted_cutover_ms=850,
    predicted_bytes=1 << 20,
    expected=Expected(stop_ms=150, round_ms=100, rest_ms=575, stop_bytes=0, basis=Basis.OTHERS),
    holds=(HoldPlan(MachineId("machine-c"), SERVICE, (), 30_000, 10_000),),
)
DEPLOY = Plan(
    kind=types.OperationKind.DEPLOY,
    namespace=PRODUCTION,
    coordinator=A,
    manifest='{"namespace":"production"}',
    slots=(
        slot(Change.CREATE, DB, B, 16, ImagePlan("postgres:17", "", ImageOrigin.PULLED, None, 0)),
        slot(Change.REMOVE, WEB, A, 17, None),
    ),
    volumes=(VolumePlan(Change.CREATE, PGDATA, B, None, quota_bytes=0, mode="0700", owner="999:999"),),
    blockers=(),
)
NO_SPACE = Problem(Code.NO_SPACE, "machine-b has 1.0 GiB free, and needs 2.0 GiB", "Make room, or grow the pool.")
BUSY = Problem(Code.DATASET_BUSY, "process 4242 (rsync) uses production/pgdata", "End it.")
UNCHANGED = evolve(
    MIGRATION,
    holds=(),
    slots=(slot(Change.UNCHANGED, WEB, A, 17, None),),
    volumes=(),
    predicted_cutover_ms=0,
    predicted_bytes=0,
    expected=None,
)


def previewed(plan: Plan) -> operations.Previewed:
    words = phases(plan).in_words()
    return operations.Previewed(plan, tuple(operations.PhaseText(phase, tuple(effects)) for phase, effects in words))


ROUNDS = (
    types.RoundEvidence(PGDATA, 1, None, f"{OPERATION}.1", GUID, 512 << 20, 6_400),
    types.RoundEvidence(PGDATA, 2, f"{OPERATION}.1", f"{OPERATION}.final", 7, 3 << 20, 120),
)
CUTOVER = types.Cutover(
    services=(SERVICE,),
    predicted_ms=850,
    took_ms=720,
    predicted_bytes=2 << 20,
    last_bytes=3 << 20,
    stop_bytes=1 << 20,
    parts=types.CutoverParts(stop_ms=101, unmount_ms=20, snapshot_ms=35, send_ms=160, receive_ms=20, start_ms=240),
)
RESULT = operations.Result(
    exit_code=0,
    problem=None,
    committed=True,
    position=18,
    cutover_ms=720,
    predicted_cutover_ms=850,
    predicted_bytes=2 << 20,
    last_bytes=3 << 20,
    duration_ms=12_300,
    parts=CUTOVER.parts,
    rounds=ROUNDS,
    plan=MIGRATION,
)
UNDONE = operations.Result(
    exit_code=3,
    problem=Problem(
        Code.NOT_READY, "start: the candidate was not ready; undone, production/db runs on machine-a", "See its logs."
    ),
    committed=False,
    position=19,
    cutover_ms=0,
    predicted_cutover_ms=850,
    predicted_bytes=1 << 20,
    last_bytes=0,
    duration_ms=40_000,
    parts=types.CutoverParts(),
    rounds=(),
    plan=MIGRATION,
)
PROGRESS = (
    operations.Progress(1, AT_MS, "lock", "lock production"),
    operations.Progress(2, AT_MS, "pre-copy", "send production/pgdata"),
    operations.Progress(3, AT_MS, "pre-copy", "production/pgdata: sending round 1", 1, 128 << 20, 512 << 20, 1_600),
    operations.Progress(
        4, AT_MS, "pre-copy", "production/pgdata: round 1 arrived, guids equal", 1, 512 << 20, 512 << 20, 6_400
    ),
    operations.Progress(5, AT_MS, "cut-over", "stop production/db/slot-1, send what is left, start it again"),
    operations.Progress(6, AT_MS, "commit", "commit"),
)
WATCHED = (
    operations.WatchPage(PROGRESS[:3], None),
    operations.WatchPage(PROGRESS[3:], None),
    operations.WatchPage((), RESULT),
)
DEPLOY_ROW = operations.DeployRow(
    OPERATION, types.OperationKind.MIGRATE, PRODUCTION, A, Status.COMMITTED, AT_MS, AT_MS + 12_300, 18, ""
)
ABORTED_ROW = operations.DeployRow(
    EARLIER, types.OperationKind.DEPLOY, PRODUCTION, B, Status.ABORTED, AT_MS - 60_000, AT_MS - 50_000, 16, "no space"
)
UNDECIDED_ROW = evolve(DEPLOY_ROW, status=Status.UNDECIDED, decided_ms=0, position=0)
DEPLOYS = operations.DeployList((DEPLOY_ROW, ABORTED_ROW))
DEPLOY_DETAIL = operations.DeployDetail(DEPLOY_ROW, (A, B), ROUNDS, 720, CUTOVER)
GOING_ON_ROW = evolve(DEPLOY_ROW, status=Status.UNDECIDED, decided_ms=0, position=0)
GOING_ON = operations.DeployDetail(GOING_ON_ROW, (A, B), (), 0, None, "in phase pre-copy on machine-a")
OPERATIONS = operations.OperationList(
    (operations.OperationRow(GOING_ON_ROW, "pre-copy"), operations.OperationRow(ABORTED_ROW, ""))
)
ABORTED = operations.AbortedNow(ABORTED_ROW)
FINISHED = operations.Resumed(DEPLOY_ROW, None, None)
BEGUN_AGAIN = operations.Resumed(ABORTED_ROW, OPERATION, A)

ROUTES = gateway.RouteList(
    18,
    (MachineId("machine-c"),),
    (
        gateway.RouteRow("tcp 5432", SERVICE, 5432, (B,)),
        gateway.RouteRow("http://www.example.com/", ServiceRef(PRODUCTION, WEB), 8080, (A, B)),
    ),
)
GATEWAYS = gateway.GatewayList(
    18,
    (
        gateway.GatewayRow(B, answers=False),
        gateway.GatewayRow(
            MachineId("machine-c"),
            answers=True,
            runs=True,
            position=16,
            problems=("another program listens on port 80 of this machine",),
            backends=(
                gateway.BackendRow("http.production.web.main", "holding", 0, 412, 500, 0, 2),
                gateway.BackendRow("tcp.production.db.pg", "serving", 12, 0, 31, 1, 0),
            ),
        ),
    ),
)
AGENT = ServiceName("agent")
DB_DEPARTS = drain.DepartureRow(
    Departure(PRODUCTION, (DB,), (PGDATA.volume,), (B,)),
    (drain.SlotMove(SlotRef(SERVICE, SLOT), B),),
    512 << 20,
    5 << 20,
    850,
    (),
)
REST_DEPARTS = drain.DepartureRow(
    Departure(PRODUCTION, (AGENT, WEB), (), ()),
    (
        drain.SlotMove(SlotRef(ServiceRef(PRODUCTION, AGENT), SlotName("machine-a")), None),
        drain.SlotMove(SlotRef(ServiceRef(PRODUCTION, WEB), SLOT), B),
        drain.SlotMove(SlotRef(ServiceRef(PRODUCTION, WEB), SlotName("slot-2")), MachineId("machine-c")),
    ),
    0,
    0,
    700,
    (),
)
DRAIN = drain.DrainPlan(A, (DB_DEPARTS, REST_DEPARTS), ())
DRAIN_BLOCKED = evolve(DRAIN, rows=(evolve(DB_DEPARTS, blockers=(NO_SPACE,)),), stuck=(BUSY,))
EMPTY_MACHINE = machine.MachineDetail(MACHINES.machines[0], (), (), ())

SLOT_ROWS = (
    services.SlotRow(SERVICE, SLOT, A, "running", "postgres:17", "fd12:3456:789a:1::10", "10.210.0.16"),
    services.SlotRow(ServiceRef(PRODUCTION, WEB), SLOT, B, "unknown", "web:1", "fd12:3456:789a:1::11", "10.210.0.17"),
)
SERVICES = services.ServiceList(18, SLOT_ROWS)
SERVICE_DETAIL = services.ServiceDetail(SERVICE, '[[services]]\nname = "db"\n', SLOT_ROWS[:1], (PGDATA,))
VOLUME_ROW = services.VolumeRow(PGDATA, A, 3, (SERVICE,), 512 << 20, 20 << 30)
VOLUMES = services.VolumeList(
    18, (VOLUME_ROW, services.VolumeRow(VolumeRef.parse("production/wal"), B, 1, (), None, 0))
)
KEYS_ROTATED = rotation.KeysRotated(B, "bmV4dCBrZXkgb2YgbWFjaGluZS1iIGluIGJhc2U2NCE=", 19, (A,))
PASSWORD = SecretRef.parse("production/db-password")
SECRETS = secrets.SecretList(
    (
        secrets.SecretRow(PASSWORD, 2, AT_MS, (SERVICE,), (A, B), ()),
        secrets.SecretRow(SecretRef.parse("production/web-key"), 1, AT_MS, (), (A,), (B,)),
    )
)
TAKEOVER_PLAN = takeover.TakeoverPlan(
    namespace=PRODUCTION,
    from_machine=A,
    to_machine=B,
    volumes=(
        takeover.TakenVolume(
            PGDATA,
            4,
            types.SnapshotTaken(PGDATA, f"ployz-{EARLIER}-2", GUID),
            AT_MS - 3 * 3_600_000,
            (MachineId("machine-c"),),
        ),
    ),
    slots=(SlotRef(SERVICE, SLOT),),
    now_ms=AT_MS,
)
VOLUME_DETAIL = services.VolumeDetail(
    VOLUME_ROW,
    (
        services.CopyRow(A, 3, True, 512 << 20, (f"{EARLIER}.final",)),
        services.CopyRow(B, 2, False, 500 << 20, (f"{EARLIER}.final",)),
    ),
    (MachineId("machine-c"),),
    (services.AsideRow(B, f"tank/ployz-aside/production/pgdata.{EARLIER}", 480 << 20),),
)

FACTS: tuple[types.Fact, ...] = (
    types.ClusterFounded(ClusterName("home"), A, "fd12:3456:789a::/48", "10.211.0.0/16", "10.210.0.0/16"),
    types.MachineJoined(A, 1, "fd12:3456:789a::1", "10.211.0.1", "192.0.2.7:51820", "key-a", types.Lifecycle.ACTIVE),
    types.MachineJoined(B, 2, "fd12:3456:789a::2", "10.211.0.2", "192.0.2.8:51820", "key-b", types.Lifecycle.ACTIVE),
    types.OperationStarted(EARLIER, types.OperationKind.DEPLOY, PRODUCTION, A, (A,), 1, "sha256:ab"),
    types.DeployCommitted(
        EARLIER,
        types.OperationKind.DEPLOY,
        PRODUCTION,
        '{"namespace":"production"}',
        (placement(DB, A, 16),),
        (types.VolumePlacement(PGDATA, A, 1),),
        (),
    ),
    types.OperationStarted(OPERATION, types.OperationKind.MIGRATE, PRODUCTION, A, (A, B), 2, "sha256:ab"),
    types.DeployCommitted(
        OPERATION,
        types.OperationKind.MIGRATE,
        PRODUCTION,
        '{"namespace":"production"}',
        (evolve(placement(DB, B, 16), operation_id=OPERATION),),
        (types.VolumePlacement(PGDATA, B, 2),),
        ROUNDS,
    ),
)
MOVED_SEQ = len(FACTS)
"""Of the event that brought the commit of the move; with the last one, of another stream, they are the log."""


def event_row(
    seq: int, stream: str, event: types.Event, operation_id: OperationId | None = None, step: str | None = None
) -> events.EventRow:
    encoded = CODEC.encode(event)
    return events.EventRow(
        seq,
        AT_MS + 1_000 * seq,
        stream,
        encoded.name,
        encoded.version,
        encoded.payload,
        operation_id,
        step,
        bytes([seq]) * 32,
    )


LOG = (
    *(event_row(seq, "facts", types.FactMirrored(seq, bytes([seq]) * 32, fact)) for seq, fact in enumerate(FACTS, 1)),
    event_row(
        8,
        "volume/production/pgdata",
        types.VolumesSnapshotTaken((types.SnapshotTaken(PGDATA, f"{OPERATION}.final", GUID),)),
        OPERATION,
        "snapshot",
    ),
)


def read(message: events.ReadEvents) -> events.EventsPage:
    """As the events actor answers, without waiting."""
    found = [
        row
        for row in LOG
        if row.seq > message.after
        and message.stream in (None, row.stream)
        and message.operation_id in (None, row.operation_id)
    ]
    found = found[-message.limit :] if message.after < 0 else found[: message.limit]
    return events.EventsPage(tuple(found), len(LOG))
