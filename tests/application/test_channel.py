"""Rules of moving channels: what is pointed to when, what a crash leaves, what is never touched."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.clock import FakeClock
from tests.datacentre import Crash, Datacentre, MemoryLedger
from zlh_hooks.application.channel import (
    LineChannels,
    mark_candidate,
    promote,
    restore,
    revoke,
    unmark_candidate,
)
from zlh_hooks.application.retag import ChannelPorts
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import (
    GuestLocked,
    GuestMissing,
    NotAllowed,
    RoadError,
    SettingsError,
    TargetError,
    ZlhError,
)
from zlh_hooks.domain.line import Promotion, TemplateVersion, choose_template, parse_catalogue

LINE = "game-base"
STABLE, CANARY, REVOKED = "zlh-channel.stable", "zlh-channel.canary", "zlh-revoked"


class RecordingHook:
    """Remembers what it was told; refuses while ``error`` is set."""

    name = "recorder"

    def __init__(self) -> None:
        self.told: list[Promotion] = []
        self.error: ZlhError | None = None

    def send_promotion(self, promotion: Promotion) -> None:
        if self.error:
            raise self.error
        self.told.append(promotion)


class World:
    """Two nodes with versions 1 (stable), 2 and 3 of one line, and a template of another line."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.datacentre = Datacentre(self.clock)
        self.ledger = MemoryLedger(self.clock, self.datacentre.faults)
        self.hook = RecordingHook()
        for number, node in enumerate(("n1", "n2")):
            self.datacentre.add_node(node)
            self.datacentre.add_storage("local", node)
            for version in ("1", "2", "3"):
                channel = "stable" if version == "1" else None
                vmid = 9000 + 10 * number + int(version)
                self.datacentre.add_template(LINE, version, node, vmid, channel=channel, tags=("golden",))
        self.datacentre.add_template("dev-base", "1", "n1", 9101, channel="stable")
        cluster = self.datacentre.cluster
        self.ports = ChannelPorts(cluster.inventory, cluster.editor, self.ledger, self.clock, (self.hook,))

    def tags(self, vmid: int) -> set[str]:
        return set(self.datacentre.containers[vmid].config.tags)

    def version(self, name: str) -> TemplateVersion:
        return parse_catalogue(self.ports.inventory.list_guests()).version_of(LINE, name)

    def pick(self) -> str:
        versions = parse_catalogue(self.ports.inventory.list_guests()).versions_of(LINE)
        return choose_template(versions, "5012").version

    def stable(self) -> list[str]:
        versions = parse_catalogue(self.ports.inventory.list_guests()).versions_of(LINE)
        return [version.version for version in versions if version.is_stable]

    def retag(self, vmid: int, *tags: str) -> None:
        values = self.datacentre.containers[vmid].values
        values["tags"] = ";".join(sorted({*values["tags"].split(";"), *tags}))

    def entries(self) -> list[tuple[Kind, str]]:
        return [(entry.kind, entry.name) for entry in self.ledger.read()]


@pytest.fixture
def world() -> World:
    return World()


# --- promote


def test_promoting_moves_stable_on_every_node(world: World) -> None:
    moved = promote(world.ports, LINE, "2")
    assert world.version("2").is_stable
    assert STABLE not in world.tags(9001) | world.tags(9011)
    assert {STABLE} <= world.tags(9002) & world.tags(9012)
    assert moved.promotion.templates == {"n1": 9002, "n2": 9012}


def test_other_tags_and_other_lines_are_never_touched(world: World) -> None:
    promote(world.ports, LINE, "2")
    assert world.tags(9001) == {"golden", "zlh-line.game-base", "zlh-version.1"}
    assert world.tags(9002) == {"golden", "zlh-line.game-base", "zlh-version.2", STABLE}
    assert STABLE in world.tags(9101)


def test_a_promoted_version_is_no_candidate_any_more(world: World) -> None:
    mark_candidate(world.ports, LINE, "2")
    promote(world.ports, LINE, "2")
    assert CANARY not in world.tags(9002) | world.tags(9012)


def test_at_every_moment_of_a_promotion_something_can_be_picked(world: World) -> None:
    seen = []
    for nth in range(1, 5):
        world.datacentre.faults.meanwhile("write_config", lambda: seen.append(world.pick()), nth)
    promote(world.ports, LINE, "2")
    assert seen == ["1", "2", "2", "2"]


