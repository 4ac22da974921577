"""`ledgertwin risk`: what decides about card payments, how good it is, and whether it drifts.

Replaying, backtesting from the log, the rules and promotions need nothing but the bank; whatever
trains, measures in bulk or draws comes with ledgertwin[lab] and is imported when it is asked for.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from getpass import getuser
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import uuid4

import msgspec
import typer
from rich.table import Table

from application.commands import Origin, Outcome, Refused, Unavailable
from application.event_log import EventLog, open_log
from application.vault import Vault
from domain.refusal import Refusal
from domain.risk.model import Model, ModelMalformed
from domain.risk.policy import (
    RISK_POLICY_ID,
    ModelRole,
    PromoteModel,
    PublishRules,
    RecordDrift,
    RetireModel,
    RiskModelTrained,
    RiskPolicy,
)
from domain.risk.rules import DEFAULT_RULES, Rule, RuleSet
from domain.value import value
from interfaces.cli.risk_told import (
    backtest_as_json,
    compared_as_json,
    finite,
    print_backtest,
    print_compared,
    print_replayed,
    print_trained,
    print_watched,
    replayed_as_json,
    rule_as_json,
    rules_table,
    trained_as_json,
    watched_as_json,
    without_reference,
)
from interfaces.cli.running import (
    FAILED,
    MISUSED,
    Failed,
    err,
    out,
    progress,
    run,
    settings_of_a_bank,
)
from interfaces.database import open_database
from interfaces.risk_lab.backtest import Backtest, backtest, compared
from interfaces.risk_lab.evaluation import falling, precision_and_recall
from interfaces.risk_lab.history import Models
from interfaces.risk_lab.replay import replay as replay_assessments
from interfaces.risk_lab.watching import NothingToWatch, watch
from interfaces.settings import Settings
from interfaces.system import bank_codec, new_bank, open_keystore, snapshot_key

SKEWED: Final = 30
"""Exit code: an assessment does not follow from the log."""
DRIFTED: Final = 31
"""Exit code: what the champion is asked about is not what it was trained on."""

risk = typer.Typer(help="What decides about card payments.", no_args_is_help=True)
rules_ = typer.Typer(help="The rules that risk is decided by.", no_args_is_help=True)
risk.add_typer(rules_, name="rules")

_DAY: Final = ["%Y-%m-%d"]


class Role(StrEnum):
    """As it is typed."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"


