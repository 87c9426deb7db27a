"""Health questions as values. Which product answers them is the adapters' business."""

from datetime import timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from zlh_hooks.domain.duration import Duration


class _Probe(BaseModel):
    """What every probe has; ``needed_successes`` and ``needed_failures`` count consecutive answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    counts_players: ClassVar[bool] = False

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
    """GET over HTTP(S) to the guest. ``json_path`` (dotted, e.g. ``servers.0.state``) must equal ``json_equals``.

    Without ``json_equals`` it must only be there. Certificates are always verified: ``ca_file`` (PEM) trusts a private
    authority or one self-signed certificate, ``server_name`` is the name it bears if that is not the guest's address.
    """

    kind: Literal["http"]
    port: int = Field(ge=1, le=65535)
    path: str = Field(default="/", pattern=r"^/[!-~]*$")
    scheme: Literal["http", "https"] = "http"
    status: int = Field(default=200, ge=100, le=599)
    json_path: str | None = Field(default=None, min_length=1)
    json_equals: str | None = None
    ca_file: str | None = None
    server_name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$")

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        """An option without effect is a mistake."""
        if self.json_equals is not None and self.json_path is None:
            raise ValueError("json_equals needs json_path, which says what is compared")
        if self.scheme == "http" and (self.ca_file or self.server_name):
            raise ValueError('ca_file and server_name need scheme = "https"')
        return self


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

    counts_players = True
    kind: Literal["minecraft"]
    port: int = Field(default=25565, ge=1, le=65535)


class SourceProbe(_Probe):
    """Valve's A2S_INFO over UDP. Facts: ``players``, ``max_players``, ``map``."""

    counts_players = True
    kind: Literal["source"]
    port: int = Field(default=27015, ge=1, le=65535)


class PrometheusProbe(_Probe):
    """An instant query whose every sample must satisfy ``compare value``; no sample at all is unhealthy.

    ``{vmid}``, ``{address}`` and ``{node}`` in ``query`` are replaced. An unreachable Prometheus is an ``error``.
    NaN satisfies no comparison. ``url`` is the server's, without ``/api/v1`` and without credentials.
    """

    kind: Literal["prometheus"]
    url: str = Field(pattern=r"^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?$")
    query: str
    compare: Literal["==", "!=", "<", "<=", ">", ">="] = "=="
    value: float = 1.0


Probe = Annotated[
    HttpProbe | TcpProbe | AgentProbe | MinecraftProbe | SourceProbe | PrometheusProbe, Field(discriminator="kind")
]
