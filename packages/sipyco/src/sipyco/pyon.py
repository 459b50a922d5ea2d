"""`sipyco_pyon.pyon` under its historical name; it also runs as a program."""

import sys

from sipyco_pyon import pyon
from sipyco_pyon.pyon import *  # noqa: F403  (for type checkers and editors)

if __name__ == "__main__":
    from sipyco_pyon.migrate import main

    main()
else:
    sys.modules[__name__] = pyon  # for Python: the module itself, one registry
