from __future__ import annotations

import pytest

from ployz.errors import Code, Refused
from ployz.projections.settings import MachineSettings, Setting, parse_setting, parse_settings


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("gateway=on", "gateway=on"),
        ("gateway=off", "gateway=off"),
        ("bandwidth=2048K", "bandwidth=2M"),
        ("bandwidth=none", "bandwidth=none"),
        ("endpoint=192.0.2.9:051820", "endpoint=192.0.2.9:51820"),
        ("endpoint=[2001:DB8:0::9]:51820", "endpoint=[2001:db8::9]:51820"),
        ("mtu=01340", "mtu=1340"),
        ("mtu=auto", "mtu=auto"),
        ("label.zone=Cellar_2", "label.zone=Cellar_2"),
        ("label.zone=", "label.zone="),
    ],
)
def test_a_setting_is_stored_in_one_form(text: str, stored: str) -> None:
    assert str(parse_setting(text)) == stored
    assert parse_setting(stored) == parse_setting(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gateway", "write KEY=VALUE"),
        ("gateway=yes", "on or off, not 'yes'"),
        ("Gateway=on", "no setting 'Gateway'"),
        ("bandwidth=fast", "'fast' is no size"),
        ("bandwidth=0", "at least 64K a second"),
        ("endpoint=192.0.2.9", "'192.0.2.9' is no endpoint"),
        ("endpoint=", "'' is no endpoint"),
        ("endpoint=0.0.0.0:51820", "no machine has the address"),
        ("mtu=1279", "'1279' is no mtu: it is 1280 to 1420 bytes, or auto"),
        ("mtu=14200", "is no mtu"),
        ("mtu=", "is no mtu"),
        ("mtu=\u0661\u0663\u0664\u0660", "is no mtu"),
        ("label.=x", "label name is not empty"),
        ("label.a_b=x", "no label name"),
        ("label.zone=two words", "is no label"),
    ],
)
def test_a_bad_setting_is_refused_and_says_what_there_is(text: str, said: str) -> None:
    with pytest.raises(Refused) as refusal:
        parse_setting(text)
    assert refusal.value.code == Code.INVALID_SETTING
    assert said in refusal.value.problem.text
    for key in ("gateway", "bandwidth", "label.NAME"):
        assert key in refusal.value.problem.advice


def test_a_key_is_given_once() -> None:
    with pytest.raises(Refused, match="gateway is given twice"):
        parse_settings(["gateway=on", "gateway=off"])


def test_what_was_never_set_has_its_default() -> None:
    assert [str(each) for each in MachineSettings().listed()] == ["gateway=off", "bandwidth=none", "mtu=auto"]


def test_settings_follow_each_other_and_the_last_one_counts() -> None:
    settings = MachineSettings()
    for text in ("gateway=on", "bandwidth=50M", "label.zone=a", "label.rack=1", "label.zone=b", "label.rack="):
        settings = settings.with_(parse_setting(text))
    assert settings == MachineSettings(gateway=True, bandwidth_bytes_s=50 << 20, labels={"zone": "b"})
    assert settings.with_(parse_setting("bandwidth=none")).bandwidth_bytes_s is None


def test_a_key_that_only_a_newer_ployz_knows_changes_nothing() -> None:
    assert MachineSettings().with_(Setting("colour", "red")) == MachineSettings()