AsJson = Annotated[bool, typer.Option("--json", help="As one JSON object.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Sha = Annotated[str, typer.Argument(help="The SHA-256 of its artefact; the first digits will do.")]


# --- replay ---------------------------------------------------------------------------------------


@risk.command()
def replay(as_json: AsJson = False) -> None:
    """Recompute every risk assessment from the log, and name the first that comes out otherwise.

    Features, scores, decisions, reasons and evidence are made again by the code that made them,
    from the records before each. The exit code is 0 if all of them come out as they are stored, and
    30 if not. Run `ledgertwin verify` to know that the records themselves are as they were written.
    """
    with _bank() as bank, _walking("replaying") as walk:
        replayed = replay_assessments(bank.log, progress=walk)
    if as_json:
        out.out(json.dumps(replayed_as_json(replayed)))
    else:
        print_replayed(replayed)
    if replayed.differences:
        raise typer.Exit(SKEWED)


# --- rules ----------------------------------------------------------------------------------------


@rules_.command()
def show(as_json: AsJson = False) -> None:
    """The rules that apply now. As JSON they are as `publish` reads them."""
    with _bank() as bank:
        published = bank.policy().rules
    if published is None:
        raise Failed("no rules are published: `ledgertwin risk rules publish --default` does it")
    if as_json:
        out.out(json.dumps([rule_as_json(rule) for rule in published.rules], indent=2))
    else:
        out.print(rules_table(published))


@rules_.command()
def publish(
    file: Annotated[
        Path | None, typer.Argument(help="JSON: a list of rules, as `show --json` prints them.")
    ] = None,
    default: Annotated[
        bool, typer.Option("--default", help="The rules that a bank begins with.")
    ] = False,
    publisher: Annotated[str, typer.Option(help="Who publishes them.")] = "",
    yes: Yes = False,
) -> None:
    """Publish rules in place of all that apply now; `backtest` says what they would change."""
    if (file is None) is not default:
        raise _misused("name a file of rules, or --default")
    if not publisher.strip():
        raise _misused("--publisher says who publishes them")
    published = RuleSet.of(DEFAULT_RULES) if file is None else rules_in(file)
    with _bank() as bank:
        before = bank.policy().rules
        if before is not None and before.sha256 == published.sha256:
            out.print(f"these rules apply already: {published.sha256}")
            return
        out.print(rules_table(published))
        _ask(yes, "Publish them?")
        bank.obey(PublishRules(rules=published.rules, publisher=publisher), publisher)
    out.print(f"published: {published.sha256}", style="green")


def rules_in(file: Path) -> RuleSet:
    """The rules in a JSON file; Failed if there are none, or if they make no sense."""
    try:
        told = msgspec.json.decode(file.read_bytes())
        unknown = {name for rule in told for name in rule} - set(Rule.__dataclass_fields__)
        if unknown:
            raise Failed(f"{file}: a rule has no {', '.join(sorted(unknown))}")
        return RuleSet.of(msgspec.convert(told, tuple[Rule, ...]))
    except (msgspec.DecodeError, msgspec.ValidationError, TypeError) as error:
        raise Failed(f"{file}: these are no rules: {error}") from error
    except Refusal as refusal:
        raise Failed(f"{file}: {_told_why(refusal.message, refusal.details)}") from refusal


# --- models ---------------------------------------------------------------------------------------


@risk.command()
def status(as_json: AsJson = False) -> None:
    """Which rules and models decide, and which models there are."""
    with _bank() as bank:
        policy, models = bank.policy(), bank.models()
        kept = {sha: bank.log.risk_models.find(sha) is not None for sha in models}
    roles = {sha: _roles(policy, sha) for sha in models}
    if as_json:
        of_models = [
            {**without_reference(model), "roles": roles[sha], "artefact_is_here": kept[sha]}
            for sha, model in models.items()
        ]
        told = {
            "rules": None if policy.rules is None else policy.rules.sha256,
            "champion": policy.champion,
            "challenger": policy.challenger,
            "models": of_models,
        }
        out.out(json.dumps(told))
        return
    rules = "none" if policy.rules is None else policy.rules.sha256
    out.print(f"rules: {rules}")
    if not models:
        out.print("models: none; `ledgertwin risk train` makes one")
        return
    table = Table("model", "role", "trained by", "rows", "AUC", "AP", "recall", title="Models")
    for sha, model in models.items():
        metrics = model.metrics
        table.add_row(
            sha[:16] if kept[sha] else f"{sha[:16]} (artefact missing)",
            ", ".join(roles[sha]),
            model.trainer,
            f"{model.rows:,}",
            f"{metrics.auc:.3f}",
            f"{metrics.average_precision:.3f}",
            f"{metrics.recall_at_0_1_percent_fpr:.3f}",
        )
    table.caption = "recall: at 0.1 % false positives"
    out.print(table)


@risk.command()
def retire(
    sha: Sha,
    approver: Annotated[str, typer.Option(help="Who decides it.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    yes: Yes = False,
) -> None:
    """Take its roles from a model. Without a champion the rules decide alone."""
    with _bank() as bank:
        model = bank.model(sha)
        roles = ", ".join(_roles(bank.policy(), model.artefact_sha256)) or "none"
        out.print(f"model {model.artefact_sha256}, of role {roles}")
        _ask(yes, "Take it?")
        command = RetireModel(
            artefact_sha256=model.artefact_sha256, approver=approver, reason=reason
        )
        bank.obey(command, approver)
    out.print("retired", style="green")


@risk.command()
def train(  # noqa: PLR0913, PLR0917 -- the options
    until: Annotated[
        datetime,
        typer.Option(formats=_DAY, help="Learn from uses before that day, measure on later ones."),
    ],
    since: Annotated[
        datetime | None, typer.Option(formats=_DAY, help="Learn from uses since that day.")
    ] = None,
    label_cutoff: Annotated[
        datetime | None,
        typer.Option(help="Believe labels that were learnt by then (UTC); --until by default."),
    ] = None,
    label_days: Annotated[
        int,
        typer.Option(min=0, help="So long before that nobody knew: those days teach nothing."),
    ] = 7,
    tested_until: Annotated[
        datetime | None, typer.Option(formats=_DAY, help="Measure on uses before that day.")
    ] = None,
    trainer: Annotated[
        str, typer.Option(help="Who trains it: somebody else promotes it. Your login by default.")
    ] = "",
    artefact: Annotated[
        Path | None, typer.Option("--out", help="A file for the artefact, besides the log's.")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(help="A folder for pictures (SVG); in the data directory else.")
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Measure it, and put it on no record.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model on what the log says was known one day, measure it, and put it on record.

    The same command over the same log makes the same model, to the byte. It decides nothing until
    somebody else promotes it.
    """
    with _of_the_lab():
        from interfaces.risk_lab.jobs import Plan, train_from_log  # noqa: PLC0415
        from interfaces.risk_lab.training import TrainingImpossible  # noqa: PLC0415
    plan = Plan(
        until=until.date(),
        since=None if since is None else since.date(),
        cutoff=None if label_cutoff is None else label_cutoff.replace(tzinfo=UTC),
        tested_until=None if tested_until is None else tested_until.date(),
        label_days=label_days,
    )
    with _bank() as bank:
        try:
            with _walking("reading uses") as walk:
                made = train_from_log(bank.log, plan, walk)
        except TrainingImpossible as impossible:
            raise Failed(str(impossible)) from impossible
        sha = made.trained.sha256
        known = sha in bank.models()
        if not dry_run:
            bank.log.risk_models.keep(made.trained.artefact)
        if not dry_run and not known:
            bank.obey(made.record(trainer or getuser()), trainer or getuser())
        folder = plots or bank.settings.home / "risk" / sha[:16]
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in made.plots().items():
        (folder / name).write_bytes(picture)
    if artefact is not None:
        artefact.write_bytes(made.trained.artefact)
    if as_json:
        told = trained_as_json(made, trainer or getuser())
        told = {**told, "plots": str(folder), "recorded": not dry_run, "known_before": known}
        out.out(json.dumps(told))
        return
    print_trained(made)
    out.print(f"pictures: {folder}")
    recorded = "it was on record before" if known else "it is on record"
    out.print("nothing was recorded" if dry_run else f"{recorded}: `risk promote {sha[:12]} ...`")


@risk.command()
def promote(
    sha: Sha,
    role: Annotated[Role, typer.Option(help="Whether it decides, or is only asked.")],
    approver: Annotated[str, typer.Option(help="Who answers for it: not who trained it.")],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Give a model a role: it decides (champion), or is asked beside the champion (challenger).

    What it would change is shown first, on the latest uses. Processes that run use it from the
    next payment on.
    """
    with _bank() as bank:
        model, policy = bank.model(sha), bank.policy()
        name = model.artefact_sha256
        models = Models(bank.log)
        champion = None if policy.champion in (None, name) else models[str(policy.champion)]
        comparison = compared(bank.log, models[name], champion, policy.rules)
        if as_json:
            out.out(json.dumps(compared_as_json(model, comparison)))
        else:
            print_compared(model, comparison)
        _ask(yes, f"Make it the {role.value}?")
        command = PromoteModel(artefact_sha256=name, role=ModelRole[role.name], approver=approver)
        bank.obey(command, approver)
    if not as_json:
        out.print(f"{name} is {role.value}", style="green")


def _roles(policy: RiskPolicy, sha: str) -> list[str]:
    holders = {ModelRole.CHAMPION: policy.champion, ModelRole.CHALLENGER: policy.challenger}
    return [role.value for role, holder in holders.items() if holder == sha]


# --- what would have been, and whether it is still so ---------------------------------------------


@risk.command("backtest")
def run_backtest(
    rules: Annotated[
        Path | None, typer.Option(help="A file of rules; those that applied then by default.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="A model on record, or a file; those that were asked by default."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=_DAY, help="Only uses since that day; a model knows those before."),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="A file for a picture (SVG).")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what other rules or another model would have decided of all that has happened.

    Scores are made from the stored features, so they are what would have come out. Frauds are those
    known now; nobody knows what would have followed. On what it was trained on a model is better
    than it is: give --since.
    """
    if rules is None and model is None:
        raise _misused("--rules or --model: otherwise nothing is changed")
    changed_rules = None if rules is None else rules_in(rules)
    with _bank() as bank:
        changed_model = None if model is None else _model_of(bank, model)
        with _walking("judging again") as walk:
            tested = backtest(
                bank.log,
                rules=changed_rules,
                model=changed_model,
                since=None if since is None else since.replace(tzinfo=UTC),
                progress=walk,
            )
    if plot is not None:
        _draw(tested, plot)
    if as_json:
        out.out(json.dumps(backtest_as_json(tested)))
    else:
        print_backtest(tested)


def _model_of(bank: "_Bank", named: str) -> Model:
    """One in a file, or on record."""
    if Path(named).is_file():
        try:
            return Model.parse(Path(named).read_bytes())
        except ModelMalformed as malformed:
            raise Failed(f"{named}: {malformed}") from malformed
    return Models(bank.log)[bank.model(named).artefact_sha256]


def _draw(tested: Backtest, file: Path) -> None:
    with _of_the_lab():
        from interfaces.risk_lab.plots import precision_recall_plot  # noqa: PLC0415
    curves = {}
    for name, side in (("as it was", tested.before), ("otherwise", tested.after)):
        if side.evaluation is None:
            raise Failed("there is nothing to draw: no fraud is known, or nothing but fraud")
        thresholds = tuple(falling(side.scores, tested.frauds))
        curves[name] = (precision_and_recall(thresholds), side.evaluation.detection)
    file.write_bytes(precision_recall_plot(curves))


@risk.command()
def drift(
    since: Annotated[
        datetime | None,
        typer.Option(formats=_DAY, help="Of uses since that day; of the last 7 days by default."),
    ] = None,
    check: Annotated[bool, typer.Option(help="Exit with 31 if somebody should look.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Put nothing on record.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare what the champion is asked about with what it was trained on.

    By the population stability index of every feature and of the score against the bins in its
    record, and by how often each band is reached: above 0.10 somebody should look (ALERT), above
    0.25 at once (PAGE). What is above goes on record.
    """
    with _bank() as bank:
        champion = bank.policy().champion
        if champion is None:
            raise Failed("there is no champion: `ledgertwin risk promote` makes one")
        record, model = bank.model(champion), Models(bank.log)[champion]
        begun = None if since is None else since.replace(tzinfo=UTC)
        with _walking("reading uses") as walk:
            try:
                watched = watch(bank.log, record, model, since=begun, progress=walk)
            except NothingToWatch as nothing:
                raise Failed(str(nothing)) from nothing
        for found in () if dry_run else watched.alarming:
            command = RecordDrift(
                metric=found.metric, feature=found.feature, value=finite(found.value)
            )
            bank.obey(command, "risk drift")
    if as_json:
        out.out(json.dumps(watched_as_json(champion, watched)))
    else:
        print_watched(champion, watched)
    if check and watched.alarming:
        raise typer.Exit(DRIFTED)


# --- what all of them need ------------------------------------------------------------------------


@value
class _Bank:
    """A bank that is asked, and now and then told something."""

    settings: Settings
    url: str
    log: EventLog

    def policy(self) -> RiskPolicy:
        with self.log.session() as session:
            state = session.load([RISK_POLICY_ID])[RISK_POLICY_ID].state
        return state if isinstance(state, RiskPolicy) else RiskPolicy()

    def models(self) -> Mapping[str, RiskModelTrained]:
        """Every model on record, by the hash of its artefact, in the order of training."""
        events = [
            self.log.codec.decode(record.topic, record.state).data
            for record in self.log.stream(RISK_POLICY_ID)
        ]
        return {e.artefact_sha256: e for e in events if isinstance(e, RiskModelTrained)}

    def model(self, sha: str) -> RiskModelTrained:
        """The one model whose hash begins so."""
        found = [model for name, model in self.models().items() if name.startswith(sha.lower())]
        if len(found) != 1:
            many = f"{len(found)} models" if found else "no model"
            raise Failed(f"{many} on record with a hash that begins with {sha}")
        return found[0]

    def obey(self, command: Any, actor: str) -> None:
        """Failed if it refuses."""
        keystore = open_keystore(self.settings)
        log = open_log(bank_codec(), url=self.url, snapshot_key=snapshot_key(keystore))

        async def told() -> Outcome:
            async with new_bank(log, Vault(keystore, log.vault_reader), keystore) as bank:
                return await bank.execute(command, Origin(command_id=uuid4(), actor=actor))

        try:
            outcome = run(told())
        except Unavailable as away:
            raise Failed("the database did not answer: look whether it happened") from away
        finally:
            log.close()
        if isinstance(outcome, Refused):
            raise Failed(f"refused: {_told_why(outcome.message, outcome.details)}")


@contextmanager
def _of_the_lab() -> Iterator[None]:
    """What is imported here comes with the extra; its own message says so."""
    try:
        yield
    except ImportError as missing:
        raise Failed(str(missing)) from missing


@contextmanager
def _walking(what: str) -> Iterator[Callable[[int, int], None]]:
    with progress() as bar:
        task = bar.add_task(what, total=None)
        yield lambda position, end: bar.update(task, completed=position, total=end)


@contextmanager
def _bank() -> Iterator[_Bank]:
    """Without its keys: whoever only reads needs none."""
    settings = settings_of_a_bank()
    with open_database(settings) as url:
        log = open_log(bank_codec(), url=url)
        try:
            yield _Bank(settings=settings, url=url, log=log)
        finally:
            log.close()


def _told_why(message: str, details: Mapping[str, Any]) -> str:
    told = "; ".join(f"{name}: {said}" for name, said in details.items())
    return f"{message} ({told})" if told else message


def _ask(yes: bool, question: str) -> None:
    if not yes and not typer.confirm(question, err=True):
        raise typer.Exit(FAILED)


def _misused(told: str) -> typer.Exit:
    err.print(f"ledgertwin: {told}", style="red", markup=False)
    return typer.Exit(MISUSED)
