"""Headless Chromium, spoken to as a WebDriver (W3C): what a reader sees, and what axe-core finds."""

import base64
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

AXE = "axe-core@4.14.1"
MODULES = Path(__file__).parents[1] / ".lab" / "npm-axe"


@dataclass(frozen=True)
class Browser:
    """One window."""

    session: str

    def _ask(self, path: str, body: dict[str, Any]) -> Any:
        answer = requests.post(f"{self.session}/{path}", json=body, timeout=60)
        assert answer.ok, answer.text
        return answer.json()["value"]

    def command(self, name: str, **parameters: Any) -> Any:
        """A command of Chromium's own protocol."""
        return self._ask("goog/cdp/execute", {"cmd": name, "params": parameters})

    def show(self, path: Path, width: int, scheme: str) -> None:
        """Open a file at that width in CSS pixels, ``light`` or ``dark``."""
        metrics = {"width": width, "height": 780, "deviceScaleFactor": 1, "mobile": width < 600}
        self.command("Emulation.setDeviceMetricsOverride", **metrics)
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._ask("url", {"url": path.as_uri()})

    def run(self, script: str, *arguments: Any) -> Any:
        """What the script returns."""
        return self._ask("execute/sync", {"script": script, "args": list(arguments)})

    def list_findings(self, axe: str) -> list[str]:
        """What axe-core calls serious or critical: rule, and the element."""
        self.run(f"{axe};")
        script = "const done = arguments[arguments.length - 1]; axe.run(document).then(r => done(r.violations))"
        violations = self._ask("execute/async", {"script": script, "args": []})
        return [
            f"{one['id']}: {node['html'][:120]}"
            for one in violations
            for node in one["nodes"]
            if one["impact"] in ("serious", "critical")
        ]

    def take_picture(self, path: Path) -> None:
        """The whole page as PNG."""
        picture = self.command("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A browser that ends with its block; skips where Debian's chromium-driver is missing."""
    driver = shutil.which("chromedriver")
    if driver is None:
        pytest.skip("needs Debian's chromium and chromium-driver")
    with subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            port = next(
                found[1] for line in process.stdout if (found := re.search(r"successfully on port (\d+)", line))
            )
            base = f"http://127.0.0.1:{port}"
            options = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]}
            wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
            session = requests.post(f"{base}/session", json=wanted, timeout=120).json()["value"]["sessionId"]
            yield Browser(f"{base}/session/{session}")
            requests.delete(f"{base}/session/{session}", timeout=60)
        finally:
            process.terminate()


def read_axe() -> str:
    """axe-core's script, installed once into a folder that outlives the test run."""
    script = MODULES / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        _install(script)
    return script.read_text(encoding="utf-8")


def _install(script: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm (Debian package npm)")
    scratch = MODULES.with_name(f"npm-axe.{os.getpid()}")
    scratch.mkdir(parents=True)
    install = [npm, "install", "--prefix", str(scratch), "--ignore-scripts", "--no-audit", "--no-fund", AXE]
    if subprocess.run(install, timeout=240, check=False).returncode != 0:
        shutil.rmtree(scratch)
        pytest.skip(f"npm could not install {AXE}")
    if script.exists():
        shutil.rmtree(scratch)
    else:
        scratch.rename(MODULES)
