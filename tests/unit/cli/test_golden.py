"""What every command prints for a fixed answer, as text for pipes and as JSON: held by files that people can read."""

from __future__ import annotations

from typing import Any

import pytest

from ployz.actors.messages.distance import ShowDistances
from ployz.actors.messages.events import ReadEvents, Verified, VerifyEvents
from ployz.actors.messages.gateway import GatewayList, ListRoutes, ShowGateways
from ployz.actors.messages.invites import ListInvites
from ployz.actors.messages.machine import ListMachines, MachineList, SetCluster, SetMachine, ShowMachine
from ployz.actors.messages.membership import ChangeLifecycle, PreviewRemoval, Removed, RemoveMachine
from ployz.actors.messages.operations import (
    AbortOperation,
    Accepted,
    ApplyMigration,
    ListDeploys,
    ListOperations,
    PreviewDeploy,
    PreviewMigration,
    Rendered,
    RenderMigration,
    ResumeOperation,
    ShowDeploy,
    WatchOperation,
)
from ployz.actors.messages.rotation import RotateKeys
from ployz.actors.messages.secrets import ListSecrets, RemoveSecret
from ployz.actors.messages.services import (
    CopyDropped,
    DropCopy,
    ListServices,
    ListVolumes,
    ReadServiceLogs,
    ServiceLogText,
    ShowService,
    ShowVolume,
)
from ployz.actors.messages.takeover import PreviewTakeover, TakenOver, TakeOverVolume
from ployz.wire.message import Done, Message
from tests.unit.cli import samples
from tests.unit.cli.terminal import Answer, Ended, golden, pages, ployzctl

MOVE = ("production/db", "--to", "machine-b")

