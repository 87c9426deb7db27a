"""Prometheus queries against a stand-in for faults, and against the real server from Debian."""

import json
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.adapters.probes.stand_in import (
    GUEST,
    LOOPBACK,
    drips,
    floods,
    free_port,
    http_server,
    measure,
    silent,
    tcp_server,
)
from tests.prometheus import find_program
from zlh_hooks.adapters.probes.answer import Unmeasured
from zlh_hooks.adapters.probes.page import Page
from zlh_hooks.adapters.probes.prometheus import fill_query, parse_samples
from zlh_hooks.domain.evidence import Measurement, Verdict
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.probe import PrometheusProbe

SHORT = timedelta(seconds=1)
API = "/api/v1/query"


def prometheus(port: int, query: str = "up", **options: object) -> PrometheusProbe:
    fields = {"kind": "prometheus", "url": f"http://{LOOPBACK}:{port}", "query": query, "timeout": SHORT, **options}
    return PrometheusProbe.model_validate(fields)


def vector(*values: str) -> bytes:
    rows = [{"metric": {"__name__": "up", "instance": f"g{i}"}, "value": [1.5, v]} for i, v in enumerate(values)]
    return success("vector", rows)


def success(kind: str, result: object) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()


def ask(body: bytes, status: int = 200, **options: object) -> Measurement:
    with http_server({API: (status, body)}) as port:
        return measure(prometheus(port, **options))


@pytest.mark.parametrize(
    ("values", "compare", "value", "verdict"),
    [
        (["1"], "==", 1, Verdict.HEALTHY),
        (["1", "1", "0"], "==", 1, Verdict.UNHEALTHY),
        (["0.2", "0.4"], "<", 0.5, Verdict.HEALTHY),
        (["0.2", "0.5"], "<", 0.5, Verdict.UNHEALTHY),
        (["0.5"], "<=", 0.5, Verdict.HEALTHY),
        (["2", "+Inf"], ">", 1, Verdict.HEALTHY),
        (["2", "-Inf"], ">=", 1, Verdict.UNHEALTHY),
        (["0"], "!=", 1, Verdict.HEALTHY),
        (["NaN"], "!=", 1, Verdict.UNHEALTHY),
        (["NaN"], "<", 1, Verdict.UNHEALTHY),
    ],
)
def test_every_sample_must_satisfy_the_comparison(
    values: list[str], compare: str, value: float, verdict: Verdict
) -> None:
    assert ask(vector(*values), compare=compare, value=value).verdict is verdict


def test_the_first_sample_that_does_not_is_named() -> None:
    assert ask(vector("1", "0", "0")).detail == "2 of 3 samples not == 1: 0 instance=g1"
    assert ask(vector("1", "1")).detail == "2 of 2 samples == 1"


def test_a_scalar_is_one_sample() -> None:
    assert ask(success("scalar", [1.5, "1"])).verdict is Verdict.HEALTHY
    assert ask(success("scalar", [1.5, "2"])).detail == "1 of 1 samples not == 1: 2"


def test_no_sample_at_all_is_unhealthy() -> None:
    found = ask(vector())
    assert (found.verdict, found.detail) == (Verdict.UNHEALTHY, "the query finds no sample")


@pytest.mark.parametrize(
    ("status", "body", "detail"),
    [
        (503, b"Service Unavailable", "Prometheus answered 503: the answer is not JSON"),
        (422, b'{"status": "error", "error": "many-to-many"}', "Prometheus answered 422: many-to-many"),
        (400, b'{"status": "error", "error": "parse error"}', "Prometheus answered 400: parse error"),
        (302, b"", "Prometheus answered 302: the answer is not JSON"),
        (200, b"<html>", "Prometheus answered 200: the answer is not JSON"),
        (200, b"[]", "Prometheus answered 200: the answer has no data"),
        (200, success("matrix", []), "Prometheus: the query gives neither a vector nor a scalar"),
        (200, success("string", [1, "x"]), "Prometheus: the query gives neither a vector nor a scalar"),
        (200, success("vector", {}), "Prometheus: the query gives neither a vector nor a scalar"),
        (200, success("vector", [{"histogram": []}]), "Prometheus: a sample without a value (a histogram?)"),
        (200, vector("one"), "Prometheus: a value that is not a number"),
        (200, success("scalar", "1"), "Prometheus: a value of another form than [time, text]"),
    ],
)
def test_a_prometheus_that_cannot_answer_says_nothing_about_the_guest(status: int, body: bytes, detail: str) -> None:
    found = ask(body, status)
    assert (found.verdict, found.detail) == (Verdict.ERROR, detail)


@pytest.mark.parametrize(
    "talk", [silent, drips(b"HTTP/1.1 200 OK\r\n", b"X"), floods(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65536)]
)
def test_a_prometheus_that_hangs_drips_or_floods_is_an_error_within_the_deadline(talk: object) -> None:
    with tcp_server(talk) as port:  # type: ignore[arg-type]
        found = measure(prometheus(port))
    assert found.verdict is Verdict.ERROR
    assert found.took < SHORT * 2


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}", "http://127.0.0.1:99999", "http://prometheus.invalid:9090"])
def test_a_prometheus_that_is_away_is_an_error(url: str) -> None:
    found = measure(prometheus(1, url=url.format(port=free_port()), timeout=timedelta(seconds=5)))
    assert found.verdict is Verdict.ERROR
    assert found.detail.startswith("Prometheus: ")


