"""What the guest hook promises, rule by rule: each call is a real process on a node in a namespace of its own."""

import json
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest

from tests.hookscripts.config import CONFIGS, EARLIER, LATER, NOW, render_config
from tests.hookscripts.node import HOOK, PVE, call_hook, call_once, needs_root
from tests.hookscripts.world import HANG_SECONDS, NODE, Answer, Call, Configs, Environment, Spool
from zlh_hooks.domain.guest_note import NAME, GuestNote, Occasion, parse_guest_note
from zlh_hooks.domain.tag import parse_time, render_time

pytestmark = needs_root
OURS = "zlh-version.1"
DOWN = CONFIGS["down"].text
RUNS = "    run(@ARGV);\n"


def start(config: str, **more: object) -> tuple[Answer, GuestNote]:
    """A start and the last note of it: a busy machine may need several."""
    answer, notes = call_once(Call(("5001", "pre-start"), config, **{"environment": PVE, **more}))  # type: ignore[arg-type]
    return answer, parse_guest_note(list(notes.values())[-1])


def start_with_description(*lines: str) -> Answer:
    return start(render_config(f"zlh-down.{LATER}", description=lines))[0]


# --- the veto


def test_a_guest_marked_down_does_not_start_and_the_task_says_who_why_until_when_and_what_lifts_it() -> None:
    answer = start_with_description("a server of ours", f"zlh-down {LATER} by anna@pam: disk is dying, 100% sure: wait")
    moment = (NOW + timedelta(days=2)).strftime("%Y-%m-%d %H:%M UTC")
    assert answer.exit_code == 1
    assert answer.err == (
        f"zlh-hooks: guest 5001 must not start before {moment}, marked down by anna@pam: disk is dying, 100% sure: wait."
        " What lifts it: zlh-hooks hold clear 5001 (or take its zlh-down tags off)\n"
    )


@pytest.mark.parametrize(
    "line", ["", f"zlh-down {EARLIER} by anna@pam: of another time", f"zlh-down {LATER} by anna@pam", "zlh-down"]
)
def test_a_claim_without_its_line_in_the_description_counts_and_names_nobody(line: str) -> None:
    answer = start_with_description(line)
    assert answer.exit_code == 1
    assert "marked down by somebody who left neither name nor reason. What" in answer.err


def test_what_a_description_says_moves_no_cursor_and_turns_no_line() -> None:
    answer = start_with_description(
        f"zlh-down {LATER} by J\u00f6rg\x1b[2J\r: a\u202eb\u2066c\u200bd\x85e\x9b1m\u2028\x7f \u5b57\tz"
    )
    assert "by J\u00f6rg[2J: abcde1m \u5b57z. What" in answer.err
    assert answer.err.count("\n") == 1


def test_bytes_that_are_no_text_are_left_out() -> None:
    config = render_config(f"zlh-down.{LATER}") + f"#zlh-down {LATER} by an%FFna%3A a%C3%0Ab\xfe\n"
    assert "by anna: ab. What" in start(config)[0].err


def test_names_and_reasons_are_cut() -> None:
    owner, reason = "\u00e4" * 65, "\u00df" * 4000
    answer = start_with_description(f"zlh-down {LATER} by {owner}: {reason}")
    assert f"by {owner[:64]}: {reason[:200]}. What" in answer.err


def test_no_description_that_proxmox_takes_is_so_long_that_a_claim_behind_it_is_not_seen() -> None:
    answer = start_with_description("\U0001f3ae" * 8192)
    assert answer.exit_code == 1


def test_of_several_claims_the_latest_end_counts() -> None:
    ends = [render_time(NOW + timedelta(days=days)) for days in (-1, 9, 3)]
    answer, _ = start(render_config(*(f"zlh-down.{end}" for end in ends)))
    assert f"before {(NOW + timedelta(days=9)).strftime('%Y-%m-%d %H:%M')} UTC" in answer.err


@pytest.mark.parametrize("lock", ["rollback", "suspended", "snapshot"])
def test_no_other_lock_lets_a_guest_start_that_is_marked_down(lock: str) -> None:
    answer, note = start(render_config(f"zlh-down.{LATER}", lock=lock))
    assert (answer.exit_code, note.lock, note.occasion, note.vetoed) == (1, lock, Occasion.ORDINARY, True)


