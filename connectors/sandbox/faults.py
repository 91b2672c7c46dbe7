"""Faults on demand: per endpoint, seeded, counted. A test adds one, the stand-in applies it."""

import asyncio
import random
import re
from dataclasses import asdict, dataclass, field
from typing import Literal

FaultKind = Literal[
    "status",  # answer with `status` before doing anything
    "status_after",  # do the work, then answer with `status`: the caller cannot see the commit
    "reset_before",  # drop the connection before doing anything
    "reset_after",  # do the work, then drop the connection
    "timeout_before",  # hang for `delay_s`, then drop the connection, nothing done
    "timeout_after",  # do the work, then hang for `delay_s` and drop the connection
    "slow",  # wait `delay_s`, then answer normally
    "drip",  # the normal answer, one byte at a time over `delay_s`
    "html",  # do nothing, answer `status` with an HTML page, as a proxy would
    "truncated",  # do the work, answer with the first half of the JSON
    "odd_fields",  # do the work, answer with unknown fields added
    "odd_types",  # the same at every level, with numbers as text and records' number-like ids as numbers
]


@dataclass
class Fault:
    """One fault. `times` counts down; None means always. `probability` uses the seeded random generator."""

    kind: FaultKind
    path: str = ".*"  # regular expression, searched in the request path
    method: str = "*"
    caller: str = ""  # only requests whose Authorization the request log shows as this; empty: all
    status: int = 503
    times: int | None = 1
    after: int = 0  # let this many matching requests through first
    probability: float = 1.0
    delay_s: float = 5.0
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, object] | None = None  # instead of the vendor's own error body
    id: int = 0
    hits: int = 0

    def matches(self, method: str, path: str, caller: str = "") -> bool:
        """Whether this fault applies to such a request and is not used up."""
        if self.times is not None and self.times <= 0:
            return False
        if self.caller and self.caller != caller:
            return False
        return self.method in ("*", method) and re.search(self.path, path) is not None


class Faults:
    """The faults of one stand-in, in order; the first match applies."""

    def __init__(self, seed: int = 0) -> None:
        self._dice = random.Random(seed)
        self._faults: list[Fault] = []
        self._next_id = 1

    def seed(self, seed: int) -> None:
        """Make random choices repeatable from here on (used by reset)."""
        self._dice = random.Random(seed)

    def plant(self, fault: Fault) -> Fault:
        """Add a fault and return it with its id."""
        re.compile(fault.path)
        fault.id = self._next_id
        self._next_id += 1
        self._faults.append(fault)
        return fault

    def pick(self, method: str, path: str, caller: str = "") -> Fault | None:
        """The fault for this request, if any; counts it."""
        for fault in self._faults:
            if not fault.matches(method, path, caller):
                continue
            if fault.after > 0:
                fault.after -= 1
                continue
            if fault.probability < 1.0 and self._dice.random() >= fault.probability:
                continue
            fault.hits += 1
            if fault.times is not None:
                fault.times -= 1
            return fault
        return None

    def list(self) -> list[dict[str, object]]:
        """All faults with their hits."""
        return [asdict(f) for f in self._faults]

    def kept(self) -> dict[str, object]:
        """Everything, for a snapshot."""
        return dict(vars(self))

    def take_back(self, kept: dict[str, object]) -> None:
        """What a snapshot kept."""
        vars(self).update(kept)

    def clear(self) -> None:
        """Remove all faults."""
        self._faults.clear()


async def hang(delay_s: float) -> None:
    """Keep a caller waiting, in real seconds, because time-outs use the caller's clock."""
    await asyncio.sleep(delay_s)
