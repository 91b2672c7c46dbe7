"""The `dealflow` command: one file a group of commands; `show_*` print."""
