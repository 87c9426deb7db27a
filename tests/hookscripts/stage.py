"""A node in a mount namespace of its own, on which the hook is called as Proxmox does: ``python -m`` this.

What is to be done comes as JSON on standard input, what was seen goes as JSON to standard output.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from tests.hookscripts.linux import READ_ONLY, REMOUNT, break_off, leave_host, mount, mount_fuse, swallow
from tests.hookscripts.world import (
    CONFIGS,
    FORMER,
    HANG_SECONDS,
    HOST,
    SPOOL,
    Answer,
    Call,
    Configs,
    Environment,
    Performance,
    Spool,
)
from tests.note_file import read_note

LATE, MISSED = "a process was left to it", "no answer in"
MOST_ATTEMPTS = 6
_FILLER = ".filler"
_SPOOL, _CONFIGS = Path(SPOOL), Path(CONFIGS)
_ELSEWHERE = _SPOOL.parent / "elsewhere"
_FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


# --- the node


def make_room() -> None:
    """Fresh folders for configs and spool, though this machine is no node."""
    room = _SPOOL.parent
    mount("tmpfs", room, options="mode=755")
    for name in (".upper", ".work"):
        (room / name).mkdir()
    mount("overlay", Path("/etc"), options=f"lowerdir=/etc,upperdir={room}/.upper,workdir={room}/.work")
    _CONFIGS.mkdir(exist_ok=True)


def make_spool(spool: Spool) -> int | None:
    """The place of the notes, as it is said to be; a descriptor that keeps it, if it is FUSE."""
    if spool in (Spool.MISSING, Spool.SYMLINK, Spool.FILE):
        _make_no_folder(spool)
        return None
    _SPOOL.mkdir(mode=0o700)
    modes = {Spool.GROUP_MAY_WRITE: 0o720, Spool.ALL_MAY_WRITE: 0o702}
    _SPOOL.chmod(modes.get(spool, 0o700))
    os.chown(_SPOOL, 65534 if spool is Spool.NOT_ROOTS else 0, 0)
    if spool is Spool.FULL:
        mount("tmpfs", _SPOOL, options="mode=700,size=4k")
        (_SPOOL / _FILLER).write_bytes(bytes(4096))
    if spool is Spool.NO_INODES:
        mount("tmpfs", _SPOOL, options="mode=700,nr_inodes=1")
    if spool is Spool.READ_ONLY:
        mount("tmpfs", _SPOOL, READ_ONLY, "mode=700")
    return mount_fuse(_SPOOL, swallow) if spool is Spool.HANGS else None


def _make_no_folder(spool: Spool) -> None:
    if spool is Spool.SYMLINK:
        _ELSEWHERE.mkdir(mode=0o700)
        _SPOOL.symlink_to(_ELSEWHERE)
    if spool is Spool.FILE:
        _SPOOL.write_text("")


def make_configs(configs: Configs, calls: list[Call]) -> int | None:
    """The cluster's file system with the guests of these calls; a descriptor that keeps it, if it is FUSE."""
    if configs in (Configs.BROKEN, Configs.SWALLOWS, Configs.DEAF):
        return mount_fuse(_CONFIGS, {Configs.BROKEN: break_off, Configs.SWALLOWS: swallow}.get(configs))
    mount("tmpfs", _CONFIGS, options="mode=755")
    if configs is Configs.GONE:
        return None
    known: dict[tuple[str, int], Path] = {}
    for call in calls:
        _write_config(call, known)
    if configs is Configs.NO_QUORUM:
        mount("tmpfs", _CONFIGS, REMOUNT | READ_ONLY)
    return None


def _write_config(call: Call, known: dict[tuple[str, int], Path]) -> None:
    if call.config is None:
        return
    path = _CONFIGS / call.place / f"{call.guest}.conf"
    if path.exists():  # a guest has one config, however often it is called for
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if first := known.get((call.config, call.mended)):
        path.hardlink_to(first)
        return
    path.write_bytes(call.config.encode("latin-1"))
    moment = time.time() + call.mended
    os.utime(path, (moment, moment))
    known[call.config, call.mended] = path


def make_former(text: str) -> None:
    """The script that backups had before ours, and the file by which ours knows it."""
    if text:
        script = _SPOOL.parent / "former"
        script.write_text(text)
        script.chmod(0o755)
        Path(FORMER).write_text(f"{script}\n")


# --- the calls


