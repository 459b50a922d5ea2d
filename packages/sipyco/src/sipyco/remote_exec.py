"""`sipyco_sync.remote_exec` under its historical name."""

import sys

from sipyco_sync import remote_exec
from sipyco_sync.remote_exec import *  # noqa: F403  (for type checkers and editors)

sys.modules[__name__] = remote_exec  # for Python: the module itself, one registry
