"""`python -m tests.servers install | run`."""

import sys

from tests.servers import install, run

COMMANDS = {"install": install.main, "run": run.main}


def main() -> int:
    """Hand over to the command that was asked for."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        print("usage: python -m tests.servers install | run   (each has --help)", file=sys.stderr)
        return 2
    return COMMANDS[sys.argv[1]](sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
