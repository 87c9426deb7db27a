"""What the tags say of a root that lies beside the guest's own."""

from dataclasses import replace

import pytest

from zlh_hooks.application.mark import parse_kept, render_kept
from zlh_hooks.domain import tag
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.kept_volume import KeptVolume

VOLID, REF = "local:5001/vm-5001-disk-0.raw", GuestRef(5001, "n1")
KEPT = KeptVolume(VOLID, "n1", "unused0", 1 << 30, 1795492800)


@pytest.mark.parametrize("stamp", [None, KEPT.stamp])
def test_a_tag_that_proxmox_stores_says_the_same_as_the_ledger(stamp: int | None) -> None:
    kept = replace(KEPT, stamp=stamp)
    tags = render_kept("r1123-7kq2", kept)
    assert all(tag.is_valid(one) for one in tags)
    found = parse_kept("r1123-7kq2", tags, REF)
    assert {name: replace(one, volid=VOLID) for name, one in found.items()} == {"vm-5001-disk-0.raw": kept}
    assert parse_kept("r1124-aaaa", tags, REF) == {}


@pytest.mark.parametrize("text", ["unused0", "unused0.x.1.vm-5001-disk-0.raw", "unused0.1.x.vm-5001-disk-0.raw"])
def test_a_tag_that_somebody_damaged_says_nothing(text: str) -> None:
    assert parse_kept("r1123-7kq2", (f"{tag.KEPT_ROOT}r1123-7kq2.{text}",), REF) == {}
