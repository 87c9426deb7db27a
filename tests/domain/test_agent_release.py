"""Which release is meant: a version is that one and no other, a specifier the newest one that it fits."""

import pytest

from zlh_hooks.domain.agent_release import Release, check_asked, choose_version
from zlh_hooks.domain.errors import NotAllowed, SettingsError

RELEASES = tuple(Release(version, "all", "ab" * 32, 1) for version in ("1.4.0", "1.5.0", "1.5.0+2", "1.6.0rc1"))


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("1.5.0", "1.5.0"),
        ("1.5", "1.5.0"),
        ("v1.5.0", "1.5.0"),
        ("1.5.0+2", "1.5.0+2"),
        ("1.6.0rc1", "1.6.0rc1"),
        ("==1.5.0", "1.5.0+2"),
        ("~=1.4", "1.5.0+2"),
        ("", "1.5.0+2"),
        ("~=1.6.0rc1", "1.6.0rc1"),
    ],
)
def test_a_version_is_that_one_without_its_local_builds_and_a_specifier_is_what_pep_440_says(
    asked: str, meant: str
) -> None:
    assert choose_version(RELEASES, check_asked(asked, "to"), ()) == meant


def test_what_is_not_released_is_named_as_it_was_asked_for() -> None:
    with pytest.raises(NotAllowed, match=r"no release is 2\.0; there are: 1\.4\.0, 1\.5\.0, 1\.5\.0\+2, 1\.6\.0rc1"):
        choose_version(RELEASES, check_asked("2.0", "to"), ())


def test_a_version_that_is_blocked_gives_way_to_no_other_build() -> None:
    with pytest.raises(NotAllowed, match=r"1\.5\.0 means 1\.5\.0, and all of these are blocked"):
        choose_version(RELEASES, check_asked("1.5.0", "to"), ("===1.5.0",))


def test_words_that_are_neither_are_refused() -> None:
    with pytest.raises(SettingsError, match="a version or a specifier"):
        check_asked("newest", "to")
