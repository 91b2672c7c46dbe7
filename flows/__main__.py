"""`python -m flows` is the `dealflow` command."""

from flows.cli.app import main

main()
