"""``zlh-hooks defer`` as an operator, or a page for customers, types it: settings, policy and ledger from files."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.cli.site_file import write_site
from zlh_hooks import wiring
from zlh_hooks.adapters.clock import SystemClock
from zlh_hooks.adapters.ledger import SqlLedger
from zlh_hooks.cli.app import app
from zlh_hooks.domain.deferral_link import LinkMaker, Ticket
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.notice import Round
from zlh_hooks.domain.notice_book import ROUND, render_round
from zlh_hooks.domain.plan import Plan, dump_plan
from zlh_hooks.domain.steps import RolloutEvent, TargetEvent
from zlh_hooks.settings import load_policy

POLICY = """
time_zone = "UTC"
[[windows]]
name = "night"
rule = "FREQ=DAILY"
start = "04:00"
length_minutes = 120
[lines.game-base]
data_paths = ["/data"]
probes = [{ kind = "agent" }]
[kinds.game]
vmids = ["5000-5999"]
line = "game-base"
[[notices.ladders]]
leads = ["72h"]
[deferral]
limit = "7d"
security_limit = "2d"
[emergency]
"""
KEY = "k" * 40
DAY = timedelta(days=1)
DATE = datetime.combine((datetime.now(UTC) + 4 * DAY).date(), time(4), UTC)
"""When the round of the tests begins: far enough off to be moved, whenever they run."""


@dataclass
class Counter:
    """The files, and somebody who types."""

    options: list[str]
    ledger: Path
    started: list[str]

    def type(self, *words: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(app, ["defer", *words, *self.options], input=answer)

    def refuse(self, *words: str, answer: str | None = None) -> str:
        done = self.type(*words, answer=answer)
        assert isinstance(done.exception, NotAllowed), done.output
        return str(done.exception)

    def token(self, *vmids: int, customer: str = "ann") -> str:
        ticket = Ticket("r1", customer, 1, 0, vmids, DATE - timedelta(minutes=1))
        return LinkMaker("https://portal.example/date", KEY).make_link(ticket)

    def commands(self) -> list[str]:
        with closing(SqlLedger.open(self.ledger, SystemClock())) as ledger:
            return [entry.name for entry in ledger.read() if entry.kind is Kind.COMMAND]


@pytest.fixture
def counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    """A rollout of two guests of ann's, announced for ``DATE``."""
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text(KEY)
    files = write_site(tmp_path, POLICY, f'[deferral]\nurl = "https://portal.example/date"\nkey_file = "{key}"\n')
    announce(tmp_path / "ledger.sqlite", tmp_path / "policy.toml")
    started: list[str] = []
    monkeypatch.setattr(wiring.Site, "ensure_worker", lambda _: started.append("worker"))
    yield Counter(files, tmp_path / "ledger.sqlite", started)


def announce(path: Path, policy_file: Path) -> None:
    policy, now = load_policy(policy_file), datetime.now(UTC)
    targets = [
        {"vmid": vmid, "node": "n1", "name": f"mc-{vmid}", "from_version": "1", "wave": 0} for vmid in (5001, 5003)
    ]
    plan = Plan.model_validate(
        {
            "id": "r1",
            "release": {"line": "game-base", "version": "2", "templates": {"n1": 9001}},
            "previous": "1",
            "targets": targets,
            "left_out": [],
            "rules": policy.rollout,
            "notices": policy.notices,
            "deferral": policy.deferral,
            "line": policy.lines["game-base"],
            "scratch_vmids": policy.scratch_vmids,
            "author": "tester",
            "created": now,
        }
    )
    made = Round(1, 0, DATE, DATE + timedelta(hours=2), 3 * DAY, {"ann": (5001, 5003)}, now)
    with closing(SqlLedger.open(path, SystemClock())) as ledger:
        ledger.append(Draft(Kind.PLAN, "plan", "r1", None, dump_plan(plan)))
        ledger.append(Draft(Kind.EVENT, RolloutEvent.STARTED, "r1"))
        for vmid in (5001, 5003):
            ledger.append(Draft(Kind.EVENT, TargetEvent.STAGED, "r1", vmid))
        ledger.append(Draft(Kind.EVIDENCE, ROUND, "r1", None, render_round(made)))


def test_without_a_date_it_shows_those_that_can_be_had_up_to_the_cap(counter: Counter) -> None:
    done = counter.type("5003")
    assert done.exit_code == 0, done.output
    head, columns, *rows = done.output.splitlines()
    assert f"deferred until {DATE + 7 * DAY:%Y-%m-%d} 04:00 UTC" in head
    assert columns == "--until\tstarts\tends (UTC)"
    assert [row.split("\t")[0] for row in rows] == [f"{DATE + n * DAY:%Y-%m-%dT%H:%M}" for n in range(1, 8)]
    shown = json.loads(counter.type("5003", "--json").output)
    assert (shown["guests"], len(shown["dates"])) == ([{"vmid": 5003, "name": "mc-5003"}], 7)
    assert counter.commands() == counter.started == []


