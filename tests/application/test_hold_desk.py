"""Claims that people make: where they stand, what they keep from being done, and how they go."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest

from tests.application.rollout_bench import Bench
from zlh_hooks.application.hold_desk import HoldDesk, Place
from zlh_hooks.application.retag import ChannelPorts
from zlh_hooks.domain import tag
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import ConfigChanged, NotAllowed, SettingsError, TargetError
from zlh_hooks.domain.hold import LONGEST_CLAIM, Claim
from zlh_hooks.domain.steps import RolloutState, TargetState

CANARY, GUEST, OTHER, MACHINE = 5001, 5002, 5003, 600
HOOK = "local:snippets/zlh-guest-hook"
HOUR = timedelta(hours=1)


def open_desk(bench: Bench) -> HoldDesk:
    cluster = bench.datacentre.cluster
    return HoldDesk(ChannelPorts(cluster.inventory, cluster.editor, bench.ledger, bench.clock), "anna")


def claim(bench: Bench, place: Place, kind: Claim = Claim.HOLD, length: timedelta = HOUR) -> None:
    desk = open_desk(bench)
    desk.hold(place, desk.make(kind, bench.clock.now() + length, "is being moved")).raise_first()


def _notes(bench: Bench, vmid: int) -> str:
    return bench.datacentre.containers[vmid].values.get("description", "")


def test_a_claim_stands_on_the_guest_with_owner_and_reason_and_goes_without_a_trace() -> None:
    bench = Bench().furnish(3)
    before = dict(bench.datacentre.containers[GUEST].values)
    bench.datacentre.edit_config(GUEST, description="Bought in 2024")
    claim(bench, Place((GUEST,)))
    (held,) = open_desk(bench).list()
    assert (held.guest.vmid, held.hold.owner, held.hold.reason, held.is_over) == (
        GUEST,
        "anna",
        "is being moved",
        False,
    )
    open_desk(bench).clear(Place((GUEST,))).raise_first()
    after = dict(bench.datacentre.containers[GUEST].values)
    assert after.pop("description").strip() == "Bought in 2024"
    assert (after, open_desk(bench).list()) == (before, ())


def test_the_notes_of_a_guest_that_had_none_are_empty_again() -> None:
    bench = Bench().furnish(2)
    claim(bench, Place((GUEST,)))
    open_desk(bench).clear(Place((GUEST,))).raise_first()
    assert "description" not in bench.datacentre.containers[GUEST].values


def test_a_claim_and_its_reason_come_with_one_write_that_nobody_elses_change_is_lost_by() -> None:
    bench = Bench().furnish(2)
    edit = partial(bench.datacentre.edit_config, GUEST, description="meanwhile")
    bench.datacentre.faults.meanwhile("write_config", edit, vmid=GUEST)
    claim(bench, Place((GUEST,)))
    assert _notes(bench, GUEST).splitlines()[0] == "meanwhile"
    assert len(_notes(bench, GUEST).splitlines()) == 2
    assert bench.executed("write_config")[("write_config", GUEST)] == 1


def test_a_claim_that_is_over_goes_with_the_next_one() -> None:
    bench = Bench().furnish(2)
    claim(bench, Place((GUEST,)))
    bench.clock.sleep(2 * HOUR)
    assert [held.is_over for held in open_desk(bench).list()] == [True]
    claim(bench, Place((GUEST,)))
    assert [held.is_over for held in open_desk(bench).list()] == [False]
    assert len(_notes(bench, GUEST).splitlines()) == 1


def test_a_node_means_the_guests_that_are_on_it_and_no_template() -> None:
    bench = Bench().furnish(4)
    claim(bench, Place(node="n2"))
    assert {held.guest.vmid for held in open_desk(bench).list()} == {5002, 5004}


def test_a_guest_that_cannot_be_written_keeps_no_other_from_being_held() -> None:
    bench = Bench().furnish(3)
    bench.datacentre.faults.refuse("write_config", TargetError("refused"), times=9, vmid=CANARY)
    desk = open_desk(bench)
    written = desk.hold(Place((CANARY, GUEST)), desk.make(Claim.HOLD, bench.clock.now() + HOUR, "why"))
    assert ([ref.vmid for ref in written.done], [ref.vmid for ref in written.failed]) == ([GUEST], [CANARY])


def _hold_guest(bench: Bench) -> None:
    claim(bench, Place((GUEST,)))


def _keep_down(bench: Bench) -> None:
    bench.datacentre.edit_config(GUEST, hookscript=HOOK)
    claim(bench, Place((GUEST,)), Claim.DOWN)


@pytest.mark.parametrize("hold", [_hold_guest, _keep_down])
def test_a_rollout_leaves_a_held_guest_alone_and_one_that_could_not_start_again(hold: Callable[[Bench], None]) -> None:
    bench = Bench().furnish(3)
    hold(bench)
    progress = bench.run("2")
    assert (progress.state, progress.of(GUEST).state) == (RolloutState.SUCCEEDED, TargetState.SKIPPED)
    assert "by anna: is being moved" in progress.of(GUEST).reason
    assert (bench.runs(GUEST), bench.runs(OTHER)) == ("1", "2")


def test_a_guest_that_is_off_and_marked_down_is_exchanged_and_stays_off() -> None:
    bench = Bench().furnish(3)
    bench.datacentre.power_off(GUEST)
    _keep_down(bench)
    assert bench.run("2").of(GUEST).state is TargetState.PROVING
    assert (bench.runs(GUEST), bench.datacentre.containers[GUEST].running) == ("2", False)


def test_a_claim_that_is_over_keeps_nothing() -> None:
    bench = Bench().furnish(3)
    _hold_guest(bench)
    bench.clock.sleep(HOUR)
    assert bench.run("2").of(GUEST).state is TargetState.HEALTHY


def test_a_line_on_hold_is_not_rolled_out_and_the_refusal_says_until_when_and_how_it_ends() -> None:
    bench = Bench().furnish(3)
    claim(bench, Place(line="game-base"), Claim.LINE)
    with pytest.raises(NotAllowed, match=r"by anna: is being moved; zlh-hooks hold clear --line game-base") as refused:
        bench.submit("2")
    assert refused.value.until is not None and refused.value.until - bench.clock.now() <= HOUR
    open_desk(bench).clear(Place(line="game-base")).raise_first()
    assert bench.run("2").state is RolloutState.SUCCEEDED


def test_a_line_that_is_held_while_it_is_rolled_out_goes_on_with_nobody_else() -> None:
    bench = Bench().furnish(3)
    hold = partial(claim, bench, Place(line="game-base"), Claim.LINE)
    bench.datacentre.faults.afterwards("reboot", hold, vmid=CANARY)
    progress = bench.run("2")
    assert [row.state for row in progress.targets] == [TargetState.HEALTHY, TargetState.SKIPPED, TargetState.SKIPPED]


def test_the_line_hold_that_a_clone_inherits_does_not_count_for_it() -> None:
    bench = Bench().furnish(3)
    claim(bench, Place(line="game-base"), Claim.LINE)
    (tag,) = {held.hold.tag for held in open_desk(bench).list()}
    open_desk(bench).clear(Place(line="game-base")).raise_first()
    bench.datacentre.edit_config(GUEST, tags=f"{bench.datacentre.containers[GUEST].values['tags']};{tag}")
    assert open_desk(bench).list() == ()
    assert bench.run("2").of(GUEST).state is TargetState.HEALTHY


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (Place((4711,)), "there is no guest 4711"),
        (Place((8001,)), "a template is held by its line"),
        (Place(node="n9"), "no guest on node n9; nodes that have some: n1, n2"),
    ],
)
def test_what_is_not_there_is_refused_by_name(place: Place, said: str) -> None:
    with pytest.raises(NotAllowed, match=said):
        open_desk(Bench().furnish(2)).find(place)


def test_a_claim_needs_an_end_that_is_to_come_and_a_reason() -> None:
    bench = Bench().furnish(2)
    for end in (bench.clock.now(), bench.clock.now() + LONGEST_CLAIM + HOUR):
        with pytest.raises(SettingsError, match="a minute that is to come, at most 366 days from now"):
            open_desk(bench).make(Claim.HOLD, end, "why")
    with pytest.raises(SettingsError, match="whose it is and why"):
        open_desk(bench).make(Claim.HOLD, bench.clock.now() + HOUR, " \n")


def test_who_held_what_is_in_the_ledger() -> None:
    bench = Bench().furnish(2)
    _hold_guest(bench)
    (entry,) = bench.entries(Kind.DONE, "hold")
    assert (entry.data["place"], entry.data["author"], entry.data["reason"]) == ("5002", "anna", "is being moved")


def test_a_config_that_never_stops_changing_is_told_as_such() -> None:
    bench = Bench().furnish(2)
    bench.datacentre.faults.refuse("write_config", ConfigChanged("changed"), times=10**6, vmid=GUEST)
    desk = open_desk(bench)
    written = desk.hold(Place((GUEST,)), desk.make(Claim.HOLD, bench.clock.now() + HOUR, "why"))
    assert [type(error) for error in written.failed.values()] == [ConfigChanged]


def test_a_virtual_machine_is_held_listed_and_freed_as_a_container_is() -> None:
    bench = Bench().furnish(2)
    bench.datacentre.add_vm(MACHINE, "n1")
    bench.datacentre.edit_config(MACHINE, hookscript=HOOK)
    before = dict(bench.datacentre.containers[MACHINE].values)
    claim(bench, Place((MACHINE,)))
    claim(bench, Place((MACHINE,)), Claim.DOWN)
    held = open_desk(bench).list()
    assert [(one.guest.vmid, one.hold.claim, one.hold.owner) for one in held] == [
        (MACHINE, Claim.HOLD, "anna"),
        (MACHINE, Claim.DOWN, "anna"),
    ]
    open_desk(bench).clear(Place((MACHINE,))).raise_first()
    assert (open_desk(bench).list(), bench.datacentre.containers[MACHINE].values) == ((), before)


def test_a_node_means_its_virtual_machines_too() -> None:
    bench = Bench().furnish(2)
    bench.datacentre.add_vm(MACHINE, "n2")
    claim(bench, Place(node="n2"))
    assert {held.guest.vmid for held in open_desk(bench).list()} == {GUEST, MACHINE}


@pytest.mark.parametrize(
    ("hook", "said"),
    [("", r"guest 5002 on n2 does not name .*zlh-hooks-node install --vmid 5002"), ("local:snippets/own.pl", "own.pl")],
)
def test_no_guest_is_marked_down_that_nothing_would_keep_from_starting(hook: str, said: str) -> None:
    bench = Bench().furnish(2)
    bench.datacentre.edit_config(GUEST, hookscript=hook)
    with pytest.raises(NotAllowed, match=said):
        claim(bench, Place((GUEST,)), Claim.DOWN)
    assert open_desk(bench).list() == ()


def test_who_lists_claims_is_told_of_a_guest_that_nothing_keeps_down_any_more() -> None:
    bench = Bench().furnish(2)
    _keep_down(bench)
    assert [held.loopholes for held in open_desk(bench).list()] == [()]
    bench.datacentre.edit_config(GUEST, hookscript="")
    (held,) = open_desk(bench).list()
    assert ["does not name the guest hook" in one for one in held.loopholes] == [True]
    bench.clock.sleep(HOUR)
    assert [held.loopholes for held in open_desk(bench).list()] == [()], "a claim that is over keeps nobody down"


def test_a_guest_that_ha_gets_back_when_our_work_on_it_ends_is_not_marked_down_meanwhile() -> None:
    bench = Bench().furnish(2)
    end = tag.BUSY + tag.render_time(bench.clock.now() + HOUR)
    bench.datacentre.edit_config(GUEST, hookscript=HOOK, tags=end)
    bench.datacentre.containers[GUEST].ha_state = "ignored"
    with pytest.raises(NotAllowed, match="is in work"):
        claim(bench, Place((GUEST,)), Claim.DOWN)


@pytest.mark.parametrize("vmid", [GUEST, MACHINE])
def test_a_guest_under_ha_is_marked_down_once_its_manager_ignores_it_and_is_named_when_it_is_free(vmid: int) -> None:
    bench = Bench().furnish(2)
    bench.datacentre.add_vm(MACHINE, "n2")
    bench.datacentre.edit_config(vmid, hookscript=HOOK)
    bench.datacentre.containers[vmid].ha_state = "started"
    resource = f"{'ct' if vmid == GUEST else 'vm'}:{vmid}"
    with pytest.raises(NotAllowed, match=f"is under HA, .*ha-manager set {resource} --state ignored"):
        claim(bench, Place((vmid,)), Claim.DOWN)
    bench.datacentre.containers[vmid].ha_state = "ignored"
    claim(bench, Place((vmid,)), Claim.DOWN)
    desk = open_desk(bench)
    assert [ref.vmid for ref in desk.list_ignored(desk.clear(Place((vmid,))))] == [vmid]
    assert desk.list_ignored(desk.clear(Place((vmid,)))) == ()
