"""What a guest stands on: all storages of the volumes that it uses, and no other."""

import pytest

from tests.application.rollout_bench import Bench
from zlh_hooks.application.look import find_storage_away
from zlh_hooks.domain.guest import GuestRef


@pytest.mark.parametrize(("key", "away"), [("mp0", True), ("unused3", False)])
def test_a_guest_stands_on_the_storage_of_its_data_too_and_not_on_that_of_what_it_does_not_use(
    key: str, away: bool
) -> None:
    datacentre = Bench().furnish(1).datacentre
    datacentre.add_storage("bulk")
    datacentre.containers[5001].values[key] = "bulk:5001/vm-5001-disk-7.raw" + (",mp=/srv/game" if away else "")
    assert not find_storage_away(datacentre.cluster, GuestRef(5001, "n1"))
    datacentre.store("n1", "bulk").active = False
    assert (find_storage_away(datacentre.cluster, GuestRef(5001, "n1")) is not None) == away
