"""Health questions as values. Which product answers them is the adapters' business."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from zlh_hooks.domain.duration import Duration


class _Probe(BaseModel):
    """What every probe has; ``needed_successes`` and ``needed_failures`` count consecutive answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="", description="Shown in tables and evidence; the kind if empty.")
    timeout: Duration = timedelta(seconds=2)
    interval: Duration = timedelta(seconds=2)
    needed_successes: int = Field(default=1, ge=1)
    needed_failures: int = Field(default=3, ge=1)
    in_smoke: bool = Field(default=True, description="Ask a fresh scratch guest too; false for what needs a customer.")

    @property
    def label(self) -> str:
        """How tables and evidence call it."""
        return self.name or getattr(self, "kind", "")


class HttpProbe(_Probe):
    """GET over HTTP(S) to the guest. ``json_path`` (dotted, e.g. ``server.state``) must equal ``json_equals``."""

    kind: Literal["http"]
    port: int = Field(ge=1, le=65535)
    path: str = Field(default="/", pattern=r"^/")
    scheme: Literal["http", "https"] = "http"
    status: int = Field(default=200, ge=100, le=599)
    json_path: str | None = None
    json_equals: str | None = None


class TcpProbe(_Probe):
    """A TCP connection that is accepted."""

    kind: Literal["tcp"]
    port: int = Field(ge=1, le=65535)


class AgentProbe(_Probe):
    """The ZLH agent: ``/health`` answers 2xx and ``/status`` gives a state.

    Facts: ``state``, and ``version`` read from ``version_path`` in ``/status`` or else ``/health``. The state after a
    change must be the state before it.
    """

    kind: Literal["agent"]
    port: int = Field(default=18888, ge=1, le=65535)
    version_path: str = "version"


class MinecraftProbe(_Probe):
    """Minecraft Java Server List Ping. Facts: ``players``, ``max_players``, ``server_version``."""

    kind: Literal["minecraft"]
    port: int = Field(default=25565, ge=1, le=65535)


class SourceProbe(_Probe):
    """Valve's A2S_INFO over UDP. Facts: ``players``, ``max_players``, ``map``."""

    kind: Literal["source"]
    port: int = Field(default=27015, ge=1, le=65535)


class PrometheusProbe(_Probe):
    """An instant query whose every sample must satisfy ``compare value``; no sample at all is unhealthy.

    ``{vmid}``, ``{address}`` and ``{node}`` in ``query`` are replaced. An unreachable Prometheus is an ``error``.
    """

    kind: Literal["prometheus"]
    url: str = Field(pattern=r"^https?://")
    query: str
    compare: Literal["==", "!=", "<", "<=", ">", ">="] = "=="
    value: float = 1.0


Probe = Annotated[
    HttpProbe | TcpProbe | AgentProbe | MinecraftProbe | SourceProbe | PrometheusProbe, Field(discriminator="kind")
]
