"""What an event or a scheduled run came to, in words for people: artifacts, the ops page and the log show it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Step:
    """One thing that was done (or found done), to which record, and why. Ids only, no personal data."""

    what: str
    record: str
    why: str


@dataclass(frozen=True)
class Outcome:
    """How an event ended. `held` is a business "no": nothing was changed, `reasons` say what is missing, and it is
    looked at again when the deal changes. `dead`: a person must look; what comes after it goes on.
    """

    state: Literal["done", "ignored", "held", "dead"]
    summary: str
    deal_id: str | None = None
    steps: tuple[Step, ...] = ()
    reasons: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For the ledger."""
        return {
            "summary": self.summary,
            "steps": [[s.what, s.record, s.why] for s in self.steps],
            "reasons": list(self.reasons),
            "links": dict(self.links),
        }


@dataclass(frozen=True)
class Artifact:
    """A page that a run leaves in the Prefect UI. `key` is stored data: never rename one. Ids only."""

    key: str
    description: str
    markdown: str


@dataclass(frozen=True)
class Finished:
    """How a run without events ended. `state`: Completed, Failed, or the name of a completed state that asks for a
    person's attention.
    """

    message: str
    artifacts: tuple[Artifact, ...] = ()
    state: Literal["Completed", "Failed", "LookAt", "Unproven"] = "Completed"


def ignored(why: str) -> Outcome:
    """Nothing of ours, or nothing to do."""
    return Outcome("ignored", why)
