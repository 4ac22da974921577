"""Cards over GraphQL: how they stand and what they may be used for.

A card's number, its security code and its PIN come in as what they are and go no further than the
card vault: what commands hold is made of them before (see `Fill`). The number is shown by one
mutation alone, after the record of it, and once.
"""

import asyncio
from collections.abc import Callable
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final, Self, TypeVar
from uuid import UUID

import strawberry

from application import commands
from application.card_vault import (
    NumberErased,
    NumbersExhausted,
    NumberTaken,
    NumberUnknown,
    TakenInOtherwise,
    Tokenized,
    make_number,
    new_token,
)
from domain import card
from domain.card import (
    ActivateCard,
    ActivateToken,
    BlockCard,
    CardCodeChecked,
    CardDetokenized,
    CardEndReason,
    CardExpiry,
    CardIssued,
    CardStatus,
    CardType,
    CheckCode,
    CloseCard,
    ConfirmToken,
    DeactivateToken,
    DetokenizeCard,
    DetokenizeScope,
    ExpireCard,
    FreezeCard,
    IssueCard,
    PinStatus,
    PinVerified,
    RemoveSpendControl,
    ReplaceCard,
    RequestToken,
    ResumeToken,
    SetPin,
    SetSpendControl,
    SpendScope,
    SpendWindow,
    SuspendToken,
    TryPin,
    UnblockCard,
    UnblockPin,
    UnfreezeCard,
    Wallet,
    WalletTokenStatus,
)
from domain.sensitive import CardNumber, MalformedSecret, Pin, SecurityCode, Sensitive
from interfaces.access.caller import Scope
from interfaces.graphql_api.answers import Answer, Receipted, Showing
from interfaces.graphql_api.authorizations import Authorization, authorizations_of
from interfaces.graphql_api.context import Context, Info
from interfaces.graphql_api.directives import FOR_READERS, declared
from interfaces.graphql_api.fields import After, First, Id, ReadAtLeast, field
from interfaces.graphql_api.ids import derived_id, global_id, uuid_argument
from interfaces.graphql_api.inputs import Asked, CommandMeta, Given, malformed
from interfaces.graphql_api.listing import by_id
from interfaces.graphql_api.mutations import Offered, mutations, no_secret
from interfaces.graphql_api.paging import Connection, Cursors
from interfaces.graphql_api.part import Part, by_uuid
from interfaces.graphql_api.risk import CardPatterns, patterns_of
from interfaces.graphql_api.values import MoneyShown, Node, ReadMeta
from projections.cards import CARDS, CardRow

if TYPE_CHECKING:
    from interfaces.graphql_api.accounts import Account
    from interfaces.graphql_api.customers import Customer

strawberry.enum(CardStatus, description="Where a card is in its life.")
strawberry.enum(CardType, description="What kind of card it is.")
strawberry.enum(CardEndReason, description="Why a card ended.")
strawberry.enum(SpendScope, description="Whose spending counts.")
strawberry.enum(SpendWindow, description="The time over which spending counts.")
strawberry.enum(PinStatus, description="How a card's PIN stands.")
strawberry.enum(Wallet, description="Who holds a token of a card in place of its number.")
strawberry.enum(WalletTokenStatus, description="Where a token of a card is in its life.")
strawberry.enum(DetokenizeScope, description="What of a card is shown.")

T = TypeVar("T")
S = TypeVar("S", bound=Sensitive)


@strawberry.type(description="Which values a control is about.")
class Filtered:
    include: list[str] = strawberry.field(description="Only these; all if there are none.")
    exclude: list[str] = strawberry.field(description="Not these.")

    @classmethod
    def of(cls, only: card.Only) -> Self:
        return cls(include=list(only.include), exclude=list(only.exclude))


