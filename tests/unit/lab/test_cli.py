import pytest

from ployz.lab import cli


def test_the_lab_may_be_named_before_and_after_the_command() -> None:
    parse = cli.parser().parse_args
    assert parse(["status"]).name == "lab"
    assert parse(["--name", "two", "status"]).name == "two"
    assert parse(["status", "--name", "two"]).name == "two"


def test_what_follows_exec_is_left_as_it_is() -> None:
    parsed = cli.parser().parse_args(["exec", "machine-a", "--", "ls", "--name", "-l"])
    assert parsed.machine == "machine-a"
    assert parsed.argv[-3:] == ["ls", "--name", "-l"]
    assert parsed.name == "lab"


def test_images_can_go_to_some_machines_only() -> None:
    parsed = cli.parser().parse_args(["image", "web", "redis", "--machine", "machine-a", "--machine", "machine-b"])
    assert parsed.images == ["web", "redis"]
    assert parsed.machine == ["machine-a", "machine-b"]


@pytest.mark.parametrize("name", ["../etc", "A", "", "a b", "-rf"])
def test_a_bad_lab_name_is_a_usage_error(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert cli.main(["status", f"--name={name}"]) == 2
    assert capsys.readouterr().err.startswith("error [invalid-name]: ")


def test_without_root_nothing_is_tried(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert cli.main(["up"]) == 1
    assert "it needs root" in capsys.readouterr().err
