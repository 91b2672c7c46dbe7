"""`dealflow guard`: deals that were moved past their gate, and what named persons allow all the same."""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter, validators

from flows.cli.output import (
    Json,
    Limit,
    Refused,
    WrongUsage,
    read_ledger,
    run_async,
    say,
    settings_now,
    show_rows,
    write_ledger,
)

guard_app = App(name="guard")

Found = Literal["passed", "skipped", "unproven", "overridden", "fight"]
_NOT_PASSED = ("skipped", "unproven", "overridden", "fight")
_LONGEST_DAYS = 90


@guard_app.command(name="list")
def guard_list(
    *, found: list[Found] | None = None, deal: str | None = None, limit: Limit = 50, as_json: Json = False
) -> None:
    """Stage entries as they were judged, newest first; those that passed only when asked for with --found passed.

    Parameters
    ----------
    found
        skipped (stages left out, all proof there), unproven, overridden, fight (automations back and forth), passed.
    deal
        Only this deal's.
    """
    from flows.ledger import stage_checks

    async def read(tx: Any) -> list[dict[str, Any]]:
        rows = await stage_checks.listing(tx, found=found or _NOT_PASSED, deal_id=deal, limit=limit)
        return [
            {
                "deal": c.deal_id,
                "entered": f"{c.entered_at:%Y-%m-%d %H:%M:%S}",
                "stage": c.stage,
                "from": c.came_from,
                "found": c.found,
                "missing": list(c.missing) if as_json else ", ".join(c.missing),
                "skipped": list(c.skipped) if as_json else ", ".join(c.skipped),
                "moved by": c.mover,
                "mode": c.mode,
                "done": _done(c),
            }
            for c in rows
        ]

    show_rows(read_ledger(read), as_json)


def _done(check: Any) -> str:
    """What was done about it, with the ids of what was written."""
    if check.settled_at is None:
        return "under way"
    result = dict(check.result or {})
    parts = ["moved back to " + check.back_to] if result.pop("moved_back", False) else []
    parts += [f"{name} {ident}" for name, ident in result.items() if name != "moved_back"]
    if check.override_id is not None:
        parts.append(f"override {check.override_id}")
    return ", ".join(parts) or "counted"


@guard_app.command(name="override")
def guard_override(
    deal: str,
    *,
    stage: str,
    by: str,
    why: str,
    days: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=_LONGEST_DAYS))] = 14,
    as_json: Json = False,
) -> None:
    """A named person lets a deal stand in a stage without proof, for a reason, for some days. It is counted.

    The deal is not moved back and its owner not told. A contract is not sent because of it: what dealflow does itself
    is always gated.

    Parameters
    ----------
    deal
        HubSpot's id of the deal.
    stage
        The stage's key in the process file.
    by
        Who allows it: name or e-mail address of a person.
    why
        The reason, for those who ask later.
    days
        For how long.
    """
    from flows.gates.explain import explain_deal
    from flows.ledger import stage_checks
    from flows.services import open_services

    person, reason = _said(by, "--by", 2, 200), _said(why, "--why", 8, 2000)
    settings = settings_now()

    async def go() -> tuple[Any, tuple[str, ...]]:
        s = await open_services(settings)
        try:
            found = await explain_deal(s, deal, stage)  # raises when there is no such deal or stage
            now = s.clock()
            async with s.ledger.write() as tx:
                granted = await stage_checks.grant(
                    tx,
                    deal_id=found.explanation.deal_id,
                    stage=stage,
                    person=person,
                    reason=reason,
                    now=now,
                    expires_at=now + timedelta(days=days),
                )
            return granted, tuple(v.criterion for v in found.explanation.verdicts if not v.met)
        finally:
            await s.close()

    granted, missing = run_async(go())
    if as_json:
        show_rows([_row(granted, 0)], True)
        return
    without = f"without {', '.join(missing)}" if missing else "(nothing is missing now)"
    say(
        f"override {granted.id}: deal {deal} may stand in {stage} {without} until {granted.expires_at:%Y-%m-%d}"
    )


@guard_app.command(name="overrides")
def guard_overrides(*, deal: str | None = None, limit: Limit = 50, as_json: Json = False) -> None:
    """Overrides, newest first: who gave them and why, until when, and how many stage entries each let pass."""
    from flows.ledger import stage_checks
    from flows.services import utc_now

    async def read(tx: Any) -> list[dict[str, Any]]:
        now = utc_now()
        rows = await stage_checks.overrides_of(tx, deal_id=deal, limit=limit)
        return [{**_row(o, used), "in force": o.in_force(now)} for o, used in rows]

    show_rows(read_ledger(read), as_json)


@guard_app.command(name="revoke")
def guard_revoke(override_id: int, *, by: str) -> None:
    """Take an override back: from now on the deal is judged as any other.

    Parameters
    ----------
    override_id
        As `dealflow guard overrides` shows it.
    by
        Who takes it back.
    """
    from flows.ledger import stage_checks
    from flows.services import utc_now

    person = _said(by, "--by", 2, 200)

    async def write(tx: Any) -> bool:
        return await stage_checks.revoke(tx, override_id, person=person, now=utc_now())

    if not write_ledger(write):
        raise Refused(f"no override {override_id} is in force: see `dealflow guard overrides`")
    say(f"override {override_id} taken back")


def _said(text: str, option: str, shortest: int, longest: int) -> str:
    """What a person wrote, on one line. Raises WrongUsage when it says nothing."""
    plain = re.sub(r"\s+", " ", text).strip()
    if not shortest <= len(plain) <= longest or not re.search(r"\w", plain):
        raise WrongUsage(f"{option}: say it in {shortest} to {longest} characters")
    return plain


def _row(o: Any, used: int) -> dict[str, Any]:
    return {
        "id": o.id,
        "deal": o.deal_id,
        "stage": o.stage,
        "by": o.person,
        "why": o.reason,
        "granted": f"{o.granted_at:%Y-%m-%d %H:%M}",
        "until": f"{o.expires_at:%Y-%m-%d %H:%M}",
        "used": used,
        "revoked": f"{o.revoked_at:%Y-%m-%d %H:%M} by {o.revoked_by}" if o.revoked_at else None,
    }
