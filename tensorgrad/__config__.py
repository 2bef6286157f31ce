"""How this tensorgrad was built and runs, by the names of ``torch.__config__``."""

from __future__ import annotations

import os

from tensorgrad import _threads
from tensorgrad.kernels.cpu import cpu

__all__ = ["parallel_info"]


def parallel_info() -> str:
    """A text on the threads: how many are used, what allows or limits them, and what BLAS does.

    Returns
    -------
    str

    Examples
    --------
    >>> import tensorgrad
    >>> print(tensorgrad.__config__.parallel_info())
    tensorgrad threads:
        get_num_threads() : ...
    """
    allowed, started = cpu.pool_state()
    quota = _threads.cgroup_processors()
    variables = [
        f"    {name} : {os.environ.get(name, '[not set]')}" for name in ("TENSORGRAD_NUM_THREADS", "OMP_NUM_THREADS")
    ]
    return "\n".join(
        [
            "tensorgrad threads:",
            f"    get_num_threads() : {_threads.get_num_threads()}",
            f"    threads started by the pool : {started}",
            f"    processors in the affinity mask : {allowed}",
            f"    quota of the control group : {'none' if quota is None else f'{quota:g} processors'}",
            f"    os.cpu_count() : {os.cpu_count()}",
            f"BLAS: {cpu.blas_description()}",
            "Environment variables:",
            *variables,
            "parallel backend: one pool of pthreads",
            "",
        ]
    )
