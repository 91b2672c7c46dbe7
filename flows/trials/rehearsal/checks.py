"""The promises, checked on the stand-ins' own records after the rehearsal (never on the product's own view)."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flows.deals.activities import Happened
from flows.hand_over.debrief import TITLE
from flows.rules.criteria.deal_facts import Quote
from flows.rules.criteria.judge import DealFacts, entered_at, gate, unmet
from flows.trials.rehearsal.play import Played

_ENDED_WORDS = ("Declined", "Expired", "Cancelled", "Failed", "Completed")


@dataclass(frozen=True)
class Broken:
    """A broken promise, and where."""

    promise: str
    deal_id: str
    what: str


@dataclass(frozen=True)
class Check:
    """One promise: how many things were checked, and which of them broke it."""

    promise: str
    looked_at: int
    broken: tuple[Broken, ...]


def check(played: Played) -> tuple[Check, ...]:
    """All promises, in a fixed order."""
    return (
        _check(played, "no deal has two live contracts", _two_live, len(_by_deal(played.requests))),
        _check(played, "every signed contract's PDF is filed, byte for byte", _unfiled, _signed(played)),
        _check(
            played, "no contract went out before the deal met its criteria", _too_early, len(played.requests)
        ),
        _check(played, "no note stands twice on a deal", _double_notes, len(played.notes)),
        _check(played, "every won deal is handed over, and once only", _handed_over, len(played.deals)),
        _check(played, "every lead is on a deal, and on one only", _lost_leads, played.leads),
    )


def _check(
    played: Played, promise: str, find: Callable[[Played], Iterable[tuple[str, str]]], looked_at: int
) -> Check:
    return Check(promise, looked_at, tuple(Broken(promise, deal, what) for deal, what in find(played)))


def _by_deal(requests: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for request in requests:
        found[str(request["metadata"].get("deal_id", ""))].append(request)
    return dict(found)


def _signed(played: Played) -> int:
    return sum(r["phase"] == "complete" for r in played.requests)


def _two_live(played: Played) -> Iterable[tuple[str, str]]:
    """Contracts that were live at the same time: from sending until they end unsigned; a signed one stays live."""
    for deal_id, requests in _by_deal(played.requests).items():
        spans = sorted((r["created_at"], _ended_at(r), r["signature_request_id"]) for r in requests)
        for (_, ended, one), (begun, _, other) in itertools.pairwise(spans):
            if begun < ended:
                yield deal_id, f"request {other} was sent while {one} was still live"


def _ended_at(request: Mapping[str, Any]) -> float:
    if request["phase"] == "complete":
        return float("inf")
    return next(
        (row["at"] for row in request["history"] if row["text"].startswith(_ENDED_WORDS)), float("inf")
    )


def _unfiled(played: Played) -> Iterable[tuple[str, str]]:
    deals = {d["id"]: d for d in played.deals}
    files = {f["id"]: f for f in played.files}
    for request in played.requests:
        if request["phase"] != "complete":
            continue
        deal_id = str(request["metadata"].get("deal_id", ""))
        filed = deals.get(deal_id, {}).get("properties", {}).get("dealflow_signed_file_id", "")
        file = files.get(filed)
        if file is None:
            yield deal_id, f"request {request['signature_request_id']} is signed, and no PDF is on the deal"
        elif file["sha256"] != request["signed_sha256"]:
            yield deal_id, f"file {filed} is not the PDF that Dropbox Sign returned"


def _too_early(played: Played) -> Iterable[tuple[str, str]]:
    """The gate as it stood when each contract was sent, from the records' history."""
    stage = played.process.stage_for("send_contract")
    deals = {d["id"]: d for d in played.deals}
    for request in played.requests:
        deal_id = str(request["metadata"].get("deal_id", ""))
        if stage is None or deal_id not in deals:
            yield deal_id, f"request {request['signature_request_id']} is on no known deal"
            continue
        facts = _facts_at(played, deals[deal_id], request["created_at"])
        if facts.stage != stage.key:
            yield deal_id, f"request {request['signature_request_id']}: the deal was in {facts.stage}"
        for verdict in unmet(gate(played.process, stage.key, facts)):
            yield deal_id, f"request {request['signature_request_id']}: {verdict.says}: {verdict.missing}"


