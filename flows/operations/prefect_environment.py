"""What keeps Prefect quiet and local, in one place. Imports nothing: it is applied before anything imports Prefect."""

PREFECT_QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",  # no heartbeat to Prefect's makers
    "DO_NOT_TRACK": "1",  # nor milestones from the SDK
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # A missing address fails at once instead of starting a server of its own (both names are read).
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "PREFECT_CLI_PROMPT": "false",
}
USUAL_API_URL = "http://127.0.0.1:4200/api"
"""Where `dealflow up` puts its Prefect server, for commands that are told no other."""
