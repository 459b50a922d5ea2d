"""The command `python -m dev.soak`."""

import io
import sys

if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the figures must be seen in ASCII, too
    try:
        from dev.soak.cli import main
    except ModuleNotFoundError as exc:
        raise SystemExit(f"{exc}; `hatch run soak` has all that is needed") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None

    raise SystemExit(main())
