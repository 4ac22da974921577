"""What `ledgertwin risk` has found, for people and, as JSON, for programs."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from rich.table import Table

from domain.money import Money
from domain.risk.policy import JUDGED, Band, RiskModelTrained
from domain.risk.rules import Rule, RuleSet
from interfaces.cli.running import out
from interfaces.risk_lab.backtest import Backtest, Compared, Side
from interfaces.risk_lab.drift import Drift
from interfaces.risk_lab.evaluation import Evaluation
from interfaces.risk_lab.replay import Difference, Replayed
from interfaces.risk_lab.watching import Watched

if TYPE_CHECKING:  # it comes with the extra `lab`
    from interfaces.risk_lab.jobs import TrainedFromLog


def replayed_as_json(replayed: Replayed) -> Mapping[str, Any]:
    return {
        "position": replayed.position,
        "assessments": replayed.assessments,
        "degraded": replayed.degraded,
        "older": replayed.older,
        "set_aside": replayed.set_aside,
        "furthest_behind": replayed.furthest_behind,
        "differences": replayed.differences,
        "first": [
            {
                "position": difference.position,
                "stream": str(difference.stream_id),
                "version": difference.version,
                "authorization": str(difference.authorization_id),
                "stored": plain(difference.stored),
                "found": plain(difference.found),
            }
            for difference in replayed.first
        ],
    }


def plain(said: Any) -> Any:
    return msgspec.to_builtins(said)


def print_replayed(replayed: Replayed) -> None:
    told = f"{replayed.assessments:,} assessments up to position {replayed.position:,}"
    notes = [f"{replayed.degraded:,} of them by rules alone"]
    if replayed.older:
        notes.append(f"{replayed.older:,} of features that are not computed any more")
    notes.append(f"at most {replayed.furthest_behind:,} positions behind the log")
    if not replayed.differences:
        out.print(f"no difference: {told} come out as they are stored", style="green")
        out.print("; ".join(notes))
        return
    out.print(f"DIFFERENT: {replayed.differences:,} of {told}", style="red")
    for difference in replayed.first:
        _print_difference(difference)


def _print_difference(difference: Difference) -> None:
    where = f"stream {difference.stream_id} version {difference.version}"
    out.print(
        f"position {difference.position}, {where},"
        f" authorization {difference.authorization_id}: {', '.join(difference.stored)}"
    )
    for name, stored in difference.stored.items():
        found = difference.found.get(name)
        out.print(f"  {name}: stored {_short(stored)}, found {_short(found)}", markup=False)


def _short(said: Any, most: int = 300) -> str:
    text = json.dumps(plain(said))
    return text if len(text) <= most else f"{text[:most]}..."


def rule_as_json(rule: Rule) -> Mapping[str, Any]:
    return {name: told for name, told in plain(rule).items() if told is not None}


def rules_table(published: RuleSet) -> Table:
    table = Table("code", "when", "score", "owner", "until", title=f"Rules {published.sha256}")
    for rule in published.rules:
        score = f">= {rule.floor}" if rule.floor is not None else f"<= {rule.ceiling}"
        until = "" if rule.expires_on is None else rule.expires_on.isoformat()
        table.add_row(rule.code, rule.when, score, rule.owner, until)
    return table


def compared_as_json(model: RiskModelTrained, comparison: Compared) -> Mapping[str, Any]:
    disagreement = comparison.disagreement
    return {
        "model": model.artefact_sha256,
        "bands": plain(model.bands),
        "uses": comparison.uses,
        "disagreement": None if disagreement is None else disagreement.share,
        "would_be_decided_otherwise": []
        if disagreement is None
        else [
            {"from": one.value, "to": other.value, "count": count}
            for (one, other), count in disagreement.counts.items()
        ],
    }


def print_compared(model: RiskModelTrained, comparison: Compared) -> None:
    out.print(f"model {model.artefact_sha256}, trained by {model.trainer}")
    table = Table("band", "uses", "of which fraud", title="Measured when it was trained")
    for band in model.bands:
        share = "none came there" if band.precision is None else f"{band.precision:.3f}"
        table.add_row(band.decision.value, f"{band.count:,}", share)
    out.print(table)
    disagreement = comparison.disagreement
    if disagreement is None:
        out.print(f"There is no champion to compare it with on the last {comparison.uses:,} uses.")
        return
    out.print(
        f"Of the last {comparison.uses:,} uses {disagreement.share:.3%} would be decided otherwise"
        " than by the champion:"
    )
    for (one, other), count in disagreement.counts.items():
        out.print(f"  {one.value} -> {other.value}: {count:,}", highlight=False)


def without_reference(model: RiskModelTrained) -> Mapping[str, Any]:
    """Of a record what somebody would read: the bins are for machines."""
    return {name: told for name, told in plain(model).items() if name != "reference"}


def backtest_as_json(tested: Backtest) -> Mapping[str, Any]:
    return {
        "position": tested.position,
        "uses": tested.uses,
        "of_other_features": tested.other,
        "frauds": sum(tested.frauds),
        "fraud_amounts": tested.fraud_amounts,
        "otherwise": tested.otherwise,
        "moved": [
            {"from": one.value, "to": other.value, **plain(moved)}
            for (one, other), moved in tested.moved.items()
        ],
        "before": _side_as_json(tested.before),
        "after": _side_as_json(tested.after),
    }


def _side_as_json(side: Side) -> Mapping[str, Any]:
    return {
        "decisions": {decision.value: count for decision, count in side.decisions.items()},
        "frauds_stopped": side.frauds_stopped,
        "amounts_stopped": side.stopped,
        "genuine_stopped": side.genuine_stopped,
        "evaluation": None if side.evaluation is None else plain(side.evaluation),
    }


def print_backtest(tested: Backtest) -> None:
    out.print(
        f"{tested.uses:,} uses up to position {tested.position:,}, {sum(tested.frauds):,} known to"
        f" be fraud ({_money(tested.fraud_amounts)}); {tested.otherwise:,} would be decided on"
        " otherwise"
    )
    if tested.other:
        out.print(f"{tested.other:,} were judged on features that are not computed any more")
    moved = Table("was", "would be", "uses", "amount", "frauds", "amount of frauds")
    for (one, other), moving in tested.moved.items():
        moved.add_row(
            one.value,
            other.value,
            f"{moving.count:,}",
            _money(moving.amounts),
            f"{moving.frauds:,}",
            _money(moving.fraud_amounts),
        )
    if tested.moved:
        out.print(moved)
    sides = {"as it was": tested.before, "otherwise": tested.after}
    stopped = Table("", "frauds stopped", "amount", "genuine uses stopped")
    for name, side in sides.items():
        stopped.add_row(
            name, f"{side.frauds_stopped:,}", _money(side.stopped), f"{side.genuine_stopped:,}"
        )
    stopped.caption = "stopped: challenged or blocked"
    out.print(stopped)
    evaluations = {n: s.evaluation for n, s in sides.items() if s.evaluation is not None}
    if evaluations:
        out.print(evaluation_table(evaluations))


def _money(amounts: Mapping[str, int]) -> str:
    told = [str(Money(minor=minor, currency=currency)) for currency, minor in amounts.items()]
    return ", ".join(told) or "0"


def finite(measured: float) -> float:
    """A band that was never reached before changes by infinitely much."""
    return min(measured, 1e9)


def watched_as_json(champion: str, watched: Watched) -> Mapping[str, Any]:
    return {
        "champion": champion,
        "since": watched.since.isoformat(),
        "uses": watched.uses,
        "measured": [_drift_as_json(found) for found in watched.drifts],
        "bands": [
            {
                "band": band.band.value,
                "then": band.then,
                "now": band.now,
                "standard_errors": band.standard_errors,
            }
            for band in watched.bands
        ],
        "alarming": [_drift_as_json(found) for found in watched.alarming],
    }


def _drift_as_json(found: Drift) -> Mapping[str, Any]:
    return {
        "metric": found.metric.value,
        "feature": found.feature,
        "value": finite(found.value),
        "level": None if found.level is None else found.level.value,
    }


def print_watched(champion: str, watched: Watched) -> None:
    out.print(f"champion {champion}: {watched.uses:,} uses since {watched.since:%Y-%m-%d %H:%M}")
    table = Table("measured", "of", "value", "level")
    shown = [*watched.drifts[:10], *[d for d in watched.alarming if d not in watched.drifts[:10]]]
    for found in shown:
        level = "" if found.level is None else found.level.value
        table.add_row(found.metric.value, found.feature, f"{found.value:.4f}", level)
    out.print(table)
    alarming = len(watched.alarming)
    said = f"{alarming} of them somebody should look at" if alarming else "nothing has moved"
    out.print(said, style="red" if alarming else "green")


def evaluation_table(evaluations: Mapping[str, Evaluation]) -> Table:
    named = ("AUC", "AP", "recall", *(band.value for band in JUDGED))
    table = Table("", *named)
    for name, evaluation in evaluations.items():
        bands = {band.decision: band for band in evaluation.bands}
        table.add_row(
            name,
            f"{evaluation.auc:.4f}",
            f"{evaluation.average_precision:.4f}",
            f"{evaluation.detection.recall:.4f}",
            *(_band_in_words(bands[band]) for band in JUDGED),
        )
    rows = ", ".join(f"{e.rows:,} uses, {e.frauds:,} frauds" for e in [*evaluations.values()][:1])
    table.caption = f"{rows}; recall at 0.1 % false positives; bands: uses, share of fraud"
    return table


def _band_in_words(band: Band) -> str:
    return f"{band.count:,}" + ("" if band.precision is None else f", {band.precision:.3f}")


def trained_as_json(made: "TrainedFromLog", trainer: str) -> Mapping[str, Any]:
    recorded = plain(made.record(trainer))
    told = {name: said for name, said in recorded.items() if name != "reference"}
    return told | {"evaluation": plain(made.trained.evaluation)}


def print_trained(made: "TrainedFromLog") -> None:
    trained = made.trained
    out.print(f"model {trained.sha256}", style="green")
    out.print(
        f"{trained.trees} trees of {trained.rows:,} uses, positions {made.from_position:,} to"
        f" {made.to_position:,}, labels to {made.label_cutoff_position:,};"
        f" features of {made.derived:,} uses were folded anew"
    )
    out.print(evaluation_table({"": trained.evaluation}))
