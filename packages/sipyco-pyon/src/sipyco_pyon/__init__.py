"""PYON: Python values as text and back, in two dialects.

    >>> import sipyco_pyon
    >>> sipyco_pyon.encode({"a": (1, 2)})
    '{"a":{"__jsonclass__":["tuple",[[1,2]]]}}'

The functions here are those of `sipyco_pyon.pyon`; the older dialect is `sipyco_pyon.pyon_v1`.
"""

from sipyco_pyon.pyon import decode, deregister, encode, load_file, register, store_file, wrap

__all__ = [
    "__version__",
    "decode",
    "deregister",
    "encode",
    "load_file",
    "register",
    "store_file",
    "wrap",
]

__version__ = "2.0.0"
