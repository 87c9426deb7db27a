"""Two workers, or two controllers: one executes, the other is told who does and until when."""

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.kill.bench import PATIENCE_SECONDS, Bench, open_bench
from tests.kill.process import WorkerProcess
from tests.stand_in.fault import Fault
from zlh_hooks import wiring
from zlh_hooks.domain.plan import Plan

pytestmark = pytest.mark.process

LEASE_SECONDS = 1.0


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_bench(tmp_path) as opened:
        yield opened


def outcome_of(worker: WorkerProcess) -> tuple[int, str]:
    """Exit code and words of a worker that ends by itself."""
    return worker.wait(PATIENCE_SECONDS), " ".join(worker.said().split())


def is_staging(bench: Bench, plan: Plan) -> bool:
    return any(entry.name == "staged" for entry in bench.view.ledger.read(plan.id))


def test_the_second_worker_is_told_who_executes_and_until_when(bench: Bench) -> None:
    bench.submit("2")
    first = bench.start("--stay")
    bench.wait_for(lambda: bench.view.ledger.lease.read() is not None, first)
    code, words = outcome_of(bench.start())
    assert code == 3
    assert f"{bench.view.ledger.lease.read().holder} executes" in words
    assert "allowed from 20" in words


def test_a_second_controller_is_told_who_controls_the_cluster_and_until_when(bench: Bench, tmp_path: Path) -> None:
    plan = bench.submit("2")
    first = bench.start()
    bench.wait_for(lambda: bool(bench.claims()), first)
    bench.kill()
    settings = tmp_path / "zlh-hooks.toml"
    settings.write_text(settings.read_text().replace("ledger.sqlite", "other.sqlite"))
    other = wiring.open_site(settings, tmp_path / "policy.toml")
    other.desk().submit(plan)
    executed = sum(bench.site.pve.counts.values())
    code, words = outcome_of(bench.start())
    other.ledger.close()
    assert code == 3
    assert "the cluster is controlled by lab-" in words
    assert "allowed from 20" in words
    assert sum(bench.site.pve.counts.values()) == executed


@pytest.mark.parametrize("message", ["CT is locked (backup)", "failed"])
@pytest.mark.parametrize(("call", "vmid"), [("clone", 8002), ("reboot", 5001), ("write_config", 5001)])
def test_a_worker_stopped_until_another_took_over_writes_nothing_more_and_asks_for_nothing_more(
    bench: Bench, call: str, vmid: int, message: str
) -> None:
    """It is stopped when its request is refused. After SIGCONT it would ask again, or record what failed."""
    plan = bench.submit("2")
    first = bench.start()
    stop = Fault(call, vmid, act=lambda: freeze(bench, first.pid), status=500, message=message)
    bench.faults.requests.append(stop)
    bench.wait_for(lambda: _is_stopped(first.pid))
    second = bench.start("--wait", "30")
    bench.wait_for(lambda: bench.is_over(plan), second)
    entries, requests = len(bench.view.ledger.read()), len(bench.faults.requests_seen)
    os.kill(first.pid, signal.SIGCONT)
    code, words = outcome_of(first)
    assert code == 4
    assert "is lost; it is held by lab-" in words
    assert len(bench.view.ledger.read()) == entries
    assert len(bench.faults.requests_seen) == requests
    assert set(bench.site.versions().values()) == {"2"}


def freeze(bench: Bench, pid: int) -> None:
    """Stop the process, but not in the middle of a commit: then nobody could take over before it goes on or ends."""
    os.kill(pid, signal.SIGSTOP)
    while not _is_stopped(pid) or _is_locked(bench):
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.01)
        os.kill(pid, signal.SIGSTOP)


def _is_locked(bench: Bench) -> bool:
    with closing(sqlite3.connect(bench.view.ledger.database.path, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        connection.execute("ROLLBACK")
    return False


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_a_worker_stopped_for_longer_than_its_lease_goes_on_if_nobody_took_over(bench: Bench) -> None:
    plan = bench.submit("2")
    first = bench.start()
    bench.wait_for(lambda: is_staging(bench, plan), first)
    freeze(bench, first.pid)
    time.sleep(LEASE_SECONDS * 1.5)
    os.kill(first.pid, signal.SIGCONT)
    bench.wait_for(lambda: bench.is_over(plan), first)
    assert set(bench.site.versions().values()) == {"2"}


def test_a_process_stopped_in_the_middle_of_a_commit_keeps_all_others_out_and_they_say_why(bench: Bench) -> None:
    bench.submit("2")
    with closing(sqlite3.connect(bench.view.ledger.database.path, isolation_level=None)) as frozen:
        frozen.execute("BEGIN IMMEDIATE")
        code, words = outcome_of(bench.start())
    assert code == 4
    assert "database is locked for 30 s by a process that is slow or stopped" in words
    assert not bench.site.pve.counts