def _facts_at(played: Played, deal: Mapping[str, Any], at_s: float) -> DealFacts:
    """The deal at that time. Associations have no history in HubSpot: for roles the reps' diary has the time."""
    case = next((c for c in played.cases if c.deal_id == deal["id"]), None)
    moment = datetime.fromtimestamp(at_s + 1, UTC)
    properties = {name: _value_at(versions, moment) for name, versions in deal["history"].items()}
    contacts: dict[str, frozenset[str]] = {
        link["id"]: frozenset() for link in deal["associations"].get("contacts", [])
    }
    for (contact_id, role), labelled_at in case.labelled_at.items() if case else ():
        if labelled_at <= moment and contact_id in contacts:
            contacts[contact_id] |= {role}
    items = {i["id"]: i["properties"].get("createdate", "") for i in played.line_items}
    proposals = [
        f
        for f in played.files
        if str(f["name"]).startswith(f"proposal-{deal['id']}-") and _instant(f["createdAt"]) <= moment
    ]
    quotes = {
        q["id"]: q["properties"]
        for q in played.quotes
        if _instant(q["properties"]["hs_createdate"]) <= moment
    }
    stage_id = properties.get("dealstage")
    happened = played.happened.get(deal["id"], Happened())
    return DealFacts(
        deal_id=deal["id"],
        stage=next((k for k, i in played.stage_ids.items() if i == stage_id), None),
        properties=properties,
        contacts=contacts,
        companies=frozenset(link["id"] for link in deal["associations"].get("companies", [])),
        line_items=frozenset(
            link["id"]
            for link in deal["associations"].get("line_items", [])
            if items.get(link["id"]) and _instant(items[link["id"]]) <= moment
        ),
        documents=frozenset({"proposal"} if proposals else ()),
        activities=happened.activities,
        objections=happened.objections,
        quotes=tuple(
            Quote(link["id"], quotes[link["id"]].get("hs_status") == "ACCEPTED")
            for link in deal["associations"].get("quotes", [])
            if link["id"] in quotes
        ),
        entered=entered_by(played, deal, moment),
        read_at=moment,
    )


def entered_by(played: Played, deal: Mapping[str, Any], moment: datetime) -> dict[str, datetime]:
    """When the deal entered each stage, up to that moment."""
    keys = {stage_id: key for key, stage_id in played.stage_ids.items()}
    past = [(keys.get(v["value"]), _instant(v["timestamp"])) for v in deal["history"].get("dealstage", ())]
    entries = [(key, at) for key, at in past if key is not None and at <= moment]
    return entered_at(played.process, entries[-1][0] if entries else None, entries)


def _value_at(versions: Iterable[Mapping[str, Any]], moment: datetime) -> str | None:
    value = None
    for version in versions:
        if _instant(version["timestamp"]) <= moment:
            value = version["value"]
    return value


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _double_notes(played: Played) -> Iterable[tuple[str, str]]:
    seen: set[tuple[str, str]] = set()
    for note in played.notes:
        for link in note["associations"].get("deals", []):
            key = (link["id"], note["properties"].get("hs_note_body", ""))
            if key in seen:
                yield link["id"], f"note {note['id']} repeats another note"
            seen.add(key)


def is_debrief(note: Mapping[str, Any]) -> bool:
    """Whether a note is the debrief of a hand-over."""
    return str(note["properties"].get("hs_note_body") or "").startswith(f"<p>{TITLE}</p>")


def _handed_over(played: Played) -> Iterable[tuple[str, str]]:
    """A deal in won must have one debrief; a deal never in won none; and at most one follow-on deal."""
    won, wanted = played.stage_ids[played.process.won.key], played.process.stage_for("hand_over") is not None
    found = Counter(
        link["id"]
        for note in played.notes
        if is_debrief(note)
        for link in note["associations"].get("deals", [])
    )
    for deal in played.deals:
        ever = any(version["value"] == won for version in deal["history"].get("dealstage", []))
        least = int(wanted and deal["properties"].get("dealstage") == won)
        if not least <= found[deal["id"]] <= int(ever):
            yield deal["id"], f"it was handed over {found[deal['id']]} times"
    follow_ons = Counter(d["properties"]["dealflow_lead_key"] for d in played.follow_ons)
    for key, times in follow_ons.items():
        if times > 1:
            yield key.partition(":")[2], f"{times} follow-on deals"


def _lost_leads(played: Played) -> Iterable[tuple[str, str]]:
    """Each lead must have made one deal (which has its key) or joined one (which has a note)."""
    keys = [d["properties"].get("dealflow_lead_key") for d in played.deals]
    for key in {k for k in keys if k and keys.count(k) > 1}:
        yield "", f"{key} made more than one deal"
    joined = sum("New inbound inquiry" in (n["properties"].get("hs_note_body") or "") for n in played.notes)
    if len(played.deals) + joined != played.leads:
        yield "", f"{played.leads} leads came in: {len(played.deals)} deals and {joined} joined ones"
