"""The stand-in itself, where no test of the adapter looks."""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import requests

from tests.stand_in.client import connect
from tests.stand_in.fixture import RUNNING, STOPPED, STORAGE, TEMPLATE, make_pve, stand_in
from tests.stand_in.serving import TOKEN_ID, Serving, served
from zlh_hooks.adapters.proxmox import Proxmox
from zlh_hooks.adapters.proxmox_access import Access
from zlh_hooks.domain.right import GUEST_PRIVILEGES

__all__ = ["stand_in"]


def _ask(serving: Serving, method: str, path: str) -> requests.Response:
    headers = {"Authorization": f"PVEAPIToken={TOKEN_ID}={serving.token}"}
    url = f"{serving.pve.url}/api2/json{path}"
    return requests.request(method, url, headers=headers, verify=str(serving.ca_file), timeout=10)


def test_a_request_that_it_would_have_to_invent_is_refused_and_remembered(tmp_path: Path) -> None:
    with served(make_pve(), tmp_path, GUEST_PRIVILEGES) as serving:
        assert _ask(serving, "POST", "/nodes/pve1/vzdump").status_code == 501
        assert serving.pve.foreign == ["POST /nodes/{node}/vzdump"]


def test_a_template_is_made_of_base_volumes_without_naming_a_task(stand_in: Serving) -> None:
    answer = _ask(stand_in, "POST", f"/nodes/pve1/lxc/{STOPPED.vmid}/template")
    assert answer.json() == {"data": None}
    config = connect(stand_in).read_config(STOPPED)
    assert config.flag("template")
    assert all("/base-5002-disk-" in mount.volume for mount in config.mounts)


def test_hooks_are_called_as_proxmox_calls_them(stand_in: Serving) -> None:
    stand_in.call(lambda: stand_in.pve.edit_guest(RUNNING.vmid, hookscript="local:snippets/zlh"))
    proxmox = connect(stand_in)
    proxmox.reboot(RUNNING, timedelta(minutes=1))
    phases = [phase for vmid, phase in stand_in.pve.hooks if vmid == RUNNING.vmid]
    assert phases == ["pre-stop", "post-stop", "pre-start", "post-start"]


def test_a_reboot_from_inside_calls_no_hook_and_a_power_off_only_the_last(stand_in: Serving) -> None:
    stand_in.call(lambda: stand_in.pve.edit_guest(RUNNING.vmid, hookscript="local:snippets/zlh"))
    stand_in.pve.runtime.leave_inside(RUNNING.vmid, reboot=True)
    assert stand_in.pve.hooks == []
    stand_in.pve.runtime.leave_inside(RUNNING.vmid, reboot=False)
    assert stand_in.pve.hooks == [(RUNNING.vmid, "post-stop")]


def test_a_hook_may_veto_a_start(stand_in: Serving) -> None:
    def refuse(_ct: object, phase: str) -> None:
        raise OSError(f"{phase}: marked down")

    stand_in.pve.run_hook = refuse
    stand_in.call(lambda: stand_in.pve.edit_guest(STOPPED.vmid, hookscript="local:snippets/zlh"))
    proxmox = connect(stand_in)
    result = proxmox.read_task(proxmox.start(STOPPED))
    assert "marked down" in result.exit_status
    assert not proxmox.read_power(STOPPED).running


def test_whatever_a_runtime_raises_ends_the_task(stand_in: Serving) -> None:
    stand_in.pve.runtime.start_errors[STOPPED.vmid] = "lxc-start: no such file"
    proxmox = connect(stand_in)
    result = proxmox.read_task(proxmox.start(STOPPED))
    assert (result.running, result.exit_status) == (False, "startup for container '5002' failed")


def test_a_guest_keeps_its_pending_changes_while_the_cluster_has_no_quorum(stand_in: Serving) -> None:
    proxmox = connect(stand_in)
    proxmox.write_config(RUNNING, {"mp0": f"{STORAGE}:5001/vm-5001-disk-1.raw,mp=/elsewhere,size=1G"}, None)
    stand_in.pve.lose_quorum()
    stand_in.pve.runtime.leave_inside(RUNNING.vmid, reboot=False)
    assert "mp0" in proxmox.read_pending(RUNNING)
    stand_in.pve.regain_quorum()
    proxmox.start(RUNNING)
    assert proxmox.read_config(RUNNING).data_mounts[0].path == "/elsewhere"


def test_it_runs_as_a_process_of_its_own_and_reports_what_was_done(tmp_path: Path) -> None:
    guests = [{"vmid": TEMPLATE.vmid, "template": True}, {"vmid": RUNNING.vmid, "running": True}]
    (tmp_path / "state.json").write_text(json.dumps({"guests": guests}))
    options = ["--state", tmp_path / "state.json", "--directory", tmp_path, "--report", tmp_path / "report.json"]
    process = subprocess.Popen([sys.executable, "-m", "tests.stand_in", *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        reach = json.loads(process.stdout.readline())
        proxmox = Proxmox(_access(reach))
        proxmox.write_config(RUNNING, {"tags": "x"}, None)
    finally:
        process.terminate()
        process.wait(20)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["counts"] == [{"call": "write_config", "vmid": RUNNING.vmid, "times": 1}]
    assert report["guests"][str(RUNNING.vmid)]["config"]["tags"] == "x"
    assert report["foreign"] == []


def _access(reach: dict[str, str]) -> Access:
    token = Path(reach["token_file"]).read_text()
    return Access(reach["host"], reach["user"], reach["token_name"], token, int(reach["port"]), Path(reach["ca_file"]))
