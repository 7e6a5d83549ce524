from __future__ import annotations

from attrs import evolve

from ployz.errors import Code
from ployz.ids import MachineId, ServiceRef
from ployz.manifest import Manifest, parse
from ployz.manifest.model import Intent, Leave
from ployz.plan.model import Change, ImageOrigin, ImagePlan, Plan
from ployz.plan.reports import Unanswered
from tests.unit.plan.examples import (
    DB,
    MOVE_DB,
    POSTGRES,
    POSTGRES_ID,
    WEB,
    WEB_ID,
    A,
    B,
    C,
    changes,
    cluster,
    codes,
    dataset,
    intent,
    planned,
    postgres,
    report,
    service,
)

HEAD = 'namespace = "production"\n'
NEWER_ID = "sha256:" + "f" * 64


def image(plan: Plan, name: str = "db") -> ImagePlan:
    (found,) = {slot.image for slot in plan.slots if slot.service == name}
    assert found is not None
    return found


# ---------------------------------------------------------------- what changes


def test_a_new_service_is_created_with_its_volume() -> None:
    plan = planned(cluster().view, POSTGRES)
    assert changes(plan) == {"db/slot-1": (Change.CREATE, A), "pgdata": (Change.CREATE, A)}
    assert plan.predicted_cutover_ms == 0
    assert not plan.changes_nothing


def test_the_same_manifest_again_changes_nothing() -> None:
    plan = planned(postgres().view, POSTGRES)
    assert plan.changes_nothing
    assert plan.participants == (A,)
    assert [slot.image for slot in plan.slots] == [None]


def test_a_changed_template_replaces_the_container_where_it_is() -> None:
    plan = planned(postgres().view, POSTGRES.replace('"app"', '"other"'))
    assert changes(plan) == {"db/slot-1": (Change.REPLACE, A), "pgdata": (Change.UNCHANGED, A)}
    assert plan.predicted_cutover_ms > 0


def test_what_changes_in_place_replaces_nothing() -> None:
    plan = planned(
        postgres().view, POSTGRES.replace('image = "postgres:17"', 'image = "postgres:17"\nstop_grace_period = "30s"')
    )
    assert plan.changes_nothing
    assert "stop_grace_period" in plan.manifest


def test_a_service_that_is_left_out_is_removed_and_its_volume_stays() -> None:
    text = POSTGRES[: POSTGRES.index("[[services]]")]
    assert changes(planned(postgres().view, text)) == {
        "db/slot-1": (Change.REMOVE, A),
        "pgdata": (Change.UNCHANGED, A),
    }


def test_a_kept_slot_keeps_its_addresses_wherever_it_goes() -> None:
    world = postgres()
    (before,) = world.view.placement.of_service(DB)
    for text in (POSTGRES + MOVE_DB, POSTGRES.replace('"app"', '"other"')):
        (slot,) = planned(world.view, text).slots
        assert (slot.ipv6, slot.ipv4) == (before.ipv6, before.ipv4)


def test_a_slot_whose_machine_is_gone_is_made_anew_on_its_address_and_nobody_is_asked_there() -> None:
    world = cluster(A, B)
    world.commit(HEAD + service("web", 'on = ["machine-b"]'))
    (before,) = world.view.placement.of_service(ServiceRef.parse("production/web"))
    world.lose(B)
    plan = planned(world.view, HEAD + WEB)
    assert changes(plan) == {"web/slot-1": (Change.CREATE, A)}
    assert plan.slots[0].ipv4 == before.ipv4
    assert plan.slots[0].previous == before
    assert plan.participants == (A,)
    assert plan.blockers == ()


def test_a_service_is_removed_although_its_machine_is_gone() -> None:
    world = cluster(A, B)
    world.commit(HEAD + service("web", 'on = ["machine-b"]'))
    world.lose(B)
    plan = planned(world.view, HEAD)
    assert changes(plan) == {"web/slot-1": (Change.REMOVE, B)}
    assert plan.participants == (A,)
    assert plan.blockers == ()


# ---------------------------------------------------------------- images


