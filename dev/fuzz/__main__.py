"""The command `python -m dev.fuzz`."""

import sys

if __name__ == "__main__":
    try:
        from dev.fuzz.cli import main

        raise SystemExit(main())
    except KeyboardInterrupt:  # what was started has ended
        print("\ninterrupted", file=sys.stderr)
        raise SystemExit(130) from None
