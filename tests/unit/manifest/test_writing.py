"""Manifests as text and as hashes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings

from ployz.manifest import Manifest, manifest_hash, parse, template_hash, to_canonical_json, to_toml, without_intent
from ployz.manifest.model import Publish, Service, Template
from tests.unit.manifest.any_manifest import manifests
from tests.unit.manifest.examples import DATABASE, service

BOUNDED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@BOUNDED
@given(manifests())
def test_what_is_written_is_read_back_equal(manifest: Manifest) -> None:
    assert parse(to_toml(manifest)) == manifest
    assert parse(to_canonical_json(manifest)) == manifest


@BOUNDED
@given(manifests())
def test_equal_manifests_give_equal_bytes(manifest: Manifest) -> None:
    again = parse(to_toml(manifest))
    assert to_canonical_json(again) == to_canonical_json(manifest)
    assert to_toml(again) == to_toml(manifest)


def test_canonical_json_is_one_line_with_sorted_keys_and_no_defaults() -> None:
    assert to_canonical_json(parse(service(template="env = { B = 'é\\n', A = '' }\ncommand = []"))) == (
        '{"namespace":"production","services":[{"name":"web","template":{"env":{"A":"","B":"é\\\\n"},"image":"web:1"}}],'
        '"volumes":[{"name":"data"}]}'
    )


def test_the_toml_of_a_manifest_is_what_a_person_would_write() -> None:
    assert to_toml(parse(DATABASE)) == (
        """\
namespace = "production"

[[volumes]]
name = "pgdata"
quota = "20G"
mode = "0700"
owner = "999:999"

[[services]]
name = "db"
service_ports = [{ name = "pg", container_port = 5432 }]
publish = [{ service_port = "pg", host_port = 5432 }]
routes = [{ tcp = { service_port = "pg", listen_port = 5432 } }]
readiness = { tcp = { service_port = "pg" } }

[services.template]
image = "postgres:17"
env = { POSTGRES_DB = "app" }
mounts = [{ source = { volume = "pgdata" }, target = "/var/lib/postgresql/data" }]
stop_grace_period = "30s"

[intent]
volumes = [{ volume = "pgdata", move = { from_machine = "machine-a", to_machine = "machine-b" } }]
services = [{ service = "db", move = { to_machine = "machine-b" } }]
"""
    )


def test_the_order_of_env_does_not_matter() -> None:
    one, other = (parse(service(template=f"env = {env}")) for env in ("{ A = '1', B = '2' }", "{ B = '2', A = '1' }"))
    assert to_toml(one) == to_toml(other)
    assert manifest_hash(one) == manifest_hash(other)


def test_the_hash_is_of_the_canonical_json() -> None:
    manifest = parse(DATABASE)
    assert manifest_hash(manifest) == hashlib.sha256(to_canonical_json(manifest).encode()).hexdigest()
    assert manifest_hash(without_intent(manifest)) != manifest_hash(manifest)


def test_a_stored_manifest_keeps_its_bytes() -> None:
    """What is committed is compared by these bytes for ever: a change here replaces containers of every user."""
    manifest = without_intent(parse(DATABASE))
    assert json.loads(to_canonical_json(manifest))["volumes"] == [
        {"mode": "0700", "name": "pgdata", "owner": "999:999", "quota": "20G"}
    ]
    assert manifest_hash(manifest) == "6e75524a3dbc5de30979ae9c3a88b01a8fc740f99acd0c4ebe9fe658978e9f24"
    assert (
        template_hash(manifest.services[0], "sha256:1")
        == "be116f31072fa5f7be6504b7b716e1fa1807ec212689e34c092206af000dc06a"
    )


DB = parse(DATABASE).services[0]


def changed(**changes: Any) -> Service:
    return evolve(DB, template=evolve(DB.template, **changes))


@pytest.mark.parametrize(
    "other",
    [
        changed(command=("postgres", "-c", "fsync=on")),
        changed(entrypoint=("/entry",)),
        changed(user="999"),
        changed(env={"POSTGRES_DB": "other"}),
        changed(mounts=()),
        changed(labels={"a": "b"}),
        changed(cap_add=("NET_ADMIN",)),
        changed(cap_drop=("ALL",)),
        changed(sysctls={"net.core.somaxconn": "1"}),
        changed(resources=evolve(DB.template.resources, cpu_millicores=1)),
        changed(stop_signal="SIGINT"),
        evolve(DB, restart="no"),
        evolve(DB, publish=()),
        evolve(DB, publish=(Publish(DB.publish[0].service_port, 5433),)),
        evolve(DB, service_ports=(evolve(DB.service_ports[0], container_port=5433),)),
        evolve(DB, service_ports=(evolve(DB.service_ports[0], protocol="udp"),)),
    ],
)
def test_what_a_container_is_made_from_changes_the_template_hash(other: Service) -> None:
    assert template_hash(other, "sha256:1") != template_hash(DB, "sha256:1")


def test_another_image_changes_the_template_hash() -> None:
    assert template_hash(DB, "sha256:1") != template_hash(DB, "sha256:2")


@pytest.mark.parametrize(
    "other",
    [
        changed(image="postgres:latest"),
        changed(pull_policy="always"),
        changed(stop_grace_period_s=1.0),
        evolve(DB, routes=()),
        evolve(DB, readiness=None),
    ],
)
def test_what_changes_in_place_does_not_change_the_template_hash(other: Service) -> None:
    assert template_hash(other, "sha256:1") == template_hash(DB, "sha256:1")


def test_a_template_of_defaults_hashes_as_one_that_says_them() -> None:
    assert template_hash(evolve(DB, template=Template("a", env={})), "i") == template_hash(
        evolve(DB, template=Template("b")), "i"
    )
