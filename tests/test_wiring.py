"""Rules of what stands behind the settings' tables of notices: real servers are reached as the file says."""

from pathlib import Path

import pytest

from tests.adapters.calendar_bench import START, make_event
from tests.adapters.mail_bench import mail_server
from tests.adapters.web_bench import receiver
from tests.certificate import write_certificate
from zlh_hooks.domain.errors import SettingsError
from zlh_hooks.domain.notice import OPERATOR, Customer, Message
from zlh_hooks.notice_wiring import make_operator, open_channels, open_directory, open_feed, open_links
from zlh_hooks.settings import Settings, load_settings

NOTICE = Message("r7-1-0-announced", "Maintenance", "Hello", {}, make_event())


def read(folder: Path, text: str) -> Settings:
    path = folder / "zlh-hooks.toml"
    path.write_text('[proxmox]\nhost = "n1"\ntoken_name = "hooks"\n' + text)
    return load_settings(path)


def write_secret(folder: Path, name: str, mode: int = 0o600) -> Path:
    (folder / name).write_text("s3cret\n")
    (folder / name).chmod(mode)
    return folder / name


def test_without_the_tables_nobody_is_reached(tmp_path: Path) -> None:
    settings = read(tmp_path, "")
    assert (open_directory(settings), open_channels(settings), open_feed(settings)) == (None, (), None)
    assert make_operator(settings) == Customer(OPERATOR, "", frozenset())


def test_mail_goes_over_tls_to_the_server_that_the_file_names(tmp_path: Path) -> None:
    ca, password = write_certificate(tmp_path, "localhost"), write_secret(tmp_path, "password")
    feed = f'[feed]\ndirectory = "{tmp_path}"\nurl = "https://status.example/"\n'
    with mail_server(ca, login=True) as post:
        text = f'[mail]\nhost = "localhost"\nport = {post.port}\nsender = "noc@example.com"\nca_file = "{ca}"\n'
        (channel,) = open_channels(read(tmp_path, f'{text}user = "noc"\npassword_file = "{password}"\n{feed}'))
        assert channel.send_notice("fox@example.org", NOTICE).startswith("250")
    (part,) = post.read_mail().iter_attachments()
    assert "URL:https://status.example/" in part.get_content()
    assert "s3cret" not in repr(channel)


@pytest.mark.parametrize(("shape", "signed"), [("plain", True), ("discord", False)])
def test_webhooks_are_shaped_and_signed_as_the_file_says(tmp_path: Path, shape: str, signed: bool) -> None:
    secret = f'secret_file = "{write_secret(tmp_path, "secret")}"\n' if signed else ""
    with receiver() as server:
        (channel,) = open_channels(read(tmp_path, f'[webhook]\nshape = "{shape}"\nallow_private = true\n{secret}'))
        channel.send_notice(f"http://localhost:{server.port}/", NOTICE)
    assert ("X-Zlh-Signature" in server.asked[0].headers) is signed
    assert "s3cret" not in repr(channel)


def test_the_directory_comes_from_a_file_or_a_url(tmp_path: Path) -> None:
    (tmp_path / "customers.csv").write_text("id,name\n7,Fox\n")
    token = write_secret(tmp_path, "token")
    from_file = open_directory(read(tmp_path, f'[directory]\nfile = "{tmp_path}/customers.csv"\n'))
    with receiver(body=b'[{"id": 7, "name": "Fox"}]') as server:
        text = f'[directory]\nurl = "http://localhost:{server.port}/"\ntoken_file = "{token}"\n'
        from_url = open_directory(read(tmp_path, text))
        assert from_file is not None and from_url is not None
        assert from_file.list_customers() == from_url.list_customers() == (Customer("7", "Fox", frozenset()),)
    assert server.asked[0].headers["Authorization"] == "Bearer s3cret"
    assert "s3cret" not in repr(from_url)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ('[directory]\nurl = "https://x.example/"\ntoken_file = "{0}"\n', "directory.token_file"),
        ('[mail]\nhost = "h"\nsender = "a@b.example"\nuser = "u"\npassword_file = "{0}"\n', "mail.password_file"),
        ('[webhook]\nsecret_file = "{0}"\n', "webhook.secret_file"),
    ],
)
def test_a_secret_that_everybody_may_read_is_refused_by_its_key(tmp_path: Path, table: str, key: str) -> None:
    settings = read(tmp_path, table.format(write_secret(tmp_path, "secret", 0o644)))
    with pytest.raises(SettingsError) as refused:
        open_directory(settings)
        open_channels(settings)
    assert refused.value.key == key and "s3cret" not in str(refused.value)


def test_the_feed_is_written_where_the_file_says(tmp_path: Path) -> None:
    feed = open_feed(read(tmp_path, f'[feed]\ndirectory = "{tmp_path}"\n'))
    assert feed is not None
    feed.write_bulletins([], START)
    assert (tmp_path / "status.json").exists() and (tmp_path / "maintenance.ics").exists()


def test_the_operator_is_reached_as_the_file_says(tmp_path: Path) -> None:
    settings = read(tmp_path, '[operator]\nmail = "noc@example.com"\nwebhook = "https://hooks.example/"\n')
    assert make_operator(settings) == Customer(OPERATOR, "", frozenset(), "noc@example.com", "https://hooks.example/")


@pytest.mark.parametrize(
    ("key", "mode", "words"),
    [("k" * 64, 0o644, "open to everybody"), ("k" * 31, 0o600, "31 characters"), ("two words", 0o600, "several words")],
)
def test_a_key_that_others_may_read_or_guess_signs_no_links(tmp_path: Path, key: str, mode: int, words: str) -> None:
    path = write_secret(tmp_path, "key", mode)
    path.write_text(key)
    settings = read(tmp_path, f'[deferral]\nurl = "https://portal.example/date"\nkey_file = "{path}"\n')
    with pytest.raises(SettingsError, match=words) as refused:
        open_links(settings)
    assert (refused.value.key, key in str(refused.value)) == ("deferral.key_file", False)


def test_links_lead_to_the_page_that_the_file_names_and_there_are_none_without(tmp_path: Path) -> None:
    path = write_secret(tmp_path, "key")
    path.write_text("k" * 32 + "\n")
    links = open_links(read(tmp_path, f'[deferral]\nurl = "https://portal.example/date"\nkey_file = "{path}"\n'))
    assert links is not None and (links.url, links.key) == ("https://portal.example/date", "k" * 32)
    assert open_links(read(tmp_path, "")) is None
