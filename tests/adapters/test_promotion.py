"""Rules of telling others that a stable version moved: a file to write, a URL to call."""

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from zlh_hooks.adapters.promotion import PromotionCall, PromotionFile, open_hooks
from zlh_hooks.domain.errors import RoadError, SettingsError
from zlh_hooks.domain.line import Promotion
from zlh_hooks.domain.policy import FileHook, UrlHook

PROMOTION = Promotion("game-base", "2026.11.1", {"pve1": 9001}, datetime(2026, 11, 23, 4, tzinfo=UTC))
DOCUMENT = {
    "line": "game-base",
    "version": "2026.11.1",
    "templates": {"pve1": 9001},
    "at": "2026-11-23T04:00:00+00:00",
}


@dataclass
class Server:
    """Answers with ``statuses`` in turn, the last one for ever; remembers what it was sent."""

    statuses: list[int] = field(default_factory=lambda: [204])
    received: list[tuple[str, str | None, object]] = field(default_factory=list)
    url: str = ""
    stall: threading.Event = field(default_factory=threading.Event)

    def answer(self) -> int:
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.received.append((self.path, self.headers.get("Authorization"), body))
            status = state.answer()
            if status == 0:
                state.stall.wait(10)
                return
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{listener.server_port}/stable"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    state.stall.set()
    listener.shutdown()
    listener.server_close()
    thread.join()


def call(server: Server, token_file: Path | None = None, seconds: float = 5) -> list[float]:
    """Send the promotion; returns the pauses it made."""
    pauses: list[float] = []
    PromotionCall(server.url, token_file, timedelta(seconds=seconds), pauses.append).send_promotion(PROMOTION)
    return pauses


def token(folder: Path, text: str = "s3cret\n", mode: int = 0o600) -> Path:
    path = folder / "token"
    path.write_text(text)
    path.chmod(mode)
    return path


# --- a file


def test_the_file_says_line_version_templates_and_when(tmp_path: Path) -> None:
    PromotionFile(tmp_path / "stable.json").send_promotion(PROMOTION)
    assert json.loads((tmp_path / "stable.json").read_text()) == DOCUMENT


def test_the_file_is_readable_by_all_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        PromotionFile(tmp_path / "stable.json").send_promotion(PROMOTION)
    finally:
        os.umask(before)
    assert (tmp_path / "stable.json").stat().st_mode & 0o777 == 0o644


def test_a_reader_of_the_old_file_keeps_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "stable.json"
    path.write_text("the old document")
    with path.open() as reader:
        PromotionFile(path).send_promotion(PROMOTION)
        assert reader.read() == "the old document"
    assert [entry.name for entry in tmp_path.iterdir()] == ["stable.json"]


def test_a_line_without_stable_version_is_said_too(tmp_path: Path) -> None:
    gone = Promotion("game-base", None, {}, PROMOTION.at)
    PromotionFile(tmp_path / "stable.json").send_promotion(gone)
    assert json.loads((tmp_path / "stable.json").read_text()) | {"at": ""} == {
        "line": "game-base",
        "version": None,
        "templates": {},
        "at": "",
    }


def test_a_file_that_cannot_be_written_is_a_broken_road_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(RoadError, match=r"cannot write .*nowhere"):
        PromotionFile(tmp_path / "nowhere" / "stable.json").send_promotion(PROMOTION)
    (tmp_path / "folder").mkdir()
    with pytest.raises(RoadError, match=r"cannot write .*folder"):
        PromotionFile(tmp_path / "folder").send_promotion(PROMOTION)
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


# --- a URL


def test_the_url_gets_the_same_document_and_the_token(server: Server, tmp_path: Path) -> None:
    call(server, token(tmp_path))
    assert server.received == [("/stable", "Bearer s3cret", DOCUMENT)]


def test_an_entry_in_netrc_does_not_replace_the_token(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    call(server, token(tmp_path))
    assert server.received[0][1] == "Bearer s3cret"


def test_what_may_pass_is_tried_three_times_with_growing_pauses(server: Server) -> None:
    server.statuses = [503, 429, 200]
    pauses = call(server)
    assert len(server.received) == 3
    assert len(pauses) == 2
    assert pauses[0] < pauses[1]


def test_after_three_failures_the_road_is_broken(server: Server) -> None:
    server.statuses = [502]
    with pytest.raises(RoadError, match="answered 502"):
        call(server)
    assert len(server.received) == 3


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 404])
def test_redirects_and_refusals_are_not_tried_again(server: Server, tmp_path: Path, status: int) -> None:
    server.statuses = [status]
    with pytest.raises(RoadError, match=f"answered {status}; expected 2xx"):
        call(server, token(tmp_path))
    assert [path for path, _, _ in server.received] == ["/stable"]


def test_a_server_that_does_not_answer_is_given_up(server: Server) -> None:
    server.statuses = [0]
    with pytest.raises(RoadError, match="no answer"):
        call(server, seconds=0.1)


def test_a_closed_port_is_a_broken_road() -> None:
    with pytest.raises(RoadError, match="no answer"):
        PromotionCall("http://127.0.0.1:1/stable", sleep=lambda _: None).send_promotion(PROMOTION)


def test_a_url_that_is_none_is_a_broken_road() -> None:
    with pytest.raises(RoadError, match="cannot be called"):
        PromotionCall("gopher://127.0.0.1/stable").send_promotion(PROMOTION)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o601])
def test_a_token_file_open_to_everybody_is_refused(server: Server, tmp_path: Path, mode: int) -> None:
    with pytest.raises(SettingsError, match=f"found mode {mode:04o}; expected mode 0640 or stricter"):
        call(server, token(tmp_path, mode=mode))
    assert server.received == []


@pytest.mark.parametrize("text", ["", "\n", "two words", "s3cret\nX-Injected: 1", "s3cr\u00e9t"])
def test_a_token_that_is_none_is_refused_without_showing_it(server: Server, tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        call(server, token(tmp_path, text))
    assert "s3cr" not in str(refused.value)


def test_a_missing_token_file_is_a_wrong_setting(server: Server, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="token_file: found FileNotFoundError"):
        call(server, tmp_path / "none")


def test_names_and_representations_hold_no_secrets(tmp_path: Path) -> None:
    hook = PromotionCall("https://user:pw@api.example/stable?key=abc", token(tmp_path))
    assert hook.name == "url api.example/stable"


# --- from the policy


def test_hooks_come_in_the_policys_order(tmp_path: Path) -> None:
    hooks = open_hooks(
        (
            UrlHook(kind="url", url="http://127.0.0.1/x", token_file=str(token(tmp_path))),
            FileHook(kind="file", path=f"{tmp_path}/stable.json"),
        )
    )
    assert [hook.name for hook in hooks] == ["url 127.0.0.1/x", f"file {tmp_path}/stable.json"]
