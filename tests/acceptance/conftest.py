"""Real processes: sandbox, Prefect server, gateway and worker, each killable (tests/stack.py)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import PrefectServer, Stack


@pytest.fixture
def stack(tmp_path: Path, prefect_server: PrefectServer) -> Iterator[Stack]:
    """Parts of this test's own."""
    built = Stack(tmp_path, prefect_server)
    try:
        yield built
    finally:
        built.stop()


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory: pytest.TempPathFactory, prefect_server: PrefectServer) -> Iterator[Stack]:
    """Running parts for tests that look at records of their own only: starting them costs 10 s of CPU."""
    built = Stack(tmp_path_factory.mktemp("stack"), prefect_server)
    try:
        built.start()
        yield built
    finally:
        built.stop()
