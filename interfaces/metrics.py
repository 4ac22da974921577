"""What the bank tells about itself, for Prometheus."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from application.seals import Stand
from projections.read_models import Freshness

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

_QUANTILES: Final = (0.5, 0.99, 1.0)


class Metrics:
    """A registry of its own, so that several apps in one process do not count for each other."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # Looking a counter up by its labels takes as long as all of the counting: once each.
        self._commands = cache(
            Counter(
                "ledgertwin_commands",
                "Commands answered, by their permanent name and the type of their answer",
                ["command", "outcome"],
                registry=self.registry,
            ).labels
        )
        self._refusals = cache(
            Counter(
                "ledgertwin_refusals",
                "Commands that did not take effect, by code",
                ["code"],
                registry=self.registry,
            ).labels
        )
        self._seconds = Histogram(
            "ledgertwin_command_seconds",
            "From the arrival of a command to its answer",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._operations = cache(
            Histogram(
                "ledgertwin_operation_seconds",
                "From the arrival of an operation to its answer, by what it is: a query, a "
                "mutation, or nothing that the caller may ask for",
                ["kind"],
                buckets=_SECONDS,
                registry=self.registry,
            ).labels
        )
        self._requests = cache(
            Counter(
                "ledgertwin_graphql_requests",
                "GraphQL requests, by whether they were answered without an error",
                ["errors"],
                registry=self.registry,
            ).labels
        )
        self._batch = Gauge(
            "ledgertwin_batch_commands_average",
            "Commands in one transaction, on average over the latest ones",
            registry=self.registry,
        )
        self._batches = Gauge(
            "ledgertwin_batch_commands",
            "Commands in one transaction: quantiles of the latest ones",
            ["quantile"],
            registry=self.registry,
        )
        self._alerts = Gauge(
            "ledgertwin_fraud_alerts_waiting",
            "Fraud alerts that nobody has closed yet",
            ["severity", "status"],
            registry=self.registry,
        )
        self._unusual = Gauge(
            "ledgertwin_unusual_readings",
            "Hours in which somebody was shown personal data of unusually many customers",
            registry=self.registry,
        )
        self._listeners = Gauge(
            "ledgertwin_live_subscribers",
            "Subscriptions in this process",
            registry=self.registry,
        )
        self._up = Gauge(
            "ledgertwin_database_up",
            "1 if the database answered this request for metrics",
            registry=self.registry,
        )
        self._head = Gauge(
            "ledgertwin_log_position", "The position of the last record", registry=self.registry
        )
        self._position = Gauge(
            "ledgertwin_projection_position",
            "The position up to which a read model shows everything",
            ["projection"],
            registry=self.registry,
        )
        self._lag = Gauge(
            "ledgertwin_projection_lag_seconds",
            "For how long there have been records that a read model does not show",
            ["projection"],
            registry=self.registry,
        )

        self._desk_behind = Gauge(
            "ledgertwin_risk_desk_positions_behind",
            "Positions of the log that the risk desk of this process has not read",
            registry=self.registry,
        )
        self._desk_degraded = Gauge(
            "ledgertwin_risk_desk_degraded",
            "1 while cards are decided on by rules alone, as the risk desk cannot be relied on",
            registry=self.registry,
        )

        self._sealed = Gauge(
            "ledgertwin_sealed_position",
            "The position up to which the log is under a signed checkpoint",
            registry=self.registry,
        )
        self._witnessed = Gauge(
            "ledgertwin_witnessed_position",
            "The position up to which enough witnesses have cosigned the log",
            registry=self.registry,
        )
        self._sealing_lag = Gauge(
            "ledgertwin_sealing_lag_seconds",
            "For how long there have been records that no signed checkpoint covers",
            registry=self.registry,
        )
        self._sealing_broken = Gauge(
            "ledgertwin_sealing_broken",
            "1 if the log was found not to be as it was written: nothing is sealed any more",
            registry=self.registry,
        )

    def sealing(self, stand: Stand, lag: float) -> None:
        """How far the log is sealed, and for how many seconds there have been records beyond."""
        self._sealed.set(stand.sealed)
        self._witnessed.set(stand.witnessed)
        self._sealing_lag.set(lag)
        self._sealing_broken.set(stand.broken is not None)

    def desk(self, *, behind: int, degraded: bool) -> None:
        """How the risk desk stands."""
        self._desk_behind.set(behind)
        self._desk_degraded.set(degraded)

    def commanded(self, command: str, outcome: str, code: str | None, seconds: float) -> None:
        """A command was answered: with a type of answer, and with a code if it was refused."""
        self._commands(command, outcome).inc()
        self._seconds.observe(seconds)
        if code is not None:
            self._refusals(code).inc()

    def operated(self, kind: str, seconds: float) -> None:
        """An operation was answered, whichever way it came in."""
        self._operations(kind).observe(seconds)

    def waiting(self, alerts: Mapping[tuple[str, str], int]) -> None:
        """How many alerts nobody has closed yet, by severity and status."""
        self._alerts.clear()
        for (severity, status), count in alerts.items():
            self._alerts.labels(severity, status).set(count)

    def unusual(self, readings: int) -> None:
        """How often somebody has read of unusually many customers."""
        self._unusual.set(readings)

    def live(self, subscribers: int) -> None:
        self._listeners.set(subscribers)

    def requested(self, *, errors: bool) -> None:
        self._requests("yes" if errors else "no").inc()

    def text(self, freshness: Mapping[str, Freshness] | None, batch_sizes: Sequence[int]) -> bytes:
        """All of it, in Prometheus's text format. Without `freshness` the database is away: the
        gauges that come from it keep what they last showed."""
        self._up.set(freshness is not None)
        self._batch.set(sum(batch_sizes) / len(batch_sizes) if batch_sizes else 0)
        for quantile in _QUANTILES if batch_sizes else ():
            self._batches.labels(f"{quantile:g}").set(_quantile(sorted(batch_sizes), quantile))
        now = datetime.now(UTC)
        for name, stand in (freshness or {}).items():
            self._head.set(stand.head)
            self._position.labels(name).set(stand.position)
            self._lag.labels(name).set(stand.lag(now).total_seconds())
        return generate_latest(self.registry)


def _quantile(ordered: Sequence[int], quantile: float) -> int:
    return ordered[min(int(quantile * len(ordered)), len(ordered) - 1)]
