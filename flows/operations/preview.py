"""Documents to look at, without filing or sending anything."""

import json
from collections.abc import Mapping
from typing import Any

from config.settings import Settings
from flows.deals.read import read_deal
from flows.documents.render import Document, DocumentError, load_template, render
from flows.proposals.generate_proposal import draft
from flows.rules.pricing.pricing import PricingError, PricingOptions, price_line_items
from flows.rules.templates.values import TemplateValueRefused, TemplateVariableMissing, resolve
from flows.services import PROPOSAL, SetupError, open_services


async def proposal_of_deal(settings: Settings, deal_id: str) -> Document:
    """The proposal as it would be filed now. Raises DocumentError naming what is missing, SetupError for no deal."""
    s = await open_services(settings)
    try:
        file = await read_deal(s, deal_id)
        if file is None:
            raise SetupError(f"HubSpot has no deal {deal_id}")
        return draft(s, file, s.clock())
    except (TemplateVariableMissing, TemplateValueRefused, PricingError) as problem:
        raise DocumentError(str(problem)) from None
    finally:
        await s.close()


def sample_proposal(settings: Settings) -> Document:
    """The proposal template with its sample data."""
    folder = settings.config_dir / "templates" / PROPOSAL
    template = load_template(folder)
    sample: Mapping[str, Any] = json.loads((folder / "sample.json").read_text(encoding="utf-8"))
    pricing = price_line_items(sample["line_items"], PricingOptions.parse(sample["options"]))
    return render(template, resolve(template.declaration, sample["facts"]), pricing)
