"""Which tests share a process of pytest-xdist: those of one file, those that need the Prefect server, the rehearsal's.

(`--dist loadgroup` would say this with marks; pytest-xdist 3.8 does not keep groups together under pytest 9.)
"""

from typing import Any

import pytest

ON_PREFECT = {
    "tests/acceptance/test_database_trouble.py",
    "tests/acceptance/test_explain_deals.py",
    "tests/acceptance/test_main_path.py",
    "tests/acceptance/test_prefect_pins.py",
    "tests/acceptance/test_setup.py",
    "tests/flows/worker/test_dead_letters.py",
}

REHEARSAL = "tests/flows/trials/rehearsal/"
"""These files read one rehearsal, which takes 20 s of CPU."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order; and a file that needs the server and is not in the list would start a second one."""
    served = {i.nodeid.split("::")[0] for i in items if "prefect_server" in getattr(i, "fixturenames", ())}
    if stray := served - ON_PREFECT:
        raise pytest.UsageError(f"add to ON_PREFECT in tests/scheduling.py: {', '.join(sorted(stray))}")
    # What is long and stays together begins first: nobody shall wait for it at the end.
    items.sort(key=lambda item: not item.nodeid.startswith(("tests/acceptance/", REHEARSAL)))


class XdistHooks:
    """Known only where pytest-xdist is."""

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """With --dist loadfile, by file and server."""
        if config.getoption("dist") != "loadfile":
            return None
        from xdist.scheduler import LoadScopeScheduling

        class Together(LoadScopeScheduling):
            def _split_scope(self, nodeid: str) -> str:
                file = nodeid.split("::")[0]
                if file in ON_PREFECT:
                    return "the Prefect server"
                return REHEARSAL if file.startswith(REHEARSAL) else file

        return Together(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Without pytest-xdist there is nothing to share out."""
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(XdistHooks())
