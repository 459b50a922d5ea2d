"""`sipyco_rpc.fire_and_forget` under its historical name."""

import sys

from sipyco_rpc import fire_and_forget
from sipyco_rpc.fire_and_forget import *  # noqa: F403  (for type checkers and editors)

sys.modules[__name__] = fire_and_forget  # for Python: the module itself, one registry
