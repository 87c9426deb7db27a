"""Everything that may go wrong at one request, and the rules by which the end of such a story is judged."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from tests.application.fault_story import ANSWER_TIME, LOCK_WAIT, Ending, GuestEnd, Request, Told, tell, undisturbed
from tests.application.rollout_bench import NODES, Bench
from zlh_hooks.domain.errors import RoadError, Unreadable, ZlhError
from zlh_hooks.domain.steps import RolloutState, TargetState

LASTS = ANSWER_TIME / 2
LATE = timedelta(seconds=5)
TASK_ERROR = "input/output error"
STARTS_NEW_ROOT = re.compile(r"exchange\.restart|smoke\.\w+\.start")
OWN_DELETION = "for its next restart: unused0"
"""A guest that is left when its staged root cannot be freed: seen again after the pause, the deletion is pending."""
LOOKS = ("read_config", "read_pending", "read_power", "read_address")
LEFT = (TargetState.SKIPPED, TargetState.REVERTED)
Variants = Callable[[Request], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Fault:
    """``order`` lets it strike at a request; ``variants`` are the ways in which it can strike there, none if it cannot.

    ``cause`` is what the reason must name for which a rollout pauses or a guest is left. ``costs``: the guest may stay
    on its old root for it, or go back to it; ``once``: no deed may be done more often than undisturbed. ``whole_node``:
    it may cost all guests of its node that.
    """

    order: Callable[[Bench, Request, str], object]
    variants: Variants
    cause: str
    costs: bool = False
    once: bool = False
    whole_node: bool = False


def _anything(request: Request) -> tuple[str, ...]:
    return () if request.again else ("",)


def _on_node(request: Request) -> tuple[str, ...]:
    return () if request.again or request.node not in NODES else ("",)


def _changing(request: Request) -> tuple[str, ...]:
    return ("",) if request.call.changing else ()


def _reading(request: Request) -> tuple[str, ...]:
    return () if request.call.changing or request.again else ("",)


def _looks_at_customer(request: Request) -> tuple[str, ...]:
    return ("",) if request.step == "a look at a customer" and request.call.names[0] in LOOKS else ()


def _begins_task(request: Request) -> tuple[str, ...]:
    return ("",) if request.task is not None else ()


def _restarts(request: Request) -> tuple[str, ...]:
    return ("",) if request.call.names[0] == "reboot" else ()


def _sends_digest(request: Request) -> tuple[str, ...]:
    return ("",) if request.call.names[0] in ("write_config", "move_volume", "resize") else ()


def _of_guest(request: Request) -> tuple[str, ...]:
    return ("",) if request.call.changing and request.call.names[0] != "write_ha_state" else ()


def _allocates(request: Request) -> tuple[str, ...]:
    return ("",) if request.call.names[0] in ("clone", "resize") or request.step == "stage.filler" else ()


def _meanwhile(event: Callable[[Bench, Request, str], object]) -> Callable[[Bench, Request, str], object]:
    """The event happens just before the request is carried out."""

    def order(bench: Bench, request: Request, variant: str) -> None:
        faults = bench.datacentre.faults
        faults.meanwhile(request.method, lambda: event(bench, request, variant), request.nth)

    return order


def _guests_of(bench: Bench, request: Request) -> list[int]:
    return sorted(request.call.vmids & bench.datacentre.containers.keys())


def _lack_right(bench: Bench, request: Request, privilege: str) -> None:
    held = bench.datacentre.privileges
    bench.datacentre.revoke_privilege(privilege)
    bench.datacentre.at(LASTS, lambda: setattr(bench.datacentre, "privileges", held))


def _lock(length: timedelta) -> Callable[[Bench, Request, str], object]:
    def act(bench: Bench, request: Request, variant: str) -> None:
        for vmid in _guests_of(bench, request):
            bench.datacentre.lock(vmid, "backup", length)

    return act


def _edit(bench: Bench, request: Request, variant: str) -> None:
    for vmid in _guests_of(bench, request):
        container = bench.datacentre.containers[vmid]
        container.values["cores"] = "4"
        if vmid in bench.datacentre.baselines:
            bench.datacentre.baselines[vmid].fingerprint = container.config.fingerprint()


def _fill(bench: Bench, request: Request, variant: str) -> None:
    store = bench.datacentre.store(request.node, "local")
    had = store.free
    bench.datacentre.fill_storage(request.node, "local")
    bench.datacentre.at(LASTS, lambda: setattr(store, "free", store.free + had))


def _unmount(length: timedelta) -> Callable[[Bench, Request, str], object]:
    def act(bench: Bench, request: Request, variant: str) -> None:
        store = bench.datacentre.store(request.node, "local")
        store.active = False
        bench.datacentre.at(length, lambda: setattr(store, "active", True))

    return act


def _fail_task(part: int) -> Callable[[Bench, Request, str], object]:
    def order(bench: Bench, request: Request, variant: str) -> None:
        assert request.task is not None
        bench.datacentre.faults.fail_task(None, TASK_ERROR, request.task, part=part)

    return order


FAULTS = {
    "token refused": Fault(_meanwhile(lambda b, r, v: b.datacentre.refuse_token(LASTS)), _anything, "401"),
    "right missing": Fault(_meanwhile(_lack_right), lambda r: tuple(sorted(r.needs)), "{variant}"),
    "short lock": Fault(_meanwhile(_lock(LOCK_WAIT / 2)), _of_guest, "never"),
    "long lock": Fault(_meanwhile(_lock(LOCK_WAIT * 5)), _of_guest, "locked", costs=True),
    "task error": Fault(_fail_task(1), _begins_task, TASK_ERROR, costs=True),
    "task error halfway": Fault(_fail_task(2), _restarts, TASK_ERROR, costs=True),
    "task with warnings": Fault(
        lambda b, r, v: b.datacentre.faults.warn_task(None, r.task), _begins_task, "never", once=True
    ),
    "node offline": Fault(_meanwhile(lambda b, r, v: b.datacentre.cut_node(r.node, LASTS)), _anything, "no route"),
    "no quorum": Fault(_meanwhile(lambda b, r, v: b.datacentre.lose_quorum(LASTS)), _anything, "quorum"),
    "answer lost": Fault(lambda b, r, v: b.datacentre.faults.lose_answer(None, r.nth), _changing, "never", once=True),
    "never arrived": Fault(
        lambda b, r, v: b.datacentre.faults.reset_before(None, r.nth), _changing, "never", once=True
    ),
    "arrived late": Fault(
        lambda b, r, v: b.datacentre.faults.arrive_late(None, LATE, r.nth), _changing, "never", once=True
    ),
    "not readable": Fault(
        lambda b, r, v: b.datacentre.faults.refuse(r.method, RoadError("read timed out"), r.nth), _reading, "timed out"
    ),
    "guest not readable": Fault(
        lambda b, r, v: b.datacentre.faults.refuse(r.method, Unreadable("short read"), r.nth),
        _looks_at_customer,
        "short read",
        costs=True,
    ),
    "edited by others": Fault(_meanwhile(_edit), _sends_digest, "never"),
    "storage away": Fault(_meanwhile(_unmount(LOCK_WAIT / 2)), _on_node, "activate storage|not active"),
    "storage long away": Fault(
        _meanwhile(_unmount(LASTS)),
        _on_node,
        f"activate storage|not active|{OWN_DELETION}",
        costs=True,
        whole_node=True,
    ),
    "storage full": Fault(_meanwhile(_fill), _allocates, "space|MiB free", costs=True),
}


def list_points(story: str, fault: str) -> list[tuple[Request, str]]:
    """Every request of the story at which the fault can strike, and how."""
    return [(request, variant) for request in undisturbed(story)[1] for variant in FAULTS[fault].variants(request)]


def find_wrongs(story: str, fault: str, request: Request, variant: str) -> list[str]:
    """Everything that is against the rules in the end of the story with that fault at that request."""
    try:
        told = tell(story, lambda bench: FAULTS[fault].order(bench, request, variant))
    except (ZlhError, AssertionError, LookupError) as error:  # what ends a worker, or a story that does not end
        wrongs = [repr(error)]
    else:
        wrongs = [*told.wrong, *_judge(told, undisturbed(story)[0], _naming(FAULTS[fault], variant), request)]
    return [f"{story}, {fault} {variant} at {request}: {wrong}" for wrong in wrongs]


def _naming(fault: Fault, variant: str) -> Fault:
    return replace(fault, cause=fault.cause.format(variant=variant))


def _judge(told: Told, expected: Ending, fault: Fault, request: Request) -> Iterator[str]:
    yield from (f"paused: {reason}" for reason in told.bench.pauses if not re.search(fault.cause, reason))
    if fault.once:
        again = told.ending.executed - expected.executed
        yield from (f"done again: {deed} {times}" for deed, times in again.items())
    if fault.cause == TASK_ERROR and STARTS_NEW_ROOT.fullmatch(request.step) and _is_condemned(told, fault):
        return
    for name in ("state", "stable", "revoked"):
        found, wanted = getattr(told.ending, name), getattr(expected, name)
        if found != wanted:
            yield f"{name} is {found} ({told.progress.reason}), undisturbed {wanted}"
    for vmid in expected.guests:
        yield from _judge_guest(told, expected, fault, request, vmid)


def _is_condemned(told: Told, fault: Fault) -> bool:
    """A version that does not start speaks against itself: all is back and the reason says so."""
    end = told.ending
    all_back = end.state is RolloutState.REVERTED and end.revoked == [told.plan.release.version]
    old = all(guest.runs == "1" and not guest.keeps_old for guest in end.guests.values())
    return all_back and old and re.search(fault.cause, told.progress.reason) is not None


def _judge_guest(told: Told, expected: Ending, fault: Fault, request: Request, vmid: int) -> Iterator[str]:
    end, row = told.ending, told.progress.of(vmid)
    is_left = fault.costs and row.state in LEFT and _is_hit(told, fault, request, vmid)
    if row.state != expected.states[vmid] and is_left and not re.search(fault.cause, row.reason):
        yield f"{vmid} is {row.state} for {row.reason!r}"
    if is_left and end.guests[vmid] == GuestEnd("1", False):
        return
    if end.guests[vmid] != expected.guests[vmid] or not _is_same(row.state, expected.states[vmid], fault):
        yield f"{vmid} is {row.state} ({row.reason}) on {end.guests[vmid]}; undisturbed {expected.states[vmid]}"


def _is_hit(told: Told, fault: Fault, request: Request, vmid: int) -> bool:
    """Its own guest; and those of the same node that need what is full or locked now: its storage, its twin."""
    needs_same = fault.whole_node or request.step in ("stage.clone", "stage.filler")
    shares = needs_same and told.progress.of(vmid).target.node == request.node
    return vmid == request.target or shares or (vmid in request.call.vmids and not request.call.changing)


def _is_same(state: TargetState, wanted: TargetState, fault: Fault) -> bool:
    """Whoever takes the place of a canary that was left is reverted where undisturbed it would have been skipped."""
    return state == wanted or (fault.costs and {state, wanted} == set(LEFT))
