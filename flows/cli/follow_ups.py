"""`dealflow follow-ups`: which deals were followed up and how, and which are listed for disqualification."""

from typing import Annotated, Any

from cyclopts import App, Parameter

from flows.cli.output import Json, Limit, read_ledger, show_rows

follow_ups_app = App(name="follow-ups")


@follow_ups_app.command(name="list")
def follow_ups_list(
    *,
    flagged: Annotated[bool, Parameter(help="Deals listed for disqualification, the longest first.")] = False,
    deal: str | None = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """Follow-ups, newest first: of which stay in which stage, what was done, and what was unmet then."""
    from flows.ledger import follow_ups

    async def read(tx: Any) -> list[dict[str, Any]]:
        if flagged:
            found = [row for row in await follow_ups.flagged(tx) if deal in (None, row.deal_id)][:limit]
        else:
            found = await follow_ups.listing(tx, deal_id=deal, limit=limit)
        return [_shown(row, as_json) for row in found]

    show_rows(read_ledger(read), as_json)


def _shown(row: Any, as_json: bool) -> dict[str, Any]:
    done = [f"{what}: {record}" for what, record, _ in row.done]
    return {
        "deal": row.deal_id,
        "stage": row.stage,
        "since": f"{row.entered_at:%Y-%m-%d}",
        "number": row.number,
        "when": f"{row.begun_at:%Y-%m-%d %H:%M}",
        "unmet": list(row.unmet) if as_json else ", ".join(row.unmet),
        "flag": _flag(row),
        "done": list(row.done) if as_json else "; ".join(done) if row.ended_at else "not finished yet",
    }


def _flag(row: Any) -> str | None:
    if not row.flagged:
        return None
    return f"taken back: {row.cleared_why}" if row.cleared_at else "disqualify?"
