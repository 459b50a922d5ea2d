"""The command `python -m soak`."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # The proxy that spoils links is that of the tests.
    sys.path.append(str(Path(__file__).parents[1] / "tests"))

    from soak.cli import main

    raise SystemExit(main())
