"""`sipyco_tools.common_args` under its historical name."""

import sys

from sipyco_tools import common_args
from sipyco_tools.common_args import *  # noqa: F403  (for type checkers and editors)

sys.modules[__name__] = common_args  # for Python: the module itself, one registry
