"""Rules of the files: what is refused, with which words, and how drop-ins are laid over them."""

from pathlib import Path
from typing import Any

import pytest

from zlh_hooks.domain.errors import SettingsError
from zlh_hooks.settings import Settings, load_policy, load_settings, read_token

WINDOW = '[[windows]]\nname = "w"\nrule = "FREQ=DAILY"\nstart = "04:00"\nlength_minutes = 60\n'
LINE = '[lines.base]\ndata_paths = ["/data"]\nprobes = [{ kind = "agent" }]\n'
KIND = '[kinds.game]\nvmids = ["5000-5999"]\nline = "base"\n'
ZONE = 'time_zone = "Europe/Berlin"\n'


def write(folder: Path, text: str, name: str = "policy.toml") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def refusal(path: Path) -> SettingsError:
    with pytest.raises(SettingsError) as refused:
        load_policy(path)
    return refused.value


REFUSED = [
    # what is written, key, found, a part of expected
    ("", "time_zone", "nothing", "a value"),
    ('time_zone = "Europe/Berlim"\n', "time_zone", '"Europe/Berlim"', 'did you mean "Europe/Berlin"?'),
    ('time_zone = "../etc/passwd"\n', "time_zone", '"../etc/passwd"', "an IANA time zone"),
    ('time_zone = "Europe"\n', "time_zone", '"Europe"', "an IANA time zone"),
    (ZONE + "[rolout]\n", "rolout", "an unknown key", 'did you mean "rollout"?'),
    (ZONE + "[rollout]\nwave = 3\n", "rollout.wave", "an unknown key", 'did you mean "waves"?'),
    (ZONE + '[rollout]\nwaves = ["25%", "50%", "120%"]\n', "rollout.waves[2]", '"120%"', '"1%" to "100%"'),
    (ZONE + '[rollout]\nwaves = ["0%"]\n', "rollout.waves[0]", '"0%"', "a whole number from 1"),
    (ZONE + "[rollout]\nwaves = [0]\n", "rollout.waves[0]", "0", "a whole number from 1"),
    (ZONE + "[rollout]\nwaves = []\n", "rollout.waves", "[]", "at least 1 item"),
    (ZONE + '[rollout]\nwaves = "25%"\n', "rollout.waves", '"25%"', "an array"),
    (ZONE + "[rollout]\ncanary = true\n", "rollout.canary", "true", "a whole number from 1"),
    (ZONE + "[rollout]\ncanary = 1.5\n", "rollout.canary", "1.5", "a whole number from 1"),
    (ZONE + "[rollout]\nmax_failures = -1\n", "rollout.max_failures", "-1", "greater than or equal to 0"),
    (ZONE + "[rollout]\nmax_parallel = true\n", "rollout.max_parallel", "true", "a whole number"),
    (ZONE + '[rollout]\nauto_promote = "yes"\n', "rollout.auto_promote", '"yes"', "true or false"),
    (ZONE + '[rollout]\nha = "of"\n', "rollout.ha", '"of"', "'skip' or 'ignore'"),
    (ZONE + '[rollout]\nsoak = "3 days"\n', "rollout.soak", '"3 days"', "a duration such as 90s"),
    (ZONE + '[rollout]\nstart_timeout = "0s"\n', "rollout.start_timeout", '"0s"', "above 0s"),
    (
        ZONE + '[rollout]\nhealthy_deadline = "60s"\n',
        *("rollout.healthy_deadline", "1m", "more than min_healthy_time (1m)"),
    ),
    (
        ZONE + '[rollout]\nmin_healthy_time = "10m"\n',
        *("rollout.healthy_deadline", "5m (the default)", "more than min_healthy_time (10m)"),
    ),
    (
        ZONE + '[rollout]\nprogress_deadline = "5m"\n',
        *("rollout.progress_deadline", "5m", "more than healthy_deadline (5m)"),
    ),
    (ZONE + WINDOW + "cutoff_minutes = 61\n", "windows[0].cutoff_minutes", "61", "at most length_minutes (60)"),
    (ZONE + WINDOW + 'effect = "deny"\ncutoff_minutes = 5\n', "windows[0].cutoff_minutes", "5", "none: a deny window"),
    (ZONE + WINDOW + 'effect = "alow"\n', "windows[0].effect", '"alow"', "'allow' or 'deny'"),
    (ZONE + WINDOW + 'components = ["pbs", "edges"]\n', "windows[0].components[1]", '"edges"', "'edge'"),
    (ZONE + WINDOW + 'time_zone = "CEST"\n', "windows[0].time_zone", '"CEST"', "an IANA time zone"),
    (ZONE + WINDOW + WINDOW, "windows[1].name", '"w"', "windows[0] has this one"),
    (ZONE + WINDOW.replace("04:00", "24:00"), "windows[0].start", '"24:00"', '"00:00" to "23:59"'),
    (ZONE + WINDOW.replace("04:00", "4:00"), "windows[0].start", '"4:00"', "a local time of day"),
    (ZONE + WINDOW.replace("= 60", "= 0"), "windows[0].length_minutes", "0", "greater than or equal to 1"),
    (ZONE + WINDOW.replace("DAILY", "HOURLY"), "windows[0].rule", '"FREQ=HOURLY"', "once a day at most"),
    (
        ZONE + WINDOW.replace("DAILY", "DAILY;INTERVAL=2"),
        *("windows[0].anchor", "nothing", "because INTERVAL=2 counts from it"),
    ),
    (ZONE + WINDOW + "anchor = 1999-12-31\n", "windows[0].anchor", "1999-12-31", "from 2000 to 2199"),
    (ZONE + WINDOW + "anchor = 20261123\n", "windows[0].anchor", "20261123", "a date such as 2026-12-24"),
    (
        ZONE + '[[freezes]]\nname = "f"\nfirst = 2026-12-24\nlast = 2026-12-23\n',
        *("freezes[0].last", "2026-12-23", "the same date as first (2026-12-24)"),
    ),
    (
        ZONE + '[[freezes]]\nname = "f"\nfirst = "2026-02-30"\nlast = 2026-12-23\n',
        *("freezes[0].first", '"2026-02-30"', "a date such as"),
    ),
    (ZONE + KIND, "kinds.game.line", '"base"', "a line of [lines]: none yet"),
    (ZONE + LINE.replace("lines.base", "lines.agent"), "lines.agent", '"agent"', "another name"),
    (
        ZONE + LINE + KIND.replace('"base"', '"bas"'),
        *("kinds.game.line", '"bas"', 'a line of [lines]: base; did you mean "base"?'),
    ),
    (
        ZONE + LINE + KIND.replace("5000-5999", "5999-5000"),
        "kinds.game.vmids[0]",
        '"5999-5000"',
        "guest numbers such as",
    ),
    (ZONE + LINE + KIND.replace("5000-5999", "99"), "kinds.game.vmids[0]", '"99"', "from 100 to 999999999"),
    (
        ZONE + LINE + KIND + KIND.replace("game", "test").replace("5000-5999", "5500"),
        *("kinds.test.vmids", "5500-5500", "numbers that kind game does not have"),
    ),
    (
        ZONE + LINE + KIND + 'tags = ["a", "b"]\n' + KIND.replace("game", "test") + 'tags = ["b"]\n',
        *("kinds.test.vmids", "5000-5999", "tags that set both apart"),
    ),
    (ZONE + LINE + KIND + 'tags = ["Game"]\n', "kinds.game.tags[0]", '"Game"', "a tag as Proxmox stores them"),
    (
        ZONE + 'scratch_vmids = "5900-6100"\n' + LINE + KIND,
        *("scratch_vmids", "5900-6100", "numbers outside those of kind game"),
    ),
    (ZONE + LINE + KIND.replace("5000-5999", "800000-900000"), "scratch_vmids", "890000-890999", "outside those of"),
    (ZONE + LINE.replace("base", '"Game Base"'), 'lines."Game Base"', '"Game Base"', "a tag as Proxmox stores them"),
    (ZONE + LINE.replace('"/data"', '"data"'), "lines.base.data_paths[0]", '"data"', "an absolute path below /"),
    (ZONE + LINE.replace('"/data"', '"/"'), "lines.base.data_paths[0]", '"/"', "an absolute path below /"),
    (ZONE + LINE.replace('["/data"]', "[]"), "lines.base.data_paths", "[]", "at least 1 item"),
    (ZONE + LINE.replace("agent", "agnet"), "lines.base.probes[0].kind", '"agnet"', "'agent'"),
    (ZONE + LINE.replace('kind = "agent"', "port = 1"), "lines.base.probes[0].kind", "nothing", "which kind it is"),
    (
        ZONE + LINE.replace('kind = "agent"', 'kind = "agent", prot = 1'),
        *("lines.base.probes[0].prot", "an unknown key", 'did you mean "port"?'),
    ),
    (
        ZONE + LINE.replace('kind = "agent"', 'kind = "agent", port = 99999'),
        *("lines.base.probes[0].port", "99999", "less than or equal to 65535"),
    ),
    (
        ZONE + LINE.replace('{ kind = "agent" }', '{ kind = "agent" }, { kind = "agent" }'),
        *("lines.base.probes[1].name", '"agent"', "a name that no other probe has"),
    ),
    (
        ZONE + LINE.replace('kind = "agent"', 'kind = "agent", in_smoke = false'),
        *("lines.base.probes", "none with in_smoke", "at least one"),
    ),
    (ZONE + LINE + "new_guests_percent = 101\n", "lines.base.new_guests_percent", "101", "less than or equal to 100"),
    (ZONE + LINE + "keep_versions = 0\n", "lines.base.keep_versions", "0", "greater than or equal to 1"),
    (ZONE + LINE + 'smoke_net0 = "eth0"\n', "lines.base.smoke_net0", '"eth0"', "pattern"),
    (
        ZONE + LINE + 'after_promote = [{ kind = "file", path = "x.json" }]\n',
        *("lines.base.after_promote[0].path", '"x.json"', "pattern"),
    ),
    (
        ZONE + LINE + 'after_promote = [{ kind = "url", url = "ftp://x" }]\n',
        *("lines.base.after_promote[0].url", '"ftp://x"', "pattern"),
    ),
    (ZONE + "rollout = 3\n", "rollout", "3", "a table"),
    (ZONE + "windows = 3\n", "windows", "3", "an array"),
]


