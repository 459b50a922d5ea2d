"""The command `python -m soak`."""

import io
import sys
from pathlib import Path

if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the figures must be seen in ASCII, too
    # The proxy that spoils links is that of the tests.
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    try:
        from soak.cli import main
    except ModuleNotFoundError as exc:
        raise SystemExit(f"{exc}; `hatch run soak` has all that is needed") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None

    raise SystemExit(main())
