"""The root of all errors that flows raise: each text says what is wrong and what to do about it."""


class FlowError(Exception):
    """Something kept dealflow from doing its work. The text names no person and no secret, and says what to do.

    `connectors` and `config` have roots of their own (ConnectorError, ConfigError). The command line prints all three
    as one line; any other exception is a bug and shows its trace.
    """
