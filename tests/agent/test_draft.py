"""Drafts: what is signed goes out whatever else waits, what waits is said, and a draft can be dropped."""

import re
from collections.abc import Mapping

import pytest

from agent_plugin.desired import Build
from agent_plugin.desired_wire import parse_state, render_state
from tests.agent.conftest import GuestBench, need_guests_client
from tests.agent.repository_bench import RepositoryBench, always, now
from zlh_hooks.domain.agent_trust import PERSON, TrustRole
from zlh_hooks.domain.errors import NotAllowed

need_guests_client()


def begin_to_add_carl(bench: RepositoryBench) -> None:
    """Root and targets need two people; one has signed."""
    bench.keys.make("carl", PERSON)
    bench.repository.add_person("carl", now())
    bench.sign("anna")


def want(bench: RepositoryBench, builds: Mapping[str, Build], version: str = "1.5.0", **changes: object) -> None:
    """Anna signs the desired state and nothing else that waits."""
    bench.repository.write_state(render_state(always(version, builds, **changes)), now())
    bench.repository.sign("anna", [TrustRole.DESIRED])


def read_pinned(bench: RepositoryBench) -> Mapping[str, Build]:
    return parse_state(bench.repository.read_state() or b"").pins[0].builds


def test_a_change_of_keys_that_waits_keeps_nobody_from_taking_a_version_back(
    guest: GuestBench, bench: RepositoryBench
) -> None:
    old = read_pinned(bench)
    bench.roll_out("1.6.0", b"newer", number=2)
    assert guest.check().version == "1.6.0"
    begin_to_add_carl(bench)
    want(bench, old, number=3, downgrade=True)
    waiting = bench.list_waiting()
    assert guest.check().version == "1.5.0"
    assert [*waiting] == [TrustRole.ROOT, TrustRole.TARGETS]
    assert re.fullmatch(
        r"targets 2 lacks 1 of its signatures: .* by one of ben, carl, sealed", waiting[TrustRole.TARGETS]
    )
    bench.sign("ben")
    assert bench.list_waiting() == {}
    assert guest.check().version == "1.5.0"


def test_the_newest_is_said_anew_while_something_waits(bench: RepositoryBench) -> None:
    begin_to_add_carl(bench)
    bench.publish()
    assert bench.publish() == ("metadata/timestamp.json",)


def test_a_pin_waits_with_the_release_that_it_means(guest: GuestBench, bench: RepositoryBench) -> None:
    build = bench.release("1.6.0", b"newer")
    bench.repository.renew([TrustRole.RELEASES], now())
    want(bench, {"all": build}, "1.6.0", number=2)
    assert bench.list_waiting() == {
        TrustRole.RELEASES: "releases 3 lacks 1 of its signatures: agent keys sign, by one of anna, ben",
        TrustRole.DESIRED: "it counts only with releases",
    }
    assert guest.check().version == "1.5.0"
    bench.sign("ben")
    assert bench.list_waiting() == {}
    assert guest.check().version == "1.6.0"


def test_somebody_who_leaves_is_kept_until_what_counts_by_that_key_alone_is_signed_anew(
    guest: GuestBench, bench: RepositoryBench
) -> None:
    bench.release("1.6.0", b"by ben alone")
    bench.publish()
    bench.keys.make("carl", PERSON)
    bench.repository.add_person("carl", now())
    bench.repository.remove_holder("ben", now())
    bench.sign("anna", "sealed")
    bench.repository.drop([TrustRole.RELEASES])
    assert "releases 3 lacks 1 of its signatures: agent keys renew releases" in bench.list_waiting()[TrustRole.TARGETS]
    assert guest.check().version == "1.5.0"
    bench.repository.renew([TrustRole.RELEASES], now())
    bench.sign("carl")
    assert bench.list_waiting() == {}
    assert guest.check().version == "1.5.0"


def test_whose_key_counts_first_with_a_change_that_waits_signs_nothing_before(bench: RepositoryBench) -> None:
    begin_to_add_carl(bench)
    bench.repository.renew([TrustRole.DESIRED], now())
    bench.sign("carl")
    assert bench.list_waiting()[TrustRole.DESIRED] == "it counts only with root, targets"


def test_a_dropped_draft_is_gone_and_what_is_published_stays(guest: GuestBench, bench: RepositoryBench) -> None:
    begin_to_add_carl(bench)
    assert bench.repository.drop([TrustRole.ROOT, TrustRole.TARGETS]) == (TrustRole.ROOT, TrustRole.TARGETS)
    assert bench.list_waiting() == {}
    assert guest.check().version == "1.5.0"
    assert not any("carl" in one.may_sign for one in bench.repository.list_standings())
    assert bench.repository.drop(list(TrustRole)) == ()


def test_the_first_documents_are_dropped_all_or_not(tmp_path, bench: RepositoryBench) -> None:  # type: ignore[no-untyped-def]
    new = RepositoryBench(tmp_path / "new")
    new.make_keys()
    new.repository.found(["anna", "ben"], "sealed", "online", now())
    with pytest.raises(NotAllowed, match="drop them all"):
        new.repository.drop([TrustRole.DESIRED])
    assert len(new.repository.drop(list(TrustRole))) == 4
    new.repository.found(["anna", "ben"], "sealed", "online", now())


def test_nothing_is_published_of_first_documents_that_are_not_signed(bench: RepositoryBench, tmp_path) -> None:  # type: ignore[no-untyped-def]
    new = RepositoryBench(tmp_path / "new")
    new.make_keys()
    new.repository.found(["anna", "ben"], "sealed", "online", now())
    new.sign("anna")
    with pytest.raises(NotAllowed, match="targets 1 lacks 1 of its signatures"):
        new.publish()
    assert not new.public.exists()
