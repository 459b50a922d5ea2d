"""`sipyco_tools.logging_tools` under its historical name."""

import sys

from sipyco_tools import logging_tools
from sipyco_tools.logging_tools import *  # noqa: F403  (for type checkers and editors)

sys.modules[__name__] = logging_tools  # for Python: the module itself, one registry
