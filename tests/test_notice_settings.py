"""Rules of the settings by which customers are found and told."""

from pathlib import Path

import pytest

from zlh_hooks.domain.errors import SettingsError
from zlh_hooks.settings import Settings, load_settings

PROXMOX = '[proxmox]\nhost = "pve1.example.com"\ntoken_name = "hooks"\n'
MAIL = '[mail]\nhost = "mail.example.com"\nsender = "noc@example.com"\n'
DEFERRAL = '[deferral]\nurl = "https://x.example/date"\n'
KEY = 'key_file = "/etc/zlh-hooks/deferral-key"\n'
WEBHOOK = '[webhook]\nsecret_file = "/etc/zlh-hooks/webhook"\n'


def read(folder: Path, text: str) -> Settings:
    path = folder / "zlh-hooks.toml"
    path.write_text(PROXMOX + text)
    return load_settings(path)


def test_all_of_them_may_be_left_out(tmp_path: Path) -> None:
    settings = read(tmp_path, "")
    assert (settings.directory, settings.mail, settings.webhook, settings.feed, settings.operator) == (None,) * 5


def test_a_mail_server_needs_a_name_and_a_sender_only_and_is_spoken_to_in_secret(tmp_path: Path) -> None:
    mail = read(tmp_path, MAIL).mail
    assert mail is not None
    assert (mail.security, mail.real_port, mail.reply_to, mail.timeout.total_seconds()) == ("starttls", 587, None, 30)


@pytest.mark.parametrize(
    ("text", "port"),
    [
        (MAIL + 'security = "tls"\n', 465),
        (MAIL + 'security = "tls"\nport = 4650\n', 4650),
        (MAIL.replace("mail.example.com", "localhost") + 'security = "none"\n', 25),
        (MAIL.replace("mail.example.com", "::1") + 'security = "none"\n', 25),
    ],
)
def test_the_port_follows_from_the_security_unless_it_is_said(tmp_path: Path, text: str, port: int) -> None:
    mail = read(tmp_path, text).mail
    assert mail is not None and mail.real_port == port


@pytest.mark.parametrize(
    ("text", "key", "found", "expected"),
    [
        ("[directory]\n", "directory", "neither", "file or url, exactly one"),
        ('[directory]\nfile = "/a.csv"\nurl = "https://x.example/"\n', "directory", "both", "exactly one of them"),
        ('[directory]\nfile = "a.csv"\n', "directory.file", '"a.csv"', "an absolute path"),
        ('[directory]\nfile = "/a.xml"\n', "directory.file", '"/a.xml"', "ends in .csv or .json"),
        ('[directory]\nfile = "/a.csv"\ntoken_file = "/t"\n', "directory.token_file", '"/t"', "only a url needs it"),
        ('[directory]\nurl = "http://x.example/s3cret"\n', "directory.url", "http://x.example/…", "http only on this"),
        (MAIL + 'security = "none"\n', "mail.security", '"none"', "mail.example.com is not this machine"),
        (MAIL + 'security = "ssl"\n', "mail.security", '"ssl"', "'tls', 'starttls' or 'none'"),
        (MAIL + 'user = "noc"\n', "mail.password_file", "nothing", "together, or neither"),
        (MAIL + 'password_file = "/p"\n', "mail.user", "nothing", "together, or neither"),
        (MAIL + 'reply_to = "a@b\\r\\nBcc: c@d"\n', "mail.reply_to", '"a@b\\r\\nBcc: c@d"', "a mail address such as"),
        (MAIL + 'password = "p"\n', "mail.password", "an unknown key", "password_file"),
        ("[webhook]\n", "webhook.secret_file", "nothing", "checks its signature"),
        (WEBHOOK + 'shape = "discord"\n', "webhook.secret_file", '"/etc/zlh-hooks/webhook"', "are not signed"),
        (WEBHOOK + 'shape = "slack"\n', "webhook.shape", '"slack"', "'plain' or 'discord'"),
        (WEBHOOK + "allow_private = 1\n", "webhook.allow_private", "1", "true or false"),
        ("[feed]\n", "feed.directory", "nothing", "a value"),
        ('[feed]\ndirectory = "www"\n', "feed.directory", '"www"', "an absolute path"),
        ("[operator]\n", "operator", "neither", "mail or webhook"),
        (DEFERRAL, "deferral.key_file", "nothing", "a value"),
        (DEFERRAL + 'key_file = "key"\n', "deferral.key_file", '"key"', "an absolute path"),
        (DEFERRAL.replace("/date", "/#date") + KEY, "deferral.url", '"https://x.example/#date"', "a URL without #"),
        (DEFERRAL.replace("https:", "http:") + KEY, "deferral.url", "http://x.example/…", "http only on this"),
        (
            '[operator]\nwebhook = "http://x.example/s3cret"\n',
            "operator.webhook",
            "http://x.example/…",
            "a URL such as",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_key_found_and_expected(
    tmp_path: Path, text: str, key: str, found: str, expected: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        read(tmp_path, text)
    assert (refused.value.key, refused.value.found) == (key, found)
    assert expected in refused.value.expected


def test_a_url_that_may_be_a_secret_is_not_shown_when_settings_are_printed(tmp_path: Path) -> None:
    settings = read(tmp_path, '[operator]\nwebhook = "https://hooks.example/s3cret"\n')
    assert settings.operator is not None and settings.operator.webhook == "https://hooks.example/s3cret"
    assert "s3cret" not in repr(settings)
