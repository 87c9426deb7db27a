"""Notes over a wire: cut at every byte, by liars, by the deaf. What is not recorded is not acknowledged, and is sent again."""

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from tempfile import TemporaryFile

import pytest

from tests.clock import START, FakeClock
from tests.note_file import draft_note
from zlh_hooks.adapters import note_stream
from zlh_hooks.adapters.note_stream import MOST_BATCHES, MOST_NOTES, NoteStream
from zlh_hooks.application.intake import Intake
from zlh_hooks.domain.entry import Draft, Entry
from zlh_hooks.domain.errors import RoadError
from zlh_hooks.domain.guest_note import LONGEST_BYTES
from zlh_hooks.simulation.ledger import SimulatedLedger

SOON = timedelta(milliseconds=20)
RESTART = ("pre-stop", "post-stop", "pre-start", "post-start")
NOTES = dict(draft_note(START + timedelta(seconds=at), 5012, phase) for at, phase in enumerate(RESTART))
OTHERS = {name: text.replace("pve-1", "pve-2") for name, text in NOTES.items()}


def render(notes: dict[str, str]) -> bytes:
    """One batch, as zlh-note-forwarder sends it."""
    return b"".join(f"{name} {len(text.encode())}\n{text}".encode() for name, text in notes.items()) + b"\n"


class Controller:
    """A ledger that is sent notes over pipes."""

    def __init__(self) -> None:
        self.ledger = SimulatedLedger(FakeClock())
        self.said: list[str] = []
        self.reads = 0

    def receive(self, sent: bytes, node: str = "pve-1") -> list[str]:
        """The answers to a sender who closes its end after this. ``RoadError`` as the command would end with it."""
        with TemporaryFile() as answers:
            self._take(sent, answers.fileno(), node)
            answers.seek(0)
            return answers.read().decode().splitlines()

    def _take(self, sent: bytes, answers: int, node: str) -> None:
        source, sender = os.pipe()
        try:
            assert os.write(sender, sent) == len(sent)
            os.close(sender)
            for batch in NoteStream(source, answers, FakeClock(), SOON).list_batches():
                Intake(batch, self.ledger, self.said.append, node).run()
                self.reads += 1
        finally:
            os.close(source)

    def recorded(self) -> list[tuple[str, str]]:
        return [(entry.data["node"], entry.data["file"]) for entry in self.ledger.read()]


@pytest.fixture
def controller() -> Controller:
    return Controller()


def test_each_note_is_answered_by_name_once_it_is_recorded(controller: Controller) -> None:
    assert controller.receive(render(NOTES)) == [f"kept {name}" for name in NOTES]
    assert controller.recorded() == [("pve-1", name) for name in NOTES]


def test_what_is_sent_again_is_acknowledged_again_and_recorded_once(controller: Controller) -> None:
    controller.receive(render(NOTES))
    assert controller.receive(render(NOTES) * 2) == [f"kept {name}" for name in NOTES] * 2
    assert len(controller.recorded()) == len(NOTES)


def test_a_connection_that_is_cut_at_any_byte_records_no_part_and_what_was_sent_again_is_there_once() -> None:
    whole = render(NOTES)
    for cut in range(len(whole)):
        controller = Controller()
        with suppress(RoadError):
            assert controller.receive(whole[:cut]) == []
            assert cut == 0
        assert controller.recorded() == []
        controller.receive(whole)
        assert controller.recorded() == [("pve-1", name) for name in NOTES]


