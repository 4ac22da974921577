"""One bank for all tests of the API: each makes customers and accounts of its own in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from interfaces.database.embedded import EmbeddedPostgres
from interfaces.settings import Access
from tests.conftest import fresh_database
from tests.interfaces.access.guarded import Guarded
from tests.interfaces.graphql_api.serving import Served, followed, served


@pytest.fixture(scope="session")
def bank(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home: Path = tmp_path_factory.mktemp("bank")
    with fresh_database(postgres) as url, followed(url), served(url, home) as serving:
        yield serving


@pytest.fixture(scope="session")
def guarded(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    """A bank that asks for tokens, for all tests: each makes clients of its own."""
    home: Path = tmp_path_factory.mktemp("guarded")
    with (
        fresh_database(postgres) as url,
        followed(url),
        served(url, home, access=Access.TOKENS) as bank,
    ):
        known = Guarded(bank, home)
        try:
            yield known
        finally:
            known.close()
