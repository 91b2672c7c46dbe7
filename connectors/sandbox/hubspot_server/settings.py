"""The settings of an account that a test may change: see `PUT /_sandbox/limits` and `PUT /_sandbox/portal-rules`."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Settings:
    """Search lag in virtual seconds, an administrator's rules, and choices that HubSpot leaves undocumented."""

    search_lag_s: float = 2.0
    echo_trace_ids: bool = True
    merge_makes_new_record: bool = False
    required: dict[str, list[str]] = field(default_factory=dict)
    conditional: list[dict[str, Any]] = field(default_factory=list)
    missing_scopes: list[str] = field(default_factory=list)
