"""Traces of operations, and what Prometheus is told of them."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from interfaces.database.embedded import EmbeddedPostgres
from interfaces.settings import Settings
from interfaces.telemetry import Telemetry, telemetry
from interfaces.tracing import begin_trace
from tests.conftest import fresh_database
from tests.interfaces.cli.ledgertwin import wait_for
from tests.interfaces.graphql_api.serving import Served, active_customer, followed, served
from tests.interfaces.rest_api.resources import NOON, spender

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLED = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
TWIN = "query Twin($id: ID!) { customer(id: $id) { name } }"


@pytest.fixture(scope="module")
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture(scope="module")
def traced(
    postgres: EmbeddedPostgres,
    tmp_path_factory: pytest.TempPathFactory,
    spans: InMemorySpanExporter,
) -> Iterator[Served]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    home = tmp_path_factory.mktemp("traced")
    with (
        fresh_database(postgres) as url,
        followed(url),
        served(url, home, telemetry=Telemetry(provider.get_tracer("test"))) as bank,
    ):
        yield bank


@pytest.fixture(autouse=True)
def forgotten(spans: InMemorySpanExporter) -> None:
    spans.clear()


def only(spans: InMemorySpanExporter) -> Any:
    (span,) = spans.get_finished_spans()
    return span


def test_an_operation_is_one_span_of_its_caller_s_trace(
    traced: Served, spans: InMemorySpanExporter
) -> None:
    body = {"query": TWIN, "variables": {"id": str(uuid4())}}
    assert traced.http.post("/graphql", json=body, headers=CALLED).json()["data"]
    span = only(spans)
    assert span.name == "query Twin"
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == CALLER
    assert span.attributes == {
        "graphql.operation.type": "query",
        "graphql.operation.name": "Twin",
        "ledgertwin.client_id": "anonymous",
    }


def test_rest_is_traced_by_the_document_that_answers_it(
    traced: Served, spans: InMemorySpanExporter
) -> None:
    traced.http.get(f"/v1/customers/{uuid4()}", headers=CALLED)
    assert (only(spans).name, f"{only(spans).context.trace_id:032x}") == ("query Customer", TRACE)


def test_a_command_says_what_became_of_it(traced: Served, spans: InMemorySpanExporter) -> None:
    traced.send("freezeCard", cardId=str(uuid4()))
    (event,) = only(spans).events
    assert (event.name, dict(event.attributes)) == (
        "command",
        {"ledgertwin.command": "card.freeze", "ledgertwin.outcome": "Refused", "code": "NOT_FOUND"},
    )


def test_no_span_tells_of_a_person(traced: Served, spans: InMemorySpanExporter) -> None:
    customer = active_customer(traced, "Ada Lovelace", email="ada@example.org")
    traced.ask(TWIN, id=customer)
    told = "".join(span.to_json() for span in spans.get_finished_spans())
    assert "query Twin" in told
    assert [said for said in ("Ada", "Lovelace", "ada@example.org", customer) if said in told] == []


def test_a_defect_marks_its_span_and_has_its_trace(spans: InMemorySpanExporter) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace = begin_trace(None)
    with Telemetry(provider.get_tracer("test")).operation("query", "Twin", "a client"):
        trace.defect = True
    assert only(spans).status.status_code.name == "ERROR"
    assert f"{only(spans).context.trace_id:032x}" == trace.id


class Collector(BaseHTTPRequestHandler):
    """Somebody whom traces are sent to."""

    paths: list[str] = []  # noqa: RUF012 -- of one test

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.paths.append(self.path if b"query Twin" in body else "something else")
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def test_spans_are_sent_by_otlp_at_the_latest_when_the_bank_ends(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{collector.server_port}/v1/traces"
        with (
            telemetry(Settings(home=tmp_path, otlp_endpoint=endpoint)) as tracing,
            tracing.operation("query", "Twin", "a client"),
        ):
            pass
        collector.shutdown()
    assert Collector.paths == ["/v1/traces"]


WITHOUT = """
import sys
# As if they were not installed: importing them raises ImportError. The API comes with FastAPI.
sys.modules["opentelemetry.sdk"] = sys.modules["opentelemetry.exporter"] = None
import interfaces.app, interfaces.cli.server
from interfaces.settings import InvalidSettings, Settings
from interfaces.telemetry import telemetry
settings = Settings.from_environment({"LEDGERTWIN_HOME": sys.argv[1]})
with telemetry(settings) as tracing, tracing.operation("query", "Twin", "a client"):
    tracing.command("card.freeze", "Refused", "NOT_FOUND")
try:
    with telemetry(settings.but(otlp_endpoint="http://localhost:4318/v1/traces")):
        pass
except InvalidSettings as invalid:
    print(invalid)
"""


def test_a_bank_without_the_extra_traces_nothing_and_says_so_if_it_is_asked_to(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", WITHOUT, str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    assert "pip install 'ledgertwin[otel]'" in told.stdout


# --- Prometheus -----------------------------------------------------------------------------------


def test_operations_are_measured_by_what_they_are_whichever_way_they_come_in(
    traced: Served,
) -> None:
    def counted(kind: str) -> float:
        return sample(traced, f'ledgertwin_operation_seconds_count{{kind="{kind}"}}')

    before = {kind: counted(kind) for kind in ("query", "mutation", "refused")}
    traced.ask("{ __typename }")
    traced.http.get(f"/v1/customers/{uuid4()}")
    traced.send("freezeCard", cardId=str(uuid4()))
    traced.errors("{ nothing }")
    after = {kind: counted(kind) for kind in before}
    assert {kind: after[kind] - before[kind] for kind in before} == {
        "query": 2,
        "mutation": 1,
        "refused": 1,
    }


def test_batches_and_subscribers_are_told(traced: Served) -> None:
    assert sample(traced, 'ledgertwin_batch_commands{quantile="1"}') >= 1
    assert sample(traced, "ledgertwin_live_subscribers") == 0


def test_who_listens_is_counted(traced: Served) -> None:
    asked = {"query": "subscription { fraudAlertRaised { uuid } }"}
    accepting = {"accept": "text/event-stream"}
    with traced.http.stream("POST", "/graphql", json=asked, headers=accepting):
        wait_for(lambda: sample(traced, "ledgertwin_live_subscribers") == 1)
    wait_for(lambda: sample(traced, "ledgertwin_live_subscribers") == 0)


def test_alerts_that_wait_are_counted_until_somebody_closes_them(traced: Served) -> None:
    waiting = 'ledgertwin_fraud_alerts_waiting{severity="MEDIUM",status="OPEN"}'
    spender(traced, "Eve")
    wait_for(lambda: sample(traced, waiting) == 1)
    path = "/v1/fraud-alerts?status=OPEN&limit=1"
    (alert,) = traced.http.get(path).json()["items"]
    closed = traced.send("dismissAlert", alertId=alert["uuid"], analyst="ann", at=NOON)
    assert closed["__typename"] == "FraudAlertChanged", closed
    wait_for(lambda: sample(traced, waiting) == 0)


def sample(bank: Served, name: str) -> float:
    lines = bank.http.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))