def test_a_tag_is_pinned_while_the_manifest_says_the_same_although_it_has_moved_on() -> None:
    moved_on = report(A, dataset(), images={"postgres:17": NEWER_ID, POSTGRES_ID: POSTGRES_ID})
    world = postgres()
    assert planned(world.view, POSTGRES, {A: moved_on}).changes_nothing
    replaced = planned(world.view, POSTGRES.replace('"app"', '"other"'), {A: moved_on})
    assert image(replaced).image_id == POSTGRES_ID


def test_a_new_replica_gets_the_image_of_its_service() -> None:
    world = cluster()
    world.commit(HEAD + WEB)
    two = HEAD + service("web", "placement = { replicated = { count = 2 } }")
    newer = {name: report(name, images={"web:1": NEWER_ID}) for name in (B, C)}
    plan = planned(world.view, two, {A: report(A, images={"web:1": NEWER_ID, WEB_ID: WEB_ID}), **newer})
    (_, second) = plan.slots
    assert second.change is Change.CREATE
    assert second.image == ImagePlan("web:1", WEB_ID, ImageOrigin.COPIED, A, 400 << 20)


def test_replicas_get_one_image_although_machines_disagree_about_the_tag() -> None:
    two = HEAD + service("web", "placement = { replicated = { count = 2 } }")
    plan = planned(cluster().view, two, {B: report(B, images={"web:1": NEWER_ID})})
    assert [slot.machine for slot in plan.slots] == [A, B]
    assert {slot.image.image_id for slot in plan.slots if slot.image} == {WEB_ID}


def test_where_machines_disagree_about_a_tag_the_coordinator_is_right() -> None:
    newer = {B: report(B, images={"web:1": NEWER_ID})}
    by_a, by_b = (planned(cluster().view, HEAD + WEB, newer, coordinator=each) for each in (A, B))
    assert image(by_a, "web") == ImagePlan("web:1", WEB_ID, ImageOrigin.PRESENT, None, 400 << 20)
    assert image(by_b, "web") == ImagePlan("web:1", NEWER_ID, ImageOrigin.COPIED, B, 400 << 20)


def test_an_image_that_the_source_alone_has_is_copied_from_it() -> None:
    plan = planned(postgres().view, POSTGRES + MOVE_DB, {B: report(B, images={})})
    assert image(plan) == ImagePlan("postgres:17", POSTGRES_ID, ImageOrigin.COPIED, A, 400 << 20)


def test_an_image_that_the_target_has_by_its_id_alone_is_present() -> None:
    plan = planned(postgres().view, POSTGRES + MOVE_DB, {B: report(B, images={POSTGRES_ID: POSTGRES_ID})})
    assert image(plan).origin is ImageOrigin.PRESENT


def test_an_image_that_nobody_has_is_pulled() -> None:
    plan = planned(cluster().view, POSTGRES, {A: report(A, images={})})
    assert image(plan) == ImagePlan("postgres:17", "", ImageOrigin.PULLED, None, 0)
    assert plan.blockers == ()


def test_an_image_that_nobody_has_and_that_is_never_pulled_stands_in_the_way() -> None:
    text = POSTGRES.replace('image = "postgres:17"', 'image = "postgres:17"\npull_policy = "never"')
    assert codes(planned(cluster().view, text, {A: report(A, images={})})) == [Code.IMAGE_MISSING]


def test_always_pulls_with_each_deploy_and_not_with_a_move() -> None:
    text = POSTGRES.replace('image = "postgres:17"', 'image = "postgres:17"\npull_policy = "always"')
    world = cluster()
    world.commit(text.replace("always", "missing"))
    assert image(planned(world.view, text)).origin is ImageOrigin.PULLED
    moved = image(planned(world.view, text + MOVE_DB))
    assert (moved.origin, moved.image_id) == (ImageOrigin.PRESENT, POSTGRES_ID)


