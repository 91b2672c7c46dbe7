"""The checks of a write before it is stored: known and writable properties, stages, uniqueness, rules."""

from collections.abc import Mapping
from typing import Any

from connectors.sandbox.hubspot_server.errors import PropertyProblem, Refusal, bad_json, property_problems
from connectors.sandbox.hubspot_server.records.catalog import ObjectType, object_type
from connectors.sandbox.hubspot_server.records.crm import Crm
from connectors.sandbox.hubspot_server.records.record import Record
from connectors.sandbox.hubspot_server.records.values import Checked, check, text_of

_LIFECYCLE = (
    "subscriber",
    "lead",
    "marketingqualifiedlead",
    "salesqualifiedlead",
    "opportunity",
    "customer",
    "evangelist",
)


class Checks:
    """The rules of one portal. `binding`: a version where admin rules bind API writes (2026-09)."""

    def __init__(self, crm: Crm, portal_id: int) -> None:
        self._crm = crm
        self._portal_id = portal_id

    def new(
        self, kind: ObjectType, given: Any, *, binding: bool = False, user_interface: bool = False
    ) -> Checked:
        """Check the properties of a record to be created. Raises Refusal."""
        checked = self._values(kind, given, None, lenient=binding)
        if kind.key == "deals":
            self._deal_pipeline(checked)
        if kind.key == "line_items":
            self._from_product(checked)
        values = {n: v for n, v in checked.values.items() if v != ""}
        missing = [n for n in kind.required if n not in values]
        if kind.one_of and not any(n in values for n in kind.one_of):
            missing = list(kind.one_of)
        if missing:
            raise Refusal(
                400,
                f"Error creating {kind.singular.upper()}. Some required properties were not set.",
                context={"properties": missing},
            )
        self._stage(kind, checked, None)
        if binding and not user_interface:
            self._required(kind, values)
            self._conditional(kind, values)
        self._unique(kind, checked, None)
        checked.values = values
        return checked

    def change(
        self, record: Record, given: Any, *, binding: bool = False, user_interface: bool = False
    ) -> Checked:
        """Check properties to be changed in `record`. Raises Refusal."""
        kind = record.kind
        checked = self._values(kind, given, record, lenient=binding)
        self._stage(kind, checked, record)
        self._lifecycle(checked, record)
        self._pinned(checked, record)
        if binding and not user_interface:
            after = {**record.values, **checked.values}
            touched = {n for n in checked.values if record.values.get(n, "") != checked.values[n]}
            self._conditional(kind, {n: v for n, v in after.items() if v}, touched)
        self._unique(kind, checked, record)
        return checked

    def _values(self, kind: ObjectType, given: Any, record: Record | None, *, lenient: bool) -> Checked:
        if not isinstance(given, Mapping):
            raise bad_json("properties must be an object")
        checked = Checked()
        for name, raw in given.items():
            prop = self._crm.schema.find(kind, str(name))
            if prop is None:
                checked.problems.append(
                    PropertyProblem(str(name), "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist')
                )
            elif prop.read_only:
                if record is not None and text_of(raw) == record.values.get(prop.name, ""):
                    continue
                checked.problems.append(
                    PropertyProblem(
                        prop.name,
                        "READ_ONLY_VALUE",
                        f'"{prop.name}" is a read only property; its value cannot be set.',
                    )
                )
            else:
                current = record.values.get(prop.name, "") if record else ""
                if kind.key == "deals" and prop.name in ("dealstage", "pipeline"):
                    checked.values[prop.name] = text_of(raw) or ""  # checked together, below
                else:
                    check(kind, prop, raw, lenient=lenient, current=current, into=checked)
        if checked.problems:
            raise property_problems(self._portal_id, checked.problems)
        return checked

    def _deal_pipeline(self, checked: Checked) -> None:
        if checked.values.get("pipeline"):
            return
        pipelines = self._crm.pipelines.of(object_type("deals"))
        if len(pipelines) > 1:
            raise Refusal(
                400,
                "Error creating DEAL. Some required properties were not set.",
                context={"properties": ["pipeline"]},
            )
        checked.values["pipeline"] = next(iter(pipelines), "default")

    def _stage(self, kind: ObjectType, checked: Checked, record: Record | None) -> None:
        if kind.key != "deals" or not {"dealstage", "pipeline"} & set(checked.values):
            return
        before = record.values if record else {}
        pipelines = self._crm.pipelines.of(kind)
        pipeline = pipelines.get(checked.values.get("pipeline", before.get("pipeline", "")))
        if pipeline is None:
            self._no_option("pipeline", checked.values.get("pipeline", ""), list(pipelines))
            return
        stage = checked.values.get("dealstage", before.get("dealstage", ""))
        if stage not in pipeline.stages:
            self._no_option("dealstage", stage, list(pipeline.stages))

    def _no_option(self, name: str, value: str, allowed: list[str]) -> None:
        message = f"{value} was not one of the allowed options: [{', '.join(allowed)}]"
        raise property_problems(self._portal_id, [PropertyProblem(name, "INVALID_OPTION", message)])

    def _from_product(self, checked: Checked) -> None:
        """A line item with a product takes missing values from the product."""
        ident = checked.values.get("hs_product_id")
        if not ident:
            return
        product = self._crm.find(object_type("products"), ident)
        if product is None or product.archived:
            raise property_problems(
                self._portal_id,
                [PropertyProblem("hs_product_id", "INVALID_PRODUCT", f"Product {ident} does not exist")],
            )
        for name in ("name", "description", "price", "hs_sku", "hs_cost_of_goods_sold", "tax"):
            if name in product.values and not checked.values.get(name):
                checked.values[name] = product.values[name]

    def _lifecycle(self, checked: Checked, record: Record) -> None:
        """Only forward; a step back is dropped silently. To go back, clear first."""
        wanted, have = checked.values.get("lifecyclestage"), record.values.get("lifecyclestage")
        if (
            wanted in _LIFECYCLE
            and have in _LIFECYCLE
            and (_LIFECYCLE.index(wanted) < _LIFECYCLE.index(have))
        ):
            del checked.values["lifecyclestage"]

    def _pinned(self, checked: Checked, record: Record) -> None:
        """Only an activity of the record itself can be pinned: one, and it must be associated first."""
        ident = checked.values.get("hs_pinned_engagement_id")
        if not ident:
            return
        kinds = [t for t in self._crm.links.targets(record.kind, record.id) if t.activity]
        if not any(ident in self._crm.links.ids(record.kind, record.id, t) for t in kinds):
            problem = PropertyProblem(
                "hs_pinned_engagement_id",
                "INVALID_PINNED_ENGAGEMENT",
                f"Engagement {ident} is not associated with this record",
            )
            raise property_problems(self._portal_id, [problem])

    def _unique(self, kind: ObjectType, checked: Checked, record: Record | None) -> None:
        for name, value in checked.values.items():
            holder = self._crm.unique.holder(kind, name, value) if value else None
            if holder is None or (record is not None and holder == record.id):
                continue
            if (kind.key, name) == ("contacts", "email"):
                raise Refusal(
                    409,
                    f"Contact already exists. Existing ID: {holder}",
                    category="CONFLICT",
                    context={"existingId": [holder]},
                )
            raise property_problems(
                self._portal_id,
                [PropertyProblem(name, "CONFLICTING_UNIQUE_VALUE", f"{value} already has that value.")],
            )

    def _required(self, kind: ObjectType, values: Mapping[str, str]) -> None:
        missing = [n for n in self._crm.settings.required.get(kind.key, []) if not values.get(n)]
        if missing:
            raise _rule("MISSING_REQUIRED_PROPERTY", kind, missing)

    def _conditional(
        self, kind: ObjectType, values: Mapping[str, str], touched: set[str] | None = None
    ) -> None:
        for rule in self._crm.settings.conditional:
            when = rule["when"]
            applies = rule["object_type"] == kind.key and all(values.get(n) == v for n, v in when.items())
            if not applies or (touched is not None and not touched & {*when, *rule["require"]}):
                continue
            missing = [n for n in rule["require"] if not values.get(n)]
            if missing:
                raise _rule("MISSING_CONDITIONAL_REQUIRED_PROPERTY", kind, missing)


def _rule(code: str, kind: ObjectType, missing: list[str]) -> Refusal:
    return Refusal(
        400,
        f"{kind.singular.upper()}: properties that this account requires were not set",
        errors=[
            {
                "message": f"{name} is required",
                "code": code,
                "context": {"propertyName": [name]},
            }
            for name in missing
        ],
    )
