"""Rules of ``zlh-hooks template``: what is printed, what is asked of Proxmox, what needs a --yes."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.clock import FakeClock
from tests.datacentre import Datacentre, MemoryLedger
from zlh_hooks import wiring
from zlh_hooks.application.channel import promote
from zlh_hooks.application.desk import Desk
from zlh_hooks.application.planning import Planner
from zlh_hooks.application.ports import Cluster
from zlh_hooks.application.retag import ChannelPorts
from zlh_hooks.cli.template import app
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.errors import NotAllowed, RoadError, TargetError
from zlh_hooks.domain.line import Promotion
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.steps import TargetEvent
from zlh_hooks.simulation.builder import DATA_PATH

LINE = "game-base"


def policy(percent: int = 0) -> Policy:
    """One line that keeps one version; guests from 6000 on are dev guests."""
    line = {
        "data_paths": [DATA_PATH],
        "probes": [{"kind": "agent"}],
        "keep_versions": 1,
        "new_guests_percent": percent,
    }
    kinds = {"game": {"vmids": ["5000-5999"], "line": LINE}, "dev": {"vmids": ["6000-6999"], "line": LINE}}
    return Policy.model_validate({"time_zone": "Europe/Berlin", "kinds": kinds, "lines": {LINE: line}})


class DeafHook:
    name = "url api.example"

    def send_promotion(self, promotion: Promotion) -> None:
        raise RoadError("url api.example: answered 503")


class World:
    """Two nodes with versions 1 (stable) and 2, and one guest born from 1. Stands where a site would."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.clock = FakeClock()
        self.datacentre = Datacentre(self.clock)
        for number, node in enumerate(("n1", "n2")):
            self.datacentre.add_node(node)
            self.datacentre.add_storage("local", node)
            self.datacentre.add_template(LINE, "1", node, 9001 + 10 * number, channel="stable")
            self.datacentre.add_template(LINE, "2", node, 9002 + 10 * number)
        self.datacentre.add_guest(5001, "n1", version="1")
        self.memory = MemoryLedger(self.clock, self.datacentre.faults)
        self.policy = policy()
        self.hooks: list[DeafHook] = []
        self.opened_ledger = False
        self.worker_started = False

    @property
    def cluster(self) -> Cluster:
        return self.datacentre.cluster

    @property
    def ledger(self) -> MemoryLedger:
        self.opened_ledger = True
        return self.memory

    def engine(self, ledger: MemoryLedger) -> "World":
        return self

    def open_channels(self, line: str) -> ChannelPorts:
        return ChannelPorts(self.cluster.inventory, self.cluster.editor, self.memory, self.clock, self.hooks)

    def desk(self) -> Desk:
        return Desk(self.memory, "tester")

    def summon_worker(self) -> None:
        self.worker_started = True

    def run(self, *arguments: str) -> Any:
        """What the command printed, as ``out`` and ``err``."""
        app(list(arguments), standalone_mode=False)
        return self.capsys.readouterr()

    def read(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json").out)

    def retag(self, vmid: int, tag: str) -> None:
        self.datacentre.containers[vmid].values["tags"] += f";{tag}"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> World:
    world = World(capsys)
    monkeypatch.setattr(wiring, "open_site", lambda config, policy: world)
    return world


# --- pick


def test_pick_prints_the_vmid_and_nothing_else(world: World) -> None:
    assert world.run("pick", LINE, "--key", "5012").out == "9001\n"


def test_pick_asks_proxmox_once_and_leaves_the_ledger_alone(world: World) -> None:
    world.run("pick", LINE, "--key", "5012")
    assert [call.names for call in world.datacentre.faults.log] == [("list_guests",)]
    assert not world.opened_ledger


def test_pick_takes_the_template_of_the_wanted_node(world: World) -> None:
    assert world.run("pick", LINE, "--key", "5012", "--node", "n2").out == "9011\n"


def test_pick_says_version_node_and_channel_as_json(world: World) -> None:
    answer = world.read("pick", LINE, "--key", "5012")
    assert answer == {"vmid": 9001, "node": "n1", "version": "1", "channel": "stable"}


def test_pick_sends_the_policys_share_to_the_candidate(world: World) -> None:
    world.retag(9002, "zlh-channel.canary")
    world.policy = policy(percent=100)
    assert world.run("pick", LINE, "--key", "5012").out == "9002\n"


def test_pick_serves_a_line_that_the_policy_does_not_name(world: World) -> None:
    world.policy = Policy(time_zone="UTC")
    assert world.run("pick", LINE, "--key", "5012").out == "9001\n"


def test_pick_warns_beside_its_answer_where_tags_contradict(world: World) -> None:
    world.datacentre.add_template(LINE, "2", "n1", 9005)
    result = world.run("pick", LINE, "--key", "5012")
    assert result.out == "9001\n"
    assert "game-base 2 is claimed by templates 9002, 9005 on n1" in result.err


def test_pick_without_a_stable_version_is_an_error_that_says_so(world: World) -> None:
    for vmid in (9001, 9011):
        world.retag(vmid, "zlh-revoked")
    with pytest.raises(TargetError, match="no version of game-base is stable; promote one of 2"):
        world.run("pick", LINE, "--key", "5012")


# --- list


def test_list_shows_versions_channels_templates_and_how_many_guests_carry_them(world: World) -> None:
    shown = world.read("list")
    assert shown["versions"][0] == {
        "line": LINE,
        "version": "1",
        "channels": ["stable"],
        "revoked": False,
        "templates": {"n1": 9001, "n2": 9011},
        "guests": 1,
    }
    assert [version["version"] for version in shown["versions"]] == ["1", "2"]
    assert "9001 on n1, 9011 on n2" in world.run("list", LINE).out


def test_a_guest_that_was_made_before_there_were_lines_counts_for_that_of_its_kind(world: World) -> None:
    world.datacentre.add_guest(5002, "n1", version="1")
    world.datacentre.containers[5002].values["tags"] = "zlh-version.1"
    assert world.read("list")["versions"][0]["guests"] == 2


def test_list_of_one_line_leaves_the_others_out(world: World) -> None:
    world.datacentre.add_template("dev-base", "1", "n1", 9101)
    assert {version["line"] for version in world.read("list", LINE)["versions"]} == {LINE}
    with pytest.raises(TargetError, match="no template of line game; lines with templates: dev-base, game-base"):
        world.run("list", "game")


def test_list_reports_contradictory_tags(world: World) -> None:
    world.retag(9002, "zlh-version.3")
    assert "has 2 versions" in world.read("list")["problems"][0]
    assert "has 2 versions" in world.run("list").err


# --- promote and revoke


def test_promote_says_where_stable_is_now(world: World) -> None:
    assert "game-base: stable is 2 now (9002 on n1, 9012 on n2)" in world.run("promote", LINE, "2").out
    assert world.read("promote", LINE, "2") == {"line": LINE, "stable": "2", "templates": {"n1": 9002, "n2": 9012}}


def test_promote_fails_loudly_when_somebody_was_not_told(world: World) -> None:
    world.hooks.append(DeafHook())
    with pytest.raises(RoadError, match=r"stable is 2, but not everybody knows: .*answered 503; promote it again"):
        world.run("promote", LINE, "2")


def test_revoke_needs_a_reason(world: World) -> None:
    result = CliRunner().invoke(app, ["revoke", LINE, "1"])
    assert result.exit_code == 2
    assert "--reason" in result.output


def test_revoke_moves_stable_back_and_says_what_can_be_done_for_whom(world: World) -> None:
    promote(world.open_channels(LINE), LINE, "2")
    world.datacentre.add_guest(5002, "n1", version="2")
    world.datacentre.add_guest(5003, "n1", version="2", data_paths=())
    world.datacentre.add_guest(6001, "n2", version="2")
    shown = world.read("revoke", LINE, "2", "--reason", "agent dies")
    assert (shown["revoked"], shown["stable"], shown["reason"]) == ("2", "1", "agent dies")
    assert {guest["vmid"]: (guest["remedy"], guest["detail"]) for guest in shown["guests"]} == {
        5002: ("roll", "1"),
        5003: ("live patch only", f"customer data ({DATA_PATH}) lies in the root, not on a volume of its own"),
        6001: ("its owner must act", "policy does not exchange roots of dev guests"),
    }


def test_revoke_takes_back_exchanges_that_wait_for_a_restart(world: World) -> None:
    new = "local:5001/vm-5001-disk-9.raw"
    plan = Planner(world.cluster.inventory, world.clock, world.policy).plan_rollout(LINE, "2", "tester")
    world.desk().submit(plan)
    world.memory.append(Draft(Kind.EVENT, TargetEvent.STAGED, plan.id, 5001, {"volume": new}))
    world.desk().close_by_force(plan.id, "its worker cannot be brought back")
    container = world.datacentre.containers[5001]
    container.pending |= {"rootfs": f"{new},size=1G", "unused0": container.config.rootfs.volume}
    shown = world.read("revoke", LINE, "2", "--reason", "bad")
    assert shown["pending"] == [{"vmid": 5001, "state": "taken back", "reason": ""}]
    assert container.pending == {}


def test_revoke_orders_a_rollout_of_that_version_back(world: World) -> None:
    plan = Planner(world.cluster.inventory, world.clock, world.policy).plan_rollout(LINE, "2", "tester")
    world.desk().submit(plan)
    shown = world.read("revoke", LINE, "2", "--reason", "bad")
    assert shown["rollout"] == plan.id
    assert world.worker_started
    assert [entry.name for entry in world.memory.read(plan.id) if entry.kind is Kind.COMMAND] == ["revert"]


def test_revoke_says_when_nothing_is_left_to_pick(world: World) -> None:
    world.run("revoke", LINE, "2", "--reason", "bad")
    assert "nothing can be picked" in world.run("revoke", LINE, "1", "--reason", "bad").out


# --- retain


def test_retain_shows_what_it_would_destroy_and_destroys_nothing(world: World) -> None:
    world.datacentre.add_template(LINE, "0.9", "n1", 9000)
    result = world.run("retain", LINE)
    assert "0.9" in result.out
    assert "nothing was destroyed; --yes destroys these templates" in result.out
    assert 9000 in world.datacentre.containers


def test_retain_with_yes_destroys_what_nobody_needs_and_only_that(world: World) -> None:
    world.datacentre.add_template(LINE, "0.9", "n1", 9000)
    assert [version["version"] for version in world.read("retain", LINE, "--yes")["versions"]] == ["0.9"]
    assert sorted(world.datacentre.containers) == [5001, 9001, 9002, 9011, 9012]


def test_retain_says_why_nothing_goes(world: World) -> None:
    assert "nothing to destroy" in world.run("retain", LINE, "--yes").out


def test_retain_of_a_line_without_policy_is_refused(world: World) -> None:
    world.policy = Policy(time_zone="UTC")
    with pytest.raises(NotAllowed, match="line game-base is not in the policy"):
        world.run("retain", LINE, "--yes")