@pytest.mark.parametrize(
    ("lock", "occasion"), [("backup", Occasion.BACKUP), ("migrate", Occasion.MIGRATION)], ids=["backup", "migrate"]
)
def test_what_a_backup_starts_and_what_arrives_from_another_cluster_is_let_in(lock: str, occasion: Occasion) -> None:
    answer, note = start(render_config(f"zlh-down.{LATER}", lock=lock), place="qemu-server")
    assert (answer.exit_code, answer.err, note.occasion, note.vetoed) == (0, "", occasion, False)


def test_a_vm_that_arrives_running_is_let_in_and_known_by_the_config_on_its_source() -> None:
    answer, note = start(DOWN, place="nodes/pve-2/qemu-server", environment={**PVE, "PVE_MIGRATED_FROM": "pve-2"})
    assert (answer.exit_code, answer.err) == (0, "")
    assert (note.kind, note.migrated_from, note.occasion, note.vetoed) == ("qemu", "pve-2", Occasion.MIGRATION, False)


def test_an_empty_source_node_is_none() -> None:
    assert start(DOWN, environment={**PVE, "PVE_MIGRATED_FROM": ""})[0].exit_code == 1


@pytest.mark.parametrize("source", ["../../etc", "pve/2", 'a"b', "a\nb", "-n", "x" * 65])
def test_a_source_that_is_no_name_of_a_node_is_no_path_and_stands_in_no_note(source: str) -> None:
    answer, note = start(DOWN, environment={**PVE, "PVE_MIGRATED_FROM": source})
    assert (answer.exit_code, note.migrated_from) == (0, "")


def test_the_last_of_several_lists_of_tags_counts_as_it_does_for_proxmox() -> None:
    assert start(render_config(f"zlh-down.{LATER}") + f"tags: {OURS}\n")[0].exit_code == 0
    assert start(render_config(OURS) + f"tags: a,zlh-down.{LATER} {OURS}\n")[0].exit_code == 1


@pytest.mark.parametrize("tag", ["down.", "Zlh-down.", "x-zlh-down.", "zlh-hold.", "zlh-downs.", "zlh-x-zlh-down."])
def test_nothing_else_than_the_tag_itself_vetoes(tag: str) -> None:
    assert start(render_config(OURS, tag + LATER))[0].exit_code == 0


# --- when a claim counts


def list_ends() -> list[str]:
    """Every month with its last days and those that it has not, and every field out of its bounds."""
    year = NOW.year + 1
    days = [
        f"{year + more}{month:02d}{day:02d}t1200z"
        for more in range(4)
        for month in range(14)
        for day in (0, 1, 28, 29, 30, 31, 32)
    ]
    centuries = ["21000228t0000z", "21000229t0000z", "24000229t0000z", "99991231t2359z"]
    times = [f"{year}0615t{hour}{minute}z" for hour in ("00", "23", "24", "99") for minute in ("00", "59", "60")]
    shapes = [
        "20990101",
        "20990101t0000",
        "20990101t0000Z",
        "20990101T0000z",
        "2099-01-01t0000z",
        "20990101t0000z0",
        " ",
        "zzz",
    ]
    return [*days, *centuries, *times, *shapes]


def counts(end: str) -> bool:
    moment = parse_time(end)
    return moment is not None and render_time(moment) == end and moment > NOW


def test_a_claim_counts_if_its_end_is_a_minute_of_the_calendar_that_has_not_come() -> None:
    ends = list_ends()
    calls = tuple(
        Call((str(5001 + number), "pre-start"), render_config(f"zlh-down.{end}"), environment={**PVE, "TZ": "XST+11"})
        for number, end in enumerate(ends)
    )
    answers = call_hook(Environment(), calls).answers
    wrong = [end for end, answer in zip(ends, answers, strict=True) if answer.exit_code != int(counts(end))]
    assert wrong == []
    assert {counts(end) for end in ends} == {True, False}


