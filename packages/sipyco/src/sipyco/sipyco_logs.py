"""`sipyco_tools.sipyco_logs` under the name of its sibling; it also runs as a program."""

import sys

from sipyco_tools import sipyco_logs
from sipyco_tools.sipyco_logs import *  # noqa: F403  (for type checkers and editors)

if __name__ == "__main__":
    sipyco_logs.main()
else:
    sys.modules[__name__] = sipyco_logs  # for Python: the module itself, one registry
