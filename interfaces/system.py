"""The one place where the parts are put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psycopg import Connection
from psycopg_pool import ConnectionPool

from application.bank import Bank
from application.card_vault import CardVault
from application.codec import Codec
from application.commands import CommandAccepted, CommandRefused
from application.event_log import EventLog, open_log
from application.finding import BlindIndexes, Indexer
from application.keystore import Custodian, KeystoreError, LocalKeystore, read_private
from application.proving import Prover
from application.risk_desk import RiskDesk
from application.sealing import Tree
from application.seals import Seals
from application.vault import DataKeyCreated, Vault
from domain import AGGREGATES, HANDLERS
from domain.risk.surroundings import UNWATCHED, Surroundings
from interfaces.access.clients import Clients
from interfaces.access.journal import AccessJournal
from interfaces.database import as_application
from interfaces.sealing import Sealed, Sealing, sealed_by
from interfaces.settings import Settings
from projections import PROJECTIONS
from projections.read_models import ReadModels


@dataclass(frozen=True, slots=True)
class System:
    """A running bank: the log, the front door for commands, the read models for queries, the vault
    that personal values are opened with, that of the cards' numbers, the journal of who has read
    what, and what proves the log."""

    settings: Settings
    url: str
    keystore: Custodian
    log: EventLog
    vault: Vault
    risk_desk: RiskDesk
    bank: Bank
    read_models: ReadModels
    card_vault: CardVault
    clients: Clients
    journal: AccessJournal
    blind_indexes: BlindIndexes
    indexer: Indexer
    tree: Tree
    sealing: Sealing
    sealed: Sealed
    prover: Prover


def bank_codec() -> Codec:
    """Reads and writes every event there is: the aggregates' and the log's own."""
    return Codec(AGGREGATES, (CommandAccepted, CommandRefused, DataKeyCreated))


def open_keystore(settings: Settings) -> Custodian:
    """The keys in the HSM that is set, or in the data directory; made when they are first needed.

    Raises a KeystoreError that says what is wrong and what to do.
    """
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if settings.pkcs11_module is None:
        return LocalKeystore.at(keystore_file(settings))
    try:
        # Here, as the library is an extra.
        from application.hsm import HsmKeystore  # noqa: PLC0415
    except ImportError as missing:
        raise KeystoreError(
            "LEDGERTWIN_PKCS11_MODULE is set, but what speaks PKCS#11 is not installed: "
            "pip install 'ledgertwin[hsm]'"
        ) from missing
    assert settings.pkcs11_token is not None
    return HsmKeystore.at(
        settings.pkcs11_module, settings.pkcs11_token, _hsm_pin(settings), settings.home
    )


def _hsm_pin(settings: Settings) -> str:
    if settings.pkcs11_pin is not None:
        return settings.pkcs11_pin
    assert settings.pkcs11_pin_file is not None
    try:
        return read_private(settings.pkcs11_pin_file).decode().strip()
    except (OSError, UnicodeError) as unread:
        raise KeystoreError(
            f"LEDGERTWIN_PKCS11_PIN_FILE: {settings.pkcs11_pin_file} cannot be read: "
            f"{type(unread).__name__}"
        ) from unread


def has_keys(settings: Settings) -> bool:
    """Whether there may be keys already, which opening would make otherwise."""
    return settings.pkcs11_module is not None or keystore_file(settings).exists()


def keystore_file(settings: Settings) -> Path:
    return settings.home / "keystore"


def new_bank(
    log: EventLog, vault: Vault, keystore: Custodian, surroundings: Surroundings = UNWATCHED
) -> Bank:
    """A bank over a log. Every process of one bank derives the same key for fingerprints."""
    key = keystore.mac("command fingerprint", b"")
    return Bank(log, vault, HANDLERS, fingerprint_key=key, surroundings=surroundings)


def snapshot_key(keystore: Custodian) -> bytes:
    """What seals snapshots, so that the bank believes only its own."""
    return keystore.mac("snapshot", b"")


@asynccontextmanager
async def open_system(url: str, settings: Settings) -> AsyncIterator[System]:
    """A bank on a migrated database, until the block ends: then everybody who waits is answered."""
    keystore = open_keystore(settings)
    log = open_log(bank_codec(), url=url, snapshot_key=snapshot_key(keystore))
    try:
        with _few_connections(url) as pool:
            vault = Vault(keystore, log.vault_reader)
            async with (
                ReadModels(as_application(url), PROJECTIONS) as read_models,
                RiskDesk(log) as risk_desk,
                new_bank(log, vault, keystore, risk_desk) as bank,
            ):
                blind_indexes = BlindIndexes(keystore.mac("blind indexes", b""))
                sealed = sealed_by(settings, keystore)
                tree = Tree(pool.connection)
                seals = Seals(pool.connection, sealed.policy)
                yield System(
                    settings=settings,
                    url=url,
                    keystore=keystore,
                    log=log,
                    vault=vault,
                    risk_desk=risk_desk,
                    bank=bank,
                    read_models=read_models,
                    card_vault=CardVault(keystore, pool.connection),
                    clients=Clients(keystore, pool.connection),
                    journal=AccessJournal(bank.execute, lambda: datetime.now(UTC)),
                    blind_indexes=blind_indexes,
                    indexer=Indexer(log, vault, blind_indexes, pool.connection),
                    tree=tree,
                    sealing=Sealing(seals),
                    sealed=sealed,
                    prover=Prover(log, pool.connection, tree, seals),
                )
    finally:
        log.close()


def _few_connections(url: str) -> ConnectionPool[Connection[Any]]:
    """For what is asked now and then, so that it waits for nobody and nobody waits for it."""
    return ConnectionPool(
        as_application(url),
        min_size=0,
        max_size=8,
        timeout=5.0,
        check=ConnectionPool.check_connection,
    )
