"""The properties that HubSpot calculates: closed flags, probability, stage timing, amounts.

Source: https://knowledge.hubspot.com/properties/stage-calculated-properties and facts section 7. Times in a
stage are milliseconds as text. The suffixes that HubSpot may add for numeric stage ids are not imitated.
"""

from decimal import Decimal, InvalidOperation

from connectors.sandbox.hubspot_server.records.pipelines import Stage
from connectors.sandbox.hubspot_server.records.record import Record
from connectors.sandbox.hubspot_server.times import instant, to_ms

TIMING = (
    ("hs_v2_date_entered_", "datetime", "Date entered"),
    ("hs_v2_date_exited_", "datetime", "Date exited"),
    ("hs_v2_latest_time_in_", "number", "Latest time in"),
    ("hs_v2_cumulative_time_in_", "number", "Cumulative time in"),
    ("hs_date_entered_", "datetime", "Date entered (legacy)"),
    ("hs_date_exited_", "datetime", "Date exited (legacy)"),
    ("hs_time_in_", "number", "Time in (legacy)"),
)


def stage_moved(record: Record, old: str, new: str, at_ms: int) -> dict[str, str]:
    """Timing values after a deal went from `old` (empty when new) to `new` at `at_ms`."""
    found: dict[str, str] = {}
    moment = instant(at_ms)
    if old:
        entered = record.values.get(f"hs_v2_date_entered_{old}")
        spent = at_ms - to_ms(entered) if entered else 0
        before = int(record.values.get(f"hs_v2_cumulative_time_in_{old}", "0"))
        found[f"hs_v2_date_exited_{old}"] = found[f"hs_date_exited_{old}"] = moment
        found[f"hs_v2_latest_time_in_{old}"] = str(spent)
        found[f"hs_v2_cumulative_time_in_{old}"] = found[f"hs_time_in_{old}"] = str(before + spent)
    if new:
        found[f"hs_v2_date_entered_{new}"] = found[f"hs_date_entered_{new}"] = moment
        found[f"hs_v2_date_exited_{new}"] = found[f"hs_date_exited_{new}"] = ""
        found["hs_v2_date_entered_current_stage"] = moment
    return found


def deal_values(record: Record, stage: Stage | None) -> dict[str, str]:
    """Closed flags, probability and amounts of a deal in `stage`."""
    if stage is None:
        return {}
    lost = stage.closed and not stage.won
    amount = number(record.values.get("amount"))
    probability = number(stage.probability) or Decimal(0)
    found = {
        "hs_is_closed": _flag(stage.closed),
        "hs_is_closed_won": _flag(stage.won),
        "hs_is_closed_lost": _flag(lost),
        "hs_is_closed_count": "1" if stage.closed else "0",
        "hs_is_open_count": "0" if stage.closed else "1",
        "hs_deal_stage_probability": stage.probability,
        "hs_closed_amount": plain(amount or Decimal(0)) if stage.won else "0",
        "hs_projected_amount": "" if amount is None else plain(amount * probability),
        "hs_forecast_amount": "" if amount is None else plain(amount),
        "amount_in_home_currency": "" if amount is None else plain(amount),
    }
    closed_at, created_at = record.values.get("closedate"), record.values.get("createdate")
    if closed_at and created_at:
        days = max(0, (to_ms(closed_at) - to_ms(created_at)) // 86_400_000)
        found["days_to_close"] = str(days)
    return found


def line_item_values(record: Record) -> dict[str, str]:
    """Net amount and discount of a line item."""
    price = number(record.values.get("price"))
    if price is None:
        return {"amount": "", "hs_total_discount": ""}
    quantity = number(record.values.get("quantity")) or Decimal(1)
    gross = price * quantity
    percent = number(record.values.get("hs_discount_percentage"))
    unit = number(record.values.get("discount"))
    discount = gross * percent / 100 if percent else (unit or Decimal(0)) * quantity
    return {"amount": plain(gross - discount), "hs_total_discount": plain(discount)}


def task_values(record: Record, at_ms: int) -> dict[str, str]:
    """Completion of a task."""
    done = record.values.get("hs_task_status") == "COMPLETED"
    when = record.values.get("hs_task_completion_date") or instant(at_ms)
    return {
        "hs_task_is_completed": "1" if done else "0",
        "hs_task_completion_date": when if done else "",
    }


def number(text: str | None) -> Decimal | None:
    """A stored number, or None when empty or not a number."""
    try:
        return Decimal(text) if text else None
    except InvalidOperation:
        return None


def plain(value: Decimal) -> str:
    """A number without exponent and without trailing zeros after the point."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _flag(value: bool) -> str:
    return "true" if value else "false"
