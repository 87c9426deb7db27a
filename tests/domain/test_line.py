"""Rules of template lines: what tags mean, which template a new guest gets, which versions may go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_hooks.domain.errors import TargetError
from zlh_hooks.domain.guest import GuestConfig, GuestRef, GuestSummary
from zlh_hooks.domain.line import (
    Catalogue,
    TemplateVersion,
    choose_template,
    list_bases,
    list_born,
    list_claimants,
    parse_catalogue,
    parse_line,
    plan_retention,
)

KEYS = [str(number) for number in range(5000, 9000)]


def guest(vmid: int, *tags: str, node: str = "pve1", template: bool = False, container: bool = True) -> GuestSummary:
    return GuestSummary(GuestRef(vmid, node, container), f"g{vmid}", False, template, tags)


def template(vmid: int, version: str, *more: str, node: str = "pve1", line: str = "game-base") -> GuestSummary:
    return guest(vmid, f"zlh-line.{line}", f"zlh-version.{version}", *more, node=node, template=True)


STABLE, CANARY = "zlh-channel.stable", "zlh-channel.canary"


def versions(*templates: GuestSummary) -> tuple[TemplateVersion, ...]:
    catalogue = parse_catalogue(templates)
    assert not catalogue.problems
    return catalogue.versions


def texts(catalogue: Catalogue) -> str:
    return "\n".join(problem.text for problem in catalogue.problems)


# --- what the tags mean


def test_a_version_is_one_template_per_node() -> None:
    (found,) = versions(template(9010, "1", node="pve2"), template(9000, "1", STABLE))
    assert found.refs == (GuestRef(9000, "pve1"), GuestRef(9010, "pve2"))
    assert found.is_stable
    assert not found.revoked


def test_clones_inherit_tags_and_are_no_templates() -> None:
    born = guest(5001, "zlh-line.game-base", "zlh-version.1", STABLE)
    assert parse_catalogue((born,)) == Catalogue((), ())


def test_virtual_machine_templates_are_no_lines_yet() -> None:
    vm = guest(9000, "zlh-line.game-base", "zlh-version.1", template=True, container=False)
    assert parse_catalogue((vm,)) == Catalogue((), ())


def test_templates_without_our_tags_are_nobodys_problem() -> None:
    assert parse_catalogue((guest(9000, "debian", template=True),)) == Catalogue((), ())


def test_versions_are_ordered_as_versions_and_not_as_text() -> None:
    found = versions(template(1, "2026.11.10"), template(2, "2026.11.9"), template(3, "2026.11.10rc1"))
    assert [v.version for v in found] == ["2026.11.9", "2026.11.10rc1", "2026.11.10"]


def test_one_revoked_template_revokes_its_version_on_every_node() -> None:
    (found,) = versions(template(9000, "1", STABLE, "zlh-revoked"), template(9010, "1", STABLE, node="pve2"))
    assert found.revoked
    assert not found.is_stable


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        (("zlh-line.a", "zlh-line.b", "zlh-version.1"), "9000 on pve1 is of 2 lines (a, b)"),
        (("zlh-line.a", "zlh-version.1", "zlh-version.2"), "9000 on pve1 has 2 versions (1, 2)"),
        (("zlh-line.a",), "9000 on pve1 has 0 versions (none)"),
        (("zlh-version.1",), "9000 on pve1 has version 1 but no line"),
        (("zlh-line.a", "zlh-version.final"), "'final' cannot be ordered; expected one like 2026.11.1"),
    ],
)
def test_contradictory_tags_are_reported_and_the_template_is_left_out(tags: tuple[str, ...], said: str) -> None:
    catalogue = parse_catalogue((guest(9000, *tags, template=True), template(9001, "1", line="c")))
    assert said in texts(catalogue)
    assert catalogue.lines == ("c",)


def test_a_version_that_two_templates_of_one_node_claim_counts_only_on_other_nodes() -> None:
    catalogue = parse_catalogue((template(9000, "1"), template(9001, "1"), template(9010, "1", node="pve2")))
    assert "game-base 1 is claimed by templates 9000, 9001 on pve1" in texts(catalogue)
    assert catalogue.version_of("game-base", "1").refs == (GuestRef(9010, "pve2"),)


def test_a_version_spelt_in_two_ways_is_reported_and_left_out() -> None:
    catalogue = parse_catalogue((template(9000, "2026.11.1"), template(9010, "2026.11.01", node="pve2")))
    assert "2026.11.01, 2026.11.1 are one version spelt differently" in texts(catalogue)
    assert catalogue.versions == ()


def test_a_channel_on_two_versions_is_reported_with_the_way_out() -> None:
    catalogue = parse_catalogue((template(9000, "1", STABLE), template(9001, "2", STABLE)))
    assert texts(catalogue) == "game-base: stable points to 1, 2; promote or mark one of them again"


def test_a_problem_belongs_to_the_lines_it_touches() -> None:
    catalogue = parse_catalogue((guest(9000, "zlh-line.a", "zlh-line.b", template=True),))
    assert catalogue.problems_of("a") == catalogue.problems_of("b") == catalogue.problems
    assert catalogue.problems_of("c") == ()


def test_an_unknown_line_or_version_is_answered_with_those_there_are() -> None:
    catalogue = parse_catalogue((template(9000, "1"), template(9001, "2", line="dev")))
    with pytest.raises(TargetError, match="no template of line game; lines with templates: dev, game-base"):
        catalogue.version_of("game", "1")
    with pytest.raises(TargetError, match="game-base has no version 3; it has 1"):
        catalogue.version_of("game-base", "3")
    with pytest.raises(TargetError, match="cannot be ordered"):
        catalogue.version_of("game-base", "latest")


def test_claimants_include_templates_whose_tags_contradict() -> None:
    odd = guest(9001, "zlh-line.game-base", "zlh-version.1", "zlh-version.2", template=True)
    born = guest(5001, "zlh-line.game-base", "zlh-version.1")
    found = list_claimants((odd, born, template(9000, "1"), template(9002, "2")), "game-base", "1")
    assert [ref.vmid for ref in found] == [9000, 9001]


# --- which template a new guest gets


def test_a_new_guest_gets_the_stable_version() -> None:
    choice = choose_template(versions(template(9000, "1", STABLE), template(9001, "2")), "5012")
    assert (choice.template.vmid, choice.version, choice.channel) == (9000, "1", "stable")


def test_while_a_promotion_is_half_written_the_newer_stable_version_counts() -> None:
    both = parse_catalogue((template(9000, "1", STABLE), template(9001, "2", STABLE))).versions
    assert choose_template(both, "5012").version == "2"


def test_without_a_node_the_lowest_vmid_wins_and_with_one_its_own_template() -> None:
    found = versions(template(9010, "1", STABLE, node="pve2"), template(9020, "1", STABLE, node="pve1"))
    assert choose_template(found, "k").template == GuestRef(9010, "pve2")
    assert choose_template(found, "k", "pve1").template == GuestRef(9020, "pve1")


def test_a_node_that_lacks_the_newest_stable_version_gets_the_one_it_has() -> None:
    both = parse_catalogue((template(9000, "1", STABLE), template(9010, "2", STABLE, node="pve2"))).versions
    assert choose_template(both, "k", "pve1").version == "1"


def test_a_share_of_new_guests_goes_to_the_candidate() -> None:
    found = versions(template(9000, "1", STABLE), template(9001, "2", CANARY))
    sent = sum(choose_template(found, key, None, 10).channel == "canary" for key in KEYS)
    assert 0.08 < sent / len(KEYS) < 0.12


def test_none_and_all_mean_none_and_all() -> None:
    found = versions(template(9000, "1", STABLE), template(9001, "2", CANARY))
    assert {choose_template(found, key, None, 0).version for key in KEYS} == {"1"}
    assert {choose_template(found, key, None, 100).version for key in KEYS} == {"2"}


@given(key=st.text(), smaller=st.integers(0, 100), greater=st.integers(0, 100))
def test_raising_the_share_keeps_those_already_sent(key: str, smaller: int, greater: int) -> None:
    smaller, greater = sorted((smaller, greater))
    found = versions(template(9000, "1", STABLE), template(9001, "2", CANARY))
    if choose_template(found, key, None, smaller).channel == "canary":
        assert choose_template(found, key, None, greater).channel == "canary"


@given(line=st.from_regex(r"[a-z]{1,8}", fullmatch=True), percent=st.integers(0, 100))
def test_the_share_is_the_percentage_for_any_line(line: str, percent: int) -> None:
    found = versions(template(9000, "1", STABLE, line=line), template(9001, "2", CANARY, line=line))
    sent = sum(choose_template(found, key, None, percent).channel == "canary" for key in KEYS[:1000])
    assert abs(sent / 1000 - percent / 100) < 0.09  # more than five standard deviations


def test_another_candidate_draws_other_guests() -> None:
    def sent(version: str) -> set[str]:
        found = versions(template(9000, "1", STABLE), template(9001, version, CANARY))
        return {key for key in KEYS if choose_template(found, key, None, 20).channel == "canary"}

    assert len(sent("2") & sent("3")) < 0.4 * len(sent("2"))


def test_a_candidate_that_the_node_lacks_sends_nobody_there() -> None:
    found = versions(template(9000, "1", STABLE), template(9001, "2", CANARY, node="pve2"))
    assert choose_template(found, "k", "pve1", 100).version == "1"


def test_of_two_candidates_neither_is_guessed() -> None:
    found = parse_catalogue((template(9000, "1", STABLE), template(9001, "2", CANARY), template(9002, "3", CANARY)))
    assert choose_template(found.versions, "k", None, 100).channel == "stable"


@given(percent=st.integers(0, 100), key=st.text())
def test_a_revoked_version_is_never_picked(percent: int, key: str) -> None:
    found = versions(
        template(1, "1", STABLE, "zlh-revoked"), template(2, "2", STABLE), template(3, "3", CANARY, "zlh-revoked")
    )
    assert choose_template(found, key, None, percent).version == "2"


@pytest.mark.parametrize(
    ("templates", "node", "said"),
    [
        ((), None, "no template carries a version"),
        ((template(1, "1"), template(2, "2")), None, "no version of game-base is stable; promote one of 1, 2"),
        ((template(1, "1", STABLE, "zlh-revoked"),), None, r"every version of game-base is revoked \(1\)"),
        ((template(1, "1", STABLE),), "pve9", "no stable template on node pve9; it has 1 on pve1"),
    ],
)
def test_when_there_is_nothing_to_pick_the_error_says_what_is_missing(
    templates: tuple[GuestSummary, ...], node: str | None, said: str
) -> None:
    with pytest.raises(TargetError, match=said):
        choose_template(versions(*templates), "k", node, 50)


def test_a_share_beyond_a_hundred_percent_is_refused() -> None:
    with pytest.raises(ValueError, match="candidate_percent is 101"):
        choose_template(versions(template(1, "1", STABLE)), "k", None, 101)


# --- who was born from it


def test_guests_born_from_a_version_are_found_by_the_tags_they_inherited() -> None:
    (version,) = versions(template(9000, "2"))
    born = guest(5001, "zlh-line.game-base", "zlh-version.2", STABLE)
    others = (guest(5002, "zlh-line.dev", "zlh-version.2"), guest(5003, "zlh-line.game-base", "zlh-version.1"))
    assert list_born((template(9000, "2"), *others, born), parse_line, version) == (born,)


def test_a_guest_of_two_lines_is_of_none() -> None:
    assert parse_line(guest(5001, "zlh-line.a", "zlh-line.b")) is None


# --- retention


def config(vmid: int, **values: str) -> GuestConfig:
    return GuestConfig(GuestRef(vmid, "pve1"), "d", values)


def retired(
    *templates: GuestSummary, keep: int = 1, guests: tuple[GuestSummary, ...] = (), **more: object
) -> list[str]:
    return [v.version for v in plan_retention(versions(*templates), guests, keep, **more)]  # type: ignore[arg-type]


FOUR = (template(1, "1"), template(2, "2"), template(3, "3"), template(4, "4"))


def test_the_newest_versions_are_kept() -> None:
    assert retired(*FOUR, keep=2) == ["1", "2"]
    assert retired(*FOUR, keep=9) == []
    assert retired(*FOUR, keep=0) == ["1", "2", "3", "4"]


def test_revoked_versions_do_not_use_up_what_is_kept() -> None:
    assert retired(FOUR[0], FOUR[1], FOUR[2], template(4, "4", "zlh-revoked"), keep=2) == ["1"]


def test_stable_and_candidate_are_kept_however_old() -> None:
    assert retired(template(1, "1", STABLE), template(2, "2", CANARY), FOUR[2], FOUR[3]) == ["3"]


def test_a_version_that_a_guest_carries_is_kept() -> None:
    assert retired(*FOUR, guests=(guest(5001, "zlh-line.game-base", "zlh-version.2"),)) == ["1", "3"]


def test_a_guest_that_names_no_line_keeps_its_version_in_every_line() -> None:
    assert retired(*FOUR, guests=(guest(5001, "zlh-version.2"),)) == ["1", "3"]
    assert retired(*FOUR, guests=(guest(5001, "zlh-line.dev", "zlh-version.2"),)) == ["1", "2", "3"]


@pytest.mark.parametrize(
    "volume",
    [
        "local-zfs:basevol-2-disk-0/subvol-5001-disk-0,size=4G",
        "ceph:base-2-disk-0/vm-5001-disk-0,size=4G",
        "local:2/base-2-disk-0.qcow2/5001/vm-5001-disk-0.qcow2,size=4G",
    ],
)
def test_a_version_under_a_linked_clone_is_kept(volume: str) -> None:
    assert retired(*FOUR, configs=(config(5001, rootfs=volume),)) == ["1", "3"]
    assert retired(*FOUR, configs=(config(5001, rootfs="local:5001/vm-5001-disk-0.raw", unused0=volume),)) == ["1", "3"]


def test_a_template_that_is_a_linked_clone_of_the_one_before_keeps_it() -> None:
    assert retired(*FOUR, configs=(config(3, rootfs="ceph:base-2-disk-0/base-3-disk-0"),)) == ["1", "3"]


def test_a_templates_own_volumes_are_no_linked_clones() -> None:
    for volume in ("local:9000/base-9000-disk-0.raw", "local-lvm:base-9000-disk-0", "local-lvm:vm-5001-disk-0"):
        assert list_bases(config(9000, rootfs=volume)) == frozenset()
