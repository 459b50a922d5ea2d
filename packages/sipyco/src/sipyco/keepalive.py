"""`sipyco_rpc.keepalive` under its historical name."""

import sys

from sipyco_rpc import keepalive
from sipyco_rpc.keepalive import *  # noqa: F403  (for type checkers and editors)

sys.modules[__name__] = keepalive  # for Python: the module itself, one registry
