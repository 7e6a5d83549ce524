"""What an intent must agree with."""

from __future__ import annotations

from ployz.manifest import parse
from tests.unit.manifest.examples import DATABASE, service, told

WITHOUT_INTENT = DATABASE.split("[intent]")[0]
DB_TO_B = "services = [{ service = 'db', move = { to_machine = 'machine-b' } }]"
MOUNT = "mounts = [{ source = { volume = 'data' }, target = '/data' }]"


def moving(volumes: str = "", services: str = DB_TO_B, manifest: str = WITHOUT_INTENT) -> str:
    return f"{manifest}\n[intent]\nvolumes = [{volumes}]\n{services}"


def volume(name: str = "pgdata", from_machine: str = "machine-a", to_machine: str = "machine-b") -> str:
    return f"{{ volume = '{name}', move = {{ from_machine = '{from_machine}', to_machine = '{to_machine}' }} }}"


def test_an_intent_names_declared_things() -> None:
    text = moving(
        f"{volume()}, {volume('pgdta')}", DB_TO_B.replace("}]", "}, { service = 'd', move = { to_machine = 'm' } }]")
    )
    assert told(text) == [
        "intent.volumes[1].volume: volume 'pgdta' is not declared; did you mean 'pgdata'?",
        "intent.services[1].service: service 'd' is not declared; did you mean 'db'?",
    ]


def test_a_moved_service_takes_its_volumes_along() -> None:
    assert told(moving()) == [
        "intent.services[0]: volume 'pgdata' of service 'db' must move too: add it to intent.volumes"
    ]


def test_a_service_and_its_volumes_go_to_the_same_machine() -> None:
    assert told(moving(volume(to_machine="machine-c"))) == [
        "intent.services[0].move.to_machine: 'machine-b' is not where volume 'pgdata' goes: 'machine-c'"
    ]


def test_a_volume_is_not_moved_away_from_a_service_that_stays() -> None:
    assert told(moving(volume(), services="")) == [
        "intent.volumes[0].volume: volume 'pgdata' is mounted by 'db', which stays"
    ]


def test_a_shared_volume_moves_with_every_service_that_mounts_it() -> None:
    shared = service(template=MOUNT)
    shared += "\n[[services]]" + shared.split("[[services]]")[1].replace("'web'", "'worker'")
    web = "{ service = 'web', move = { to_machine = 'machine-b' } }"
    both = f"services = [{web}, {web.replace('web', 'worker')}]"
    assert told(moving(volume("data"), f"services = [{web}]", shared)) == [
        "intent.volumes[0].volume: volume 'data' is mounted by 'worker', which stays"
    ]
    assert len(parse(moving(volume("data"), both, shared)).intent.services) == 2


def test_a_volume_that_nobody_mounts_moves_alone() -> None:
    assert len(parse(moving(volume("data"), "", service())).intent.volumes) == 1


def test_a_service_without_volumes_moves_alone() -> None:
    web = "services = [{ service = 'web', move = { to_machine = 'machine-b' } }]"
    assert len(parse(moving("", web, service())).intent.services) == 1


def test_a_thing_moves_once_so_that_moves_make_no_cycle() -> None:
    there_and_back = f"{volume()}, {volume(from_machine='machine-b', to_machine='machine-a')}"
    assert "intent.volumes[1].volume: 'pgdata' moves already: one deploy moves a thing once" in told(
        moving(there_and_back)
    )
    twice = DB_TO_B.replace("}]", "}, { service = 'db', move = { to_machine = 'machine-b' } }]")
    assert told(moving(volume(), twice)) == [
        "intent.services[1].service: 'db' moves already: one deploy moves a thing once"
    ]


def test_a_volume_does_not_move_to_where_it_is() -> None:
    assert told(moving(volume(from_machine="machine-b"))) == [
        "intent.volumes[0].move.to_machine: 'machine-b' is where it comes from"
    ]


def test_a_service_moves_only_to_a_machine_that_may_run_it() -> None:
    web = "services = [{ service = 'web', move = { to_machine = 'machine-b' } }]"
    assert told(moving("", web, service("on = ['machine-a', 'machine-c']"))) == [
        "intent.services[0].move.to_machine: 'machine-b' is not in `on` of service 'web'"
    ]


def test_a_global_service_does_not_move() -> None:
    web = "services = [{ service = 'web', move = { to_machine = 'machine-b' } }]"
    assert told(moving("", web, service("placement = 'global'"))) == [
        "intent.services[0].service: 'web' is global: it runs on every machine already"
    ]


def test_a_move_says_where_to() -> None:
    assert told(moving("{ volume = 'pgdata' }")) == [
        "intent.volumes[0].move: is missing",
    ]
