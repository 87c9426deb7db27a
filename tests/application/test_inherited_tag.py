"""A clone that was noted loses what only its template may say, and nothing else."""

from collections.abc import Collection
from datetime import timedelta

import pytest

from tests.application.rollout_bench import Bench
from zlh_hooks.application.inherited_tag import TAKEN_OFF, InheritedTags
from zlh_hooks.application.retag import ChannelPorts
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import RightMissing
from zlh_hooks.domain.value import VmidRange

GUEST, OTHER = 5001, 5002
CLONED = "customer;zlh-channel.stable;zlh-hook;zlh-line.game-base;zlh-revoked;zlh-version.1"
SCRATCH = VmidRange.model_validate("9900-9999")


def open_bench() -> Bench:
    bench = Bench().furnish(2)
    for vmid in (GUEST, OTHER):
        bench.datacentre.edit_config(vmid, tags=CLONED)
    return bench


def take_off(bench: Bench, guests: Collection[int] = (GUEST,), scratch: VmidRange = SCRATCH) -> list[str]:
    cluster, said = bench.datacentre.cluster, list[str]()
    ports = ChannelPorts(cluster.inventory, cluster.editor, bench.ledger, bench.clock, patience=timedelta(seconds=20))
    InheritedTags(ports, scratch, said.append).take_off(guests)
    return said


def tags_of(bench: Bench, vmid: int) -> str:
    return bench.datacentre.containers[vmid].values.get("tags", "")


def test_line_channel_and_revocation_go_and_all_else_stays() -> None:
    bench = open_bench()
    (line,) = take_off(bench)
    assert tags_of(bench, GUEST) == "customer;zlh-hook;zlh-version.1"
    assert line.endswith("is no template: taken off zlh-channel.stable, zlh-line.game-base, zlh-revoked")
    assert [entry.kind for entry in bench.ledger.read() if entry.name == TAKEN_OFF] == [Kind.INTENT, Kind.DONE]


def test_a_guest_that_was_not_noted_is_left_alone() -> None:
    bench = open_bench()
    take_off(bench)
    assert tags_of(bench, OTHER) == CLONED


def test_a_template_keeps_what_it_is() -> None:
    bench = open_bench()
    templates = [one for one in bench.datacentre.cluster.inventory.list_guests() if one.template]
    before = {one.vmid: one.tags for one in templates}
    assert take_off(bench, before.keys()) == []
    assert {one.vmid: one.tags for one in bench.datacentre.list_guests() if one.template} == before


def test_a_guest_that_has_no_other_tag_has_none_at_last() -> None:
    bench = open_bench()
    bench.datacentre.edit_config(GUEST, tags="zlh-line.game-base")
    take_off(bench)
    assert "tags" not in bench.datacentre.containers[GUEST].values


@pytest.mark.parametrize("tags", ["customer;zlh-version.1", CLONED + ";zlh-rollout.r1123-abcd"])
def test_a_guest_without_such_tags_or_in_work_is_not_written(tags: str) -> None:
    bench = open_bench()
    bench.datacentre.edit_config(GUEST, tags=tags)
    assert take_off(bench) == []
    assert tags_of(bench, GUEST) == tags
    assert not bench.executed("write_config")
    assert not [entry for entry in bench.ledger.read() if entry.name == TAKEN_OFF]


BUSY = "zlh-busy.20991231t0000z"


def copy_of_one_in_work(bench: Bench) -> str:
    """GUEST is what a clone or a restored backup of OTHER is, whose new root waits; OTHER's tags."""
    name = bench.datacentre.containers[OTHER].config.rootfs.volume.rpartition("/")[2]
    tags = f"{CLONED};{BUSY};zlh-rollout.r1;zlh-old-root.r1.{name};zlh-to-version.r1.2"
    for vmid in (GUEST, OTHER):
        bench.datacentre.edit_config(vmid, tags=tags)
    return tags


def test_a_copy_of_a_guest_in_work_says_no_more_that_it_is_and_the_guest_itself_does() -> None:
    bench = open_bench()
    tags = copy_of_one_in_work(bench)
    (line,) = take_off(bench, (GUEST, OTHER))
    assert line.endswith(f"zlh-revoked, {BUSY}")
    assert not {BUSY, "zlh-line.game-base"} & set(tags_of(bench, GUEST).split(";"))
    assert tags_of(bench, OTHER) == tags


def test_a_guest_in_work_whose_new_root_is_in_force_is_known_by_its_old_one() -> None:
    bench = open_bench()
    tags = copy_of_one_in_work(bench)
    old = bench.datacentre.containers[OTHER].config.rootfs
    bench.datacentre.edit_config(OTHER, rootfs=old.holding(old.volume + "x", None).render(), unused0=old.volume)
    assert take_off(bench, (OTHER,)) == []
    assert tags_of(bench, OTHER) == tags


def test_one_that_goes_while_its_config_is_read_keeps_nobody_waiting() -> None:
    bench = open_bench()
    copy_of_one_in_work(bench)
    bench.datacentre.faults.meanwhile("read_config", lambda: bench.datacentre.delete_guest(GUEST), vmid=GUEST)
    assert take_off(bench) == []


def test_a_sign_that_is_left_of_work_by_nobody_goes_too() -> None:
    bench = open_bench()
    bench.datacentre.edit_config(GUEST, tags=f"customer;{BUSY}")
    take_off(bench)
    assert tags_of(bench, GUEST) == "customer"


def test_scratch_guests_of_ours_keep_theirs() -> None:
    bench = open_bench()
    take_off(bench, scratch=VmidRange.model_validate("5000-5100"))
    assert tags_of(bench, GUEST) == CLONED


def test_what_somebody_else_writes_meanwhile_is_not_lost() -> None:
    bench = open_bench()

    def edit() -> None:
        bench.datacentre.edit_config(GUEST, tags=CLONED + ";meanwhile")

    bench.datacentre.faults.meanwhile("write_config", edit, vmid=GUEST)
    take_off(bench)
    assert tags_of(bench, GUEST) == "customer;meanwhile;zlh-hook;zlh-version.1"


def test_one_that_becomes_a_template_meanwhile_keeps_its_tags() -> None:
    bench = open_bench()

    def convert() -> None:
        bench.datacentre.edit_config(GUEST, template="1")

    bench.datacentre.faults.meanwhile("read_config", convert, vmid=GUEST)
    assert take_off(bench) == []
    assert tags_of(bench, GUEST) == CLONED


def test_a_guest_that_stays_locked_is_told_and_the_others_are_done() -> None:
    bench = open_bench()
    bench.datacentre.lock(GUEST, "backup")
    said = take_off(bench, (GUEST, OTHER))
    assert tags_of(bench, GUEST) == CLONED
    assert tags_of(bench, OTHER) == "customer;zlh-hook;zlh-version.1"
    assert [line for line in said if f"guest {bench.datacentre.ref(GUEST)} keeps tags of its template" in line]


def test_a_token_without_the_right_is_recorded_as_the_reason() -> None:
    bench = open_bench()
    bench.datacentre.revoke_privilege("VM.Config.Options")
    with pytest.raises(RightMissing):
        take_off(bench)
    (failed,) = bench.entries(Kind.FAILED, TAKEN_OFF)
    assert "VM.Config.Options" in failed.data["reason"]
