"""Bodies of HubSpot's own `/_sandbox` controls."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LimitsIn(_Strict):
    """Rate limits (real time) and the lag of the search index (virtual seconds). Absent: unchanged."""

    burst: int | None = Field(None, ge=1)
    search_per_s: int | None = Field(None, ge=1)
    daily: int | None = Field(None, ge=0)
    associations: int | None = Field(None, ge=1)
    search_lag_s: float | None = Field(None, ge=0)


class SubscriptionIn(_Strict):
    """One webhook subscription."""

    subscriptionType: str
    propertyName: str | None = None


class WebhooksIn(_Strict):
    """The webhook target and subscriptions. Without a target none are sent."""

    target_url: str | None
    subscriptions: list[SubscriptionIn] | None = None
    client_secret: str | None = None
    signature_clock: Literal["real", "virtual"] = "real"


class ConditionIn(_Strict):
    """If a record has these values, those properties must be set (2026-09)."""

    object_type: str
    when: dict[str, str]
    require: list[str]


class RulesIn(_Strict):
    """An administrator's rules, and undocumented choices of this stand-in. Absent: unchanged."""

    required: dict[str, list[str]] | None = None
    conditional: list[ConditionIn] | None = None
    echo_trace_ids: bool | None = None
    missing_scopes: list[str] | None = None
    merge_makes_new_record: bool | None = None


class AssociationIn(_Strict):
    """An association to create: by type ids, by label, or unlabelled."""

    to_type: str
    to_id: str
    types: list[int] | None = None
    label: str | None = None
    remove: bool = False


class RepIn(_Strict):
    """An action of a person in the user interface."""

    object_type: str
    id: str | None = None
    properties: dict[str, Any] = {}
    associations: list[AssociationIn] = []
    user_id: int = 50_220_101
    create: bool = False
    archive: bool = False


class SeedIn(_Strict):
    """Records to add at once. `key` names one for associations of later ones: `to_id` `"@key"`."""

    class Row(_Strict):
        """One record."""

        object_type: str
        properties: dict[str, Any]
        key: str | None = None
        associations: list[AssociationIn] = []
        created_ms: int | None = None

    records: list[Row]
    indexed: bool = True
    webhooks: bool = False
