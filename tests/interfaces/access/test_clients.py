"""The programs that may ask for tokens."""

from uuid import uuid4

import psycopg
import pytest

from application.keystore import LocalKeystore
from interfaces.access.caller import Scope
from interfaces.access.clients import ROLES, ClientNameTaken, Clients, ClientUnknown
from interfaces.database import as_application

READS = [Scope.READ]


@pytest.fixture
def clients(database: str) -> Clients:
    return clients_of(database)


def clients_of(url: str) -> Clients:
    return Clients(LocalKeystore.in_memory(), lambda: psycopg.connect(url))


def test_a_client_is_known_by_its_secret(clients: Clients) -> None:
    client, secret = clients.add("crm", "crm", READS)
    assert clients.authenticate(client.id, secret) == client


def test_a_client_is_not_known_by_another_secret(clients: Clients) -> None:
    client, _ = clients.add("crm", "crm", READS)
    _, another = clients.add("erp", "erp", READS)
    assert clients.authenticate(client.id, another) is None


def test_nobody_is_known_by_an_id_that_was_never_given(clients: Clients) -> None:
    assert clients.authenticate(uuid4(), "lts_anything") is None


def test_a_disabled_client_is_not_known_any_more(clients: Clients) -> None:
    client, secret = clients.add("crm", "crm", READS)
    clients.disable(client.id)
    assert clients.authenticate(client.id, secret) is None


def test_a_client_is_disabled_once(clients: Clients) -> None:
    client, _ = clients.add("crm", "crm", READS)
    clients.disable(client.id)
    with pytest.raises(ClientUnknown):
        clients.disable(client.id)


def test_two_clients_have_not_the_same_name(clients: Clients) -> None:
    clients.add("crm", "crm", READS)
    with pytest.raises(ClientNameTaken, match="'crm'"):
        clients.add("crm", "crm", READS)


def test_the_name_of_a_disabled_client_can_be_given_again(clients: Clients) -> None:
    client, _ = clients.add("crm", "crm", READS)
    clients.disable(client.id)
    again, secret = clients.add("crm", "crm", READS)
    assert clients.authenticate(again.id, secret) == again


def test_the_disabled_ones_are_listed_too(clients: Clients) -> None:
    crm, _ = clients.add("crm", "crm", READS)
    erp, _ = clients.add("erp", "erp", READS)
    clients.disable(crm.id)
    listed = clients.all()
    assert [client.id for client in listed] == [crm.id, erp.id]
    assert [client.disabled_at is None for client in listed] == [False, True]


@pytest.mark.parametrize(
    "change",
    [
        "scopes = '{digitaltwin.read,digitaltwin.admin}'",
        "subject = 'chief'",
        "id = '5d7a3c0e-4f0b-4d4e-9d57-0d1f4f1e6b01'",
    ],
)
def test_what_a_client_may_do_is_not_changed_in_the_database_alone(
    database: str, change: str
) -> None:
    clients = clients_of(database)
    client, secret = clients.add("crm", "crm", READS)
    with psycopg.connect(database) as connection:
        row = connection.execute(
            f"UPDATE ledgertwin.oauth_clients SET {change} RETURNING id"  # noqa: S608 -- ours
        ).fetchone()
    assert row is not None
    assert clients.authenticate(client.id, secret) is None
    assert clients.authenticate(row[0], secret) is None


def test_a_secret_stands_nowhere(database: str) -> None:
    _, secret = clients_of(database).add("crm", "crm", READS)
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT c::text FROM ledgertwin.oauth_clients AS c").fetchone()
    assert row is not None
    assert secret not in row[0]
    assert secret.encode().hex() not in row[0]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO ledgertwin.oauth_clients SELECT * FROM ledgertwin.oauth_clients",
        "UPDATE ledgertwin.oauth_clients SET disabled_at = NULL",
        "DELETE FROM ledgertwin.oauth_clients",
    ],
)
def test_the_application_can_only_look(database: str, statement: str) -> None:
    with (
        psycopg.connect(as_application(database)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


def test_a_scope_of_another_version_allows_nothing(clients: Clients, database: str) -> None:
    clients.add("crm", "crm", READS)
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE ledgertwin.oauth_clients SET scopes = '{digitaltwin.fly}'")
    (client,) = clients.all()
    assert client.scopes == frozenset()


def test_no_role_that_writes_governs_as_well() -> None:
    assert not any({Scope.WRITE, Scope.ADMIN} <= scopes for scopes in ROLES.values())
