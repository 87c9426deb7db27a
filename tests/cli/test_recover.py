"""``zlh-hooks recover`` beside what others do on the node: it says so, and goes on only as a person wishes."""

from pathlib import Path

import pytest
from typer.testing import Result

from tests.cli.command_line import make_runner
from tests.cli.site_file import GAMES, write_served_site
from tests.stand_in.client import connect
from tests.stand_in.fixture import NODE, RUNNING, STORAGE, stand_in
from tests.stand_in.serving import Serving
from zlh_hooks.cli.app import app

__all__ = ["stand_in"]

MARKS = ("zlh-rollout.r1", "zlh-to-version.r1.2", "zlh-from-version.r1.1")


@pytest.fixture
def files(stand_in: Serving, tmp_path: Path) -> list[str]:
    """A site whose running guest was left with a new root that waits for a restart."""
    cluster = connect(stand_in)
    new = stand_in.call(lambda: stand_in.pve.volumes.allocate(STORAGE, RUNNING.vmid, 1024**3))
    stand_in.call(lambda: stand_in.pve.edit_guest(RUNNING.vmid, unused0=new))
    config = cluster.read_config(RUNNING)
    old = f"zlh-old-root.r1.{config.rootfs.volume.rpartition('/')[2]}"
    values = {"rootfs": f"{new},size=1G", "unused0": config.rootfs.volume}
    cluster.write_config(RUNNING, values | {"tags": ";".join((*config.tags, *MARKS, old))}, config.digest)
    return write_served_site(tmp_path, stand_in, GAMES)


def recover(files: list[str], *words: str) -> Result:
    return make_runner().invoke(app, ["recover", str(RUNNING.vmid), "--yes", *words, *files])


def test_a_guest_stays_as_it_is_beside_a_backup_of_many_until_a_person_says_now(
    stand_in: Serving, files: list[str]
) -> None:
    stand_in.wait(stand_in.pve.work(NODE, "vzdump"))
    root = connect(stand_in).read_config(RUNNING).rootfs.volume
    refused = recover(files, "--forward")
    assert refused.exit_code == 1
    assert "a backup of several guests, perhaps of this one, runs on pve1" in refused.stderr
    assert "at once with --now" in refused.stderr
    assert connect(stand_in).read_config(RUNNING).rootfs.volume == root
    assert stand_in.pve.counts["reboot", RUNNING.vmid] == 0
    done = recover(files, "--forward", "--now")
    assert (done.exit_code, "5001: done" in done.stdout) == (0, True), done.output
    assert "is restarted all the same: a backup of several guests" in done.stderr
    config = connect(stand_in).read_config(RUNNING)
    assert (config.rootfs.volume != root, config.tags) == (True, ("customer", "zlh-version.2"))


def test_a_pending_root_is_taken_back_without_a_restart_whatever_others_do(stand_in: Serving, files: list[str]) -> None:
    stand_in.wait(stand_in.pve.work(NODE, "vzsnapshot", RUNNING.vmid))
    done = recover(files, "--back")
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    assert (connect(stand_in).read_pending(RUNNING), stand_in.pve.counts["reboot", RUNNING.vmid]) == ({}, 0)


def test_a_guest_that_has_nothing_to_end_is_named(stand_in: Serving, files: list[str]) -> None:
    looked = make_runner().invoke(app, ["recover", "9999", *files])
    assert (looked.exit_code, looked.stdout) == (0, "guest 9999 was not left in work, if there is such a guest\n")
