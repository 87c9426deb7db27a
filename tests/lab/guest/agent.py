"""A small stand-in for the ZLH agent: ``GET /health`` and ``GET /status`` on port 18888.

It reads its root's template version from ``/etc/zlh-template``. A root with ``/etc/zlh-agent-fault`` has a bad agent: it
turns unhealthy (503) as many seconds after its start as that file says.
"""

import json
import socket
import socketserver
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

PORT = 18888
VERSION = "1.4.0"
GAME_PORT = 25577
STARTED = time.monotonic()


def read_health() -> tuple[int, dict[str, str]]:
    """HTTP status and body of ``/health``."""
    fault = Path("/etc/zlh-agent-fault")
    if fault.exists() and time.monotonic() - STARTED > float(fault.read_text()):
        return 503, {"status": "failing", "version": VERSION}
    return 200, {"status": "ok", "version": VERSION}


def read_status() -> tuple[int, dict[str, str]]:
    """HTTP status and body of ``/status``; ``state`` in the words of the ZLH platform."""
    template = Path("/etc/zlh-template").read_text().strip()
    return 200, {"state": "running" if game_answers() else "stopped", "template": template, "version": VERSION}


def game_answers() -> bool:
    """Whether the game accepts connections."""
    try:
        socket.create_connection(("127.0.0.1", GAME_PORT), timeout=0.5).close()
    except OSError:
        return False
    return True


ROUTES = {"/health": read_health, "/status": read_status}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        """Answer with JSON."""
        status, body = ROUTES[self.path]() if self.path in ROUTES else (404, {"error": "unknown path"})
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Probes come too often to be noted."""


class Agent(socketserver.ThreadingTCPServer):
    """The server; not HTTPServer, which asks the name service for its own name, and here nobody answers."""

    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    Agent(("0.0.0.0", PORT), Handler).serve_forever()