@pytest.mark.parametrize("nth", range(1, 5))
@pytest.mark.parametrize("order", ["die_before", "die_after"])
def test_a_promotion_that_died_anywhere_is_completed_by_running_it_again(world: World, order: str, nth: int) -> None:
    getattr(world.datacentre.faults, order)("write_config", nth)
    with pytest.raises(Crash):
        promote(world.ports, LINE, "2")
    world.datacentre.faults.restart()
    promote(world.ports, LINE, "2")
    assert world.stable() == ["2"]
    assert [told.version for told in world.hook.told] == ["2"]


def test_promoting_again_writes_no_tags(world: World) -> None:
    promote(world.ports, LINE, "2")
    before = world.datacentre.faults.calls("write_config")
    promote(world.ports, LINE, "2")
    assert world.datacentre.faults.calls("write_config") == before


def test_a_revoked_version_is_not_promoted(world: World) -> None:
    world.retag(9012, REVOKED)
    with pytest.raises(NotAllowed, match="game-base 2 is revoked"):
        promote(world.ports, LINE, "2")
    assert world.stable() == ["1"]


def test_a_version_revoked_while_it_is_promoted_does_not_become_stable(world: World) -> None:
    world.datacentre.faults.meanwhile("read_config", lambda: world.retag(9002, REVOKED))
    with pytest.raises(NotAllowed, match="revoked meanwhile"):
        promote(world.ports, LINE, "2")
    assert world.stable() == ["1"]


@pytest.mark.parametrize(("line", "version"), [("game-bas", "2"), (LINE, "4")])
def test_an_unknown_version_is_not_promoted(world: World, line: str, version: str) -> None:
    with pytest.raises(TargetError, match=r"no template of line game-bas|has no version 4; it has 1, 2, 3"):
        promote(world.ports, line, version)
    assert world.entries() == []


def test_a_customers_clone_is_waited_for(world: World) -> None:
    world.datacentre.lock(9002, "disk", timedelta(seconds=30))
    promote(world.ports, LINE, "2")
    assert world.stable() == ["2"]
    assert timedelta(seconds=30) <= timedelta(seconds=world.clock.monotonic()) < timedelta(seconds=35)


def test_a_lock_that_stays_is_reported_after_the_patience_and_stable_stays_where_it_was(world: World) -> None:
    world.datacentre.lock(9002, "backup", timedelta(hours=1))
    with pytest.raises(GuestLocked, match="backup"):
        promote(world.ports, LINE, "2")
    assert world.clock.monotonic() <= world.ports.patience.total_seconds() + 1
    assert {STABLE} <= world.tags(9001) & world.tags(9011)
    assert world.entries()[-1] == (Kind.FAILED, "promote")


def test_a_config_changed_by_somebody_else_is_read_again_and_their_tag_stays(world: World) -> None:
    world.datacentre.faults.meanwhile("write_config", lambda: world.retag(9002, "theirs"))
    promote(world.ports, LINE, "2")
    assert {"theirs", STABLE} <= world.tags(9002)


@pytest.mark.parametrize("order", ["lose_answer", "reset_before"])
def test_after_a_lost_answer_it_looks_and_goes_on(world: World, order: str) -> None:
    getattr(world.datacentre.faults, order)("write_config")
    promote(world.ports, LINE, "2")
    assert world.stable() == ["2"]


def test_a_number_that_is_another_guest_by_now_is_not_tagged(world: World) -> None:
    def rename() -> None:
        world.datacentre.containers[9002].values["tags"] = "zlh-line.dev-base;zlh-version.2"

    world.datacentre.faults.meanwhile("read_config", rename)
    with pytest.raises(TargetError, match="9002 on n1 is no template of game-base 2 any more"):
        promote(world.ports, LINE, "2")
    assert STABLE not in world.tags(9002)


def test_the_intent_stands_before_the_first_write_and_the_outcome_after_the_last(world: World) -> None:
    promote(world.ports, LINE, "2")
    assert world.entries() == [
        (Kind.INTENT, "promote"),
        (Kind.INTENT, "send_promotion"),
        (Kind.DONE, "send_promotion"),
        (Kind.EVENT, "promoted"),
        (Kind.DONE, "promote"),
    ]
    assert dict(world.ledger.read()[3].data) == {"line": LINE, "version": "2"}


