"""`ledgertwin risk`: what decides about card payments, how good it is, and whether it drifts.

Replaying, backtesting from the log, the rules and promotions need nothing but the bank; whatever
trains, measures in bulk or draws comes with ledgertwin[lab] and is imported when it is asked for.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
from domain.risk.policy import (
    RISK_POLICY_ID,
    ModelRole,
    PublishRules,
    RetireModel,
    RiskModelTrained,
    RiskPolicy,
)
from domain.risk.rules import DEFAULT_RULES, Rule, RuleSet
from domain.value import value
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
from interfaces.risk_lab.replay import Difference, Replayed
from interfaces.risk_lab.replay import replay as replay_assessments
from interfaces.settings import Settings
from interfaces.system import bank_codec, new_bank, open_keystore, snapshot_key

SKEWED: Final = 30
"""Exit code: an assessment does not follow from the log."""
DRIFTED: Final = 31
"""Exit code: what the champion is asked about is not what it was trained on."""

risk = typer.Typer(help="What decides about card payments.", no_args_is_help=True)
rules_ = typer.Typer(help="The rules that risk is decided by.", no_args_is_help=True)
risk.add_typer(rules_, name="rules")

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
    with _bank() as bank, progress() as bar:
        task = bar.add_task("replaying", total=None)
        replayed = replay_assessments(
            bank.log,
            progress=lambda position, end: bar.update(task, completed=position, total=end),
        )
    if as_json:
        out.out(json.dumps(_replayed_as_json(replayed)))
    else:
        _print_replayed(replayed)
    if replayed.differences:
        raise typer.Exit(SKEWED)


def _replayed_as_json(replayed: Replayed) -> Mapping[str, Any]:
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
                "stored": _plain(difference.stored),
                "found": _plain(difference.found),
            }
            for difference in replayed.first
        ],
    }


def _plain(said: Any) -> Any:
    return msgspec.to_builtins(said)


def _print_replayed(replayed: Replayed) -> None:
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
    text = json.dumps(_plain(said))
    return text if len(text) <= most else f"{text[:most]}..."


# --- rules ----------------------------------------------------------------------------------------


@rules_.command()
def show(as_json: AsJson = False) -> None:
    """The rules that apply now. As JSON they are as `publish` reads them."""
    with _bank() as bank:
        published = bank.policy().rules
    if published is None:
        raise Failed("no rules are published: `ledgertwin risk rules publish --default` does it")
    if as_json:
        out.out(json.dumps([_rule_as_json(rule) for rule in published.rules], indent=2))
    else:
        out.print(_rules_table(published))


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
        out.print(_rules_table(published))
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


def _rule_as_json(rule: Rule) -> Mapping[str, Any]:
    return {name: told for name, told in _plain(rule).items() if told is not None}


def _rules_table(published: RuleSet) -> Table:
    table = Table("code", "when", "score", "owner", "until", title=f"Rules {published.sha256}")
    for rule in published.rules:
        score = f">= {rule.floor}" if rule.floor is not None else f"<= {rule.ceiling}"
        until = "" if rule.expires_on is None else rule.expires_on.isoformat()
        table.add_row(rule.code, rule.when, score, rule.owner, until)
    return table


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
            {**_without_reference(model), "roles": roles[sha], "artefact_is_here": kept[sha]}
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


def _without_reference(model: RiskModelTrained) -> Mapping[str, Any]:
    """Of a record what somebody would read: the bins are for machines."""
    return {name: told for name, told in _plain(model).items() if name != "reference"}


def _roles(policy: RiskPolicy, sha: str) -> list[str]:
    holders = {ModelRole.CHAMPION: policy.champion, ModelRole.CHALLENGER: policy.challenger}
    return [role.value for role, holder in holders.items() if holder == sha]


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
    if not yes and not typer.confirm(question):
        raise typer.Exit(FAILED)


def _misused(told: str) -> typer.Exit:
    err.print(f"ledgertwin: {told}", style="red", markup=False)
    return typer.Exit(MISUSED)
