"""The limits and delays that `PUT /_sandbox/limits` changes; a missing field keeps its value."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Knobs(BaseModel):
    """Limits per minute of real time, delays in virtual seconds, durations of calls in real seconds.

    The vendor's own limits are 100, 25 and 10 calls a minute (help.dropbox.com, 2025-12-04). The
    defaults are generous so that a demo does not wait; a test of limits sets the true ones.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    standard: int = Field(1000, ge=0)
    high: int = Field(1000, ge=0)
    test: int = Field(1000, ge=0)
    search_lag_s: float = Field(2.0, ge=0)
    processing_s: float = Field(0.2, ge=0)
    downloadable_s: float = Field(0.5, ge=0)
    downloadable_early: bool = False
    cancel_s: float = Field(0.5, ge=0)
    send_takes_s: float = Field(0.02, ge=0, le=60)
    list_takes_s: float = Field(0.02, ge=0, le=60)
    link_life_s: float = Field(600.0, ge=0)
    auto_remind_days: list[int] = []
    app_callback_only: bool = False
    content_sha256: Literal["raw", "hex"] = "raw"
    unconfirmed_sender: bool = False
    quota: int | None = Field(None, ge=0)
