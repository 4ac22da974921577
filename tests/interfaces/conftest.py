"""One bank for all tests of the API: each makes customers and accounts of its own in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from interfaces.database.embedded import EmbeddedPostgres
from tests.conftest import fresh_database
from tests.interfaces.graphql_api.serving import Served, followed, served


@pytest.fixture(scope="session")
def bank(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home: Path = tmp_path_factory.mktemp("bank")
    with fresh_database(postgres) as url, followed(url), served(url, home) as serving:
        yield serving
