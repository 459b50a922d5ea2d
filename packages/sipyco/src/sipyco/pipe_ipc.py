"""`sipyco_tools.pipe_ipc` under its historical name."""

import sys

from sipyco_tools import pipe_ipc
from sipyco_tools.pipe_ipc import *  # noqa: F403  (for type checkers and editors)

sys.modules[__name__] = pipe_ipc  # for Python: the module itself, one registry
