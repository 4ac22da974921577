"""Measures the risk model on labelled transactions, without a bank or a database.

    python -m interfaces.risk_lab.evaluate FOLDER

reads the handbook's transactions, folds them as the bank does (by domain/risk, and nothing else),
with each fraud learnt of some days later, trains a model on what was known on one day and measures
it on the weeks after: alone, with the rule about amounts, and with all that a bank begins with.
"""

import gzip
import json
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple
from uuid import UUID, uuid5

import duckdb
import msgspec
import typer
from rich.table import Table

from domain.card import Channel
from domain.risk.assessment import REVIEW_ABOVE
from domain.risk.behaviour import Behaviour, Use
from domain.risk.features import FEATURES, SCHEMA_HASH, features
from domain.risk.policy import RISK_POLICY_ID, RecordTrainedModel
from domain.risk.rules import DEFAULT_RULES, Rule, final_score, hits
from domain.risk.surroundings import NEW_DEVICE, SharedHistory
from domain.value import value
from interfaces.cli.running import Counter as Bar
from interfaces.cli.running import errors_in_a_line, out, progress
from interfaces.fraud_data import mapping
from interfaces.fraud_data.files import PATTERN, FraudDataError, Row, Selection, Transactions
from interfaces.risk_lab.evaluation import (
    Detection,
    Evaluation,
    evaluate,
    falling,
    precision_and_recall,
)
from interfaces.risk_lab.plots import calibration_plot, precision_recall_plot
from interfaces.risk_lab.training import (
    Parameters,
    Period,
    Periods,
    Trained,
    TrainingSet,
    scores,
    train,
)

CALIBRATING_DAYS: Final = 7
"""The last days of which the labels are known say when the trees are enough."""

RULES: Final[Mapping[str, Sequence[Rule]]] = {
    "model": (),
    "model and amount rule": [rule for rule in DEFAULT_RULES if rule.code == "LARGE_AMOUNT"],
    "model and all rules": DEFAULT_RULES,
}


class Folded(NamedTuple):
    """A transaction, and its features when it happened."""

    row: Row
    vector: tuple[float, ...]


@value
class Measured:
    """One way to decide: its figures, its curve for a picture, and of the frauds of each scenario
    of the simulation the share with a score above REVIEW_ABOVE."""

    evaluation: Evaluation
    curve: Sequence[tuple[float, float]]
    by_scenario: Mapping[int, float]


@value
class Result:
    """A model that was trained while frauds were learnt of after so many days."""

    delay_days: int
    folded: int
    seconds_folding: float
    seconds_training: float
    trained: Trained
    measured: Mapping[str, Measured]


def folded(transactions: Transactions, delay: timedelta) -> Iterator[Folded]:
    """Every transaction in the order of time, with features of what the bank would have known.

    All of them count as approved; through the log those that are challenged in vain do not.
    """
    cards: dict[int, tuple[UUID, date]] = {
        person.number: (mapping.card_id(person.number), mapping.issued_on(person))
        for person in transactions.cardholders()
    }
    behaviours: dict[int, Behaviour] = {}
    shared, coming = SharedHistory(), deque[Row]()
    unused = Behaviour()
    for row in transactions.rows(_refuse):
        while coming and coming[0].at + delay <= row.at:
            known = coming.popleft()
            shared.fold_label(_merchant(known), (known.at + delay).date(), "")
        card, issued = cards[row.customer]
        use = Use(
            at=row.at,
            minor=row.minor,
            merchant_id=_merchant(row),
            country=mapping.COUNTRY,
            home_country=mapping.COUNTRY,
            channel=Channel.POINT_OF_SALE,
            card_id=card,
            issued_on=issued,
        )
        behaviour = behaviours.get(row.customer, unused)
        merchant = shared.merchant(use.merchant_id)
        yield Folded(row, features(use, behaviour, merchant, NEW_DEVICE))
        behaviours[row.customer] = behaviour.after(use, approved=True)
        shared.fold_use(use)
        if row.fraudulent:
            coming.append(row)


def _merchant(row: Row) -> str:
    return mapping.merchant(row.terminal).merchant_id


def _refuse(broken: str) -> None:
    raise FraudDataError(broken)


