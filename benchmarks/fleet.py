"""What a thousand agents cost one nginx on this machine: requests, bytes and time, as nginx itself logs them.

``python -m benchmarks.fleet [AGENTS]``. Each agent is a folder of its own with the plugin's own client, many at once on
all cores. Four rounds: the first check, one while nothing is new, one after a new version was pinned, and bringing it.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from agent_plugin.desired import Guest, Nothing
from agent_plugin.trust import Origin, Trust
from agent_plugin.wanted import Wanted
from tests.agent.release import NAME
from tests.agent.repository_bench import make

UNPACKED = Path(__file__).parents[1] / ".lab" / "nginx" / "usr" / "sbin" / "nginx"
SIZE = 1 << 20
CONFIGURATION = """
daemon off; master_process off; pid {home}/nginx.pid; error_log {home}/error.log; user root;
events {{ worker_connections 1024; }}
http {{
    log_format counted '$status $bytes_sent';
    access_log {home}/access.log counted;
    client_body_temp_path {home}/t1; proxy_temp_path {home}/t2; fastcgi_temp_path {home}/t3;
    uwsgi_temp_path {home}/t4; scgi_temp_path {home}/t5;
    server {{ listen 127.0.0.1:{port} backlog=4096; root {public}; }}
}}
"""


@contextmanager
def run_nginx(home: Path, public: Path) -> Iterator[str]:
    """Its URL; ended by its process."""
    program = shutil.which("nginx") or str(UNPACKED)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    file = home / "nginx.conf"
    file.write_text(CONFIGURATION.format(home=home, public=public, port=port))
    started = subprocess.Popen([program, "-c", file, "-e", home / "error.log"])
    try:
        _wait_until_open(port, started)
        yield f"http://127.0.0.1:{port}"
    finally:
        started.terminate()
        started.wait()


def _wait_until_open(port: int, started: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if started.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def check(home: Path, url: str, installed: str, number: int, *, bring: bool = False) -> str:
    """One agent's check, and bringing what it says; what came of it."""
    root = (home / "public" / "metadata" / "1.root.json").read_bytes()
    now = datetime.now(UTC)
    trust = Trust(home / "agents" / str(number), Origin(url, root, now - timedelta(days=1)))
    found = trust.check(Guest(number, NAME, installed), now)
    if isinstance(found, Wanted) and bring:
        to = home / "agents" / str(number) / "release"
        trust.download(found, to)
        to.unlink()
    return found.ruling.value if isinstance(found, Nothing) else found.version


def measure(home: Path, agents: int, act: Callable[[int], str], expected: str) -> dict[str, float]:
    """All agents once; what nginx logged meanwhile."""
    log = home / "access.log"
    before = log.stat().st_size
    began = time.monotonic()
    with ProcessPoolExecutor() as pool:
        found = set(pool.map(act, range(5001, 5001 + agents), chunksize=10))
    seconds = time.monotonic() - began
    if found != {expected}:
        raise SystemExit(f"expected {expected}, found {found}")
    with log.open() as lines:
        lines.seek(before)
        answers = [line.split() for line in lines]
    bad = sorted({status for status, _ in answers} - {"200", "404"})
    if bad:
        raise SystemExit(f"nginx answered {bad}")
    return {"requests": len(answers), "bytes": sum(int(sent) for _, sent in answers), "seconds": round(seconds, 1)}


def main(words: Sequence[str]) -> None:
    """Measure and print."""
    agents = int(words[0]) if words else 1000
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        bench = make(home)
        with run_nginx(home, bench.public) as url:
            idle = partial(check, home, url, "1.5.0")
            rounds = {
                "first": measure(home, agents, idle, "current"),
                "nothing new": measure(home, agents, idle, "current"),
            }
            bench.roll_out("1.6.0", os.urandom(SIZE))
            rounds["newly pinned"] = measure(home, agents, idle, "1.6.0")
            rounds["brought"] = measure(home, agents, partial(check, home, url, "1.5.0", bring=True), "1.6.0")
    print(json.dumps({"agents": agents, "release_bytes": SIZE, **rounds}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
