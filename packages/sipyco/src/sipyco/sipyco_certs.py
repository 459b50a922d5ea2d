"""`sipyco_tools.sipyco_certs` under the name of its sibling; it also runs as a program."""

import sys

from sipyco_tools import sipyco_certs
from sipyco_tools.sipyco_certs import *  # noqa: F403  (for type checkers and editors)

if __name__ == "__main__":
    sipyco_certs.main()
else:
    sys.modules[__name__] = sipyco_certs  # for Python: the module itself, one registry
