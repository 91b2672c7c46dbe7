"""The product without one safeguard, to prove that the matrix detects it."""

from collections.abc import Callable
from typing import Any

from flows.ledger import effects


def _no_intent_first() -> None:
    """Store the intent only after the write was tried."""

    async def perform(writer: Any, *, key: str, attempt: Any, token: str | None = None, **more: Any) -> Any:
        async with writer.ledger.read() as tx:
            known = await effects.by_key(tx, key)
        if known is not None and known.state == "done":
            return known.result or {}
        result = await attempt(token or writer.new_token())
        effect, _ = await effects._intend(
            writer, key=key, kind=more["kind"], deal_id=more.get("deal_id"), token=token
        )
        await effects._settle(writer, effect, "done", result=result)
        return result

    _everywhere(perform)


def _no_check_before_repeat() -> None:
    """Repeat a write with an unknown outcome without a check."""
    real = effects.perform

    async def perform(writer: Any, *, find: Any, **more: Any) -> Any:
        async def blind(_token: str) -> None:
            return None

        return await real(writer, find=blind, **{**more, "plan": effects.Plan()})

    _everywhere(perform)


def _everywhere(perform: Any) -> None:
    import flows.contracts.send_contract
    import flows.deals.writes

    for module in (flows.deals.writes, flows.contracts.send_contract):
        module.perform = perform  # type: ignore[attr-defined]


MUTANTS: dict[str, Callable[[], None]] = {
    "no-intent-first": _no_intent_first,
    "no-check-before-repeat": _no_check_before_repeat,
}
