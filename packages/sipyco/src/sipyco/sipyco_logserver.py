"""`sipyco_tools.sipyco_logserver` under the name of its sibling; it also runs as a program."""

import sys

from sipyco_tools import sipyco_logserver
from sipyco_tools.sipyco_logserver import *  # noqa: F403  (for type checkers and editors)

if __name__ == "__main__":
    sipyco_logserver.main()
else:
    sys.modules[__name__] = sipyco_logserver  # for Python: the module itself, one registry
