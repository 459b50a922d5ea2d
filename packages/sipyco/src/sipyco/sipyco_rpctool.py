"""`sipyco_tools.sipyco_rpctool` under its historical name; it also runs as a program."""

import sys

from sipyco_tools import sipyco_rpctool
from sipyco_tools.sipyco_rpctool import *  # noqa: F403  (for type checkers and editors)

if __name__ == "__main__":
    sipyco_rpctool.main()
else:
    sys.modules[__name__] = sipyco_rpctool  # for Python: the module itself, one registry