def test_another_tag_is_another_image() -> None:
    world = postgres()
    text = POSTGRES.replace("postgres:17", "postgres:18")
    newer = report(A, dataset(), images={"postgres:18": NEWER_ID, POSTGRES_ID: POSTGRES_ID})
    plan = planned(world.view, text, {A: newer})
    assert changes(plan)["db/slot-1"] == (Change.REPLACE, A)
    assert image(plan).image_id == NEWER_ID


# ---------------------------------------------------------------- who must answer


def away(machine: MachineId) -> Unanswered:
    return Unanswered(machine, "no route to it")


def test_a_participant_that_does_not_answer_stands_in_the_way() -> None:
    for machine in (A, B):
        assert Code.MACHINE_UNREACHABLE in codes(planned(postgres().view, POSTGRES + MOVE_DB, {machine: away(machine)}))


def test_a_machine_that_is_away_does_not_stop_what_it_has_no_part_in() -> None:
    agent = service("agent", 'placement = "global"')
    world = cluster()
    world.commit(POSTGRES + agent)
    plan = planned(world.view, POSTGRES + agent + MOVE_DB, {C: away(C)})
    assert plan.participants == (A, B)
    assert plan.blockers == ()


def test_what_is_removed_from_a_machine_that_does_not_answer_waits_for_it_to_be_back() -> None:
    world = cluster()
    world.commit(HEAD + service("web", 'on = ["machine-b"]'))
    plan = planned(world.view, HEAD, {B: away(B)})
    assert (codes(plan), changes(plan), plan.participants) == ([], {"web/slot-1": (Change.REMOVE, B)}, (A,))
    assert list(map(str, plan.waiting)) == [
        "web/slot-1 on machine-b is no slot any more; its container goes when the machine is back"
    ]


WEB_ON_ALL = HEAD + service("web", "placement = { replicated = { count = 3 } }")


def test_a_deploy_does_what_it_can_and_says_what_waits() -> None:
    world = cluster()
    world.commit(WEB_ON_ALL)
    plan = planned(world.view, WEB_ON_ALL.replace("web:1", "postgres:17"), {B: away(B)})
    assert (codes(plan), plan.participants) == ([], (A, C))
    assert changes(plan) == {
        "web/slot-1": (Change.REPLACE, A),
        "web/slot-2": (Change.UNCHANGED, B),
        "web/slot-3": (Change.REPLACE, C),
    }
    assert list(map(str, plan.waiting)) == ["web/slot-2 on machine-b stays as it is"]
    kept = next(each for each in plan.slots if each.slot == "slot-2")
    assert kept.previous is not None
    assert kept.template_hash == kept.previous.template_hash


def test_the_same_deploy_does_the_rest_when_the_machine_is_back_and_a_move_does_not() -> None:
    world = cluster()
    world.commit(WEB_ON_ALL)
    other = WEB_ON_ALL.replace("web:1", "postgres:17")
    plan = planned(world.view, other, {B: away(B)})
    world.commit_plan(plan)
    again = planned(world.view, other)
    assert [name for name, (change, _) in changes(again).items() if change is not Change.UNCHANGED] == ["web/slot-2"]
    leave = evolve(parse(other), intent=Intent(leave=Leave(A)))
    assert changes(planned(world.view, leave))["web/slot-2"] == (Change.UNCHANGED, B)


def test_scaling_down_gives_up_the_slots_of_dead_machines_first_and_names_stay() -> None:
    world = cluster()
    world.commit(WEB_ON_ALL)
    two = WEB_ON_ALL.replace("count = 3", "count = 2")
    plan = planned(world.view, two, {B: away(B)})
    assert changes(plan) == {
        "web/slot-1": (Change.UNCHANGED, A),
        "web/slot-3": (Change.UNCHANGED, C),
        "web/slot-2": (Change.REMOVE, B),
    }
    world.commit_plan(plan)
    assert planned(world.view, two).changes_nothing
    assert set(changes(planned(world.view, WEB_ON_ALL))) == {"web/slot-1", "web/slot-2", "web/slot-3"}


