"""`sipyco_rpc.packed_exceptions` under its historical name."""

import sys

from sipyco_rpc import packed_exceptions
from sipyco_rpc.packed_exceptions import *  # noqa: F403  (for type checkers and editors)

sys.modules[__name__] = packed_exceptions  # for Python: the module itself, one registry
