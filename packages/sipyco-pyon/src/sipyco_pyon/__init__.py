"""PYON: Python values as text and back, in two dialects.

    >>> import sipyco_pyon
    >>> sipyco_pyon.encode({"a": (1, 2)})
    '{"a":{"__jsonclass__":["tuple",[[1,2]]]}}'

The functions here are those of `sipyco_pyon.pyon`; the older dialect is `sipyco_pyon.pyon_v1`.
`compiled` tells which form of the package runs: False means Python source, True means that the
same source was compiled by mypyc.
"""

from sipyco_pyon._registry import COMPILED as compiled
from sipyco_pyon.pyon import (
    decode,
    deregister,
    encode,
    encode_bytes,
    load_file,
    new_buffer,
    register,
    register_standard_types,
    store_file,
    wrap,
)

__all__ = [
    "__version__",
    "compiled",
    "decode",
    "deregister",
    "encode",
    "encode_bytes",
    "load_file",
    "new_buffer",
    "register",
    "register_standard_types",
    "store_file",
    "wrap",
]

__version__ = "2.0.0"