def test_the_query_is_sent_whole_and_below_the_servers_path() -> None:
    asked: list[str] = []
    query = 'up{instance="{address}:9100", node="{node}"} + on() vmid{id="{vmid}"} & {other} é'
    with http_server({f"/prom{API}": (200, vector("1"))}, asked) as port:
        probe = prometheus(port, query, url=f"http://{LOOPBACK}:{port}/prom/")
        assert measure(probe).verdict is Verdict.HEALTHY
    filled = 'up{instance="127.0.0.1:9100", node="pve1"} + on() vmid{id="5001"} & {other} é'
    assert parse_qs(urlsplit(asked[0]).query) == {"query": [filled]}


@settings(deadline=None)
@given(st.text(max_size=20))
def test_a_node_name_never_brings_more_into_a_query_than_letters_digits_and_dashes(node: str) -> None:
    try:
        filled = fill_query('up{node="{node}"}', GuestRef(1, node), LOOPBACK)
    except Unmeasured as error:
        assert "is not a node name" in str(error)
    else:
        assert filled == f'up{{node="{node}"}}'
        assert node.replace("-", "").isalnum()
        assert node.isascii()


@pytest.mark.parametrize("node", ['a"} or vector(1) or up{x="', "{address}", "", "-a", "a\n"])
def test_a_node_name_that_means_something_to_promql_is_an_error(node: str) -> None:
    found = measure(prometheus(free_port(), "{node}"), guest=GuestRef(1, node))
    assert (found.verdict, found.detail) == (Verdict.ERROR, f"{node!r} is not a node name")


def test_an_address_is_written_in_its_shortest_form_without_a_zone() -> None:
    assert fill_query("{address}", GUEST, 'fe80:0::1%eth0"}') == "fe80::1"
    assert fill_query("{vmid}{vmid}", GUEST, LOOPBACK) == "50015001"


@settings(deadline=None)
@given(st.binary(max_size=200) | st.sampled_from([vector("1"), success("scalar", [1, "1"])]), st.integers(100, 599))
def test_any_answer_gives_samples_or_says_why_not(body: bytes, status: int) -> None:
    try:
        samples = parse_samples(Page(status, body))
    except Unmeasured as error:
        assert str(error).startswith("Prometheus")
    else:
        assert (status, [value for _, value in samples]) == (200, [1.0])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("1"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["metric", "value", "x"]), inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.sampled_from(["vector", "scalar"]), JSON)
def test_any_result_gives_samples_or_says_why_not(kind: str, result: object) -> None:
    try:
        samples = parse_samples(Page(200, success(kind, result)))
    except Unmeasured as error:
        assert str(error).startswith("Prometheus")
    else:
        assert all(isinstance(value, float) for _, value in samples)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host",
        "http://user:pass@host:9090",
        "http://host/?query=1",
        "http://host/a b",
        "http://",
        "http://host/#a",
    ],
)
def test_a_url_that_is_not_a_servers_or_carries_credentials_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="url"):
        prometheus(1, url=url)


# ------------------------------------------------------------------------------------------- the real server


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A Prometheus that scrapes itself (up is 1) and a dead port (up is 0), once a second."""
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    job = {"job_name": "guests", "static_configs": [{"targets": [f"{LOOPBACK}:{port}", f"{LOOPBACK}:1"]}]}
    times = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    (folder / "prometheus.yml").write_text(json.dumps({"global": times, "scrape_configs": [job]}))
    files = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "log").open("wb") as log:
        arguments = [find_program("prometheus"), *files, f"--web.listen-address={LOOPBACK}:{port}"]
        server = subprocess.Popen(arguments, stdout=log, stderr=log)
    try:
        _wait_for_scrapes(port, server)
        yield port
    finally:
        server.terminate()
        server.wait(30)


def _wait_for_scrapes(port: int, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while measure(prometheus(port, "count(up)", value=2)).verdict is not Verdict.HEALTHY:
        assert server.poll() is None, "Prometheus ended by itself"
        assert time.monotonic() < deadline, "Prometheus never scraped its targets"
        time.sleep(0.2)


@pytest.mark.peer
@pytest.mark.parametrize(
    ("query", "verdict", "detail"),
    [
        ('up{instance="{address}:PORT"}', Verdict.HEALTHY, "1 of 1 samples == 1"),
        ("up", Verdict.UNHEALTHY, "1 of 2 samples not == 1: 0 instance=127.0.0.1:1, job=guests"),
        ('up{instance="nobody"}', Verdict.UNHEALTHY, "the query finds no sample"),
        ("scalar(sum(up))", Verdict.HEALTHY, "1 of 1 samples == 1"),
        ("vector(0) / 0", Verdict.UNHEALTHY, "1 of 1 samples not == 1: nan"),
        ("vector({vmid}) == 5001", Verdict.UNHEALTHY, "1 of 1 samples not == 1: 5001"),
        ("up[1m]", Verdict.ERROR, "Prometheus: the query gives neither a vector nor a scalar"),
        ("up +", Verdict.ERROR, "Prometheus answered 400: "),
        ("up + on() up", Verdict.ERROR, "Prometheus answered 422: "),
    ],
)
def test_a_real_prometheus_is_understood(real: int, query: str, verdict: Verdict, detail: str) -> None:
    found = measure(prometheus(real, query.replace("PORT", str(real)), timeout=timedelta(seconds=10)))
    assert found.verdict is verdict, found.detail
    assert found.detail.startswith(detail)
