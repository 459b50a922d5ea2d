"""`sipyco_rpc.arguments` under its historical name."""

import sys

from sipyco_rpc import arguments
from sipyco_rpc.arguments import *  # noqa: F403  (for type checkers and editors)

sys.modules[__name__] = arguments  # for Python: the module itself, one registry
