"""Real processes: sandbox, Prefect server, gateway and worker, each killable (tests/stack.py)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import PrefectServer, Stack


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    server = PrefectServer(tmp_path_factory.mktemp("prefect"))
    try:
        server.start()
        server.parts.run("setup", "setup")
        yield server
    finally:
        server.stop()


@pytest.fixture
def stack(tmp_path: Path, prefect_server: PrefectServer) -> Iterator[Stack]:
    built = Stack(tmp_path, prefect_server)
    try:
        yield built
    finally:
        built.stop()