def test_a_claim_ends_in_its_minute_in_utc_wherever_the_node_is() -> None:
    before, after = datetime.now(UTC), datetime.now(UTC) + timedelta(hours=1)
    for zone, end in product(("XST+11", "XST-11"), (before, after)):
        answer, _ = start(render_config(f"zlh-down.{render_time(end)}"), environment={**PVE, "TZ": zone})
        assert answer.exit_code == int(end is after)


@pytest.mark.parametrize(("seconds", "exit_code"), [(3000, 1), (4200, 0)])
def test_no_claim_counts_by_a_clock_that_is_more_than_an_hour_behind_the_config(seconds: int, exit_code: int) -> None:
    assert start(DOWN, mended=seconds)[0].exit_code == exit_code


# --- the call


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("5001",),
        ("5001", "pre-start", "more"),
        ("pre-start", "5001"),
        ("99", "pre-start"),
        ("0500", "pre-start"),
        ("../5001", "pre-start"),
        ("5001\n", "pre-start"),
        ("9" * 10, "pre-start"),
        ("5001", "pre-start\n"),
        ("5001", "../pre-start"),
        ("5001", ""),
    ],
)
def test_called_wrongly_it_says_how_it_is_called_and_stops_nobody(words: tuple[str, ...]) -> None:
    answer, notes = call_once(Call(words, environment=PVE))
    assert answer.exit_code == 0
    assert answer.err == "zlh-hooks: called wrongly, nothing is done; right is: zlh-guest-hook VMID PHASE\n"
    assert notes == {}


@pytest.mark.parametrize("closed", [*product((0, 1, 2), repeat=2), (0, 1, 2)])
def test_streams_that_are_closed_change_nothing_and_nothing_else_gets_into_a_note(closed: tuple[int, ...]) -> None:
    answer, note = start(DOWN, closed=closed)
    assert (answer.exit_code, note.vetoed) == (1, True)
    assert answer.err == "" if 2 in closed else "must not start" in answer.err


@pytest.mark.parametrize(("configs", "exit_code"), [(Configs.GOOD, 1), (Configs.GONE, 0)])
def test_a_task_that_does_not_listen_changes_nothing(configs: Configs, exit_code: int) -> None:
    answer, notes = call_once(
        Call(("5001", "pre-start"), DOWN, environment=PVE, unheard=True), Environment(configs=configs)
    )
    assert (answer.exit_code, bool(notes)) == (exit_code, True)


@pytest.mark.parametrize(
    "environment",
    [
        {"PERL5OPT": "-Mnothing_of_that_name"},
        {"PERL5LIB": "/tmp", "PERLLIB": "/tmp"},
        {"PERL_UNICODE": "SADL", "LC_ALL": "C.UTF-8"},
        {"PERLIO": ":utf8"},
        {"PATH": "/nowhere", "IFS": "x", "ENV": "/etc/passwd"},
    ],
    ids=lambda environment: next(iter(environment)),
)
def test_the_environment_cannot_change_what_it_does(environment: dict[str, str]) -> None:
    plain, _ = start(DOWN)
    answer, note = start(DOWN, environment=environment)
    assert (answer.exit_code, answer.err, note.vetoed, note.node) == (1, plain.err, True, NODE)


# --- how it is made


def make_variant(folder: Path, old: str, new: str) -> Path:
    """The hook with one thing changed."""
    text = HOOK.read_text()
    assert old in text
    variant = folder / "zlh-guest-hook"
    variant.write_text(text.replace(old, new))
    variant.chmod(0o755)
    return variant


def call_variant(
    script: Path, config: str = DOWN, environment: Environment | None = None
) -> tuple[Answer, dict[str, str]]:
    call = Call(("5001", "pre-start"), config, environment=PVE)
    performance = call_hook(environment or Environment(), (call,), script)
    return performance.answers[0], performance.notes


