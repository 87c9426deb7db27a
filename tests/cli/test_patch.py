"""``zlh-hooks patch``: packages go out and back by three commands, and the pages of a rollout speak of them too."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.application.agent_rollout_bench import CRASHES
from tests.application.patch_rollout_bench import BY_HAND, FELT, PatchBench
from tests.cli.command_line import make_runner
from tests.clock import FakeClock
from zlh_hooks import wiring
from zlh_hooks.application.agent_report_desk import AgentReportDesk
from zlh_hooks.application.desk import Desk, list_progress
from zlh_hooks.application.emergency_desk import EmergencyDesk
from zlh_hooks.application.signed_planning import PreparedRollout, Urgency, order_rollout
from zlh_hooks.cli.app import app
from zlh_hooks.domain.agent_wish import PatchOrder
from zlh_hooks.domain.errors import NotAllowed, SettingsError
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.progress import Progress

START = ("start", "--security", "--sign", "anna", "--yes")


@dataclass
class PatchSite:
    """A site in the simulated world, whose worker ends what is due when it is summoned."""

    bench: PatchBench

    @property
    def policy(self) -> Policy:
        return self.bench.policy

    @property
    def clock(self) -> FakeClock:
        return self.bench.clock

    def desk(self) -> Desk:
        return self.bench.desk()

    def list_progress(self) -> Sequence[Progress]:
        return list_progress(self.bench.ledger)

    def agent_report_desk(self) -> AgentReportDesk:
        return self.bench.report_desk()

    def emergency_desk(self) -> EmergencyDesk:
        return EmergencyDesk(self.bench.ledger, self.clock, self.policy, "tester")

    def foresee(self, _plan: object) -> dict[int, str]:
        return {}

    def prepare_signed(self, _ask: object, order: PatchOrder, *, security: bool, emergency: bool) -> PreparedRollout:
        assert not emergency
        return self.bench.plan(order, Urgency(security))

    def submit(self, prepared: PreparedRollout, _ask: object, holder: str) -> None:
        order_rollout(prepared, self.bench.series, holder, self.desk())

    def summon_worker(self) -> None:
        self.bench.work(self.desk().find(None).plan)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PatchSite:
    made = PatchSite(PatchBench(tmp_path, guests=2))
    monkeypatch.setattr(wiring, "open_site", lambda config, policy: made)
    return made


def type_in(*words: str) -> tuple[int, str]:
    """Exit code and what is printed; an error is raised."""
    done = make_runner().invoke(app, ["patch", *words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout + done.stderr


def test_packages_are_brought_looked_at_and_taken_back(site: PatchSite) -> None:
    site.bench.guests[5002].outcome = FELT
    code, said = type_in("start", "--package", "openssl=3.0.15-1", "--sign", "anna", "--yes")
    assert code == 0, said
    assert "openssl=3.0.15-1 SUCCEEDED, 1 of 2 healthy" in said
    lines = {line.split("\t")[0]: line.split("\t") for line in type_in("status")[1].splitlines()}
    assert lines["5001"][2:6] == ["HEALTHY", "done", "live", ""]
    assert lines["5002"][2:6] == ["APPLYING", "waits", "restart", "zlh-game.service"]
    code, said = type_in("revert", "--reason", "a rehearsal")
    assert (code, site.bench.brought()) == (0, {5001: False, 5002: False}), said


def test_what_guests_say_of_it_is_in_the_document_too(site: PatchSite) -> None:
    type_in(*START)
    document = json.loads(type_in("status", "--json")[1])
    assert (document["line"], document["version"]) == ("packages", "security fixes")
    assert document["guests"]["5001"] == {
        "packages": "done",
        "reason": "",
        "outcome": "installed",
        "impact": "live",
        "waits": [],
    }


def test_what_a_person_has_patched_there_since_is_not_told_as_the_rollouts(site: PatchSite) -> None:
    type_in(*START)
    site.bench.guests[5001].patch = BY_HAND
    lines = {line.split("\t")[0]: line.split("\t") for line in type_in("status")[1].splitlines()}
    assert lines["5001"][2:6] == ["HEALTHY", "done", "", ""]
    told = json.loads(type_in("status", "--json")[1])["guests"]["5001"]
    assert (told["packages"], told["outcome"], told["impact"], told["waits"]) == ("done", "installed", "", [])


def test_a_dry_run_shows_who_would_get_them_and_signs_and_changes_nothing(site: PatchSite) -> None:
    site.bench.guests[5002].takes_back = False
    before = [*site.bench.ledger.read()]
    code, said = type_in("start", "--security", "--dry-run")
    assert code == 0
    assert "canary\t5001" in said and "left out\t5002" in said and "its plugin knows no way back" in said
    assert json.loads(type_in("start", "--security", "--dry-run", "--json")[1])["security"] is True
    assert [entry for entry in site.bench.ledger.read() if entry.rollout] == [one for one in before if one.rollout]


def test_packages_that_are_bad_end_with_their_canary_and_with_exit_code_1(site: PatchSite) -> None:
    for guest in site.bench.guests.values():
        guest.outcome = CRASHES
    code, said = type_in(*START)
    assert code == 1
    assert "REVERTED" in said and "PROVE: the probe ended with 1" in said


def test_what_a_guest_says_paints_no_terminal(site: PatchSite) -> None:
    for guest in site.bench.guests.values():
        guest.outcome, guest.complaint = CRASHES, "PROVE: \x1b[2J\nall is well"
    said = type_in(*START)[1] + type_in("status")[1]
    assert "PROVE: [2J all is well" in said and "\x1b" not in said


def test_of_whom_nothing_is_known_the_reason_is_told(site: PatchSite) -> None:
    type_in(*START)
    site.bench.guests[5001].answers = False
    assert "not known: " in type_in("status")[1]


def test_without_a_signature_nothing_is_begun(site: PatchSite) -> None:
    code, said = type_in("start", "--security", "--yes")
    assert (code, "--sign HOLDER is wanted" in said) == (2, True)


@pytest.mark.parametrize("words", [(), ("--security", "--package", "openssl=3")])
def test_one_thing_is_brought(site: PatchSite, words: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match="--security, or --package NAME=VERSION once for each"):
        type_in("start", *words, "--sign", "anna")


def test_a_rollout_of_something_else_is_not_taken_back_as_packages(site: PatchSite) -> None:
    with pytest.raises(NotAllowed, match="there is no rollout of packages yet"):
        type_in("status")
    rollout = site.bench.submit("1.5.0").id
    with pytest.raises(NotAllowed, match=f"rollout {rollout} is of agent 1.5.0"):
        type_in("revert", rollout, "--reason", "a mistake")


def test_a_way_back_needs_a_reason(site: PatchSite) -> None:
    assert type_in("revert")[0] == 2
