"""`sipyco_pyon.pyon_v1` under its historical name."""

import sys

from sipyco_pyon import pyon_v1
from sipyco_pyon.pyon_v1 import *  # noqa: F403  (for type checkers and editors)

sys.modules[__name__] = pyon_v1  # for Python: the module itself, one registry
