"""What is freed is what was put aside, and not what is called like it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from zlh_hooks.domain.guest import GuestConfig, GuestRef, Volume
from zlh_hooks.domain.kept_volume import KeptVolume, find_change, note_volume, parse_kept

VOLID = "local:5001/vm-5001-disk-0.raw"
MADE = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
CONFIG = GuestConfig(GuestRef(5001, "n1"), "digest", {"rootfs": "local:5001/vm-5001-disk-2.raw", "unused0": VOLID})
KEPT = KeptVolume(VOLID, "n1", "unused0", 1 << 30, int(MADE.timestamp()))


def test_a_volume_is_known_by_its_slot_its_size_and_the_date_of_its_storage() -> None:
    assert note_volume(CONFIG, [Volume(VOLID, 5001, 1 << 30, MADE)], VOLID) == KEPT
    assert parse_kept(KEPT.dump()) == KEPT


@pytest.mark.parametrize("stored", [[], [Volume("local:5001/vm-5001-disk-7.raw", 5001, 1 << 30, MADE)]])
def test_a_volume_that_its_storage_does_not_list_is_not_there(stored: list[Volume]) -> None:
    assert note_volume(CONFIG, stored, VOLID) is None


def test_a_volume_that_the_config_does_not_name_is_not_there() -> None:
    bare = replace(CONFIG, values={})
    assert note_volume(bare, [Volume(VOLID, 5001, 1 << 30, MADE)], VOLID) is None
    assert parse_kept({}) is None


LATER = int((MADE + timedelta(seconds=1)).timestamp())


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (None, "it is not there any more"),
        (replace(KEPT, slot="mp1"), "it was in unused0 and is in mp1"),
        (replace(KEPT, size=2 << 30), "it had 1024 MiB and has 2048 MiB"),
        (
            replace(KEPT, stamp=LATER),
            "its storage dated it 2026-11-23 04:00:00 UTC and dates it 2026-11-23 04:00:01 UTC",
        ),
        (replace(KEPT, stamp=None), "its storage dated it 2026-11-23 04:00:00 UTC and dates it not at all"),
        (replace(KEPT, stamp=LATER, node="n2"), "it was on n1, and what is on n2 was written anew"),
    ],
)
def test_whatever_differs_makes_it_another_volume(seen: KeptVolume | None, said: str) -> None:
    assert find_change(KEPT, seen) == said


@pytest.mark.parametrize("stamp", [None, KEPT.stamp])
def test_what_is_as_it_was_is_the_same_volume_and_on_a_shared_storage_the_node_does_not_matter(
    stamp: int | None,
) -> None:
    kept = replace(KEPT, stamp=stamp)
    assert find_change(kept, kept) is None
    assert find_change(kept, replace(kept, node="n2")) is None


def test_a_volume_of_which_nothing_was_noted_is_not_known() -> None:
    assert find_change(None, KEPT) == "nothing but its name is known"
