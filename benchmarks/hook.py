"""What a guest's start and stop pay for the guest hook, beside what a shell, Python and Perl cost in the same run.

``python -m benchmarks.hook [ROUNDS]`` as root. Whole processes, from spawn to exit, one after another in turns, in a
mount namespace where this machine looks like a node; notes go to the disk that the checkout lies on. Printed: medians,
and ratios to (c), a Perl script that does ``use strict; use warnings;`` and exits, which Proxmox's own example costs at
least; and 200 calls at once beside 200 times what a shell takes, and beside 200 shells at once. The hook's own figures
are fit to be judged on a quiet machine only: the load is printed, and what a bare note costs on this disk. For nodes of
which something is broken see ``benchmarks.hook_point``.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.hookscripts.config import CONFIGS
from tests.hookscripts.linux import bind, leave_host, mount
from tests.hookscripts.node import HOOK, PVE, REPOSITORY
from tests.hookscripts.stage import make_room
from tests.hookscripts.world import CONFIGS as CONFIG_FOLDER
from tests.hookscripts.world import HOST, SPOOL

ROUNDS, AT_ONCE, CROWDS = 300, 200, 7
MOST_NOTHING, MOST_EVENT = 1.0, 1.5
"""Times (c)."""
MOST_CROWD_SECONDS = 0.3
SHELL, MEASURE = "(a) sh -c :", "(c) perl, strict and warnings"
NOTHING, EVENT = "5001", "5002"
Command = tuple[str, ...]


def make_node(spool: Path) -> None:
    """Two guests: one that is none of ours, one that is."""
    leave_host(HOST)
    make_room()
    Path(SPOOL).mkdir(mode=0o700)
    bind(spool, Path(SPOOL))
    mount("tmpfs", Path(CONFIG_FOLDER), options="mode=755")
    (Path(CONFIG_FOLDER) / "lxc").mkdir()
    for guest, name in ((NOTHING, "ordinary"), (EVENT, "ours")):
        (Path(CONFIG_FOLDER) / "lxc" / f"{guest}.conf").write_text(CONFIGS[name].text)


def make_spool(folder: Path) -> Path:
    """A folder on this disk, away from files that were deleted a moment ago, by the last benchmark perhaps.

    An ext4 without a journal keeps their inodes from being taken again for minutes and searches among them for each new
    file (Linux, ``recently_deleted`` in fs/ext4/ialloc.c); a node's root has a journal. What lies in a folder with the
    attribute ``T`` is spread over the disk by its name.
    """
    subprocess.run(["chattr", "+T", str(folder)], check=False, stderr=subprocess.DEVNULL)  # other file systems lack it
    return Path(tempfile.mkdtemp(dir=folder))


def make_commands(folder: Path) -> dict[str, Command]:
    """Name to words."""
    perl = folder / "strict"
    perl.write_text("#!/usr/bin/perl\nuse strict;\nuse warnings;\n")
    perl.chmod(0o755)
    python = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
    return {
        SHELL: ("/bin/sh", "-c", ":"),
        f"(b) {python} -IS -c pass": (python, "-IS", "-c", "pass"),
        MEASURE: (str(perl),),
        "hook, nothing to do": (str(HOOK), NOTHING, "post-stop"),
        "hook, event on the disk": (str(HOOK), EVENT, "post-stop"),
    }


def time_once(words: Command) -> float:
    """Seconds from spawn to exit."""
    began = time.perf_counter()
    process = os.posix_spawn(words[0], words, PVE)
    _, status = os.waitpid(process, 0)
    seconds = time.perf_counter() - began
    assert status == 0, words
    return seconds


def time_crowd(words: Command) -> float:
    """Seconds from the first spawn to the last exit."""
    began = time.perf_counter()
    crowd = [os.posix_spawn(words[0], words, PVE) for _ in range(AT_ONCE)]
    for process in crowd:
        os.waitpid(process, 0)
    return time.perf_counter() - began


def time_note(folder: Path) -> float:
    """What a note costs this disk, without a process. None replaces another: ext4 would search among the removed."""
    began = time.perf_counter()
    (folder / f"note-{time.monotonic_ns()}").symlink_to("x" * 170)
    opened = os.open(folder, os.O_RDONLY)
    os.fsync(opened)
    os.close(opened)
    return time.perf_counter() - began


def take_turns(acts: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Name to seconds, sorted."""
    seconds: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(rounds):
        for name, act in acts.items():
            seconds[name].append(act())
    return {name: sorted(taken) for name, taken in seconds.items()}


def find_medians(seconds: Mapping[str, list[float]]) -> dict[str, float]:
    """Name to median."""
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def verdict(holds: bool) -> str:
    """A word at a line's end."""
    return "holds" if holds else "MISSED"


def judge_calls(commands: Mapping[str, Command], spool: Path, rounds: int) -> tuple[bool, float]:
    """One after another. Also the seconds that a shell takes."""
    acts = {name: (lambda words=words: time_once(words)) for name, words in commands.items()}
    taken = take_turns({**acts, "a bare note on this disk": lambda: time_note(spool)}, rounds)
    medians, tenths = find_medians(taken), {name: seconds[rounds // 10] for name, seconds in taken.items()}
    measure, tenth = medians[MEASURE], tenths[MEASURE]
    limits = {"hook, nothing to do": MOST_NOTHING, "hook, event on the disk": MOST_EVENT}
    print(f"{rounds} rounds, medians (the fastest tenth); load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    for name, seconds in medians.items():
        ratio, limit = seconds / measure, limits.get(name)
        said = f"  limit {limit:.1f} x (c): {verdict(ratio <= limit)}" if limit else ""
        print(f"    {name:32} {seconds * 1000:7.2f} ms {ratio:6.2f} x (c) ({tenths[name] / tenth:.2f}){said}")
    return all(medians[name] / measure <= limit for name, limit in limits.items()), medians[SHELL]


def judge_crowds(commands: Mapping[str, Command], shell: float) -> bool:
    """As when a node boots; beside so many times a shell's seconds."""
    acts = {name: (lambda words=words: time_crowd(words)) for name, words in commands.items()}
    medians, shells = find_medians(take_turns(acts, CROWDS)), AT_ONCE * shell
    print(f"{AT_ONCE} at once, {CROWDS} rounds, medians; {AT_ONCE} x (a) is {shells:.3f} s")
    for name, seconds in medians.items():
        above = (
            f"{seconds - shells:+.3f} s to {AT_ONCE} x (a), {seconds - medians[SHELL]:+.3f} s to {AT_ONCE} (a) at once"
        )
        limit = f"  limit {MOST_CROWD_SECONDS} s: {verdict(seconds - shells <= MOST_CROWD_SECONDS)}"
        print(f"    {name:32} {seconds:6.3f} s, {above}{limit if 'hook' in name else ''}")
    return all(seconds - shells <= MOST_CROWD_SECONDS for name, seconds in medians.items() if "hook" in name)


def main(rounds: int) -> int:
    """Both."""
    if os.geteuid() != 0:
        raise SystemExit("this needs root: a node's mounts are made in a namespace")
    with tempfile.TemporaryDirectory(prefix=".hook-", dir=REPOSITORY) as folder:
        commands, spool = make_commands(Path(folder)), make_spool(Path(folder))
        make_node(spool)
        calls_hold, shell = judge_calls(commands, spool, rounds)
        crowds_hold = judge_crowds(commands, shell)
    holds = calls_hold and crowds_hold
    print("limits hold" if holds else "limits MISSED")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
