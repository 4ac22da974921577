"""The general ledger over GraphQL: the trial balance."""

from datetime import date
from typing import Annotated, Final, Self

import strawberry

from domain.postings import GL
from interfaces.access.caller import Scope
from interfaces.graphql_api.context import Info
from interfaces.graphql_api.fields import ReadAtLeast, field
from interfaces.graphql_api.part import Part
from interfaces.graphql_api.scalars import CurrencyCode, Position
from interfaces.graphql_api.values import MoneyShown, ReadMeta
from projections import trial_balance
from projections.trial_balance import trial_balance_of

_PATIENCE_SECONDS: Final = 10.0

COST_OF_THE_LEDGER: Final = 50
"""It is summed up for who asks, over all that is posted."""


@strawberry.type(description="What one account of the general ledger comes to, in one currency.")
class TrialBalanceLine:
    code: str = strawberry.field(description="Its code: `2010` are customers' deposits.")
    name: str = strawberry.field(description="Its name.")
    currency: CurrencyCode = strawberry.field(description="The currency.")
    debit: MoneyShown = strawberry.field(description="All debits.")
    credit: MoneyShown = strawberry.field(description="All credits.")

    @classmethod
    def of(cls, line: trial_balance.TrialBalanceLine) -> Self:
        return cls(
            code=line.gl.value,
            name=_name(line.gl),
            currency=CurrencyCode(line.currency),
            debit=MoneyShown.of(line.debit, line.currency),
            credit=MoneyShown.of(line.credit, line.currency),
        )


@strawberry.type(description="Whether the books of one currency are right.")
class CurrencyProof:
    currency: CurrencyCode = strawberry.field(description="The currency.")
    debit: MoneyShown = strawberry.field(description="All debits of all accounts.")
    credit: MoneyShown = strawberry.field(description="All credits of all accounts.")
    balanced: bool = strawberry.field(description="Whether the two are equal.")
    deposits: MoneyShown = strawberry.field(description="What the ledger says customers are owed.")
    accounts: MoneyShown | None = strawberry.field(
        description="What customers' accounts hold, if both are known for the same moment."
    )
    reconciled: bool | None = strawberry.field(description="Whether those two are equal.")

    @classmethod
    def of(cls, proof: trial_balance.CurrencyProof) -> Self:
        def money(minor: int) -> MoneyShown:
            return MoneyShown.of(minor, proof.currency)

        return cls(
            currency=CurrencyCode(proof.currency),
            debit=money(proof.debit),
            credit=money(proof.credit),
            balanced=proof.balanced,
            deposits=money(proof.deposits),
            accounts=money(proof.accounts) if proof.accounts is not None else None,
            reconciled=proof.reconciled,
        )


@strawberry.type(description="The general ledger at one moment, and the proof that it is right.")
class TrialBalance:
    position: Position = strawberry.field(description="Everything up to here is posted.")
    booked_until: date | None = strawberry.field(description="What is booked later is left out.")
    lines: list[TrialBalanceLine] = strawberry.field(description="By currency and code.")
    currencies: list[CurrencyProof] = strawberry.field(description="By currency.")
    proven: bool = strawberry.field(description="Whether the books of every currency are right.")
    meta: ReadMeta = strawberry.field(description="How fresh this is.")


@strawberry.type
class LedgerQueries:
    @field(
        "The trial balance per currency, over everything posted up to one position.",
        needs=Scope.AGGREGATES,
        costs=COST_OF_THE_LEDGER,
    )
    async def trial_balance(
        self,
        info: Info,
        at_least: Annotated[
            Position | None,
            strawberry.argument(
                description="Wait until everything up to here is posted, for ten seconds at most."
            ),
        ] = None,
        booked_until: Annotated[
            date | None, strawberry.argument(description="Leave out what is booked later.")
        ] = None,
        consistency: ReadAtLeast = None,
    ) -> TrialBalance:
        await info.context.at_least(consistency)
        if at_least is not None:
            await info.context.reaches(at_least, _PATIENCE_SECONDS)
        found = await trial_balance_of(await info.context.snapshot(), booked_until=booked_until)
        return TrialBalance(
            position=Position(found.position),
            booked_until=found.booked_until,
            lines=[TrialBalanceLine.of(line) for line in found.lines],
            currencies=[CurrencyProof.of(proof) for proof in found.currencies],
            proven=found.proven,
            meta=await info.context.meta(),
        )


def _name(gl: GL) -> str:
    return gl.name.replace("_", " ").capitalize()


PART = Part(queries=LedgerQueries)