def run_call(script: str, environment: Environment, call: Call) -> Answer:
    """As often as a machine that is too busy for the hook's deadlines needs."""
    late: list[float] = []
    while _was_too_busy(environment, answer := _run_once(script, call)) and len(late) < MOST_ATTEMPTS - 1:
        late.append(answer.seconds)
    return replace(answer, late=tuple(late))


def _was_too_busy(environment: Environment, answer: Answer) -> bool:
    read_late = MISSED in answer.err and not environment.configs.hang
    return read_late or (LATE in answer.err and environment.spool is not Spool.HANGS)


def _run_once(script: str, call: Call) -> Answer:
    began = time.monotonic()
    held, inherited = os.pipe()
    nobody, unread = os.pipe()
    os.close(nobody)
    process = subprocess.Popen(
        [*_wrap(call.closed), script, *call.words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=unread if call.unheard else subprocess.PIPE,
        env=_environment_of(call),
        cwd="/",
        pass_fds=(inherited,),
    )
    os.close(inherited)
    os.close(unread)
    try:
        out, err = process.communicate(timeout=HANG_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return Answer(None, "", "", time.monotonic() - began, False)
    seconds = time.monotonic() - began
    texts = out.decode(errors="replace"), (err or b"").decode(errors="replace")
    return Answer(process.returncode, *texts, seconds, _is_let_go(held))


def _is_let_go(held: int) -> bool:
    ready, _, _ = select.select([held], [], [], HANG_SECONDS)
    os.close(held)
    return bool(ready)  # its end: nobody can write to it any more


def _wrap(closed: tuple[int, ...]) -> list[str]:
    return ["/bin/sh", "-c", f'exec "$0" "$@" {" ".join(f"{number}>&-" for number in closed)}'] if closed else []


def _environment_of(call: Call) -> dict[str, str]:
    if not call.clock:
        return call.environment
    # Files keep their own times: what is wrong is this node's clock alone.
    faked = {"LD_PRELOAD": str(_FAKETIME[0]), "FAKETIME": call.clock, "NO_FAKE_STAT": "1"}
    return {**call.environment, **faked, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


# --- the whole


def perform(task: dict[str, Any]) -> Performance:
    """Make the node and call."""
    calls = [Call(**{**call, "words": tuple(call["words"]), "closed": tuple(call["closed"])}) for call in task["calls"]]
    told = task["environment"]
    environment = Environment(Spool(told["spool"]), Configs(told["configs"]), told["former"])
    leave_host(HOST)
    make_room()
    make_former(environment.former)
    devices = (make_spool(environment.spool), make_configs(environment.configs, calls))
    with ThreadPoolExecutor(task["at_once"]) as pool:
        answers = tuple(pool.map(partial(run_call, task["script"], environment), calls))
    left = count_left(task["script"], can_end=environment.spool is not Spool.HANGS)
    for device in filter(None, devices):
        os.close(device)
    return _look_round(environment, answers, left)


def count_left(script: str, can_end: bool) -> int:
    """Processes of this script on this node, when all others have ended than those that nothing can end."""
    deadline = time.monotonic() + (HANG_SECONDS if can_end else 0)
    while (states := list(find_states(script))).count("D") < len(states) and time.monotonic() < deadline:
        time.sleep(0.01)
    return len(states)


def find_states(script: str) -> Iterator[str]:
    """A letter for each process of this mount namespace; ``D``: in the kernel, where no signal reaches it."""
    ours = Path("/proc/self/ns/mnt").readlink()
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            words = (path / "cmdline").read_bytes().split(b"\0")
            if script.encode() in words and (path / "ns" / "mnt").readlink() == ours and path.name != str(os.getpid()):
                yield (path / "stat").read_text().rpartition(")")[2].split()[0]


def _look_round(environment: Environment, answers: tuple[Answer, ...], left: int) -> Performance:
    has_folder = environment.spool not in (Spool.MISSING, Spool.SYMLINK, Spool.FILE, Spool.HANGS)
    paths = [path for path in sorted(_SPOOL.iterdir()) if path.name != _FILLER] if has_folder else []
    notes = {path.name: read_note(path) for path in paths}
    elsewhere = tuple(path.name for path in _ELSEWHERE.iterdir()) if _ELSEWHERE.exists() else ()
    return Performance(answers, notes, elsewhere, left)


if __name__ == "__main__":
    json.dump(asdict(perform(json.load(sys.stdin))), sys.stdout)
