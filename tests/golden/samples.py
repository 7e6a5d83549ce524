"""One value of every event in the vocabulary, fixed for ever: what the golden bytes are made from."""

from __future__ import annotations

from ployz.errors import Code
from ployz.events import types
from ployz.ids import (
    Certificate,
    ClusterName,
    InviteId,
    MachineId,
    Namespace,
    OperationId,
    Sealed,
    SecretRef,
    ServiceName,
    ServiceRef,
    SlotName,
    SlotRef,
    VolumeRef,
)

A, B = MachineId("machine-a"), MachineId("machine-b")
OPERATION = OperationId("op-06bqk8v1h2c4000abcd")
PRODUCTION = Namespace("production")
DB = ServiceRef(PRODUCTION, ServiceName("db"))
SLOT = SlotRef(DB, SlotName("slot-1"))
PGDATA, WAL = VolumeRef.parse("production/pgdata"), VolumeRef.parse("production/wal")
PASSWORD = SecretRef.parse("production/db-password")
GUID = 17_446_744_073_709_551_615
"""Above 2**63, as half of all ZFS guids are."""

_SNAPSHOTS = (types.SnapshotTaken(PGDATA, "op-1.final", GUID), types.SnapshotTaken(WAL, "op-1.final", 7))
_SHARE = types.SecretShare(B, "ab" * 32, Sealed("a2V5"))
_CUTOVER = types.Cutover(
    services=(DB,),
    predicted_ms=455,
    took_ms=412,
    predicted_bytes=1_048_576,
    last_bytes=1_203_456,
    stop_bytes=154_880,
    parts=types.CutoverParts(5, 101, 22, 35, 90, 12, 8, 120, 3, 6, 10, 14),
)
_JOINED = types.MachineJoined(
    machine=B,
    number=2,
    ipv6="fd12:3456:789a::2",
    ipv4="10.210.0.2",
    endpoint="192.0.2.7:51820",
    public_key="Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmE=",
    lifecycle=types.Lifecycle.STANDBY,
)


