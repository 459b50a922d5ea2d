"""`sipyco_sync.sync_struct` under its historical name."""

import sys

from sipyco_sync import sync_struct
from sipyco_sync.sync_struct import *  # noqa: F403  (for type checkers and editors)

sys.modules[__name__] = sync_struct  # for Python: the module itself, one registry
