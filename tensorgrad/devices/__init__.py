"""Devices as plugins: the contract that a backend fulfils, and what is installed.

A plugin is a distribution with an entry point in the group ``tensorgrad.devices``, whose name is the
device type and whose value is a class (or function) that is called without arguments and returns a
:class:`Backend`::

    [project.entry-points."tensorgrad.devices"]
    cuda = "tensorgrad_cuda:CudaBackend"

It is imported when its device type is first named. ``python -m tensorgrad.devices`` lists the device
types there are; `register_backend` makes one in a program.
"""

from __future__ import annotations

import builtins
import os
from typing import NamedTuple

from tensorgrad._core.device import (
    CONTRACT_VERSION,
    device,
    failed_backends,
    find_backend,
    plugin_entry_points,
    plugin_is_allowed,
    register_backend,
    registered_backends,
)
from tensorgrad._core.primitives import DeviceArray, device_array
from tensorgrad.devices._backend import Backend, KernelTime, UnsupportedFunctionError

__all__ = [
    "CONTRACT_VERSION",
    "Backend",
    "DeviceArray",
    "DeviceType",
    "KernelTime",
    "UnsupportedFunctionError",
    "backend",
    "device_array",
    "list",
    "register_backend",
    "synchronize",
]


class DeviceType(NamedTuple):
    """A device type as `list` describes it.

    Attributes
    ----------
    name : str
        The device type, such as ``"cuda"``.
    state : str
        ``"built in"``, ``"loaded"``, ``"installed"`` (its plugin is imported when it is first named),
        ``"failed"`` (it could not be), ``"conflict"`` (several distributions offer it) or ``"switched off"``
        (by ``TENSORGRAD_PLUGINS``).
    distributions : tuple of str
        The names and versions of the distributions that offer it; empty for one made in a program.
    devices : int or None
        How many devices there are, where the backend is loaded.
    error : str or None
        Why it cannot be used.
    """

    name: str
    state: str
    distributions: tuple[str, ...]
    devices: int | None
    error: str | None


def _loaded(name: str, distributions: tuple[str, ...], backend: Backend) -> DeviceType:
    try:
        if backend.is_available():
            return DeviceType(name, "loaded", distributions, backend.device_count(), None)
        reason = getattr(backend, "unavailable_reason", None)
        error = (reason and reason()) or "no device or driver was found"
        return DeviceType(name, "loaded", distributions, 0, error)
    except Exception as error:  # a backend that cannot count must not take the list of the others down
        return DeviceType(name, "loaded", distributions, None, f"{type(error).__name__}: {error}")


def list(*, load: bool = False) -> builtins.list[DeviceType]:
    """Describe every device type: built in, registered or offered by an installed distribution.

    Parameters
    ----------
    load : bool
        Import the plugins that are only installed so far, so that their errors show. By default nothing
        but the metadata of distributions is read.

    Returns
    -------
    list of DeviceType
        The CPU first, then by name.

    Examples
    --------
    >>> import tensorgrad.devices
    >>> tensorgrad.devices.list()[0]
    DeviceType(name='cpu', state='built in', distributions=(), devices=1, error=None)
    """
    entries = plugin_entry_points()
    offers = {
        name: tuple(sorted(f"{entry.dist.name} {entry.dist.version}" for entry in found))
        for name, found in entries.items()
    }
    if load:
        for name, found in offers.items():
            if len(found) == 1 and plugin_is_allowed(name) and name not in registered_backends():
                try:
                    find_backend(name)
                except Exception:  # it is remembered, and shown below
                    continue
    backends, failures = registered_backends(), failed_backends()
    rows = [DeviceType("cpu", "built in", (), 1, None)]
    for name in sorted({*offers, *backends}):
        distributions = offers.get(name, ())
        if name in backends:
            rows.append(_loaded(name, distributions, backends[name]))
        elif not plugin_is_allowed(name):
            reason = f"not among TENSORGRAD_PLUGINS={os.environ['TENSORGRAD_PLUGINS']!r}"
            rows.append(DeviceType(name, "switched off", distributions, None, reason))
        elif len(distributions) > 1:
            reason = "several distributions offer it; uninstall all but one"
            rows.append(DeviceType(name, "conflict", distributions, None, reason))
        elif name in failures:
            rows.append(DeviceType(name, "failed", distributions, None, str(failures[name])))
        else:
            rows.append(DeviceType(name, "installed", distributions, None, None))
    return rows


def backend(name: str) -> Backend:
    """The backend of a device type, for what it offers beside tensors; its plugin is loaded if need be.

    Parameters
    ----------
    name : str
        The device type, such as ``"opencl"``.

    Raises
    ------
    RuntimeError
        When no plugin offers the type, several do, or the one that does fails to load (its error is the cause).
    """
    found: Backend = find_backend(name)
    return found


def synchronize(which: str | device) -> None:
    """Wait until all that was asked of a device is done; the CPU never lags behind.

    Parameters
    ----------
    which : str or device
        Without an index, the current device of the type is meant.

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.devices.synchronize("cpu")
    """
    place = device(which)
    if place.type == "cpu":
        return
    found = backend(place.type)
    found.synchronize(found.current_device() if place.index is None else place.index)