@pytest.mark.parametrize(
    ("text", "key", "found", "expected"), REFUSED, ids=[f"{case[1]}-{case[2]}" for case in REFUSED]
)
def test_a_wrong_value_is_refused_with_file_key_found_and_expected(
    tmp_path: Path, text: str, key: str, found: str, expected: str
) -> None:
    path = write(tmp_path, text)
    error = refusal(path)
    assert (error.file, error.key, error.found, error.more) == (str(path), key, found, ())
    assert expected in error.expected


def test_all_wrong_values_are_told_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, 'time_zone = "Nowhere"\n[rollout]\nmax_paralel = 2\nwaves = ["300%"]\n')
    error = refusal(path)
    assert sorted(one.key for one in (error, *error.more)) == ["rollout.max_paralel", "rollout.waves[0]", "time_zone"]
    assert len(str(error).splitlines()) == 3


def test_what_is_no_toml_is_refused_with_its_line(tmp_path: Path) -> None:
    error = refusal(write(tmp_path, 'time_zone = "Europe/Berlin"\nwindows = ]\n'))
    assert error.key == "syntax" and "line" in error.found


def test_a_file_that_is_not_there_is_refused_by_its_name(tmp_path: Path) -> None:
    error = refusal(tmp_path / "nothing.toml")
    assert (error.file, error.found) == (str(tmp_path / "nothing.toml"), "No such file or directory")
    assert "zlh-hooks init writes the first one" in error.expected


