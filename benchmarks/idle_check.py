"""What a guest's check costs while nothing is new: requests, bytes, time and memory.

``python -m benchmarks.idle_check [CHECKS]``. A real HTTP server on loopback, a repository with one release; each check
is a process of its own, as a timer would start it. The first check of a guest is printed beside them.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.agent.repository_bench import make
from tests.agent.update_server import UpdateServer, update_server

CHECK = """
import resource, sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from agent_plugin.desired import Guest
from agent_plugin.trust import Origin, Trust
folder, url, root = sys.argv[1:]
now = datetime.now(timezone.utc)
trust = Trust(Path(folder), Origin(url, Path(root).read_bytes(), now - timedelta(days=1)))
found = trust.check(Guest(5001, "game-base", "1.5.0"), now)
kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(found.ruling.value, trust.road.requests, trust.road.received, kilobytes)
"""
MOST_SECONDS, MOST_MEGABYTES, MOST_BODY = 2.0, 60.0, 1024


def measure(server: UpdateServer, home: Path) -> dict[str, float]:
    """One check in a process of its own."""
    began = os.times()
    root = home / "public" / "metadata" / "1.root.json"
    words = [sys.executable, "-c", CHECK, str(home / "guest"), server.url, str(root)]
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)
    ended = os.times()
    ruling, requests, received, kilobytes = done.stdout.split()
    if ruling != "current":
        raise SystemExit(f"expected nothing to do, found {ruling}")
    seconds = ended.elapsed - began.elapsed
    return {
        "requests": int(requests),
        "body_bytes": int(received),
        "seconds": seconds,
        "cpu_seconds": ended.children_user + ended.children_system - began.children_user - began.children_system,
        "megabytes": int(kilobytes) / 1024,
    }


def main(words: Sequence[str]) -> None:
    """Measure and print; exit 1 if a check costs more than the project promises."""
    checks = int(words[0]) if words else 20
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        bench = make(home)
        with update_server(bench.public) as server:
            first = measure(server, home)
            idle = [measure(server, home) for _ in range(checks)]
    median = {name: round(statistics.median(one[name] for one in idle), 3) for name in first}
    worst = {name: round(max(one[name] for one in idle), 3) for name in first}
    print(json.dumps({"first": first, "checks": checks, "median": median, "worst": worst}, indent=1))
    kept = worst["requests"] == 1 and worst["body_bytes"] <= MOST_BODY
    if not kept or median["seconds"] > MOST_SECONDS or worst["megabytes"] > MOST_MEGABYTES:
        raise SystemExit("a check costs more than 1 request, 1 kB of body, 2 s or 60 MB")


if __name__ == "__main__":
    main(sys.argv[1:])
