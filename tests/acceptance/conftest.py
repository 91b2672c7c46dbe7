"""Real processes: sandbox, Prefect server, gateway and worker, each killable (tests/stack.py)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import PrefectServer, Stack


@pytest.fixture
def stack(request: pytest.FixtureRequest, tmp_path: Path, prefect_server: PrefectServer) -> Iterator[Stack]:
    """Parts of this test's own; started as operators do where the test is marked `cold`."""
    built = Stack(tmp_path, prefect_server, warm=not request.node.get_closest_marker("cold"))
    try:
        yield built
    finally:
        built.stop()


@pytest.fixture
def running_stack(stack: Stack) -> Stack:
    """The same, started. (Not shared between tests: its worker would take up runs that others ask Prefect for.)"""
    stack.start()
    return stack
