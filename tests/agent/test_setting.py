"""The plugin's settings: defaults, and errors that name file and key."""

from pathlib import Path

import pytest

from agent_plugin.fault import BadInput
from agent_plugin.setting import TIMER_SECONDS, Settings, parse_address, read_settings

UNITS = Path(__file__).parents[2] / "agent_plugin" / "units"


def test_without_a_file_everything_has_its_default(tmp_path: Path) -> None:
    assert read_settings(tmp_path / "none") == Settings()


def test_every_key_of_the_modules_page_is_read(tmp_path: Path) -> None:
    import agent_plugin.setting

    text = str(agent_plugin.setting.__doc__).partition("::\n")[2]
    file = tmp_path / "conf"
    file.write_text("\n".join(line.strip() for line in text.splitlines()))
    source = {"url": "https://updates.example.net/agents", "line": "game-base", "ca_file": "/etc/ssl/zlh-ca.pem"}
    lists = {"reach": ("10.0.0.5:4000",), "helpers": ("curl",), "workload": ("mysql.service",)}
    probe = ("/usr/local/bin/probe-game", "--quick")
    assert read_settings(file) == Settings(**source, **lists, probe=probe)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[agent]\nprot = 1", r"\[agent\] prot is unknown"),
        ("[trial]\nport = 1", r"\[trial\] port is unknown"),
        ("[agent]\nport = 0", "port 0: 1 to 65535 is wanted"),
        ("[agent]\nport = ten", "port 'ten': a whole number is wanted"),
        ("[agent]\nhandover = none", "handover 'none': socket or restart is wanted"),
        ("[agent]\nhealth = health", "path 'health': it must begin with /"),
        ("[agent]\noperations = /a b", "path 'b'"),
        ("[agent]\nreach = somewhere", "address 'somewhere': host:port is wanted"),
        ("[trial]\nbake_seconds = 120", "bake_seconds 120 must be less than deadline_seconds 120"),
        ("[trial]\ndeadline_seconds = 151", "at most 150: after 180 s the deadline timer goes back"),
        ("[source]\nurl = https://x.example", "line is missing"),
        ("[source]\nvmid = mine", "vmid 'mine': a number from 100 on, or hostname"),
        ("[patch]\nprobe = probe-game", "probe 'probe-game': the program's whole path is wanted"),
        ("[patch]\nprobe = /bin/x 'y", "probe .*: No closing quotation"),
        ("[trial]\nreserve_mb = -1", "reserve_mb '-1'"),
        ("port = 1", "no section headers"),
        ("[agent]\nport = 1\nport = 2", "already exists"),
    ],
)
def test_a_mistake_is_told_with_its_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "conf"
    file.write_text(text)
    with pytest.raises(BadInput, match=words) as raised:
        read_settings(file)
    assert str(file) in str(raised.value)


def test_the_longest_trial_ends_before_the_deadline_timer() -> None:
    assert f"OnActiveSec={TIMER_SECONDS}\n" in (UNITS / "zlh-agent-revert.timer").read_text()


def test_no_unit_of_the_way_back_can_reach_a_start_limit() -> None:
    names = ("zlh-agent.socket", "zlh-agent.service", "zlh-agent-revert@.service", "zlh-agent-revert.timer")
    assert [name for name in names if "StartLimitIntervalSec=0\n" not in (UNITS / name).read_text()] == []


def test_an_address_may_be_of_either_family() -> None:
    assert (parse_address("[::1]:80"), parse_address("a.b:65535")) == (("::1", 80), ("a.b", 65535))
