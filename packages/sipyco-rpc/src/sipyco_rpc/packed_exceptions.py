"""`sipyco_rpc.wire.exceptions` under its historical name."""

import sys

from sipyco_rpc.wire import exceptions
from sipyco_rpc.wire.exceptions import *  # noqa: F403  (for type checkers and editors)

sys.modules[__name__] = exceptions  # for Python: the module itself