@pytest.mark.parametrize("configs", [Configs.GOOD, Configs.GONE, Configs.SWALLOWS])
def test_perl_finds_nothing_to_warn_of(configs: Configs, tmp_path: Path) -> None:
    strict = tmp_path / "strict"
    strict.write_text(f'#!/bin/sh\nexec perl -T -Mstrict -Mwarnings=FATAL,all {HOOK} "$@"\n')
    strict.chmod(0o755)
    plain, _ = call_variant(HOOK, environment=Environment(configs=configs))
    answer, notes = call_variant(strict, environment=Environment(configs=configs))
    assert (answer.exit_code, answer.err, bool(notes)) == (plain.exit_code, plain.err, True)


def test_no_module_is_loaded(tmp_path: Path) -> None:
    variant = make_variant(tmp_path, RUNS, f'{RUNS}    syswrite STDOUT, join " ", "modules:", keys %INC;\n')
    assert call_variant(variant)[0].out == "modules:"


def test_a_perl_that_cannot_compile_it_vetoes_nothing(tmp_path: Path) -> None:
    variant = make_variant(tmp_path, RUNS, f"{RUNS}sub {{{{\n")
    answer, notes = call_variant(variant)
    assert (answer.exit_code, notes) == (0, {})
    assert "syntax error" in answer.err


def test_what_is_compiled_late_and_fails_vetoes_nothing_and_is_told(tmp_path: Path) -> None:
    answer, notes = call_variant(make_variant(tmp_path, "# Tells the verdict, and", "sub {{"))
    assert (answer.exit_code, notes) == (0, {})
    assert "guest 5001 goes on, for the hook failed: " in answer.err


def test_a_child_that_dies_without_a_word_vetoes_nothing_and_is_told(tmp_path: Path) -> None:
    variant = make_variant(tmp_path, "sub witness {\n", "sub witness {\n    kill 'KILL', $$;\n")
    answer, notes = call_variant(variant)
    assert (answer.exit_code, notes) == (0, {})
    assert answer.err == (
        "zlh-hooks: guest 5001 goes on, for the hook failed\n"
        "zlh-hooks: guest 5001: pre-start is not noted: the hook failed\n"
    )


def test_on_a_processor_that_it_does_not_know_it_does_nothing_and_says_so(tmp_path: Path) -> None:
    answer, notes = call_variant(make_variant(tmp_path, "(x86_64|aarch64)-linux", "(riscv64)-linux"))
    assert (answer.exit_code, notes) == (0, {})
    assert answer.err == "zlh-hooks: the system calls of this processor are not known\n"


# --- the notes


def test_a_note_tells_when_where_and_of_whom() -> None:
    before = datetime.now(UTC)
    answer, notes = call_once(Call(("123456789", "post-stop"), render_config(OURS), environment={"TZ": "XST+5"}))
    name, text = list(notes.items())[-1]
    note = parse_guest_note(text)
    assert answer == Answer(0, "", "", answer.seconds, True, answer.late)
    assert before <= note.at <= datetime.now(UTC)
    assert (note.guest, note.phase, note.kind, note.lock) == (123456789, "post-stop", "lxc", "")
    assert note.node == NODE
    assert name.startswith(note.at.strftime("%Y%m%dt%H%M%S.%fz-123456789-post-stop-"))


def test_notes_of_one_moment_do_not_overwrite_each_other() -> None:
    calls = tuple(Call(("5001", "post-stop"), render_config(OURS), environment=PVE) for _ in range(48))
    performance = call_hook(Environment(), calls, at_once=24)
    assert len(performance.notes) >= len(calls)
    instants = [parse_guest_note(performance.notes[name]).at for name in sorted(performance.notes)]
    assert instants == sorted(instants)
    assert [name for name in performance.notes if not NAME.fullmatch(name)] == []


@pytest.mark.parametrize("tags", [(), ("game",), ("x-zlh-version.1",), ("ZLH-version.1",), ("zlh",)])
def test_a_guest_without_a_tag_of_ours_is_none_of_its_business(tags: tuple[str, ...]) -> None:
    answer, notes = call_once(Call(("5001", "pre-start"), render_config(*tags), environment=PVE))
    assert (answer.exit_code, answer.out, answer.err, notes) == (0, "", "", {})


