"""Traces of operations, for OpenTelemetry: what sends them is an extra, only imported where it is
set.

One span is one operation, whichever way it came in: GraphQL, REST or a socket. It belongs to the
trace of whoever called (W3C Trace Context), and says of the operation its name, its kind and the
program that asked; never what it was asked, nor what was answered.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from interfaces.settings import InvalidSettings, Settings
from interfaces.tracing import Trace, current_trace

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

SERVICE: Final = "ledgertwin"

_NOTHING: Final = nullcontext()


class Telemetry:
    """Where spans go: nowhere without a tracer."""

    def __init__(self, tracer: "Tracer | None" = None) -> None:
        self._tracer = tracer

    def operation(self, kind: str, name: str, client_id: str) -> AbstractContextManager[None]:
        """The span of one operation, until the block ends."""
        if self._tracer is None:
            return _NOTHING
        return self._spanning(self._tracer, kind, name, client_id)

    def command(self, name: str, outcome: str, code: str | None) -> None:
        """What became of a command within the operation that sent it."""
        if self._tracer is None:
            return
        from opentelemetry.trace import get_current_span  # noqa: PLC0415

        said = {"ledgertwin.command": name, "ledgertwin.outcome": outcome}
        get_current_span().add_event("command", said | ({} if code is None else {"code": code}))

    @contextmanager
    def _spanning(self, tracer: "Tracer", kind: str, name: str, client_id: str) -> Iterator[None]:
        from opentelemetry.trace import SpanKind, StatusCode  # noqa: PLC0415

        trace = current_trace()
        attributes = {
            "graphql.operation.type": kind,
            "graphql.operation.name": name,
            "ledgertwin.client_id": client_id,
        }
        with tracer.start_as_current_span(
            f"{kind} {name}",
            context=_calling(trace),
            kind=SpanKind.SERVER,
            attributes=attributes,
            record_exception=False,  # its words may quote a person
        ) as span:
            if trace is not None:
                trace.belongs_to(f"{span.get_span_context().trace_id:032x}")
            yield
            if trace is not None and trace.defect:
                span.set_status(StatusCode.ERROR)


def _calling(trace: Trace | None) -> Any:
    """The context of whoever called, if he has said it."""
    from opentelemetry.context import Context  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
        TraceContextTextMapPropagator,
    )

    carried: Mapping[str, str] = {}
    if trace is not None and trace.parent is not None:
        carried = {"traceparent": trace.parent.decode("latin-1")}
    return TraceContextTextMapPropagator().extract(carried, context=Context())


@contextmanager
def telemetry(settings: Settings) -> Iterator[Telemetry]:
    """What is set; what is still to be sent is sent when the block ends. Raises InvalidSettings if
    it is set and not installed."""
    if settings.otlp_endpoint is None:
        yield Telemetry()
        return
    provider = _provider(settings.otlp_endpoint)
    try:
        yield Telemetry(provider.get_tracer(SERVICE))
    finally:
        provider.shutdown()


def _provider(endpoint: str) -> "TracerProvider":
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as missing:
        raise InvalidSettings(
            "LEDGERTWIN_OTLP_ENDPOINT is set, but what sends traces is not installed: "
            "pip install 'ledgertwin[otel]'"
        ) from missing
    # What the environment says (OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER) is taken as well.
    provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return provider