def test_scaling_up_goes_past_a_machine_that_does_not_answer() -> None:
    world = cluster()
    world.commit(WEB_ON_ALL)
    plan = planned(world.view, WEB_ON_ALL.replace("count = 3", "count = 6"), {B: away(B)})
    made = [machine for change, machine in changes(plan).values() if change is Change.CREATE]
    assert (codes(plan), sorted(made)) == ([], [A, A, C])


def test_a_global_service_is_made_where_an_answer_comes_from() -> None:
    plan = planned(cluster().view, HEAD + service("agent", 'placement = "global"'), {B: away(B)})
    assert (codes(plan), sorted(changes(plan))) == ([], ["agent/machine-a", "agent/machine-c"])
    assert list(map(str, plan.waiting)) == ["agent/machine-b on machine-b is not made"]


def leave_gone(text: str) -> Manifest:
    return evolve(parse(text), intent=Intent(leave=Leave(B, gone=True)))


def test_what_a_machine_had_that_is_gone_is_made_elsewhere_with_its_address() -> None:
    world = cluster()
    world.commit(WEB_ON_ALL)
    plan = planned(world.view, leave_gone(WEB_ON_ALL), {B: away(B)})
    slot = next(each for each in plan.slots if each.slot == "slot-2")
    assert (codes(plan), slot.change, slot.machine, slot.stranded) == ([], Change.CREATE, A, True)
    assert slot.previous is not None
    assert (slot.ipv4, slot.ipv6) == (slot.previous.ipv4, slot.previous.ipv6)
    assert B not in plan.participants


def test_what_has_data_on_a_machine_that_is_gone_stays_there() -> None:
    world = cluster()
    bound = service("web").replace("mounts = []", 'mounts = [{ source = { bind = "/srv" }, target = "/srv" }]')
    text = 'namespace = "production"\n[[volumes]]\nname = "data"\n' + service("db", mounts=["data"]) + bound
    world.commit(text, coordinator=B)
    on = {each.machine for _, each in world.view.placement.slots()}
    for machine in on:
        gone = evolve(parse(text), intent=Intent(leave=Leave(machine, gone=True)))
        plan = planned(world.view, gone, {machine: away(machine)}, coordinator=C)
        assert all(change is Change.UNCHANGED for change, _ in changes(plan).values())


def test_a_machine_that_answers_is_not_gone() -> None:
    world = cluster()
    world.commit(WEB_ON_ALL)
    assert Code.MACHINE_ANSWERS in codes(planned(world.view, leave_gone(WEB_ON_ALL)))


def test_a_move_from_a_machine_that_is_away_is_still_shown_as_a_move() -> None:
    plan = planned(postgres().view, POSTGRES + MOVE_DB, {A: away(A)})
    assert changes(plan)["pgdata"] == (Change.MOVE, B)


# ---------------------------------------------------------------- binds and addresses


def test_a_service_with_a_bind_mount_does_not_migrate() -> None:
    bind = '\nmounts = [{ source = { bind = "/srv" }, target = "/srv" }]'
    world = cluster()
    world.commit(HEAD + WEB + bind)
    plan = planned(world.view, HEAD + WEB + bind + intent("web"))
    assert codes(plan) == [Code.BIND_MOUNT]
    assert "/srv of machine-a" in plan.blockers[0].text


def test_all_blockers_are_told_at_once() -> None:
    world = postgres()
    full = evolve(report(B, dataset(epoch=3)), pool_free_bytes=0)
    found = codes(planned(world.view, POSTGRES + MOVE_DB, {B: full}))
    assert found == [Code.DATASET_IN_THE_WAY, Code.NO_SPACE]


def test_slots_without_an_address_left_stand_in_the_way() -> None:
    world = cluster()
    assert world.view.machines.cluster is not None
    world.view.machines.cluster = evolve(world.view.machines.cluster, workload_ipv4_subnet="10.210.0.0/28")
    small = codes(planned(world.view, HEAD + WEB))
    assert small == [Code.NO_ADDRESS]


def test_the_plan_carries_the_manifest_without_its_intent() -> None:
    plan = planned(postgres().view, POSTGRES + MOVE_DB)
    assert parse(plan.manifest) == parse(POSTGRES)
