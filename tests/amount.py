"""How much a run tries: `make test` a sample, `make test-full` (pytest --full) all of what is sampled.

Marked `full`: runs in `make test-full` only. Marked `sampled`, and every hypothesis test: runs in both, with more
cases there. Everything else runs in `make test` only. What a run leaves out is counted in its last lines.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import hypothesis
import pytest

T = TypeVar("T")
FEW_EXAMPLES = 50
_LEFT_OUT = pytest.StashKey[int]()
_run: dict[str, bool] = {"full": False}


def is_full() -> bool:
    """Whether this is `make test-full`."""
    return _run["full"]


def few(all_of_them: int, sample: int) -> int:
    """`sample` in `make test`, all in `make test-full`."""
    return all_of_them if is_full() else sample


def spread(cases: Sequence[T], sample: int) -> Sequence[T]:
    """About `sample` of the cases, evenly, the last one among them; all in `make test-full`."""
    step = max(1, len(cases) // few(len(cases), sample))
    return cases[len(cases) - 1 :: -step][::-1] if cases else cases


def examples(all_of_them: int) -> int:
    """For `@settings(max_examples=...)` of a test that wants more than the profile's hundred."""
    return few(all_of_them, FEW_EXAMPLES)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one switch."""
    parser.addoption("--full", action="store_true", help="what `make test` only samples, all of it")


def pytest_configure(config: pytest.Config) -> None:
    """Machines are shared: how long drawing examples or a call takes says nothing about the code."""
    _run["full"] = bool(config.getoption("--full"))
    patient: dict[str, Any] = {
        "deadline": None,
        "suppress_health_check": [hypothesis.HealthCheck.too_slow],
    }
    hypothesis.settings.register_profile("sample", max_examples=FEW_EXAMPLES, **patient)
    hypothesis.settings.register_profile("full", max_examples=100, **patient)
    hypothesis.settings.load_profile("full" if is_full() else "sample")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the other run is for."""
    wanted = [item for item in items if _wanted(item)]
    left_out = [item for item in items if not _wanted(item)]
    config.stash[_LEFT_OUT] = len(left_out)
    if hasattr(config, "workeroutput"):  # pytest-xdist: this process reports to the one that prints
        config.workeroutput["left_out"] = len(left_out)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = wanted


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """What a process of pytest-xdist has left out: each collects everything, so one count is enough."""
    node.config.stash[_LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say what did not run here."""
    count = config.stash.get(_LEFT_OUT, 0)
    if is_full():
        terminalreporter.line(f"make test-full: {count} tests run whole in make test and did not run here")
    else:
        terminalreporter.line(f"make test: {count} tests were left out; they run in make test-full")


def _wanted(item: pytest.Item) -> bool:
    if not is_full():
        return item.get_closest_marker("full") is None
    drawn = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
    return bool(drawn or item.get_closest_marker("full") or item.get_closest_marker("sampled"))
