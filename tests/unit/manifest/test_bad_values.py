"""Every kind of bad value, at its exact path."""

from __future__ import annotations

import json
import math

import pytest

from ployz.errors import Code, Refused
from ployz.manifest import InvalidManifest, parse
from tests.unit.manifest.examples import DATABASE, service, told


def with_name(where: str, name: object) -> str:
    data = {
        "namespace": "production",
        "volumes": [{"name": "data"}],
        "services": [
            {"name": "web", "service_ports": [{"name": "http", "container_port": 80}], "template": {"image": "i"}}
        ],
    }
    place: object = data
    *parents, last = where.replace("[0]", ".0").split(".")
    for step in parents:
        place = place[int(step)] if isinstance(place, list) else place[step]  # type: ignore[index]
    place[last] = name  # type: ignore[index]
    return json.dumps(data)


NAMED = ["namespace", "volumes[0].name", "services[0].name", "services[0].service_ports[0].name"]


@pytest.mark.parametrize("path", NAMED)
@pytest.mark.parametrize(
    "name",
    [
        "",
        "a" * 64,
        "../",
        "..",
        "-rf",
        "rf-",
        "a b",
        "a@b",
        "a/b",
        "a\nb",
        "ab\n",
        "a\0b",
        "A",
        "ä",
        "a_b",
        "?",
        "\ud800",
    ],
)
def test_what_is_no_name_is_refused_everywhere(path: str, name: str) -> None:
    (line,) = told(with_name(path, name))
    assert line.startswith(f"{path}: ")


@pytest.mark.parametrize("path", NAMED)
@pytest.mark.parametrize(("name", "kind"), [(5, "int"), (True, "bool"), (None, "NoneType"), ([], "list"), ({}, "dict")])
def test_a_name_is_text(path: str, name: object, kind: str) -> None:
    (line,) = told(with_name(path, name))
    assert line.startswith(f"{path}: a ")
    assert line.endswith(f"is text, not {kind}")


def test_the_longest_name_is_fine() -> None:
    assert parse(with_name("namespace", "a" * 63)).namespace == "a" * 63


PORTS = {
    "services[0].service_ports[0].container_port": "service_ports = [{{ name = 'http', container_port = {} }}]",
    "services[0].publish[0].host_port": "publish = [{{ service_port = 'http', host_port = {} }}]",
    "services[0].routes[0].tcp.listen_port": "routes = [{{ tcp = {{ service_port = 'http', listen_port = {} }} }}]",
}


@pytest.mark.parametrize("path", PORTS)
@pytest.mark.parametrize(
    ("port", "text"),
    [
        ("0", "is 1 to 65535, not 0"),
        ("65536", "is 1 to 65535, not 65536"),
        ("-1", "is 1 to 65535, not -1"),
        ("0x1" + "0" * 16, "is 1 to 65535, not a number of more than 64 bits"),
        ("80.0", "is an integer, not a number that is no integer"),
        ("nan", "is an integer, not a number that is no integer"),
        ("'80'", "is an integer, not text"),
        ("true", "is an integer, not true or false"),
        ("1979-05-27", "is an integer, not a date"),
    ],
)
def test_a_port_is_an_integer_of_1_to_65535(path: str, port: str, text: str) -> None:
    line = PORTS[path].format(port)
    declared = "" if line.startswith("service_ports") else "service_ports = [{ name = 'http', container_port = 80 }]"
    assert told(service(declared, line)) == [f"{path}: {text}"]


