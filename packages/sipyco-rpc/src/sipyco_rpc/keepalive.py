"""`sipyco_rpc.net.keepalive` under its historical name."""

import sys

from sipyco_rpc.net import keepalive
from sipyco_rpc.net.keepalive import *  # noqa: F403  (for type checkers and editors)

sys.modules[__name__] = keepalive  # for Python: the module itself
