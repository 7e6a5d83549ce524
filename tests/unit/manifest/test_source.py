"""Texts that are not worth parsing, and texts that would cost more than their length."""

from __future__ import annotations

import pytest

from ployz.manifest import Format, InvalidManifest, parse
from ployz.manifest.limits import CANONICAL_BYTES_MAX, MISTAKES_MAX, SERVICES_MAX, TEXT_BYTES_MAX
from tests.unit.manifest.examples import DATABASE, service, told

TOO_LARGE = ["the text is larger than 1024 KiB"]
TOO_DEEP = ["the text is nested more than 32 levels deep"]


@pytest.mark.parametrize("text", ["a" * (10 * 2**20), "[[services]]\n" * 900_000, b"\0" * (10 * 2**20)])
def test_ten_mebibytes_are_refused_unread(text: str | bytes) -> None:
    assert told(text) == TOO_LARGE


def test_the_limit_is_of_bytes_and_not_of_characters() -> None:
    comment = DATABASE + "#"
    fits = comment + "é" * ((TEXT_BYTES_MAX - len(comment)) // 2)
    assert parse(fits) == parse(DATABASE)
    assert told(fits + "éé") == TOO_LARGE


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000_000,
        '{"a":' * 200_000,
        "a = " + "[" * 1_000_000,
        "a = " + "{ a = " * 100_000,
        "a." * 500_000 + "a = 1",
        '"a" . ' * 100_000 + "a = 1",
        "[" + "a." * 500_000 + "a]",
        "a = { " + "'a'." * 200_000 + "a = 1 }",
    ],
)
def test_depth_bombs_are_refused_unparsed(text: str) -> None:
    assert told(text) == TOO_DEEP


@pytest.mark.parametrize(
    "value",
    [
        f'"{"[" * 100}"',
        f"'{'[' * 100}'",
        f'"""\n{"[" * 100}\\""" "" {"{" * 100}"""',
        f"'''\n{'[' * 100}''{'{' * 100}\n'''",
        f'"{"a." * 100}"',
        f"'a' # {'[' * 100}\n",
    ],
)
def test_brackets_and_dots_in_strings_and_comments_are_not_depth(value: str) -> None:
    assert parse(service(template=f"env = {{}}\n[services.template.labels]\na = {value}")).services


def test_what_is_no_toml_is_told_with_its_line() -> None:
    assert told("namespace = ") == ["the text is no TOML: Invalid value (at end of document)"]
    assert told("namespace = 'a'\nnamespace = 'b'") == [
        "the text is no TOML: Cannot overwrite a value (at end of document)"
    ]


def test_what_is_no_json_is_told_with_its_line() -> None:
    assert told('{"namespace": ') == ["the text is no JSON: Expecting value: line 1 column 15 (char 14)"]


def test_json_that_is_no_table_is_no_manifest() -> None:
    with pytest.raises(InvalidManifest, match="is a table, not a list"):
        parse("[]", Format.JSON)


def test_json_keys_that_are_given_twice_are_told_with_their_path() -> None:
    text = '{"namespace": "a", "volumes": [{"name": "x", "name": "y", "name": "z"}], "namespace": "b"}'
    assert told(text) == ["namespace: is given more than once", "volumes[0].name: is given more than once"]


@pytest.mark.parametrize("text", [b"\xff", b"namespace = '\xc3'", "namespace = '\ud800'"])
def test_what_is_no_utf_8_is_refused(text: str | bytes) -> None:
    assert told(text) == ["the text is no UTF-8 text"]


@pytest.mark.parametrize("text", ["a = " + "9" * 5000, '{"a": ' + "9" * 5000 + "}"])
def test_a_number_too_long_to_read_is_refused(text: str) -> None:
    assert told(text) == ["the text has a number that is too long to read"]


def test_an_empty_text_lacks_a_namespace() -> None:
    assert told("") == told("{}") == ["namespace: is missing"]


def test_too_many_services_are_one_mistake() -> None:
    services = "".join(
        f"[[services]]\nname = 's{number}'\ntemplate = {{ image = 'i' }}\n" for number in range(SERVICES_MAX + 1)
    )
    assert told("namespace = 'a'\n" + services) == [
        f"services: has at most {SERVICES_MAX} entries, not {SERVICES_MAX + 1}"
    ]


def test_reading_ends_when_there_are_mistakes_enough() -> None:
    with pytest.raises(InvalidManifest, match=f"the rest was not read: {MISTAKES_MAX} mistakes are enough") as refusal:
        parse("".join(f"key-{number} = 1\n" for number in range(50_000)))
    assert len(refusal.value.mistakes) == MISTAKES_MAX


def test_a_long_key_is_shown_in_part() -> None:
    (line, _) = told("k" * 1000 + " = 1")
    assert line == "k" * 64 + "…: is no key here"


def test_what_could_not_be_rendered_and_offered_again_is_refused() -> None:
    large = service(template=f"env = {{ A = '{'a' * CANONICAL_BYTES_MAX}' }}")
    assert told(large) == ["the manifest is larger than 512 KiB as JSON"]
