"""`sipyco_tools.asyncio_tools` under its historical name."""

import sys

from sipyco_tools import asyncio_tools
from sipyco_tools.asyncio_tools import *  # noqa: F403  (for type checkers and editors)

sys.modules[__name__] = asyncio_tools  # for Python: the module itself, one registry
