"""How many threads the kernels use: what the machine allows, what the environment and the program say."""

from __future__ import annotations

import importlib.machinery
import os
import sys
import types
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from tensorgrad.kernels.cpu import cpu

_VARIABLES = ("TENSORGRAD_NUM_THREADS", "OMP_NUM_THREADS")


def get_num_threads() -> int:
    """The number of threads that an operator on the CPU may run on.

    By default that is what the affinity mask (``os.sched_getaffinity``, asked when an operator first wants threads)
    and the quota of the control group (``cpu.max`` in version 2, ``cpu.cfs_quota_us`` in version 1, rounded down to
    whole processors) allow, or what the environment variable ``TENSORGRAD_NUM_THREADS``, else ``OMP_NUM_THREADS``,
    says.

    Returns
    -------
    int

    Notes
    -----
    One pool serves the kernels and the matrix products; BLAS starts no threads of its own. Small operators run on
    the calling thread alone. Results do not depend on the number of threads, except that BLAS may round the
    elements at the edge of a matrix product's part differently.

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.get_num_threads() >= 1
    True
    """
    return cpu.get_num_threads()


def set_num_threads(num: int) -> None:
    """Set the number of threads that an operator on the CPU may run on, from now on and in every Python thread.

    Parameters
    ----------
    num : int
        At least 1, which leaves all work to the calling thread, and at most 256. It may exceed what the machine allows.

    Raises
    ------
    RuntimeError
        When `num` is no int, or not positive.
    ValueError
        When `num` is greater than 256.

    Examples
    --------
    >>> import tensorgrad
    >>> before = tensorgrad.get_num_threads()
    >>> tensorgrad.set_num_threads(1)
    >>> tensorgrad.get_num_threads()
    1
    >>> tensorgrad.set_num_threads(before)
    """
    if not isinstance(num, int) or isinstance(num, bool):
        raise RuntimeError(f"set_num_threads expects an int, but got {type(num).__name__}")
    if num < 1:
        raise RuntimeError(f"set_num_threads expects a positive integer, but got {num}")
    if num > cpu.MAX_THREADS:
        raise ValueError(f"set_num_threads: the pool has at most {cpu.MAX_THREADS} threads, but got {num}")
    cpu.set_num_threads(num)


# ---- what the control group allows -----------------------------------------------------------------
def _ancestors(path: str) -> Iterator[str]:
    """A control group's path and those of the groups that hold it: a quota binds all below it."""
    parts = [part for part in path.split("/") if part]
    for n in range(len(parts), -1, -1):
        yield "/".join(parts[:n])


def _text(*path: str) -> str:
    # not by pathlib, whose import takes longer than all that is done here
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def _quota_of(directory: str) -> float | None:
    """Processors that one control group may use, by the files of either version; None where there is no quota."""
    try:
        quota, period = _text(directory, "cpu.max").split()
    except (OSError, ValueError):
        try:
            quota = _text(directory, "cpu.cfs_quota_us")
            period = _text(directory, "cpu.cfs_period_us")
        except OSError:
            return None
    try:
        processors = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max"
        return None
    return processors if processors > 0 else None  # -1: no quota


def cgroup_processors(proc: str = "/proc", root: str = "/sys/fs/cgroup") -> float | None:
    """The smallest quota among the control groups that this process is in, in processors; None without a quota.

    Parameters
    ----------
    proc, root : str
        Where the process and the control groups are shown as files; tests have them elsewhere.
    """
    try:
        lines = _text(proc, "self/cgroup").splitlines()
    except OSError:
        return None
    directories: list[str] = []
    for line in lines:
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0" and not controllers:
            mounts = [root, f"{root}/unified"]
        elif "cpu" in controllers.split(","):
            mounts = [f"{root}/{controllers}", f"{root}/cpu"]
        else:
            continue
        # Inside a container the path may be the host's, of which only the root is there.
        directories += [os.path.join(mount, name) for mount in dict.fromkeys(mounts) for name in _ancestors(path)]
    quotas = [quota for directory in directories if (quota := _quota_of(directory)) is not None]
    return min(quotas, default=None)


def threads_of_environment(environment: Any = os.environ) -> int | None:
    """What the first variable that is set says; a list such as ``4,2`` (nested OpenMP) by its first number."""
    for name in _VARIABLES:
        text = environment.get(name, "").partition(",")[0].strip()
        if text.isdecimal() and int(text) > 0:
            return min(int(text), cpu.MAX_THREADS)
        if text and name.startswith("TENSORGRAD"):
            message = f"{name} must be a positive integer, not {text!r}: it is ignored"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
    return None


# ---- threadpoolctl ---------------------------------------------------------------------------------
def _register_controller(threadpoolctl: Any) -> None:
    """Let threadpoolctl find the pool, in the library of the kernels, and steer it through exported symbols."""
    if not hasattr(threadpoolctl, "register"):  # before 3.2
        return

    class TensorgradController(threadpoolctl.LibController):  # type: ignore[misc]
        user_api = "tensorgrad"
        internal_api = "tensorgrad"
        filename_prefixes = (os.path.basename(cpu.__file__).lower(),)
        check_symbols = ("tensorgrad_get_num_threads", "tensorgrad_set_num_threads")

        def get_num_threads(self) -> int:
            return int(self.dynlib.tensorgrad_get_num_threads())

        def set_num_threads(self, num_threads: int) -> None:
            self.dynlib.tensorgrad_set_num_threads(num_threads)

        def get_version(self) -> str | None:
            return getattr(sys.modules.get("tensorgrad"), "__version__", None)

    threadpoolctl.register(TensorgradController)


class _WhenImported:
    """A finder that finds nothing, but registers the pool with threadpoolctl when something else imports that.

    Importing threadpoolctl here would cost every program what few want.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "threadpoolctl":
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: types.ModuleType) -> None:
            execute(module)
            _register_controller(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Set the pool up, once, when the package is imported."""
    quota = cgroup_processors()
    if quota is not None:
        cpu.limit_threads(max(1, int(quota)))
    wanted = threads_of_environment()
    if wanted is not None:
        cpu.set_num_threads(wanted)
    if "threadpoolctl" in sys.modules:
        _register_controller(sys.modules["threadpoolctl"])
    else:
        sys.meta_path.insert(0, _WhenImported())  # type: ignore[arg-type]
