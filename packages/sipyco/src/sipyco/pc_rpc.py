"""`sipyco_rpc.pc_rpc` under its historical name."""

import sys

from sipyco_rpc import pc_rpc
from sipyco_rpc.pc_rpc import *  # noqa: F403  (for type checkers and editors)

sys.modules[__name__] = pc_rpc  # for Python: the module itself, one registry