# ----------------------------------------------------------------------------------------------------------- drop-ins


def test_a_drop_in_replaces_a_value_and_leaves_its_neighbours(tmp_path: Path) -> None:
    path = write(tmp_path, ZONE + '[rollout]\ncanary = 2\nwaves = [1, 2]\nsoak = "1h"\n')
    write(tmp_path, "[rollout]\ncanary = 3\nwaves = [5]\n", "policy.d/10-canary.toml")
    write(tmp_path, "[rollout]\ncanary = 4\n", "policy.d/20-canary.toml")
    write(tmp_path, "[rollout]\ncanary = 9\n", "policy.d/30-ignored.toml.bak")
    rules = load_policy(path).rollout
    assert (rules.canary.number, [wave.number for wave in rules.waves]) == (4, [5])
    assert rules.soak.total_seconds() == 3600


def test_a_drop_in_adds_windows_and_takes_none_away(tmp_path: Path) -> None:
    path = write(tmp_path, ZONE + WINDOW)
    write(tmp_path, WINDOW.replace('"w"', '"more"'), "policy.d/10-more.toml")
    assert [window.name for window in load_policy(path).windows] == ["w", "more"]


def test_a_wrong_value_is_blamed_on_the_drop_in_that_holds_it(tmp_path: Path) -> None:
    path = write(tmp_path, ZONE + WINDOW + "[rollout]\ncanary = 2\n")
    more = write(tmp_path, WINDOW + "cutoff_minutes = 99\n", "policy.d/10-more.toml")
    rules = write(tmp_path, "[rollout]\nwaves = [0]\n", "policy.d/20-rules.toml")
    error = refusal(path)
    found = {(one.file, one.key) for one in (error, *error.more)}
    assert found == {(str(more), "windows[1].cutoff_minutes"), (str(rules), "rollout.waves[0]")}