def test_a_date_that_can_be_had_is_taken_once_and_a_worker_tells_of_it(counter: Counter) -> None:
    day = f"{DATE + 2 * DAY:%Y-%m-%d}"
    for _ in range(2):
        done = counter.type("5003", "--until", day, "--reason", "a tournament")
        assert done.output == f"mc-5003 (5003) is not changed before {day} 04:00 UTC (04:00 UTC); a notice follows\n"
    assert counter.commands() == ["deferral.taken"]
    assert counter.started
    (row,) = json.loads(counter.type("--json").output)
    assert (row["vmid"], row["until"], row["reason"], row["overdue"]) == (
        5003,
        (DATE + 2 * DAY).isoformat(),
        "a tournament",
        False,
    )
    assert "a tournament" in counter.type().output.splitlines()[1]


def test_a_date_that_cannot_be_had_is_refused_with_those_that_can(counter: Counter) -> None:
    late = counter.refuse("5003", "--until", f"{DATE + 9 * DAY:%Y-%m-%d}")
    assert "a server may wait up to 7 days, for a security fix up to 2 days" in late
    assert f"or {DATE + 7 * DAY:%Y-%m-%d} 04:00 UTC" in late
    wrong = f"{DATE + DAY:%Y-%m-%d}T12:00"
    assert f"no window that can be had begins on {wrong.replace('T', ' ')}" in counter.refuse("5003", "--until", wrong)


def test_a_deferral_can_be_given_up(counter: Counter) -> None:
    assert "is not deferred" in counter.refuse("5003", "--cancel")
    counter.type("5003", "--until", f"{DATE + 2 * DAY:%Y-%m-%d}")
    assert "is deferred no more" in counter.type("5003", "--cancel").output
    assert counter.commands() == ["deferral.taken", "deferral.cancelled"]
    assert json.loads(counter.type("--json").output) == []
    counter.type("5003", "--until", f"{DATE + 2 * DAY:%Y-%m-%d}")
    shown = json.loads(counter.type("5003", "--cancel", "--json").output)
    assert shown == {"rollout": "r1", "cancelled": [5003]}


def test_what_all_share_is_refused_with_that_reason(counter: Counter) -> None:
    for name in ("pve-host", "pbs", "opnsense", "api-portal", "edge", "monitoring"):
        assert "all customers share it" in counter.refuse(name, "--until", "2026-12-08")
    by_number = counter.type("template")
    said = " ".join(by_number.output.replace("│", " ").split())
    assert (by_number.exit_code, "name it by its number" in said) == (2, True)


def test_a_guest_of_no_rollout_has_no_date_to_move(counter: Counter) -> None:
    assert "guest 5099 is not in r1" in counter.refuse("5099")


def test_a_customers_link_is_read_from_standard_input_shows_its_dates_and_takes_one(counter: Counter) -> None:
    link = counter.token(5001, 5003)
    shown = json.loads(counter.type("--link", "-", "--json", answer=link).output)
    assert ([one["name"] for one in shown["guests"]], len(shown["dates"])) == (["mc-5001", "mc-5003"], 7)
    taken = counter.type("--link", "-", "--until", shown["dates"][0]["until"], "--json", answer=link)
    deferrals = json.loads(taken.output)["deferrals"]
    assert [(one["vmid"], one["author"]) for one in deferrals] == [(5001, "customer ann"), (5003, "customer ann")]
    assert counter.started == []
    again = counter.type("--link", "-", "--until", shown["dates"][0]["until"], answer=link)
    assert again.exit_code == 0
    assert counter.commands() == ["deferral.taken"] * 2


@pytest.mark.parametrize(
    ("words", "vmids", "refusal"),
    [
        (("5001",), (5003,), "this link is for other servers, not for 5001"),
        ((), (5099,), "a newer notice has taken the place"),
    ],
)
def test_a_link_moves_no_other_guests(
    counter: Counter, words: tuple[str, ...], vmids: tuple[int, ...], refusal: str
) -> None:
    assert refusal in counter.refuse(*words, "--link", counter.token(*vmids))


def test_a_link_that_was_changed_or_is_anothers_is_refused_in_a_customers_words(counter: Counter) -> None:
    token = counter.token(5001)
    assert "use the whole link of the newest notice" in counter.refuse("--link", token[:-3])
    assert "use the whole link of the newest notice" in counter.refuse("--link", "-", answer="")
    assert "a newer notice" in counter.refuse("--link", counter.token(5001, customer="eve"))


@pytest.mark.parametrize(
    "words",
    [
        ("--cancel",),
        ("5003", "--reason", "a tournament"),
        ("5003", "--cancel", "--until", "2026-12-08"),
        ("--until", "2026-12-08"),
        ("5003", "--until", "soon"),
        ("mc-5003",),
    ],
)
def test_what_makes_no_sense_together_is_a_usage_error(counter: Counter, words: tuple[str, ...]) -> None:
    assert counter.type(*words).exit_code == 2


def test_a_key_that_others_may_read_is_refused(counter: Counter, tmp_path: Path) -> None:
    (tmp_path / "key").chmod(0o644)
    done = counter.type("--link", "-", answer=counter.token(5003))
    assert "open to everybody" in str(done.exception) and KEY not in str(done.exception)
