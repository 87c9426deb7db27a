"""``zlh-hooks agent reports`` as an operator reads it."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from zlh_hooks import wiring
from zlh_hooks.application.agent_report_desk import GuestReport, Standing
from zlh_hooks.cli.agent import app
from zlh_hooks.domain.agent_report import AgentReport, AgentWish
from zlh_hooks.domain.guest import GuestRef, GuestSummary

AT = datetime(2026, 11, 26, 4, tzinfo=UTC)
REPORT = AgentReport("a" * 64, AT, AT, "1.5.0-0a1b2c3d", "", False, "", "", "installed", "", "", "")
WISH = AgentWish(3, "security fixes", "wish 3: line game-base", "failed", "PROVE: no", 1)


@dataclass(frozen=True)
class Site:
    """What guests answered."""

    reports: tuple[GuestReport, ...]

    def agent_report_desk(self) -> "Site":
        return self

    def list_reports(self, _vmids: object) -> tuple[GuestReport, ...]:
        return self.reports


def read(monkeypatch: pytest.MonkeyPatch, report: AgentReport | None, *words: str) -> str:
    guest = GuestSummary(GuestRef(5001, "n1"), "first", running=True, template=False)
    site = Site(
        (GuestReport(guest, Standing.KNOWN if report else Standing.SILENT, report, "" if report else "no road"),)
    )
    monkeypatch.setattr(wiring, "open_site", lambda *_: site)
    done = CliRunner().invoke(app, ["reports", *words])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        (None, ""),
        (WISH, "3 failed"),
        (replace(WISH, state="", reason=""), "3 not tried"),
        (replace(WISH, state="done"), "3 done"),
    ],
)
def test_each_guest_says_what_became_of_what_was_wished(
    monkeypatch: pytest.MonkeyPatch, wish: AgentWish | None, told: str
) -> None:
    heads, row = (line.split("\t") for line in read(monkeypatch, replace(REPORT, wish=wish)).splitlines())
    cells = dict(zip(heads, row, strict=True))
    assert cells["wish"] == told
    assert cells["what is wrong"] == ("wish 3: PROVE: no" if told == "3 failed" else "")


def test_all_of_a_wish_is_in_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = json.loads(read(monkeypatch, replace(REPORT, wish=WISH), "--json"))
    assert found["report"]["wish"]["said"] == "wish 3: line game-base"


def test_a_guest_that_is_silent_has_a_row_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    heads, row = (line.split("\t") for line in read(monkeypatch, None).splitlines())
    assert dict(zip(heads, row, strict=True))["what is wrong"] == "no road"
