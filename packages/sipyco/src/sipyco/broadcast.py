"""`sipyco_sync.broadcast` under its historical name."""

import sys

from sipyco_sync import broadcast
from sipyco_sync.broadcast import *  # noqa: F403  (for type checkers and editors)

sys.modules[__name__] = broadcast  # for Python: the module itself, one registry
