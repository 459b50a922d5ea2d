"""The package is Python source, or compiled from it, and is as light as it says."""

from __future__ import annotations

import os
import subprocess
import sys

import sipyco_pyon
from sipyco_pyon import pyon

HEAVY = (
    *("argparse", "ast", "asyncio", "dataclasses", "fractions", "inspect", "json", "logging"),
    *("numpy", "re", "sipyco_pyon.pyon_v1", "socket", "tempfile", "typing", "uuid"),
)


def test_it_says_which_form_runs() -> None:
    assert sipyco_pyon.compiled is not str(pyon.__file__).endswith(".py")
    if os.environ.get("SIPYCO_PYON_COMPILED"):
        assert sipyco_pyon.compiled is True


def test_importing_loads_little() -> None:
    # Neither `site` nor an environment may have loaded these before: `-S`, and `-I` without paths.
    root = os.path.dirname(os.path.dirname(str(sipyco_pyon.__file__)))
    code = (
        f"import sys; sys.path.insert(0, {root!r}); import sipyco_pyon; "
        "sipyco_pyon.decode(sipyco_pyon.encode_bytes({'a': (1, 2.5)})); "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
