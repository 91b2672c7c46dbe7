"""Keeps a stand-in as it stands, under a name, and brings it back: many tests start from one set-up.

A snapshot is taken at rest: what is under way (a delivery, a timer of an open signature request) cannot be kept.
"""

import io
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.sandbox.clock import Mark
from connectors.sandbox.deliveries import Build
from connectors.sandbox.world import Bench

MOST = 20


class NotAtRest(Exception):
    """Something is under way, so no snapshot can be taken. The text says what."""


@dataclass(frozen=True)
class _Kept:
    state: bytes
    builds: dict[int, Build]
    clock: Mark


@dataclass(frozen=True)
class Parts:
    """What a vendor's stand-in says about itself: its state, how to put one back, and what is under way."""

    state: Callable[[], object]
    put_back: Callable[[Any], None]
    under_way: Callable[[], str]
    shared: Sequence[object] = ()  # constants that stay the same objects


class Snapshots:
    """The snapshots of one stand-in, the last twenty. A reset does not forget them."""

    def __init__(self, bench: Bench, parts: Parts) -> None:
        self._bench = bench
        self._parts = parts
        # These outlive every state: a snapshot refers to them and does not copy them.
        self._lasting = [bench, bench.clock, bench.dice, bench.deliveries, *parts.shared]
        self._kept: dict[str, _Kept] = {}

    def take(self, name: str) -> None:
        """Keep everything under this name. Raises NotAtRest."""
        open_now = self._bench.deliveries.open
        reason = f"{open_now} deliveries are open" if open_now else self._parts.under_way()
        if reason:
            raise NotAtRest(f"no snapshot: {reason}")
        bench = self._bench
        content = {
            "log": bench.log.kept(),
            "faults": bench.faults.kept(),
            "deliveries": bench.deliveries.kept(),
            "dice": bench.dice.getstate(),
            "state": self._parts.state(),
        }
        self._kept.pop(name, None)
        self._kept[name] = _Kept(self._frozen(content), bench.deliveries.builds(), bench.clock.mark())
        while len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]

    def restore(self, name: str) -> None:
        """Everything as it was, virtual time too. Raises KeyError for an unknown name."""
        kept, bench = self._kept[name], self._bench
        content = self._thawed(kept.state)
        bench.log.take_back(content["log"])
        bench.faults.take_back(content["faults"])
        bench.deliveries.take_back(content["deliveries"], kept.builds)
        bench.dice.setstate(content["dice"])
        bench.clock.go_back(kept.clock)
        self._parts.put_back(content["state"])

    def _frozen(self, content: object) -> bytes:
        places = {id(each): at for at, each in enumerate(self._lasting)}

        class Pickler(pickle.Pickler):
            def persistent_id(self, obj: Any) -> int | None:
                return places.get(id(obj))

        out = io.BytesIO()
        Pickler(out, pickle.HIGHEST_PROTOCOL).dump(content)
        return out.getvalue()

    def _thawed(self, state: bytes) -> dict[str, Any]:
        lasting = self._lasting

        class Unpickler(pickle.Unpickler):
            def persistent_load(self, pid: Any) -> object:
                return lasting[pid]

        found: dict[str, Any] = Unpickler(io.BytesIO(state)).load()  # our own bytes, never left this process
        return found