def measure(  # noqa: PLR0913 -- the dates and the rest, each by its name
    folder: Path,
    *,
    since: date,
    until: date,
    tested_until: date | None,
    delay_days: int,
    customers: int | None,
) -> Result:
    """Train on what was known before `until`, and measure on what came then.

    The last `delay_days` before it are of no use: nobody knew yet which of them were fraud.
    """
    delay = timedelta(days=delay_days)
    table = TrainingSet(features=FEATURES, schema_hash=SCHEMA_HASH)
    told: list[tuple[date, int]] = []
    after = tested_until or date.max
    scenarios = _scenarios(folder)
    began = time.monotonic()
    with (
        Transactions.opened(folder, Selection(customers=customers)) as transactions,
        progress() as bar,
    ):
        counter = Bar(bar, f"folding, labels after {delay_days} d", _rows(transactions))
        for row, vector in folded(transactions, delay):
            table.add(row.at, vector, fraud=row.fraudulent)
            if until <= row.at.date() < after:
                told.append((row.at.date(), scenarios.get(row.transaction_id, 0)))
            counter.count()
        counter.show()
    folding = time.monotonic() - began
    known = _midnight(until) - delay
    fitted = known - timedelta(days=CALIBRATING_DAYS)
    testing = Period(start=_midnight(until), end=_midnight(told[-1][0] + timedelta(days=1)))
    periods = Periods(
        fitting=Period(start=_midnight(since), end=fitted),
        calibrating=Period(start=fitted, end=known),
        testing=testing,
    )
    began = time.monotonic()
    trained = train(table, periods, Parameters())
    seconds = time.monotonic() - began
    rows = table.within(testing)
    vectors, frauds = rows.matrix.tolist(), rows.frauds.tolist()
    probabilities = scores(trained.model(), rows)
    return Result(
        delay_days=delay_days,
        folded=len(table),
        seconds_folding=folding,
        seconds_training=seconds,
        trained=trained,
        measured={
            name: _measured(_with_rules(rules, probabilities, vectors, told), frauds, told)
            for name, rules in RULES.items()
        },
    )


def _with_rules(
    rules: Sequence[Rule],
    probabilities: Sequence[float],
    vectors: Sequence[Sequence[float]],
    told: Sequence[tuple[date, int]],
) -> list[float]:
    """What the bank would decide by, of each use."""
    return [
        final_score(probability, hits(rules, vector, on))
        for probability, vector, (on, _) in zip(probabilities, vectors, told, strict=True)
    ]


def _measured(
    final: Sequence[float], frauds: Sequence[int], told: Sequence[tuple[date, int]]
) -> Measured:
    there, found = Counter[int](), Counter[int]()
    for score, (_, scenario) in zip(final, told, strict=True):
        there[scenario] += 1
        found[scenario] += score > REVIEW_ABOVE
    return Measured(
        evaluation=evaluate(final, frauds),
        curve=precision_and_recall(tuple(falling(final, frauds))),
        by_scenario={kind: found[kind] / there[kind] for kind in sorted(there) if kind},
    )


def _rows(transactions: Transactions) -> int:
    """The cardholders that are counted with them are few."""
    return transactions.count_with_cardholders()


def _scenarios(folder: Path) -> Mapping[int, int]:
    """How each fraud was simulated, by transaction."""
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT transaction_id, fraud_scenario FROM read_parquet(?) WHERE is_fraud = 1",
            [str(folder / PATTERN)],
        )
        return dict(found.fetchall())


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def main(  # noqa: PLR0913, PLR0917 -- the options
    folder: Annotated[Path, typer.Argument(help=f"Where {PATTERN} are.")],
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Where to put figures.json and the pictures.")
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(help="A file for the model of the first delay; packed if it ends in .gz."),
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="A file for what a bank is told of that model (JSON).")
    ] = None,
    trainer: Annotated[str, typer.Option(help="Who trained it, for the record.")] = "risk lab",
    until: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="Train on what was known that day.")
    ] = datetime(2018, 7, 15),  # noqa: DTZ001 -- a day
    tested_until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Measure on what came before.")
    ] = None,
    since: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="Train on what happened since.")
    ] = datetime(2018, 4, 1),  # noqa: DTZ001 -- a day
    customers: Annotated[
        int | None, typer.Option(min=1, help="Only those with the lowest numbers, so many.")
    ] = None,
    labels_after: Annotated[
        list[int] | None, typer.Option(help="Days until a fraud is learnt of; 7 and 1 by default.")
    ] = None,
) -> None:
    """Measure the risk model on the transactions in a folder."""
    with errors_in_a_line():
        results = []
        for days in labels_after or [7, 1]:
            result = measure(
                folder,
                since=since.date(),
                until=until.date(),
                tested_until=None if tested_until is None else tested_until.date(),
                delay_days=days,
                customers=customers,
            )
            _print(result)
            results.append(result)
        if keep is not None:
            keep.write_bytes(_packed(results[0].trained.artefact, keep))
        if record is not None:
            record.write_bytes(_record(results[0], until.date(), trainer))
        if out_folder is not None:
            _write(out_folder, results)


