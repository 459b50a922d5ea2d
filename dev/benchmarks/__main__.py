"""The command `python -m dev.benchmarks`."""

import io
import sys

from dev.benchmarks.cli import main

if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the figures must be seen in ASCII, too
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:  # what was started has ended
        print("\ninterrupted", file=sys.stderr)
        raise SystemExit(130) from None
