"""`dealflow proposal`: a deal's proposal as a file, to read before it is sent."""

from pathlib import Path

from cyclopts import App

from flows.cli.output import WrongUsage, run_async, say, settings_now

proposal_app = App(name="proposal")


@proposal_app.command(name="render")
def proposal_render(
    deal: str | None = None, *, sample: bool = False, out: Path = Path("proposal.pdf")
) -> None:
    """Write a deal's proposal to a file, to read it; HubSpot is only read. With --sample: the sample data."""
    from flows.operations.preview import proposal_of_deal, sample_proposal

    settings = settings_now()
    if sample == bool(deal):
        raise WrongUsage("name a deal, or ask for --sample: one of both")
    document = sample_proposal(settings) if sample else run_async(proposal_of_deal(settings, deal or ""))
    out.write_bytes(document.pdf)
    say(f"{out}: {document.page_count} page(s), sha256 {document.sha256[:12]}")