def test_a_broken_drop_in_is_refused_by_its_own_name(tmp_path: Path) -> None:
    path = write(tmp_path, ZONE)
    broken = write(tmp_path, "=", "policy.d/10-broken.toml")
    assert refusal(path).file == str(broken)


def test_without_an_argument_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZLH_HOOKS_POLICY", str(write(tmp_path, 'time_zone = "Asia/Tokyo"\n')))
    monkeypatch.setenv("ZLH_HOOKS_CONFIG", str(write(tmp_path, SETTINGS, "zlh-hooks.toml")))
    assert load_policy().time_zone == "Asia/Tokyo"
    assert load_settings().proxmox.host == "pve1.example.com"


# ---------------------------------------------------------------------------------------------------------- settings

SETTINGS = '[proxmox]\nhost = "pve1.example.com"\ntoken_name = "hooks"\n'


def read_settings(tmp_path: Path, text: str = SETTINGS) -> Settings:
    return load_settings(write(tmp_path, text, "zlh-hooks.toml"))


def test_settings_need_a_host_and_a_token_name_only(tmp_path: Path) -> None:
    settings = read_settings(tmp_path)
    assert (settings.proxmox.port, settings.proxmox.user, settings.proxmox.ca_file) == (8006, "zlh@pve", None)
    assert settings.ledger.path == Path("/var/lib/zlh-hooks/ledger.sqlite")
    assert settings.worker.name


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (SETTINGS.replace("pve1", "https://pve1"), "proxmox.host"),
        (SETTINGS + "verify = false\n", "proxmox.verify"),
        (SETTINGS + 'user = "root"\n', "proxmox.user"),
        (SETTINGS + "port = 0\n", "proxmox.port"),
        (SETTINGS + 'token_file = "token"\n', "proxmox.token_file"),
        (SETTINGS + '[ledger]\npath = "ledger.sqlite"\n', "ledger.path"),
        ('[proxmox]\ntoken_name = "hooks"\n', "proxmox.host"),
        ("", "proxmox"),
    ],
)
def test_wrong_settings_are_refused_by_their_key(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings(tmp_path, text)
    assert refused.value.key == key


def make_token(tmp_path: Path, content: str = "secret-1\n", mode: int = 0o640) -> Settings:
    path = write(tmp_path, content, "token")
    path.chmod(mode)
    return read_settings(tmp_path, f'{SETTINGS}token_file = "{path}"\n')


def test_the_token_is_the_one_word_of_its_file(tmp_path: Path) -> None:
    assert read_token(make_token(tmp_path)) == "secret-1"


@pytest.mark.parametrize(
    ("token", "found"),
    [
        ({"mode": 0o644}, "mode 0644, open to everybody"),
        ({"mode": 0o642}, "mode 0642, open to everybody"),
        ({"content": "\n"}, "an empty file"),
        ({"content": "token: secret-1"}, "several words"),
        ({"content": "sécret-1"}, "other characters than ASCII"),
    ],
)
def test_a_token_that_all_may_read_or_that_is_none_is_refused_without_being_shown(
    tmp_path: Path, token: dict[str, Any], found: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        read_token(make_token(tmp_path, **token))
    assert (refused.value.key, refused.value.found) == ("proxmox.token_file", found)
    assert "cret-1" not in str(refused.value)


def test_without_a_token_file_the_service_managers_credential_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "secret-2", "proxmox-token").chmod(0o400)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_token(read_settings(tmp_path)) == "secret-2"


def test_without_any_token_the_refusal_says_where_one_could_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(SettingsError, match=r"proxmox\.token_file: found nothing; expected .* proxmox-token"):
        read_token(read_settings(tmp_path))