def samples() -> list[types.Event]:
    return [
        types.ClusterFounded(ClusterName("home"), A, "fd12:3456:789a::/48", "10.210.0.0/24", "10.211.0.0/16"),
        _JOINED,
        types.InviteMade(InviteId("inv-06bqk8v1h2c4000abcd"), A, "ab" * 32, 1_700_000_900_000),
        types.InviteUsed(InviteId("inv-06bqk8v1h2c4000abcd"), B),
        types.InviteRevoked(InviteId("inv-06bqk8v1h2c4000abce")),
        types.MachineIdentified(B, Certificate("MIIBPjCB8aADAgECAhQ=")),
        types.MachineLifecycleChanged(B, types.Lifecycle.DRAINING),
        types.MachineSettingChanged(B, "bandwidth", "50M"),
        types.ClusterSettingChanged("isolation", "on"),
        types.MachineRemoved(B),
        types.MachineKeyAnnounced(B, "bmV4dCBrZXkgb2YgbWFjaGluZS1iIGluIGJhc2U2NCE=", "c2lnbmF0dXJl"),
        types.MachineKeyRotated(B, "bmV4dCBrZXkgb2YgbWFjaGluZS1iIGluIGJhc2U2NCE="),
        types.OperationStarted(OPERATION, types.OperationKind.MIGRATE, PRODUCTION, A, (A, B), 42, "sha256:ab"),
        types.DeployCommitted(
            operation_id=OPERATION,
            kind=types.OperationKind.MIGRATE,
            namespace=PRODUCTION,
            manifest='{"namespace":"production","note":"zwölf"}',
            slots=(
                types.SlotPlacement(
                    service=DB.service,
                    slot=SLOT.slot,
                    machine=B,
                    ipv6="fd12:3456:789a:1::10",
                    ipv4="10.211.0.16",
                    image_id="sha256:cd",
                    template_hash="sha256:ef",
                    operation_id=OPERATION,
                ),
            ),
            volumes=(types.VolumePlacement(PGDATA, B, 2),),
            evidence=(
                types.RoundEvidence(PGDATA, 1, None, "op-1.round-1", GUID, 536_870_912, 4_200),
                types.RoundEvidence(PGDATA, 2, "op-1.round-1", "op-1.final", 7, 1_048_576, 290),
            ),
        ),
        types.OperationAborted(OPERATION, PRODUCTION, A, "the candidate was never ready"),
        types.VolumeRemoved(PGDATA),
        types.VolumeTakenOver(
            operation_id=OPERATION,
            namespace=PRODUCTION,
            by=A,
            from_machine=B,
            volumes=(types.VolumePlacement(PGDATA, A, 3),),
            snapshots=_SNAPSHOTS[:1],
            slots=(
                types.SlotPlacement(
                    service=DB.service,
                    slot=SLOT.slot,
                    machine=A,
                    ipv6="fd12:3456:789a:1::10",
                    ipv4="10.211.0.16",
                    image_id="sha256:cd",
                    template_hash="sha256:ef",
                    operation_id=OPERATION,
                ),
            ),
        ),
        types.SecretSet(PASSWORD, 2, Sealed("c2VhbGVk"), (_SHARE,)),
        types.SecretShared(PASSWORD, 2, _SHARE),
        types.SecretRemoved(PASSWORD),
        types.NodeStarted(A, "0.1.0"),
        types.CommandGiven(1000, 4711, "migrate.apply", "production/db, machine-b", "alice", "ticket 17"),
        types.FactMirrored(3, bytes(range(32)), _JOINED),
        types.OperationOrdered("migrate production/db to machine-b", '{"namespace":"production"}'),
        types.StepBegun("fence", "production/db on machine-a"),
        types.StepFailed("send", Code.STREAM_FAILED, "the stream ended after 12 bytes"),
        types.OperationFinished(OPERATION, types.OperationKind.DEPLOY, PRODUCTION, True, "", "", 412, 9_000, _CUTOVER),
        types.HookRan(SLOT, "before_snapshot", "production.db.slot-1.op"),
        types.AddressReserved(SLOT, "fd12:3456:789a:1::10", "10.211.0.16"),
        types.VolumeCreated(PGDATA, "tank/ployz/production/pgdata"),
        types.VolumeDestroyed(PGDATA, "tank/ployz/production/pgdata", "retention is over"),
        types.VolumeSetAside(PGDATA, "tank/ployz-aside/production/pgdata.op-1"),
        types.VolumeMounted(PGDATA, "/var/lib/ployz/volumes/production/pgdata"),
        types.VolumeUnmounted(PGDATA),
        types.VolumesSnapshotTaken(_SNAPSHOTS),
        types.ReceivePrepared(PGDATA, "op-0.final", 12876633969203214100, True),
        types.VolumeSent(PGDATA, B, None, "op-1.round-1", 536_870_912, 4_200),
        types.VolumeReceived(PGDATA, A, "op-1.round-1", GUID),
        types.VolumeDigested(PGDATA, "op-1.round-1", "ab" * 32),
        types.ServiceFenced(DB, OPERATION),
        types.ServiceUnfenced(DB, OPERATION),
        types.VoteCast(_SNAPSHOTS),
        types.RoutesHeld(DB, (SLOT.slot,), 1_772_366_430_000),
        types.RoutesReleased(DB, 412, 3),
        types.ImageReceived("sha256:cd", "copied"),
        types.ContainerCreated(SLOT, "ployz-production-db-slot-1"),
        types.ContainerStarted(SLOT, "ployz-production-db-slot-1"),
        types.ContainerUnready(SLOT, "ployz-production-db-slot-1", "10.210.0.16:5432 did not accept within 2 s"),
        types.ContainerFinished(SLOT, "ployz-production-db-slot-1", 0),
        types.ContainerReady(SLOT, "ployz-production-db-slot-1", 3),
        types.ContainerStopped(SLOT, "ployz-production-db-slot-1"),
        types.ContainerRemoved(SLOT, "ployz-production-db-slot-1"),
        types.ContainerExited(SLOT, "ployz-production-db-slot-1", 137),
        types.ContainerRestarted(SLOT, "ployz-production-db-slot-1", "it ended with 137"),
        types.AddressClaimed(SLOT, "fd12:3456:789a:1::10", "10.211.0.16"),
        types.TakenAway("container", ("production.db.slot-1.op-06bqk8v1h2c4000abcd",)),
        types.PutBack("container", 1),
    ]