def _packed(artefact: bytes, file: Path) -> bytes:
    """The same bytes whenever it is done: no time is kept in them."""
    return gzip.compress(artefact, mtime=0) if file.suffix == ".gz" else artefact


def _record(result: Result, until: date, trainer: str) -> bytes:
    """The command by which a bank learns of the model, as JSON. It was trained beside every log:
    its positions are 0."""
    trained = result.trained
    params = {
        **json.loads(trained.parameters.canonical()),
        "calibrating_days": CALIBRATING_DAYS,
        "labels_after_days": result.delay_days,
        "source": "the Fraud Detection Handbook's transactions",
        "until": until.isoformat(),
    }
    command = RecordTrainedModel(
        model_id=uuid5(RISK_POLICY_ID, trained.sha256),
        artefact_sha256=trained.sha256,
        feature_schema=SCHEMA_HASH,
        from_position=0,
        to_position=0,
        label_cutoff_position=0,
        rows=trained.rows,
        training_set_sha256=trained.training_set_sha256,
        params=json.dumps(params, sort_keys=True, separators=(",", ":")),
        seed=trained.parameters.seed,
        library_versions=trained.versions,
        metrics=trained.evaluation.metrics,
        bands=trained.evaluation.bands,
        reference=trained.reference,
        trainer=trainer,
    )
    return msgspec.json.encode(command) + b"\n"


def _print(result: Result) -> None:
    trained = result.trained
    out.print(
        f"labels after {result.delay_days} d: {result.folded:,} uses folded in"
        f" {result.seconds_folding:.1f} s; model {trained.sha256}, {trained.rows:,} rows,"
        f" {trained.trees} trees, {len(trained.artefact):,} bytes, trained in"
        f" {result.seconds_training:.1f} s"
    )
    table = Table("", *result.measured)
    for column in table.columns[1:]:
        column.justify = "right"
    shown = {name: _shown(measured) for name, measured in result.measured.items()}
    for figure in shown["model"]:
        table.add_row(figure, *(figures[figure] for figures in shown.values()))
    out.print(table)
    alone = result.measured["model"].evaluation
    out.print(f"measured on {alone.rows:,} uses, {alone.frauds:,} of them fraud")


def _shown(measured: Measured) -> Mapping[str, str]:
    evaluation = measured.evaluation
    return {
        "AUC": f"{evaluation.auc:.4f}",
        "average precision": f"{evaluation.average_precision:.4f}",
        "recall at 0.1 % false positives": f"{evaluation.detection.recall:.4f}",
        "Brier score": f"{evaluation.brier:.5f}",
        **{
            f"{band.decision.value}: uses, precision": f"{band.count:,}, {band.precision or 0:.3f}"
            for band in reversed(evaluation.bands)
        },
        **{
            f"scenario {kind}, above {REVIEW_ABOVE}": f"{share:.4f}"
            for kind, share in measured.by_scenario.items()
        },
    }


def _write(folder: Path, results: Sequence[Result]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    figures = [_as_json(result) for result in results]
    (folder / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    alone = {f"labels after {r.delay_days} d": r.measured["model"] for r in results}
    (folder / "calibration.svg").write_bytes(
        calibration_plot({name: m.evaluation.calibration for name, m in alone.items()})
    )
    curves: dict[str, tuple[Sequence[tuple[float, float]], Detection]] = {
        name: (measured.curve, measured.evaluation.detection) for name, measured in alone.items()
    }
    (folder / "precision-recall.svg").write_bytes(precision_recall_plot(curves))


def _as_json(result: Result) -> Mapping[str, Any]:
    trained = result.trained
    return {
        "labels_after_days": result.delay_days,
        "model": trained.sha256,
        "training_set": trained.training_set_sha256,
        "rows": trained.rows,
        "trees": trained.trees,
        "parameters": json.loads(trained.parameters.canonical()),
        "versions": json.loads(trained.versions),
        "measured": {
            name: {
                **msgspec.to_builtins(measured.evaluation),
                "above_review_by_scenario": dict(measured.by_scenario),
            }
            for name, measured in result.measured.items()
        },
    }


if __name__ == "__main__":
    typer.run(main)
