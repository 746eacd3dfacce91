"""The command ``circuitcheck``."""

import sys

from ._native import command


def main() -> int:
    """Runs the command with the arguments of this process, and returns its exit code."""
    return command(["circuitcheck", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