@pytest.mark.parametrize("recorded", range(len(RESTART)))
def test_a_ledger_that_takes_no_more_has_nothing_acknowledged_and_gets_the_rest_when_it_is_sent_again(
    controller: Controller, recorded: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, room = controller.ledger.append, iter(range(recorded))

    def take(draft: Draft) -> Entry:
        if next(room, None) is None:
            raise RoadError("the disk is full")
        return append(draft)

    monkeypatch.setattr(controller.ledger, "append", take)
    with pytest.raises(RoadError, match="the disk is full"):
        controller.receive(render(NOTES))
    assert len(controller.recorded()) == recorded
    monkeypatch.undo()
    assert controller.receive(render(NOTES)) == [f"kept {name}" for name in NOTES]
    assert controller.recorded() == [("pve-1", name) for name in NOTES]


def test_a_batch_before_the_cut_counts(controller: Controller) -> None:
    first, second = dict(list(NOTES.items())[:2]), dict(list(NOTES.items())[2:])
    with pytest.raises(RoadError, match="cut off"):
        controller.receive(render(first) + render(second)[:-1])
    assert controller.recorded() == [("pve-1", name) for name in first]


def test_a_node_speaks_for_itself_alone(controller: Controller) -> None:
    assert controller.receive(render(NOTES), node="pve-2") == [f"refused {name}" for name in NOTES]
    assert controller.recorded() == []
    assert "node: found pve-1; expected pve-2, which sent it" in controller.said[0]


def test_a_node_that_could_not_read_its_name_is_known_by_its_key(controller: Controller) -> None:
    controller.receive(render({name: text.replace("pve-1", "") for name, text in NOTES.items()}), node="pve-7")
    assert controller.recorded() == [("pve-7", name) for name in NOTES]


def test_no_node_can_take_the_place_of_anothers_note(controller: Controller) -> None:
    controller.receive(render(OTHERS), node="pve-2")
    controller.receive(render(NOTES))
    assert sorted(controller.recorded()) == sorted((node, name) for node in ("pve-1", "pve-2") for name in NOTES)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", ".hidden", "bad", "20261127-5012.json"])
def test_a_name_that_is_none_of_a_note_is_refused_and_hinders_no_other(controller: Controller, name: str) -> None:
    assert sorted(controller.receive(render({name: "{}", **NOTES}))) == sorted(
        [f"refused {name}", *(f"kept {one}" for one in NOTES)]
    )


@pytest.mark.parametrize("text", ["", "\0", "[]", '{"format":2}', "x" * LONGEST_BYTES])
def test_what_is_no_note_is_refused_and_stays_with_the_node(controller: Controller, text: str) -> None:
    name = next(iter(NOTES))
    assert controller.receive(render({name: text})) == [f"refused {name}"]


SENSELESS = {
    "no length": b"name\n",
    "too long": f"name {LONGEST_BYTES + 1}\n".encode(),
    "a negative length": b"name -1\n",
    "a huge number": b"name " + b"9" * 100 + b"\n",
    "a blank in the name": b"a name 2\n{}",
    "an escape in the name": b"\x1b[2J 2\n{}",
    "no name": b" 2\n{}",
    "twice the same": b"a 2\n{}a 2\n{}\n",
    "a line without end": b"x" * 10_000,
    "more than a batch": b"".join(b"%d 0\n" % number for number in range(MOST_NOTES + 1)),
    "another program": b"SSH-2.0-OpenSSH_9.2\r\n",
}


@pytest.mark.parametrize("case", SENSELESS)
def test_what_makes_no_sense_ends_the_connection_and_records_nothing(controller: Controller, case: str) -> None:
    with pytest.raises(RoadError, match="make no sense"):
        controller.receive(SENSELESS[case])
    assert controller.recorded() == []


def test_a_stream_is_not_endless(controller: Controller) -> None:
    assert controller.receive(render({"x": ""}) * (MOST_BATCHES + 1)) == ["refused x"] * MOST_BATCHES


def test_what_holds_no_note_is_passed_over(controller: Controller) -> None:
    assert controller.receive(b"\n\n" + render(NOTES) + b"\n") == [f"kept {name}" for name in NOTES]
    assert controller.reads == 1


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_a_sender_that_says_nothing_any_more_is_left(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], render(NOTES)[:100])
    with pytest.raises(RoadError, match=r"was silent for 0\.02 s"):
        list(NoteStream(pipe[0], pipe[1], FakeClock(), SOON).list_batches())


class PassingClock(FakeClock):
    """A minute goes by whenever it is read."""

    def monotonic(self) -> float:
        self.sleep(timedelta(minutes=1))
        return super().monotonic()


def test_a_sender_that_says_a_byte_now_and_then_is_left_too(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(note_stream, "_CHUNK", 1)
    os.write(pipe[1], render(NOTES))
    with pytest.raises(RoadError, match="took more than 180 s for a batch"):
        list(NoteStream(pipe[0], pipe[1], PassingClock(), SOON).list_batches())


def test_a_sender_that_does_not_listen_keeps_nobody_waiting_while_its_notes_are_recorded(pipe: tuple[int, int]) -> None:
    source, sender = os.pipe()
    fill(pipe[1])
    os.write(sender, render(NOTES))
    ledger = SimulatedLedger(FakeClock())
    batches = NoteStream(source, pipe[1], FakeClock(), SOON).list_batches()
    Intake(next(batches), ledger, print, "pve-1").run()
    assert len(ledger.read()) == len(NOTES)
    with pytest.raises(RoadError, match="did not listen"):
        next(batches)
    os.close(source)
    os.close(sender)


def fill(handle: int) -> None:
    os.set_blocking(handle, False)
    with suppress(BlockingIOError):
        while True:
            os.write(handle, bytes(4096))
    os.set_blocking(handle, True)


def test_a_sender_that_has_gone_is_told_apart(pipe: tuple[int, int]) -> None:
    reader, deaf = os.pipe()
    os.close(reader)
    os.write(pipe[1], render(NOTES))
    batches = NoteStream(pipe[0], deaf, FakeClock(), SOON).list_batches()
    Intake(next(batches), SimulatedLedger(FakeClock()), print, "pve-1").run()
    with pytest.raises(RoadError, match="does not listen any more"):
        next(batches)
    os.close(deaf)
