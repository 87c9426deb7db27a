"""Rules of the library surface: it is whole, it is cheap to import, and its example works."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import zlh_hooks
from tests.clock import FakeClock
from tests.datacentre import Datacentre
from zlh_hooks import wiring

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "pick.py"
POLICY = """
time_zone = "Europe/Berlin"
kinds.game = { vmids = ["5000-5999"], line = "game-base" }
[lines.game-base]
data_paths = ["/srv/data"]
probes = [{ kind = "agent" }]
new_guests_percent = 100
"""


@pytest.mark.parametrize("name", zlh_hooks.__all__)
def test_every_name_of_the_surface_is_there(name: str) -> None:
    assert getattr(zlh_hooks, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'zlh_hooks' has no attribute 'guess'"):
        zlh_hooks.guess  # noqa: B018


def test_importing_the_library_imports_none_of_its_rooms() -> None:
    code = "import sys, json, zlh_hooks; print(json.dumps([name for name in sys.modules if 'zlh_hooks.' in name]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert json.loads(done.stdout) == []


def load_example() -> ModuleType:
    specification = importlib.util.spec_from_file_location("pick", EXAMPLE)
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def datacentre(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Datacentre:
    """One node with versions 1 (stable) and 2 (candidate), settings and policy in files."""
    datacentre = Datacentre(FakeClock())
    datacentre.add_node("n1")
    datacentre.add_storage("local", "n1")
    datacentre.add_template("game-base", "1", "n1", 9001, channel="stable")
    datacentre.add_template("game-base", "2", "n1", 9002, channel="canary")
    (tmp_path / "policy.toml").write_text(POLICY)
    (tmp_path / "zlh-hooks.toml").write_text('[proxmox]\nhost = "n1"\nuser = "zlh@pve"\ntoken_name = "hooks"\n')
    monkeypatch.setenv("ZLH_HOOKS_POLICY", str(tmp_path / "policy.toml"))
    monkeypatch.setenv("ZLH_HOOKS_CONFIG", str(tmp_path / "zlh-hooks.toml"))
    monkeypatch.setattr(wiring, "open_proxmox", lambda settings: datacentre)
    return datacentre


def test_the_example_chooses_as_the_policy_says(datacentre: Datacentre) -> None:
    choice = load_example().pick_template("game-base", "5012")
    assert (choice.template.vmid, choice.version, choice.channel) == (9002, "2", "canary")


def test_the_example_warns_and_falls_back_where_the_candidate_contradicts_itself(
    datacentre: Datacentre, capsys: pytest.CaptureFixture[str]
) -> None:
    datacentre.add_template("game-base", "2", "n1", 9003)
    assert load_example().pick_template("game-base", "5012").version == "1"
    assert "claimed by templates 9002, 9003" in capsys.readouterr().err


def test_the_example_says_what_is_missing(datacentre: Datacentre) -> None:
    with pytest.raises(zlh_hooks.TargetError, match="no template of line dev-base"):
        load_example().pick_template("dev-base", "5012")