@strawberry.type(
    description="What matches the filters may come to no more than `amount` and `count` within "
    "the window. Zero forbids it."
)
class SpendControl:
    id: UUID = strawberry.field(description="Its id, by which it is replaced or removed.")
    scope: SpendScope = strawberry.field(description="Whose spending counts.")
    window: SpendWindow = strawberry.field(description="The time over which spending counts.")
    trailing_seconds: int | None = strawberry.field(description="How long a trailing window is.")
    amount: MoneyShown | None = strawberry.field(description="At most this much.")
    count: int | None = strawberry.field(description="At most this often.")
    mcc: Filtered = strawberry.field(description="Merchant category codes of ISO 18245.")
    country: Filtered = strawberry.field(description="Countries of ISO 3166-1.")
    entry_mode: Filtered = strawberry.field(description="How the card was read.")
    channel: Filtered = strawberry.field(description="Where the card was used.")

    @classmethod
    def of(cls, control: card.SpendControl) -> Self:
        return cls(
            id=control.control_id,
            scope=control.scope,
            window=control.window,
            trailing_seconds=control.trailing_seconds,
            amount=MoneyShown.shown(control.amount) if control.amount is not None else None,
            count=control.count,
            mcc=Filtered.of(control.mcc),
            country=Filtered.of(control.country),
            entry_mode=Filtered.of(control.entry_mode),
            channel=Filtered.of(control.channel),
        )


@strawberry.type(description="A card in a wallet.")
class WalletToken:
    id: UUID = strawberry.field(description="Its id.")
    wallet: Wallet = strawberry.field(description="Who holds it.")
    device_ref: str = strawberry.field(description="What names the device to the wallet alone.")
    status: WalletTokenStatus = strawberry.field(description="Where it is in its life.")

    @classmethod
    def of(cls, token: card.WalletToken) -> Self:
        return cls(
            id=token.token_id,
            wallet=token.wallet,
            device_ref=token.device_ref,
            status=token.status,
        )


