"""What a reconciliation finds: an event for the flow that owns the deal, or something for a person."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from flows.ledger.contracts import Contract
from flows.ledger.inbox import NewEvent
from flows.services import Services

SOURCE = "reconcile"
LOOK_BACK = timedelta(days=90)
_SHOWN = 200


@dataclass(frozen=True)
class Finding:
    """One thing that does not fit, in ids only. With `event` a flow fixes it; `fixed`: it was fixed at once."""

    what: str
    deal_id: str | None = None
    request_id: str | None = None
    event: NewEvent | None = None
    fixed: bool = False

    @property
    def then(self) -> str:
        """What became of it."""
        if self.fixed:
            return "fixed"
        return f"put into the inbox as {self.event.kind}" if self.event else "**look at it**"


@dataclass(frozen=True)
class Books:
    """The ledger's side, read after the vendors': what has changed since the first reading is left out.

    `effects`: state by key. `open_rows`: (deal, kind) that the inbox will handle. `moving`: deals that are being
    worked on, of which nothing is said until that has ended. `esign`: the e-signature vendor's name for people.
    """

    contracts: tuple[Contract, ...]
    effects: Mapping[str, str]
    open_rows: frozenset[tuple[str, str]]
    moving: frozenset[str]
    now: datetime
    esign: str

    def is_done(self, *keys: str) -> bool:
        """Whether one of these effects is done."""
        return any(self.effects.get(key) == "done" for key in keys)

    def waits(self, deal_id: str, *kinds: str) -> bool:
        """Whether the inbox holds an open event of such a kind about the deal."""
        return any((deal_id, kind) in self.open_rows for kind in kinds)

    def ask(self, contract: Contract, kind: str, why: str, **content: Any) -> NewEvent:
        """An event in the deal's lane; the same finding on the same day is the same event."""
        return NewEvent(
            source=SOURCE,
            key=f"contract:{contract.id}:{why}:{self.now:%Y-%m-%d}",
            kind=kind,
            lane=f"deal:{contract.deal_id}",
            content={"by": SOURCE, **content},
            deal_id=contract.deal_id,
        )


@dataclass
class Reconciled:
    """What a reconciliation compared, found and removed."""

    compared: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    removed: dict[str, int] = field(default_factory=dict)

    def count(self, then: str) -> int:
        """How many findings were fixed (`mended`), `asked` for in the inbox, or are left to `look` at."""
        return sum(_kind(finding) == then for finding in self.findings)

    @property
    def summary(self) -> str:
        """One line."""
        compared = ", ".join(f"{n} {name}" for name, n in self.compared.items())
        parts = [
            f"{self.count('mended')} fixed",
            f"{self.count('asked')} put into the inbox",
            f"{self.count('look')} to look at",
        ]
        removed = ", ".join(f"{n} {name}" for name, n in self.removed.items() if n)
        return f"compared {compared}: {', '.join(parts)}" + (f"; removed {removed}" if removed else "")

    def report(self, s: Services) -> str:
        """As Markdown: what a person has to look at comes first."""
        rows = [("compared", name, n) for name, n in self.compared.items()]
        rows += [("removed, too old to keep", name, n) for name, n in self.removed.items()]
        lines = ["| | | |", "|---|---|---|", *(f"| {does} | {name} | {n} |" for does, name, n in rows)]
        if not self.findings:
            return "\n".join([*lines, "", "Everything fits."])
        lines += ["", "| Found | Deal | Request | Then |", "|---|---|---|---|"]
        ordered = sorted(self.findings, key=lambda f: _kind(f) != "look")
        for one in ordered[:_SHOWN]:
            deal = f"[{one.deal_id}]({s.deal_url(one.deal_id)})" if one.deal_id else ""
            request = f"[{one.request_id}]({s.request_url(one.request_id)})" if one.request_id else ""
            lines.append(f"| {one.what} | {deal} | {request} | {one.then} |")
        if len(ordered) > _SHOWN:
            lines += ["", f"And {len(ordered) - _SHOWN} more: `dealflow reconcile` lists them all."]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """For `dealflow reconcile --json`."""
        return {
            "compared": self.compared,
            "removed": self.removed,
            "findings": [
                {"what": f.what, "deal": f.deal_id, "request": f.request_id, "then": _kind(f)}
                for f in self.findings
            ],
        }


def _kind(finding: Finding) -> str:
    """What became of it, as `--json` names it: these three words are others' to rely on."""
    if finding.fixed:
        return "mended"
    return "asked" if finding.event else "look"
