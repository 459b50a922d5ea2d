"""The command `python -m fuzz`."""

import sys

if __name__ == "__main__":
    try:
        from fuzz.cli import main

        raise SystemExit(main())
    except KeyboardInterrupt:  # what was started has ended
        print("\ninterrupted", file=sys.stderr)
        raise SystemExit(130) from None