@pytest.mark.parametrize(
    "error", [RoadError("connection refused"), SettingsError("t", "token_file", "mode 0644", "0640")]
)
def test_a_hook_that_fails_does_not_undo_the_promotion_and_is_reported(world: World, error: ZlhError) -> None:
    world.hook.error = error
    moved = promote(world.ports, LINE, "2")
    assert moved.untold == (f"recorder: {error}",)
    assert world.stable() == ["2"]
    assert (Kind.FAILED, "send_promotion") in world.entries()


# --- revoke


def test_a_revoked_version_loses_its_channels_on_every_node(world: World) -> None:
    promote(world.ports, LINE, "2")
    revoke(world.ports, LINE, "2", "agent dies")
    for vmid in (9002, 9012):
        assert world.tags(vmid) == {"golden", "zlh-line.game-base", "zlh-version.2", REVOKED}


def test_stable_goes_back_to_the_version_that_had_it_before(world: World) -> None:
    promote(world.ports, LINE, "1")
    promote(world.ports, LINE, "3")
    revocation = revoke(world.ports, LINE, "3", "agent dies")
    assert world.stable() == ["1"]  # and not 2, which is newer but never was stable
    assert revocation.stable == "1"
    assert [told.version for told in world.hook.told] == ["1", "3", "1"]


def test_a_version_that_was_stable_before_but_is_revoked_is_passed_over(world: World) -> None:
    for version in ("1", "2", "3"):
        promote(world.ports, LINE, version)
    revoke(world.ports, LINE, "2", "leaks memory")
    assert world.stable() == ["3"]
    revoke(world.ports, LINE, "3", "leaks more")
    assert world.stable() == ["1"]


def test_without_history_stable_goes_to_the_next_lower_version(world: World) -> None:
    promote(world.ports, LINE, "3")
    lost = MemoryLedger(world.clock)
    revoke(ChannelPorts(world.ports.inventory, world.ports.editor, lost, world.clock), LINE, "3", "bad")
    assert world.stable() == ["2"]


def test_with_no_sound_version_left_nothing_is_stable_and_the_hooks_learn_it(world: World) -> None:
    for version in ("3", "2"):
        revoke(world.ports, LINE, version, "bad")
    revocation = revoke(world.ports, LINE, "1", "bad")
    assert revocation.stable is None
    assert (world.hook.told[-1].version, world.hook.told[-1].templates) == (None, {})
    with pytest.raises(TargetError, match="every version of game-base is revoked"):
        world.pick()


def test_revoking_a_candidate_leaves_stable_alone(world: World) -> None:
    mark_candidate(world.ports, LINE, "2")
    revocation = revoke(world.ports, LINE, "2", "canary failed")
    assert CANARY not in world.tags(9002)
    assert (revocation.stable, revocation.moved) == ("1", None)
    assert world.hook.told == []


def test_the_bad_version_is_stopped_before_its_successor_is_looked_for(world: World) -> None:
    promote(world.ports, LINE, "2")
    seen: list[bool] = []
    world.datacentre.faults.afterwards("write_config", lambda: seen.append(world.version("2").revoked))
    revoke(world.ports, LINE, "2", "bad")
    assert seen == [True]


@pytest.mark.parametrize("nth", range(1, 7))
@pytest.mark.parametrize("order", ["die_before", "die_after"])
def test_a_revocation_that_died_anywhere_is_completed_by_running_it_again(world: World, order: str, nth: int) -> None:
    promote(world.ports, LINE, "2")
    getattr(world.datacentre.faults, order)("write_config", nth)
    with pytest.raises(Crash):
        revoke(world.ports, LINE, "2", "bad")
    world.datacentre.faults.restart()
    assert revoke(world.ports, LINE, "2", "bad").stable == "1"
    assert world.stable() == ["1"]
    assert {REVOKED} <= world.tags(9002) & world.tags(9012)
    assert world.hook.told[-1].version == "1"


def test_a_revocation_that_died_before_the_hooks_tells_them_when_run_again(world: World) -> None:
    promote(world.ports, LINE, "2")
    appends_before_the_hook = 2  # the intent and the event "revoked"; the third is the hook's intent
    world.datacentre.faults.die_before("append", appends_before_the_hook + 1)
    with pytest.raises(Crash):
        revoke(world.ports, LINE, "2", "bad")
    world.datacentre.faults.restart()
    assert STABLE not in world.tags(9002)
    revoke(world.ports, LINE, "2", "bad")
    assert world.hook.told[-1].version == "1"


