"""Has azure-cli parse a command line, and ends before the command runs.

    python ask_parser.py COMMAND ...

It runs with the Python that azure-cli is installed in. What azure-cli says stands on standard
error.
"""

import sys
from typing import Any, NoReturn

PARSED = 100  # exit code for what the parser takes; those of azure-cli itself are small


def main() -> int:
    """Return azure-cli's own exit code if it does not come as far as running the command."""
    from azure.cli.core import get_default_cli
    from knack.events import EVENT_INVOKER_POST_PARSE_ARGS

    cli = get_default_cli()
    cli.register_event(EVENT_INVOKER_POST_PARSE_ARGS, stop)
    return int(cli.invoke(sys.argv[1:]))


def stop(*_: Any, **__: Any) -> NoReturn:
    """Called between parsing and running."""
    sys.exit(PARSED)


if __name__ == '__main__':
    sys.exit(main())
