"""`threading`'s own locks and thread-local storage, from where `threading` has them.

NumPy does not import `threading`, so that here it would cost every program 1.5 ms.
"""

from _thread import RLock, _local, allocate_lock

__all__ = ["Lock", "RLock", "local"]

Lock = allocate_lock
local = _local