@pytest.mark.parametrize(
    ("configs", "reason"),
    [(Configs.GONE, "it is not there"), (Configs.BROKEN, "Input/output error"), (Configs.DEAF, "no answer in 0.3 s")],
)
def test_a_config_that_cannot_be_read_is_told_with_the_reason(configs: Configs, reason: str) -> None:
    answer, _ = call_once(Call(("5001", "pre-start"), DOWN, environment=PVE), Environment(configs=configs))
    assert answer.err == f"zlh-hooks: guest 5001 goes on, for its config could not be read: {reason}\n"


def test_a_config_that_opens_and_cannot_be_read_is_not_taken_for_an_empty_one() -> None:
    makes_folder = Call(("5001", "pre-start"), render_config(), place="lxc/5002.conf", environment=PVE)
    _, answer = call_hook(Environment(), (makes_folder, Call(("5002", "pre-start"), environment=PVE))).answers
    assert "guest 5002 goes on, for its config could not be read: Is a directory" in answer.err


@pytest.mark.parametrize(
    ("spool", "reason"),
    [
        (Spool.FULL, "/var/spool/zlh-hooks: No space left on device"),
        (Spool.NO_INODES, "/var/spool/zlh-hooks: No space left on device"),
        (Spool.READ_ONLY, "/var/spool/zlh-hooks: Read-only file system"),
        (Spool.MISSING, "/var/spool/zlh-hooks: No such file or directory"),
        (Spool.NOT_ROOTS, "/var/spool/zlh-hooks must belong to root, and only root may write there"),
        (Spool.GROUP_MAY_WRITE, "/var/spool/zlh-hooks must belong to root, and only root may write there"),
        (Spool.SYMLINK, "/var/spool/zlh-hooks is not a directory"),
        (Spool.FILE, "/var/spool/zlh-hooks is not a directory"),
    ],
)
def test_a_note_that_cannot_be_written_is_told_with_the_reason(spool: Spool, reason: str) -> None:
    answer, _ = call_once(Call(("5001", "post-stop"), DOWN, environment=PVE), Environment(spool))
    assert answer.err == f"zlh-hooks: guest 5001: post-stop is not noted: {reason}\n"


def test_it_does_not_wait_for_a_disk_nor_for_a_cluster_that_hang() -> None:
    answer, _ = call_once(
        Call(("5001", "pre-start"), DOWN, environment=PVE), Environment(Spool.HANGS, Configs.SWALLOWS)
    )
    assert answer.exit_code == 0
    assert answer.seconds < HANG_SECONDS
    assert answer.let_go
    assert "could not be read: no answer in 0.3 s" in answer.err
    assert "pre-start is not noted: not within 0.15 s; a process was left to it" in answer.err


def test_what_the_verdict_of_a_cluster_that_hangs_takes_is_not_waited_for_the_note_again(tmp_path: Path) -> None:
    slow = make_variant(tmp_path, "    syswrite $mouth, $verdict;", "    sleep 2;\n    syswrite $mouth, $verdict;")
    slow.write_text(slow.read_text().replace("$NOTE_SECONDS = 0.15", "$NOTE_SECONDS = 4"))
    answer, _ = call_variant(slow, environment=Environment(Spool.HANGS, Configs.DEAF))
    assert "not within 4 s" in answer.err
    assert 4.3 <= answer.seconds < 6


@pytest.mark.parametrize(("configs", "left"), [(Configs.GOOD, 0), (Configs.DEAF, 0), (Configs.SWALLOWS, 1)])
def test_only_what_nobody_can_kill_is_left_behind(configs: Configs, left: int) -> None:
    call = Call(("5001", "pre-start"), DOWN, environment=PVE)
    assert call_hook(Environment(configs=configs), (call,)).left == left


def test_the_note_on_the_page_is_one() -> None:
    page = (HOOK.parents[1] / "docs" / "reference" / "guest-hook.md").read_text()
    (line,) = [line for line in page.splitlines() if line.startswith('{"format"')]
    _, notes = call_once(Call(("5012", "post-stop"), render_config(OURS), environment=PVE))
    assert list(json.loads(line)) == list(json.loads(next(iter(notes.values()))))
    assert parse_guest_note(line).guest == 5012