VOLUME_MISTAKES = [
    ("quota = '-1G'", "quota: '-1G' is no size: write bytes, or a number with K, M, G or T, such as \"20G\""),
    ("quota = -1", "quota: is at least 1M, not less than nothing"),
    ("quota = 0", "quota: is at least 1M, not 0 bytes"),
    ("quota = '20'", "quota: is at least 1M, not 20 bytes"),
    ("quota = '16777216T'", "quota: is more bytes than 63 bits count"),
    ("quota = nan", 'quota: is a size such as "20G" or an integer of bytes, not a number that is no integer'),
    ("quota = inf", 'quota: is a size such as "20G" or an integer of bytes, not a number that is no integer'),
    ("quota = true", 'quota: is a size such as "20G" or an integer of bytes, not true or false'),
    ("recordsize = '100K'", "recordsize: is a power of 2 from 512 bytes to 16M, not 100K"),
    ("recordsize = '32M'", "recordsize: is a power of 2 from 512 bytes to 16M, not 32M"),
    (
        "compression = 'lz44'",
        'compression: \'lz44\' is not a compression of ZFS, such as "lz4", "zstd-3", "gzip", "on" or "off"',
    ),
    (
        "sync = 'disabled'",
        'sync: is "standard" or "always": with "disabled", a power cut loses what the service was told is stored',
    ),
    ("mode = 700", 'mode: is an octal mode in quotes, such as "0700"'),
    ("mode = 0o700", 'mode: is an octal mode in quotes, such as "0700"'),
    ("mode = '0800'", 'mode: is an octal mode in quotes, such as "0700"'),
    ("mode = '70'", 'mode: is an octal mode in quotes, such as "0700"'),
    ("owner = 'postgres'", 'owner: is "UID:GID" in numbers, such as "999:999": names differ from image to image'),
    ("owner = '999'", 'owner: is "UID:GID" in numbers, such as "999:999": names differ from image to image'),
    ("owner = '0:4294967295'", "owner: has a number above 4294967294"),
]


@pytest.mark.parametrize(("line", "text"), VOLUME_MISTAKES)
def test_what_is_wrong_with_a_volume(line: str, text: str) -> None:
    assert told(f"namespace = 'a'\n[[volumes]]\nname = 'data'\n{line}") == [f"volumes[0].{text}"]


def test_nan_and_infinity_of_json_are_refused_at_their_place() -> None:
    for number in ("NaN", "Infinity", "-Infinity", "1e999"):
        lines = told(f'{{"namespace": "a", "volumes": [{{"name": "data", "quota": {number}}}]}}')
        assert [line.split(": ")[0] for line in lines] == ["volumes[0].quota"]
    assert math.isinf(json.loads("1e999"))


def test_an_unknown_key_is_told_with_the_nearest_known_one() -> None:
    assert told(DATABASE.replace("quota =", "quotta =")) == ["volumes[0].quotta: is no key here; did you mean 'quota'?"]
    assert told(DATABASE.replace("[intent]", "[zzz]\n[intent]")) == ["zzz: is no key here"]


def test_a_missing_table_is_one_mistake_and_not_one_for_each_of_its_keys() -> None:
    assert told('namespace = "a"\nservices = [{ name = "web" }]') == ["services[0].template: is missing"]
    assert told('namespace = "a"\nservices = ["web"]') == ["services[0]: is a table, not text"]
    assert told('namespace = "a"\nservices = "web"') == ["services: is a list, not text"]


def test_no_secret_is_shown() -> None:
    lines = told(service("comand = 'hunter2'", template="env = { A = 112233, 'B C' = 'hunter2' }\ncommand = 'hunter2'"))
    assert len(lines) == 4
    assert not any("hunter2" in line or "112233" in line for line in lines)


def test_eight_mistakes_are_listed_at_once_and_in_order() -> None:
    text = """
    namespace = "Production"
    volumes = [{ name = "data", quota = "20X" }, { name = "data", quta = "20G" }]
    [[services]]
    name = "db"
    publish = [{ service_port = "pg", host_port = 0 }]
    [services.template]
    image = "postgres:17"
    env = { PORT = 5432 }
    mounts = [{ source = "tmpfs", target = "/tmp" }, { source = { volume = "dta" }, target = "/data" }]
    """
    paths = [line.split(": ")[0] for line in told(text)]
    assert paths == [
        "namespace",
        "volumes[0].quota",
        "volumes[1].quta",
        "services[0].publish[0].host_port",
        "services[0].template.env.PORT",
        "volumes[1].name",
        "services[0].template.mounts[1].source",
        "services[0].publish[0].service_port",
    ]


def test_the_refusal_is_an_operating_error_with_a_line_for_each_mistake() -> None:
    with pytest.raises(InvalidManifest) as refusal:
        parse('namespace = "A"\nvolums = []')
    assert isinstance(refusal.value, Refused)
    assert refusal.value.code is Code.INVALID_MANIFEST
    assert refusal.value.problem.text == (
        "the manifest has 2 mistakes:\n"
        "  volums: is no key here; did you mean 'volumes'?\n"
        "  namespace: 'A' is no namespace: use a-z, 0-9 and '-', with a letter or a digit at both ends"
    )