def test_one_locked_template_does_not_keep_the_version_from_being_revoked(world: World) -> None:
    promote(world.ports, LINE, "2")
    world.datacentre.lock(9002, "backup", timedelta(hours=1))
    with pytest.raises(GuestLocked):
        revoke(world.ports, LINE, "2", "bad")
    assert world.pick() == "1"


def test_templates_whose_tags_contradict_are_revoked_too(world: World) -> None:
    world.datacentre.add_template(LINE, "2", "n1", 9005)  # the second of version 2 on n1
    revoke(world.ports, LINE, "2", "bad")
    assert {REVOKED} <= world.tags(9002) & world.tags(9005) & world.tags(9012)


def test_an_unknown_version_cannot_be_revoked(world: World) -> None:
    with pytest.raises(TargetError, match="has no version 4"):
        revoke(world.ports, LINE, "4", "bad")
    with pytest.raises(TargetError, match="cannot be ordered"):
        revoke(world.ports, LINE, "latest", "bad")


# --- candidates and restore


def test_only_one_version_is_the_candidate(world: World) -> None:
    mark_candidate(world.ports, LINE, "2")
    mark_candidate(world.ports, LINE, "3")
    assert CANARY not in world.tags(9002) | world.tags(9012)
    assert {CANARY} <= world.tags(9003) & world.tags(9013)
    unmark_candidate(world.ports, LINE, "3")
    assert CANARY not in world.tags(9003) | world.tags(9013)


def test_a_stable_version_needs_no_candidate_mark(world: World) -> None:
    mark_candidate(world.ports, LINE, "1")
    assert CANARY not in world.tags(9001)


def test_restore_gives_stable_back_to_the_version_that_had_it(world: World) -> None:
    promote(world.ports, LINE, "2")
    assert restore(world.ports, LINE, "1", instead_of="2") is not None
    assert world.stable() == ["1"]
    assert not world.version("2").revoked


def test_restore_leaves_stable_alone_where_somebody_else_has_put_it_since(world: World) -> None:
    promote(world.ports, LINE, "2")
    promote(world.ports, LINE, "3")
    assert restore(world.ports, LINE, "1", instead_of="2") is None
    assert world.stable() == ["3"]


@pytest.mark.parametrize("nth", range(1, 5))
def test_a_restore_that_died_anywhere_is_completed_by_running_it_again(world: World, nth: int) -> None:
    promote(world.ports, LINE, "2")
    world.datacentre.faults.die_after("write_config", nth)
    with pytest.raises(Crash):
        restore(world.ports, LINE, "1", instead_of="2")
    world.datacentre.faults.restart()
    restore(world.ports, LINE, "1", instead_of="2")
    assert world.stable() == ["1"]
    assert world.hook.told[-1].version == "1"


def test_restore_to_a_version_that_is_gone_finds_the_one_before_it(world: World) -> None:
    promote(world.ports, LINE, "2")
    promote(world.ports, LINE, "3")
    revoke(world.ports, LINE, "2", "bad")
    restore(world.ports, LINE, "2", instead_of="3")
    assert world.stable() == ["1"]


# --- as a rollout asks for it


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda channels: channels.offer(LINE, "2"), TargetError),
        (lambda channels: channels.promote(LINE, "2"), TargetError),
        (lambda channels: channels.withdraw(LINE, "2"), RoadError),
        (lambda channels: channels.revoke(LINE, "2", "bad"), RoadError),
    ],
)
def test_what_pauses_a_rollout_forward_is_tried_again_on_its_way_back(
    world: World, act: Callable[[LineChannels], None], expected: type[ZlhError]
) -> None:
    world.retag(9002, CANARY)
    world.datacentre.faults.refuse("read_config", GuestMissing("gone"), vmid=9002, times=99)
    with pytest.raises(expected):
        act(LineChannels(world.ports))


def test_a_rollout_goes_back_although_its_templates_are_gone(world: World) -> None:
    channels = LineChannels(world.ports)
    channels.withdraw(LINE, "7")
    channels.revoke(LINE, "7", "bad")
    channels.restore(LINE, "1", instead_of="7")
    assert world.stable() == ["1"]