CASES: dict[str, tuple[tuple[str, ...], dict[type[Message[Any]], Answer]]] = {
    "machine-ls": (("machine", "ls"), {ListMachines: samples.MACHINES}),
    "machine-show": (("machine", "show", "machine-a"), {ShowMachine: samples.MACHINE}),
    "machine-set": (
        ("machine", "set", "machine-a", "gateway=on", "label.zone=cellar"),
        {SetMachine: samples.MACHINE},
    ),
    "cluster-set": (("cluster", "set", "isolation=on"), {SetCluster: samples.CLUSTER_SETTINGS}),
    "machine-invites": (("machine", "invites"), {ListInvites: samples.INVITES}),
    "machine-ls-none": (("machine", "ls"), {ListMachines: MachineList(None, 0, ())}),
    "machine-drain": (("machine", "drain", "machine-a"), {ChangeLifecycle: samples.DRAINING}),
    "machine-standby": (("machine", "standby", "machine-b"), {ChangeLifecycle: samples.RESTING}),
    "machine-rm": (
        ("machine", "rm", "machine-b"),
        {PreviewRemoval: samples.LEAVING, RemoveMachine: Removed(samples.LEAVING, 18, (samples.A,))},
    ),
    "machine-rm-force": (
        ("machine", "rm", "machine-a", "--force", "--yes"),
        {PreviewRemoval: samples.GONE, RemoveMachine: Removed(samples.GONE, 18, ())},
    ),
    "machine-rtt": (("machine", "rtt"), {ShowDistances: samples.DISTANCES}),
    "deploy-ls": (("deploy", "ls"), {ListDeploys: samples.DEPLOYS}),
    "deploy-show": (("deploy", "show", samples.OPERATION), {ShowDeploy: samples.DEPLOY_DETAIL}),
    "operation-ls": (("operation", "ls"), {ListOperations: samples.OPERATIONS}),
    "operation-show": (("operation", "show", samples.OPERATION), {ShowDeploy: samples.GOING_ON}),
    "operation-abort": (("operation", "abort", samples.OPERATION), {AbortOperation: samples.ABORTED}),
    "operation-resume-committed": (("operation", "resume", samples.OPERATION), {ResumeOperation: samples.FINISHED}),
    "deploy-preview": (("deploy", "preview", "-f", "-"), {PreviewDeploy: samples.previewed(samples.DEPLOY)}),
    "migrate-preview": (("migrate", "preview", *MOVE), {PreviewMigration: samples.previewed(samples.MIGRATION)}),
    "migrate-preview-unchanged": (
        ("migrate", "preview", *MOVE),
        {PreviewMigration: samples.previewed(samples.UNCHANGED)},
    ),
    "migrate-render-manifest": (
        ("migrate", "render-manifest", *MOVE),
        {RenderMigration: Rendered('namespace = "production"\n')},
    ),
    "service-ls": (("service", "ls"), {ListServices: samples.SERVICES}),
    "service-show": (("service", "show", "production/db"), {ShowService: samples.SERVICE_DETAIL}),
    "service-logs": (("service", "logs", "production/db"), {ReadServiceLogs: ServiceLogText("ready\nto accept\n")}),
    "route-ls": (("route", "ls"), {ListRoutes: samples.ROUTES}),
    "gateway-status": (("gateway", "status"), {ShowGateways: samples.GATEWAYS}),
    "gateway-status-none": (("gateway", "status"), {ShowGateways: GatewayList(3, ())}),
    "machine-rotate-keys": (("machine", "rotate-keys", "machine-b"), {RotateKeys: samples.KEYS_ROTATED}),
    "secret-ls": (("secret", "ls"), {ListSecrets: samples.SECRETS}),
    "secret-rm": (("secret", "rm", "production/db-password", "--yes"), {RemoveSecret: Done()}),
    "volume-ls": (("volume", "ls"), {ListVolumes: samples.VOLUMES}),
    "volume-show": (("volume", "show", "production/pgdata"), {ShowVolume: samples.VOLUME_DETAIL}),
    "volume-drop-copy": (
        ("volume", "drop-copy", "production/pgdata", "--on", "machine-b", "--yes"),
        {DropCopy: CopyDropped(samples.B, 3 << 30)},
    ),
    "volume-takeover": (
        ("volume", "takeover", "production/pgdata", "--to", "machine-b", "--source-is-off", "--yes"),
        {
            PreviewTakeover: samples.TAKEOVER_PLAN,
            TakeOverVolume: TakenOver(samples.OPERATION, 19, samples.TAKEOVER_PLAN),
        },
    ),
    "events-tail": (("events", "tail"), {ReadEvents: samples.read}),
    "events-show": (("events", "show", "8"), {ReadEvents: samples.read}),
    "events-verify": (("events", "verify"), {VerifyEvents: Verified(8, ())}),
    "events-replay": (("events", "replay"), {ReadEvents: samples.read}),
    "events-replay-until": (("events", "replay", "--until", "5"), {ReadEvents: samples.read}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_pipe_gets_plain_text(name: str) -> None:
    argv, answers = CASES[name]
    ended = ployzctl(*argv, answers=answers)
    assert (ended.exit_code, ended.err) == (0, "")
    assert "\x1b" not in ended.out
    golden(f"{name}.txt", ended.out)


@pytest.mark.parametrize("name", CASES)
def test_a_script_gets_json_of_one_shape(name: str) -> None:
    argv, answers = CASES[name]
    ended = ployzctl("--json", *argv, answers=answers)
    assert (ended.exit_code, ended.err) == (0, "")
    for line in ended.lines:
        assert set(line) == {"ok", "code", "message", "payload"}
        assert (line["ok"], line["code"], line["message"]) == (True, "ok", "")
    golden(f"{name}.jsonl", ended.out)


def _migrate(*options: str) -> Ended:
    answers: dict[type[Message[Any]], Answer] = {
        ApplyMigration: Accepted(samples.OPERATION),
        WatchOperation: pages(*samples.WATCHED),
    }
    return ployzctl(*options, "migrate", "apply", *MOVE, answers=answers)


def test_a_migration_is_told_line_by_line() -> None:
    ended = _migrate()
    assert (ended.exit_code, ended.err) == (0, "")
    golden("migrate-apply.txt", ended.out)


def test_a_migration_is_told_in_json_lines() -> None:
    ended = _migrate("--json")
    assert (ended.exit_code, ended.err) == (0, "")
    kinds = [line["payload"]["kind"] for line in ended.lines]
    assert kinds == ["operation.accepted", *["operation.progress"] * len(samples.PROGRESS), "operation.result"]
    golden("migrate-apply.jsonl", ended.out)


def test_what_is_resumed_is_watched_as_the_operation_that_it_became() -> None:
    answers: dict[type[Message[Any]], Answer] = {
        ResumeOperation: samples.BEGUN_AGAIN,
        WatchOperation: pages(*samples.WATCHED),
    }
    ended = ployzctl("operation", "resume", samples.EARLIER, answers=answers)
    assert (ended.exit_code, ended.err) == (0, "")
    watched = {message.operation_id for _, message in ended.asked if isinstance(message, WatchOperation)}
    assert watched == {samples.OPERATION}
    golden("operation-resume.txt", ended.out)


def test_each_poll_asks_for_what_comes_after_the_last_line() -> None:
    watches = [message for _, message in _migrate().asked if isinstance(message, WatchOperation)]
    assert [watch.after for watch in watches] == [0, 3, 6]


def test_a_guid_keeps_every_digit_in_json() -> None:
    ended = ployzctl("--json", "deploy", "show", samples.OPERATION, answers={ShowDeploy: samples.DEPLOY_DETAIL})
    guids = [each["guid"] for each in ended.lines[0]["payload"]["evidence"]]
    assert guids == [str(samples.GUID), 7]


def _typed(text: str) -> Any:
    from io import StringIO

    return StringIO(text)
