"""What can be wrong with a template, at its exact path."""

from __future__ import annotations

import pytest

from tests.unit.manifest.examples import service, told

TEMPLATE_MISTAKES = [
    (
        "user = '-rf'",
        "user: '-rf' is not a user: write a name or a number, and a group if you like, such as \"999:999\"",
    ),
    ("command = 'serve'", "command: is a list, not text"),
    ("command = ['serve', 80]", "command[1]: is text, not an integer; write it in quotes"),
    ('command = ["a\\u0000"]', "command[0]: has a NUL character"),
    ("env = { PORT = 5432 }", "env.PORT: is text, not an integer; write it in quotes"),
    ("env = { DEBUG = true }", "env.DEBUG: is text, not true or false; write it in quotes"),
    ('env = { A = "\\u0000" }', "env.A: has a NUL character"),
    ("env = { 1A = '' }", "env.1A: is no name of a variable: use letters, digits and '_', and no digit first"),
    ("env = { 'A=B' = '' }", "env.\"A=B\": is no name of a variable: use letters, digits and '_', and no digit first"),
    ("env = ['A=B']", "env: is a table, not a list"),
    (
        "labels = { 'ployz.operation' = 'x' }",
        "labels.\"ployz.operation\": begins with 'ployz.': those labels say which operation made a container",
    ),
    (
        "labels = { '-a' = 'x' }",
        "labels.-a: is no label: use letters, digits, '.', '_', '/' and '-', with a letter or a digit at both ends",
    ),
    ("cap_add = ['net_admin']", "cap_add[0]: 'net_admin' is not a capability, such as \"NET_ADMIN\""),
    ("sysctls = { somaxconn = '1' }", "sysctls.somaxconn: is no sysctl, such as net.core.somaxconn"),
    (
        "sysctls = { 'net.core.somaxconn' = 1 }",
        'sysctls."net.core.somaxconn": is text, not an integer; write it in quotes',
    ),
    ("resources = { memory_bytes = '5M' }", "resources.memory_bytes: is at least 6M, not 5242880 bytes"),
    ("resources = { cpu_millicores = 0 }", "resources.cpu_millicores: is 1 to 1000000, not 0"),
    ("resources = { cpus = 1 }", "resources.cpus: is no key here"),
    ("pull_policy = 'sometimes'", 'pull_policy: is one of "missing", "always", "never", not \'sometimes\''),
    ("stop_signal = 'TERM'", "stop_signal: 'TERM' is not a signal, such as \"SIGTERM\""),
    ("stop_grace_period = '25h'", "stop_grace_period: is 0s to 24h, not '25h'"),
    ("mounts = [{ target = '/a' }]", "mounts[0].source: is missing"),
    ("mounts = [{ source = 'tmpfs' }]", "mounts[0].target: is missing"),
    (
        "mounts = [{ source = 'data', target = '/a' }]",
        "mounts[0].source: is \"tmpfs\" or { volume = … } or { bind = … }, not 'data'",
    ),
    (
        "mounts = [{ source = { volume = 'data', bind = '/a' }, target = '/a' }]",
        "mounts[0].source: has exactly one of volume, bind, not volume and bind",
    ),
    (
        "mounts = [{ source = { volume = '-a' }, target = '/a' }]",
        "mounts[0].source.volume: '-a' is no volume name: use a-z, 0-9 and '-', with a letter or a digit at both ends",
    ),
    (
        "mounts = [{ source = { bind = 'a' }, target = '/a' }]",
        "mounts[0].source.bind: 'a' is no absolute path: it begins with '/'",
    ),
    (
        "mounts = [{ source = { bind = '/a/../b' }, target = '/a' }]",
        "mounts[0].source.bind: '/a/../b' is no plain path: write it without '.', '..', '//' and a '/' at the end",
    ),
    (
        "mounts = [{ source = 'tmpfs', target = '/a', readonly = 'yes' }]",
        "mounts[0].readonly: is true or false, not text",
    ),
    ("mounts = ['data:/data']", "mounts[0]: is a table, not text"),
]


@pytest.mark.parametrize(("line", "text"), TEMPLATE_MISTAKES)
def test_what_is_wrong_with_a_template(line: str, text: str) -> None:
    assert told(service(template=line)) == [f"services[0].template.{text}"]


@pytest.mark.parametrize(
    "target", ["", "data", "/", "//", "/a/", "/a//b", "/a/./b", "/../a", "/a/..", "/a\\nb", "/a\\u0000"]
)
def test_a_mount_has_an_absolute_plain_target(target: str) -> None:
    (line,) = told(service(template=f"""mounts = [{{ source = "tmpfs", target = "{target}" }}]"""))
    assert line.startswith("services[0].template.mounts[0].target: ")


@pytest.mark.parametrize("image", ["", " ", "-v", "a b", "a\\nb", "a\\tb", "a\\u0000", "a\\u00a0b"])
def test_an_image_is_a_reference_that_is_no_option(image: str) -> None:
    (line,) = told(service().replace("'web:1'", f'"{image}"'))
    assert line.startswith("services[0].template.image: ")
