"""`python -m flows` is the `dealflow` command."""

from flows.cli import main

main()
