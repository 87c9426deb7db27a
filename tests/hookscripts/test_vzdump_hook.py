"""What the hook of backups promises, rule by rule: each call is a real process on a node in a namespace of its own."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import count, product
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.hookscripts.config import CONFIGS, EARLIER, LATER, NOW, Config, render_config
from tests.hookscripts.node import BACKUP_HOOK, HOOK, call_hook, needs_root
from tests.hookscripts.point import AHEAD, BEHIND, PLACES, RIGHT
from tests.hookscripts.test_matrix import CROSS, sort_notes
from tests.hookscripts.world import HANG_SECONDS, Answer, Call, Configs, Environment, Spool
from zlh_hooks.domain.guest_note import GuestNote
from zlh_hooks.domain.tag import render_time

pytestmark = needs_root
JOB_PHASES = ("job-init", "job-start", "job-end", "job-abort")
GUEST_PHASES = ("backup-start", "pre-stop", "pre-restart", "post-restart", "backup-end", "backup-abort", "log-end")
WIPED = {"STOREID": "backup", "VMTYPE": "lxc", "HOSTNAME": "game", "TARGET": "/mnt/x.tar.zst", "LOGFILE": "/mnt/x.log"}
"""All that vzdump leaves of an environment."""
BUSY = f"zlh-busy.{LATER}"
BUSY_CONFIGS = {
    **CONFIGS,
    "in work": Config(render_config("game", BUSY, "zlh-rollout.r1127-x7km"), is_ours=True),
    "was in work": Config(render_config(f"zlh-busy.{EARLIER}"), is_ours=True),
    "in work, malformed": Config(render_config("zlh-busy.20991332t2561z", "zlh-busy.", "zlh-busyness.1"), is_ours=True),
    "in work in a snapshot": Config(render_config("zlh-version.1") + f"\n[before]\ntags: {BUSY}\n", is_ours=True),
    "in work of 0.9 MB": Config(render_config(BUSY, snapshots=5000), is_ours=True),
}
IN_WORK = ("in work", "in work of 0.9 MB")
WAITS = "$WAIT_SECONDS  = 600;"


@cache
def make_variant(seconds: float, pause: float = 0.1) -> Path:
    """The hook with another patience, and the guest hook beside it, from which it borrows."""
    folder = Path(mkdtemp(prefix="zlh-vzdump-"))
    text = BACKUP_HOOK.read_text()
    assert WAITS in text and "$PAUSE_SECONDS = 5;" in text
    variant = folder / BACKUP_HOOK.name
    variant.write_text(
        text.replace(WAITS, f"$WAIT_SECONDS = {seconds};").replace("$PAUSE_SECONDS = 5;", f"$PAUSE_SECONDS = {pause};")
    )
    (folder / HOOK.name).write_text(HOOK.read_text())
    variant.chmod(0o755)
    return variant


def call(
    *words: str, config: str | None = None, environment: Environment | None = None, script: Path | None = None
) -> tuple[Answer, dict[str, str]]:
    one = Call(words, config, environment=WIPED)
    performance = call_hook(environment or Environment(), (one,), script or make_variant(0))
    return performance.answers[0], performance.notes


def start(config: str, environment: Environment | None = None, script: Path | None = None) -> Answer:
    return call("backup-start", "snapshot", "5001", config=config, environment=environment, script=script)[0]


# --- a guest in work


def test_a_guest_in_work_is_not_backed_up_and_the_log_says_who_and_until_when() -> None:
    answer = start(BUSY_CONFIGS["in work"].text)
    until = (NOW + timedelta(days=2)).strftime("%Y-%m-%d %H:%M UTC")
    assert (answer.exit_code, answer.out) == (1, "")
    assert answer.err == (
        f"zlh-hooks: guest 5001 is being changed by zlh-hooks, rollout r1127-x7km, until {until} at the latest:"
        " it is not backed up now\n"
    )


def test_it_fails_at_once_for_its_lock_keeps_the_guest_from_being_brought_to_its_end() -> None:
    answer = start(BUSY_CONFIGS["in work"].text, script=make_variant(HANG_SECONDS))
    assert answer.exit_code == 1
    assert answer.seconds < HANG_SECONDS / 2


def start_job(*configs: str, former: str = "", seconds: float = 0) -> Answer:
    """Of a node with these guests; they are there before the job is called."""
    environment = Environment(former=former)
    guests = [Call(("job-init", str(5001 + number)), text) for number, text in enumerate(configs)]
    calls = (*guests, Call(("job-start",), environment=WIPED))
    return call_hook(environment, calls, make_variant(seconds), at_once=1).answers[-1]


def test_a_job_waits_before_it_begins_while_guests_of_the_node_are_in_work_and_begins_in_any_case() -> None:
    busy, ordinary = BUSY_CONFIGS["in work"].text, render_config("game")
    answer = start_job(busy, ordinary, busy, seconds=0.5)
    assert (answer.exit_code, answer.out) == (0, "")
    assert answer.seconds >= 0.5
    assert answer.err == (
        "zlh-hooks: guests of this node are being changed by zlh-hooks: 5001, 5003: backups wait\n"
        "zlh-hooks: guests of this node are being changed by zlh-hooks: 5001, 5003, still after 0.5 s: backups begin\n"
    )


def test_a_job_begins_as_soon_as_no_guest_is_in_work_any_more() -> None:
    """The script that is called first brings about, a moment later, what a worker does at the end."""
    ends = '#!/bin/sh\n[ $1 = job-start ] && (sleep 1; sed -i "s/zlh-busy[^;]*//g" /etc/pve/lxc/*) >/dev/null 2>&1 &\n'
    answer = start_job(BUSY_CONFIGS["in work"].text, former=ends, seconds=25)
    assert answer.exit_code == 0
    assert 1 <= answer.seconds < 20
    assert answer.err.endswith("5001: backups wait\n")


@pytest.mark.parametrize("name", [name for name in BUSY_CONFIGS if name not in IN_WORK])
def test_a_job_waits_for_nobody_else_and_says_nothing(name: str) -> None:
    answer = start_job(BUSY_CONFIGS[name].text, seconds=25)
    assert (answer.exit_code, answer.err) == (0, "")
    assert answer.seconds < 20


def test_a_sign_that_does_not_say_whose_it_is_counts() -> None:
    answer = start(render_config(BUSY))
    assert answer.exit_code == 1
    assert "is being changed by zlh-hooks, until" in answer.err


def test_of_several_signs_the_latest_end_counts() -> None:
    ends = [render_time(NOW + timedelta(days=days)) for days in (-1, 9, 3)]
    answer = start(render_config(*(f"zlh-busy.{end}" for end in ends)))
    assert f"until {(NOW + timedelta(days=9)).strftime('%Y-%m-%d %H:%M')} UTC at the latest" in answer.err


def test_a_hold_keeps_no_backup_and_is_told() -> None:
    note = f"zlh-hold {LATER} by anna@pam: is being moved"
    answer = start(render_config(f"zlh-hold.{LATER}", description=(note,)))
    assert answer.exit_code == 0
    assert "is on hold until" in answer.err and "by anna@pam: is being moved: that keeps no backup" in answer.err
    assert start(render_config(f"zlh-hold.{EARLIER}")).err == ""


@pytest.mark.parametrize(
    "words",
    [
        ("backup-start",),
        ("backup-start", "snapshot"),
        ("backup-end", "snapshot", "05001"),
        ("backup-start", "snapshot", "../5001"),
        ("backup-start", "snapshot", "5001\n"),
    ],
)
def test_called_wrongly_it_says_so_and_the_backup_goes_on(words: tuple[str, ...]) -> None:
    answer, notes = call(*words)
    assert (answer.exit_code, notes) == (0, {})
    assert f"called wrongly: {words[0]} MODE VMID is right" in answer.err


@pytest.mark.parametrize("words", [(), ("",), ("backup-start\n", "snapshot", "5001"), ("pre-flight", "stop", "5001")])
def test_a_phase_that_it_does_not_know_is_passed_over(words: tuple[str, ...]) -> None:
    answer, notes = call(*words)
    assert (answer.exit_code, answer.out, answer.err, notes) == (0, "", "", {})


# --- how it is made


def test_perl_finds_nothing_to_warn_of(tmp_path: Path) -> None:
    strict = make_variant(0).with_name("strict")
    strict.write_text(f'#!/bin/sh\nexec perl -T -Mstrict -Mwarnings=FATAL,all {make_variant(0)} "$@"\n')
    strict.chmod(0o755)
    for words, name in product((("backup-start", "stop", "5001"), ("backup-end", "stop", "5001")), (*IN_WORK, "held")):
        config = BUSY_CONFIGS[name].text
        plain, noted = call(*words, config=config)
        answer, notes = call(*words, config=config, script=strict)
        assert (answer.exit_code, answer.err, len(notes)) == (plain.exit_code, plain.err, len(noted))


@pytest.mark.parametrize("guest_hook", ["sub {{\n", "", None], ids=["broken", "empty", "gone"])
def test_without_the_guest_hook_beside_it_a_backup_goes_on_and_it_is_said(
    guest_hook: str | None, tmp_path: Path
) -> None:
    script = tmp_path / BACKUP_HOOK.name
    script.write_text(BACKUP_HOOK.read_text())
    script.chmod(0o755)
    if guest_hook is not None:
        (tmp_path / HOOK.name).write_text(guest_hook)
    answer = start(BUSY_CONFIGS["in work"].text, script=script)
    assert answer.exit_code == 0
    assert f"zlh-hooks: {tmp_path}/zlh-guest-hook: " in answer.err and "the backup goes on" in answer.err


def test_no_module_is_loaded(tmp_path: Path) -> None:
    script = tmp_path / BACKUP_HOOK.name
    script.write_text(BACKUP_HOOK.read_text() + 'print "modules: ", join " ", grep { !/zlh-guest-hook/ } keys %INC;\n')
    script.chmod(0o755)
    (tmp_path / HOOK.name).write_text(HOOK.read_text())
    assert call("backup-start", "stop", "5001", config=render_config(), script=script)[0].out == "modules: "


# --- the script that was there before


SAYS = '#!/bin/sh\necho "$*; $(env | grep -v ^PWD= | sort | tr "\\n" " ")"\nexit {code}\n'


@pytest.mark.parametrize("words", [("job-init",), ("pre-stop", "stop", "5001"), ("backup-start", "snapshot", "5001")])
@pytest.mark.parametrize("code", [0, 7])
def test_the_former_script_is_called_as_before_and_its_exit_code_counts(words: tuple[str, ...], code: int) -> None:
    environment = Environment(former=SAYS.format(code=code))
    answer, _ = call(*words, config=render_config(), environment=environment)
    marked = WIPED | {"ZLH_HOOKS_CALLS_FORMER": "1"}
    said = " ".join(f"{key}={value}" for key, value in sorted(marked.items()))
    assert (answer.exit_code, answer.out.strip()) == (code, f"{' '.join(words)}; {said}")


def test_a_backup_that_the_former_script_calls_bad_is_not_noted_as_good() -> None:
    answer, notes = call(
        "backup-end",
        "stop",
        "5001",
        config=render_config("zlh-version.1"),
        environment=Environment(former="#!/bin/false\n"),
    )
    assert (answer.exit_code, notes) == (1, {})


@pytest.mark.parametrize("former", ["#!/nowhere/sh\n", "#!/bin/sh\nkill -9 $$\n"], ids=["cannot be run", "is killed"])
def test_a_former_script_that_cannot_end_well_fails_as_it_would_without_us(former: str) -> None:
    assert call("job-start", environment=Environment(former=former))[0].exit_code == 1


# --- every combination


@dataclass(frozen=True, slots=True)
class Case:
    """One call, by what it is made of."""

    phase: str
    place: str
    config: str
    clock: str

    def as_call(self, guest: int) -> Call:
        config = BUSY_CONFIGS[self.config].text
        return Call((self.phase, "snapshot", str(guest)), config, self.place, clock=self.clock, environment=WIPED)


def is_refused(environment: Environment, case: Case) -> bool:
    """With a clock that is behind nobody knows what has ended; by one that is ahead it has."""
    is_seen = environment.configs.are_readable and case.config in IN_WORK
    return case.phase == "backup-start" and is_seen and case.clock == RIGHT


def find_offences(environment: Environment, case: Case, answer: Answer, notes: list[GuestNote]) -> list[str]:
    is_ours = not environment.configs.are_readable or BUSY_CONFIGS[case.config].is_ours
    noted = case.phase == "backup-end" and is_ours and environment.spool is Spool.GOOD
    fewest, most = (1, answer.attempts) if noted else (0, 0)
    rules = {
        f"exit code {answer.exit_code}": answer.exit_code == int(is_refused(environment, case)),
        f"{len(notes)} notes": fewest <= len(notes) <= most,
        "a wrong note": all((note.phase, note.vetoed) == (case.phase, False) for note in notes),
        f"standard output {answer.out!r}": answer.out == "",
        f"standard error {answer.err!r}": all(line.startswith("zlh-hooks: guest") for line in answer.err.splitlines()),
        "it holds what it inherited": answer.let_go,
    }
    return [f"{environment} {case}: {rule}" for rule, is_kept in rules.items() if not is_kept]


def check(environment: Environment, cases: Iterable[Case], record: Callable[[str, object], None]) -> None:
    numbers, cases = count(5001), tuple(cases)
    calls = tuple(case.as_call(next(numbers)) for case in cases)
    at_once = 24 if environment.configs.hang else 3
    performance = call_hook(environment, calls, make_variant(0), at_once)
    record("points", len(calls))
    notes = sort_notes(performance)
    answered = zip(cases, calls, performance.answers, strict=True)
    found = [find_offences(environment, case, answer, notes.get(int(one.guest), [])) for case, one, answer in answered]
    assert [offence for offences in found for offence in offences][:10] == []


def test_of_a_guest_in_work_nothing_but_the_begin_of_its_backup_is_stopped(
    record_property: Callable[[str, object], None],
) -> None:
    cases = product(JOB_PHASES + GUEST_PHASES, PLACES, ("in work",), (RIGHT,))
    check(Environment(), (Case(*one) for one in cases), record_property)


@pytest.mark.parametrize("environment", CROSS, ids=lambda one: f"{one.spool}-{one.configs}")
def test_a_backup_goes_on_with_one_thing_wrong_on_its_node(
    environment: Environment, record_property: Callable[[str, object], None]
) -> None:
    names = BUSY_CONFIGS if environment.configs is Configs.GOOD and environment.spool is Spool.GOOD else ("in work",)
    phases = ("job-start", "backup-start", "backup-end")
    check(environment, (Case(phase, "lxc", name, RIGHT) for phase in phases for name in names), record_property)


@pytest.mark.matrix
@pytest.mark.parametrize("environment", CROSS, ids=lambda one: f"{one.spool}-{one.configs}")
def test_a_backup_goes_on_whatever_is_wrong_on_its_node(
    environment: Environment, record_property: Callable[[str, object], None]
) -> None:
    names = BUSY_CONFIGS if environment.configs.are_readable else ("in work",)
    cases = product(("backup-start", "backup-end"), ("lxc",), names, (RIGHT, BEHIND, AHEAD))
    check(environment, (Case(*one) for one in cases), record_property)