@strawberry.type(
    description="A card on an account. Its number is not known here.", directives=FOR_READERS
)
class Card(Node):
    uuid: UUID = strawberry.field(description="Its plain id, as in the log.")
    version: int = strawberry.field(description="How many events its stream has.")
    status: CardStatus = strawberry.field(description="Where it is in its life.")
    card_type: CardType = strawberry.field(description="What kind of card it is.")
    brand: str = strawberry.field(description="Whose network it is of.")
    bin: str = strawberry.field(description="The first 6 or 8 digits of its number.")
    last4: str = strawberry.field(description="The last 4 digits of its number.")
    expires_on: date = strawberry.field(description="The last day of the month printed on it.")
    issued_on: date = strawberry.field(description="The day on which it was issued.")
    end_reason: CardEndReason | None = strawberry.field(description="Why it ended, if it did.")
    replaces: UUID | None = strawberry.field(description="The card whose place it took.")
    replaced_by: UUID | None = strawberry.field(description="The card that took its place.")
    spend_controls: list[SpendControl] = strawberry.field(
        description="What it may be used for. A replacement has the controls of what it replaces."
    )
    pin_status: PinStatus = strawberry.field(description="How its PIN stands.")
    wallet_tokens: list[WalletToken] = strawberry.field(
        description="Its tokens in wallets, deactivated ones too."
    )
    account_id: strawberry.Private[UUID]
    customer_id: strawberry.Private[UUID]

    @classmethod
    def of(cls, row: CardRow) -> Self:
        return cls(
            id=global_id("Card", row.card_id),
            uuid=row.card_id,
            version=row.version,
            status=row.status,
            card_type=row.card_type,
            brand=row.brand,
            bin=row.bin,
            last4=row.last4,
            expires_on=row.expires_on,
            issued_on=row.issued_on,
            end_reason=row.end_reason,
            replaces=row.replaces,
            replaced_by=row.replaced_by,
            spend_controls=[SpendControl.of(control) for control in row.spend_controls],
            pin_status=row.pin_status,
            wallet_tokens=[WalletToken.of(token) for token in row.wallet_tokens],
            account_id=row.account_id,
            customer_id=row.customer_id,
        )

    @field("The account that it takes money from.")
    async def account(
        self, info: Info
    ) -> Annotated["Account", strawberry.lazy("interfaces.graphql_api.accounts")] | None:
        # Here, as the types show each other.
        from interfaces.graphql_api import accounts  # noqa: PLC0415

        return await accounts.load(info.context, self.account_id)

    @field("Who uses it.")
    async def customer(
        self, info: Info
    ) -> Annotated["Customer", strawberry.lazy("interfaces.graphql_api.customers")] | None:
        from interfaces.graphql_api import customers  # noqa: PLC0415

        return await customers.load(info.context, self.customer_id)

    @field("Attempts to pay with it, the newest first.")
    async def authorizations(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[Authorization]:
        return await authorizations_of(info.context, "card_id", self.uuid, first, after)

    @field("How it was used in the 24 hours to its last use; null if it never was.")
    async def patterns(self, info: Info) -> CardPatterns | None:
        return await patterns_of(info.context, self.uuid)

    @field("How fresh this is.")
    async def meta(self, info: Info) -> ReadMeta:
        return await info.context.meta()


async def load(context: Context, card_id: UUID) -> Card | None:
    row = await context.row(CARDS, card_id)
    return Card.of(row) if row is not None else None


async def cards_of(
    context: Context, customer_id: UUID, first: int, after: str | None
) -> Connection[Card]:
    """A page of a customer's cards, in the order of their ids."""
    cursors = Cursors(context, "cards", customer_id)
    of = ("customer_id", customer_id)
    return await by_id(context, cursors, CARDS, Card.of, of=of, first=first, after=after)


# --- queries --------------------------------------------------------------------------------------


@strawberry.type
class CardQueries:
    @field("One card; null if there is none of that id.")
    async def card(self, info: Info, id: Id, consistency: ReadAtLeast = None) -> Card | None:
        card_id = uuid_argument(id, "Card")
        await info.context.at_least(consistency)
        return await load(info.context, card_id)


# --- commands -------------------------------------------------------------------------------------


@strawberry.type(description="The command took effect on a card.")
class CardChanged(Showing):
    aggregate = card.Card

    @field(
        "The card with what the command changed: of a replacement, the new one. Null "
        "if the read models are too far behind to show it: see `note`."
    )
    async def card(self, info: Info) -> Card | None:
        return await self.shown(info, load, self.subjects[0])


@strawberry.type(description="A PIN was tried, and that was recorded.")
class PinTried(Receipted):
    aggregate = card.Card

    @field("Whether it was the card's PIN.")
    async def correct(self, info: Info) -> bool:
        written = await info.context.written_by(self.receipt.command_id)
        return any(isinstance(event, PinVerified) for _, event in written)

    @field("The card, with how its PIN stands now. Null if it cannot be shown yet.")
    async def card(self, info: Info) -> Card | None:
        return await self.shown(info, load, self.subjects[0])


@strawberry.type(description="A security code was compared, and that was recorded.")
class CodeChecked(Receipted):
    aggregate = card.Card

    @field("Whether it was the card's code.")
    async def matches(self, info: Info) -> bool:
        written = await info.context.written_by(self.receipt.command_id)
        return any(isinstance(event, CardCodeChecked) and event.matches for _, event in written)


@strawberry.type(
    description="The number of a card may be shown: that, why and how much of it was recorded "
    "before. It is shown once: an answer that is replayed has it no more.",
    directives=declared(needs=Scope.DETOKENIZE),
)
class CardNumberShown(Receipted):
    aggregate = card.Card

    @field("The number. Null in a replayed answer, and if the bank does not keep it.")
    async def number(self, info: Info) -> str | None:
        token = await self._token(info.context, *DetokenizeScope)
        if token is None:
            return None
        vault = info.context.system.card_vault
        return await _read(lambda: vault.number(token))

    @field("The security code, if the scope is NUMBER_AND_CODE. Null where the number is null.")
    async def security_code(self, info: Info) -> str | None:
        token = await self._token(info.context, DetokenizeScope.NUMBER_AND_CODE)
        if token is None:
            return None
        vault = info.context.system.card_vault
        return await _read(lambda: vault.security_code(token))

    async def _token(self, context: Context, *scopes: DetokenizeScope) -> str | None:
        """The token of the card, if what was recorded lets it be opened now for these scopes."""
        if self.receipt.replayed:
            return None
        written = await context.written_by(self.receipt.command_id)
        if not any(isinstance(e, CardDetokenized) and e.scope in scopes for _, e in written):
            return None
        return (await _card_of(context, self.subjects[0])).token


async def _read(opened: Callable[[], Sensitive]) -> str | None:
    """What is to be shown, as the text that it is; None if the bank does not keep it."""

    def read() -> str | None:
        try:
            with opened().used() as characters:
                return characters.decode()
        except NumberUnknown:
            return None

    return await asyncio.to_thread(read)


CARD_ANSWER = Answer(name="CardResult", success=CardChanged)
PIN_ANSWER = Answer(name="PinTriedResult", success=PinTried)
CODE_ANSWER = Answer(name="CodeCheckedResult", success=CodeChecked)
NUMBER_ANSWER = Answer(name="CardNumberResult", success=CardNumberShown)

# --- what is made of what must not come into a command --------------------------------------------


def secret(given: Given, name: str, kind: type[S]) -> S | None:
    """What the client was asked for, if it is what it should be."""
    found = given.get(name)
    if isinstance(found, MalformedSecret):
        raise malformed(name, found.rule, str(found))
    assert found is None or isinstance(found, kind)
    return found


async def _card_of(context: Context, card_id: UUID) -> card.Card:
    """A card as the log has it: the read models may not show what was just written."""

    def folded() -> card.Card:
        log = context.system.log
        events = (log.codec.decode(r.topic, r.state).data for r in log.stream(card_id))
        return card.Card().after(e for e in events if isinstance(e, card.Card.events))

    return await asyncio.to_thread(folded)


async def _number(
    context: Context, meta: CommandMeta, given: Given, expiry: CardExpiry, bin_: str | None
) -> Tokenized:
    """What stands for the number that was given, or that the bank makes from the BIN."""
    number = secret(given, "number", CardNumber)
    vault = context.system.card_vault
    if number is not None:
        if bin_ is not None and bin_ not in (number.bin(), number.bin(8)):
            raise malformed("bin", "bin", "the number does not begin with that")
        tokenized = partial(vault.take_in, number, expiry, meta.command_id, len(bin_ or "") or 6)
    elif bin_ is not None:
        tokenized = partial(vault.make, bin_, expiry, meta.command_id)
    else:
        raise malformed("bin", "required", "the bank makes a number from a BIN, or is given one")
    try:
        return await asyncio.to_thread(tokenized)
    except TakenInOtherwise:
        raise commands.CommandIdReused from None
    except (NumberErased, NumberTaken, NumbersExhausted, MalformedSecret) as refused:
        raise malformed(*_WHY[type(refused)], str(refused)) from None


_WHY: Final = {
    NumberErased: ("number", "erased"),
    NumberTaken: ("number", "taken"),
    NumbersExhausted: ("bin", "exhausted"),
    MalformedSecret: ("bin", "bin"),
}
"""Which field was at fault, and the rule that it broke."""


def _own_token(given: Given, *names: str) -> bool:
    """Whether the client keeps the number, and has made a token of its own."""
    if given.get("token") is None:
        for name in names:
            if given.get(name) is not None:
                raise malformed(name, "token", "it is known from the number, unless you keep that")
        return False
    if given.get("number") is not None:
        raise malformed("number", "token", "it has a token already: give the one or the other")
    for name in ("bin", *names):
        if given.get(name) is None:
            raise malformed(name, "required", "a token of your own needs it")
    return True


async def _issued(context: Context, meta: CommandMeta, given: Given, values: Given) -> Given:
    if _own_token(given, "brand", "last4"):
        return {}
    made = await _number(context, meta, given, values["expiry"], values["bin"])
    return {"token": made.token, "brand": made.brand, "bin": made.bin, "last4": made.last4}


async def _replaced(context: Context, meta: CommandMeta, given: Given, values: Given) -> Given:
    """The new number is of the old one's network, and begins as it does unless a BIN is given."""
    if _own_token(given, "last4"):
        return {}
    old = await _card_of(context, values["card_id"])
    bin_ = values["bin"]
    if bin_ is None and given.get("number") is None:
        bin_ = old.bin or None
    number = secret(given, "number", CardNumber)
    brand = number.brand.name if number is not None else None
    if brand is not None and old.status is not None and brand != old.brand.upper():
        raise malformed("number", "brand", "a replacement is of the same network")
    made = await _number(context, meta, given, values["expiry"], bin_)
    return {"token": made.token, "bin": made.bin, "last4": made.last4}


def _issued_if(context: Context, given: Given, values: Given) -> Given:
    """A card with some number that begins with the BIN. It would be another one in earnest."""
    no_secret(given, "number")
    if _own_token(given, "brand", "last4"):
        return {}
    return _number_if(values["bin"])


def _replaced_if(context: Context, given: Given, values: Given) -> Given:
    no_secret(given, "number")
    if _own_token(given, "last4"):
        return {}
    if values["bin"] is None:
        raise malformed("bin", "required", "a simulation needs the BIN, or a token of your own")
    supposed = _number_if(values["bin"])
    return {name: supposed[name] for name in ("token", "bin", "last4")}


def _number_if(bin_: str | None) -> Given:
    if bin_ is None:
        raise malformed("bin", "required", "the bank makes a number from a BIN, or is given one")
    try:
        number = make_number(bin_)
    except MalformedSecret as refused:
        raise malformed(*_WHY[type(refused)], str(refused)) from None
    supposed = {
        "token": new_token(),
        "brand": number.brand.name,
        "bin": number.bin(len(bin_)),
        "last4": number.last4,
    }
    number.wipe()
    return supposed


async def _pin_set(context: Context, meta: CommandMeta, given: Given, values: Given) -> Given:
    pin = secret(given, "pin", Pin)
    assert pin is not None
    held = await _card_of(context, values["card_id"])
    if held.status is None or held.number_erased:
        # There is nothing to keep a PIN for, and the bank will say so.
        return {"pvv_ref": derived_id(meta.command_id, "pvv_ref")}
    keep = partial(context.system.card_vault.keep_pin, held.token, pin, meta.command_id)
    try:
        return {"pvv_ref": await asyncio.to_thread(keep)}
    except TakenInOtherwise:
        raise commands.CommandIdReused from None


async def is_pin(context: Context, card_id: UUID, pin: Pin) -> bool:
    """Whether that is the PIN of the card; no PIN is, of a card that has none. It is used up."""
    held = await _card_of(context, card_id)
    if held.pvv_ref is None:
        pin.wipe()
        return False
    verify = partial(context.system.card_vault.verify_pin, held.token, held.pvv_ref, pin)
    return await asyncio.to_thread(verify)


async def is_code(context: Context, card_id: UUID, code: SecurityCode) -> bool:
    """Whether that is the security code of the card. It is used up. Raises NumberUnknown where the
    bank does not keep the card's number."""
    held = await _card_of(context, card_id)
    if held.status is None:
        code.wipe()
        return False
    verify = partial(context.system.card_vault.verify_code, held.token, code)
    return await asyncio.to_thread(verify)


async def _pin_tried(context: Context, meta: CommandMeta, given: Given, values: Given) -> Given:
    pin = secret(given, "pin", Pin)
    assert pin is not None
    return {"correct": await is_pin(context, values["card_id"], pin)}


async def _code_checked(context: Context, meta: CommandMeta, given: Given, values: Given) -> Given:
    code = secret(given, "code", SecurityCode)
    assert code is not None
    try:
        return {"matches": await is_code(context, values["card_id"], code)}
    except NumberUnknown:
        raise malformed("cardId", "number", "the bank does not keep this card's number") from None


_NUMBER = Asked(
    name="number",
    type=CardNumber,
    description="Its number, if it has one already; left out, the bank makes one from the BIN. It "
    "is kept in the card vault alone.",
)
_PIN = Asked(name="pin", type=Pin, description="The PIN. It is not kept.", required=True)
_CODE = Asked(
    name="code", type=SecurityCode, description="The code. It is not kept.", required=True
)

GLOSSARY = {
    "card_id": "The card.",
    "new_card_id": "The card that takes its place.",
    "account_id": "The account that it takes money from.",
    "customer_id": "Who will use it: an active holder of the account.",
    "card_type": "What kind of card it is.",
    "token": "What stands for its number, if you keep that: random, and made by you. Left out, the "
    "bank keeps the number.",
    "brand": "Whose network it is of; only with a token of your own.",
    "bin": "The first 6 or 8 digits of its number: the bank makes one that begins so.",
    "last4": "The last 4 digits of its number; only with a token of your own.",
    "expiry": "The month printed on it.",
    "activate": "Whether it can be used at once, as it need not travel.",
    "reason": "Why.",
    "control": "The control. One of the same id is replaced.",
    "control_id": "The control's id.",
    "scope": "Whose spending counts.",
    "window": "The time over which spending counts.",
    "trailing_seconds": "How long a trailing window is: 10 seconds to 31 days, and for no other.",
    "amount": "At most this much.",
    "count": "At most this often.",
    "mcc": "Merchant category codes of ISO 18245.",
    "country": "Countries: two letters of ISO 3166-1.",
    "entry_mode": "How the card is read.",
    "channel": "Where the card is used.",
    "include": "Only these; left out, all.",
    "exclude": "Not these.",
    "token_id": "The token in the wallet.",
    "wallet": "Who holds it.",
    "device_ref": "What names the device to the wallet alone: opaque.",
    "second_factor": "Whether the holder has to confirm that it was she who asked.",
    "year": "The year, with four digits.",
    "month": "The month, 1 to 12.",
    "CardExpiry": "The month printed on a card: it is good to the end of it.",
    "SpendControl": "What matches the filters may come to no more than `amount` and `count` "
    "within the window. Zero forbids it.",
    "Only": "Which values a control is about.",
}

CardMutations = mutations(
    "CardMutations",
    CARD_ANSWER,
    {
        IssueCard: Offered(
            description="Issue a card to an active holder of an open account: with a number that "
            "the bank makes, with one that is given, or with a token for one that you keep.",
            made=("card_id",),
            optional=("token", "brand", "bin", "last4"),
            asked=(_NUMBER,),
            fill=_issued,
            suppose=_issued_if,
        ),
        ActivateCard: Offered(description="Put a card to use."),
        FreezeCard: Offered(description="The customer's switch: off."),
        UnfreezeCard: Offered(description="The customer's switch: on."),
        BlockCard: Offered(description="The bank's switch, which the customer cannot turn: off."),
        UnblockCard: Offered(
            description="The bank's switch: on. A card that the customer froze is frozen still."
        ),
        ReplaceCard: Offered(
            description="End a card, and issue another in its place under the same controls. Its "
            "number is made or given as when issuing; left out, the BIN is that of the old one.",
            made=("new_card_id",),
            optional=("token", "bin", "last4"),
            asked=(_NUMBER,),
            fill=_replaced,
            suppose=_replaced_if,
            subjects=("new_card_id",),
            first=CardIssued,
        ),
        ExpireCard: Offered(description="Note that a card's month is over."),
        CloseCard: Offered(description="Close a card for ever."),
        SetSpendControl: Offered(description="Say what a card may be used for."),
        RemoveSpendControl: Offered(
            description="Remove a control of a card's spending.",
            given=("control_id",),
        ),
        SetPin: Offered(
            description="Set a card's PIN, or change it.",
            filled=("pvv_ref",),
            asked=(_PIN,),
            fill=_pin_set,
        ),
        UnblockPin: Offered(description="Let a PIN be tried again that wrong tries have blocked."),
        RequestToken: Offered(
            description="Note that a wallet asks for a token of a card.", made=("token_id",)
        ),
        ConfirmToken: Offered(
            description="Note that the holder has confirmed a token by a second factor.",
            given=("token_id",),
        ),
        ActivateToken: Offered(description="Put a token to use.", given=("token_id",)),
        SuspendToken: Offered(description="Pause a token.", given=("token_id",)),
        ResumeToken: Offered(description="Put a paused token to use again.", given=("token_id",)),
        DeactivateToken: Offered(description="End a token for ever.", given=("token_id",)),
    },
    GLOSSARY,
)

PinMutations = mutations(
    "PinMutations",
    PIN_ANSWER,
    {
        TryPin: Offered(
            description="Verify a PIN. A wrong one counts: the third in a row blocks it.",
            filled=("correct",),
            asked=(_PIN,),
            fill=_pin_tried,
        )
    },
    GLOSSARY,
)

CodeMutations = mutations(
    "CodeMutations",
    CODE_ANSWER,
    {
        CheckCode: Offered(
            description="Verify a security code.",
            filled=("matches",),
            asked=(_CODE,),
            fill=_code_checked,
        )
    },
    GLOSSARY,
)

NumberMutations = mutations(
    "NumberMutations",
    NUMBER_ANSWER,
    {
        DetokenizeCard: Offered(
            description="Show a card's number. That is recorded first.", needs=Scope.DETOKENIZE
        )
    },
    {**GLOSSARY, "scope": "What of it is shown: left out, the number alone."},
)


PARTS = (
    Part(
        queries=CardQueries,
        mutations=CardMutations,
        answer=CARD_ANSWER,
        nodes={"Card": by_uuid(load)},
    ),
    Part(mutations=PinMutations, answer=PIN_ANSWER),
    Part(mutations=CodeMutations, answer=CODE_ANSWER),
    Part(mutations=NumberMutations, answer=NUMBER_ANSWER),
)
