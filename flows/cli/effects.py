"""`dealflow effects`: what was written at the vendors, and letting a quarantined write be tried again."""

from typing import Any, Literal

from cyclopts import App

from flows.cli.output import Json, Limit, Refused, read_ledger, say, show_rows, write_ledger

effects_app = App(name="effects")

EffectState = Literal["intended", "not_done", "unknown", "done", "refused", "quarantined"]


@effects_app.command(name="list")
def effects_list(
    *,
    state: list[EffectState] | None = None,
    deal: str | None = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """Outward writes, newest first."""
    from flows.ledger import effects

    async def read(tx: Any) -> list[dict[str, Any]]:
        rows = await effects.listing(tx, states=state or (), deal_id=deal, limit=limit)
        return [
            {"key": e.key, "state": e.state, "tries": e.attempts, "result": e.result, "why": e.reason}
            for e in rows
        ]

    show_rows(read_ledger(read), as_json)


@effects_app.command(name="release")
def effects_release(key: str, *, why: str) -> None:
    """You checked that a quarantined write is not at the vendor: it may be tried again (after one more check).

    Parameters
    ----------
    key
        The write's key, as `dealflow effects list --state quarantined` shows it.
    why
        Who checked, and what they saw: kept in the ledger.
    """
    from flows.ledger import effects

    async def free(tx: Any) -> bool:
        return await effects.release(tx, key, why=why)

    if not write_ledger(free):
        raise Refused(f"no quarantined write has the key {key!r}")
    say("released: retry its event with `dealflow inbox retry`, or wait for the next event of the deal")
