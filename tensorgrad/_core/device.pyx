"""Devices: their names, their backends, and the registry that finds plugins.

A plugin is a distribution with an entry point in the group ``tensorgrad.devices``; the entry
point's name is the device type. Entry points are scanned when a type that is not built in is first
named, and just that plugin is imported, so that a broken plugin harms nobody who does not use it.
"""
import os

from tensorgrad._core.locks import RLock

CONTRACT_VERSION = 1

cdef dict _interned = {}
cdef dict _backends = {}
cdef dict _failures = {}            # device type -> the error of the last attempt to load its plugin
_loading = RLock()                  # two threads that name a type first load its plugin once
_installer = None                   # gives operators a backend's kernels of its own; operators live above


cdef class device:
    """A device type with an optional index, such as ``device("cpu")`` or ``device("cuda", 1)``.

    Parameters
    ----------
    type : str or device
        The device type, with or without an index: ``"cuda:0"``.
    index : int, optional
        The index, when `type` does not hold it.

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.device("cpu")
    device(type='cpu')
    """

    def __init__(self, type, index=None):
        cdef str name
        if isinstance(type, device):
            if index is not None:
                raise RuntimeError("device(): an index was given twice")
            self.type, self.number = (<device>type).type, (<device>type).number
            return
        if not isinstance(type, str):
            raise TypeError(f"device(): argument 'type' must be str, not {type.__class__.__name__}")
        name = type
        if ":" in name:
            name, _, number = name.partition(":")
            if index is not None or not number.isdecimal() or (len(number) > 1 and number[0] == "0"):
                raise RuntimeError(f"Invalid device string: '{type}'")
            index = int(number)
        if not name.isidentifier():
            raise RuntimeError(f"Invalid device string: '{type}'")
        if index is not None and not 0 <= index < 128:
            raise RuntimeError(f"Device index must be between 0 and 127, got {index}")
        self.type, self.number = name, -1 if index is None else index

    @property
    def index(self):
        return None if self.number < 0 else self.number

    def __str__(self):
        return self.type if self.number < 0 else f"{self.type}:{self.number}"

    def __repr__(self):
        return f"device(type='{self.type}')" if self.number < 0 else f"device(type='{self.type}', index={self.number})"

    def __eq__(self, other):
        return isinstance(other, device) and self.type == (<device>other).type and self.number == (<device>other).number

    def __hash__(self):
        return hash((self.type, self.number))

    def __reduce__(self):
        return device, (str(self),)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self


cdef device _intern(str name, int number):
    key = (name, number)
    cdef device d = _interned.get(key)
    if d is None:
        d = device.__new__(device)
        d.type, d.number = name, number
        if name == "cpu":
            d.table = cpu_table
        _interned[key] = d
    return d


cpu_table = NULL
cpu = _intern("cpu", -1)


cdef void set_cpu_table(const tg_kernel_table* table):
    global cpu_table
    cpu_table = table
    for d in _interned.values():
        if (<device>d).type == "cpu":
            (<device>d).table = table


cdef device as_device(object x):
    if x is None:
        return cpu
    cdef device d
    if isinstance(x, device):
        d = x
    elif isinstance(x, str):
        d = device(x)
    elif isinstance(x, int) and not isinstance(x, bool):
        d = device("cuda", x)
    else:
        raise TypeError(f"device must be a str, an int or a tensorgrad.device, not {type(x).__name__}")
    return _intern(d.type, d.number)      # the core compares devices by identity


cdef device memory_device(device d):
    """The device as a tensor shows it: with its backend loaded and, for a plugin, with an index."""
    if d.type == "cpu":
        return cpu
    if d.backend is not None and d.number >= 0:
        return d
    backend = find_backend(d.type)
    if not backend.is_available():
        reason = getattr(backend, "unavailable_reason", None)
        reason = None if reason is None else reason()
        raise RuntimeError(f"no device of type '{d.type}' is available" + (f": {reason}" if reason else
                           f": the plugin is installed, but it finds no {d.type} device or driver"))
    cdef int number = d.number
    if number < 0:
        number = backend.current_device()
    if number >= backend.device_count():
        raise RuntimeError(f"device '{d.type}:{number}' does not exist: the backend has {backend.device_count()} device(s)")
    cdef device full = _intern(d.type, number)
    full.backend = backend
    return full


def register_backend(str name, backend):
    """Make `backend` the device type `name`.

    Plugins are found through entry points and need not call this; it is for devices made in a program.

    Parameters
    ----------
    name : str
        The device type; an identifier.
    backend : tensorgrad.devices.Backend
        An instance, or any object with the same methods.

    Raises
    ------
    RuntimeError
        When the type is taken, or the backend speaks another version of the contract.
    """
    if name == "cpu":
        raise RuntimeError("the device type 'cpu' is built in")
    if not name.isidentifier():
        raise RuntimeError(f"a device type must be an identifier, got '{name}'")
    version = getattr(backend, "contract_version", None)
    if version is None:
        raise RuntimeError(f"the backend of device type '{name}' does not say which version of the contract it is built for: "
                           f"its class must have `contract_version = {CONTRACT_VERSION}` (see tensorgrad.devices.Backend)")
    if version != CONTRACT_VERSION:
        raise RuntimeError(
            f"the backend of device type '{name}' is built for contract version {version}; "
            f"this tensorgrad speaks version {CONTRACT_VERSION}: install a matching release of the plugin")
    # The memory of tensors that exist is freed through the backend they were made by.
    if name in _backends and _backends[name] is not backend:
        raise RuntimeError(f"the device type '{name}' has a backend already")
    overrides = getattr(backend, "overrides", None)
    if overrides and name not in _backends:
        _installer(name, overrides)
    if _backends.setdefault(name, backend) is not backend:
        raise RuntimeError(f"the device type '{name}' has a backend already")
    _failures.pop(name, None)


def set_override_installer(function):
    """`function(device type, overrides)` is called when a backend that has some is registered."""
    global _installer
    _installer = function


def registered_backends():
    """The device types whose backends are loaded, with the backends."""
    return dict(_backends)


def failed_backends():
    """The device types whose plugins could not be loaded, with the errors."""
    return dict(_failures)


def plugin_entry_points():
    """Every entry point in the group `tensorgrad.devices`, by name; metadata only, nothing is imported."""
    from importlib.metadata import entry_points
    found = {}
    for entry in entry_points(group="tensorgrad.devices"):
        found.setdefault(entry.name, []).append(entry)
    return found


def plugin_is_allowed(str name):
    """Whether TENSORGRAD_PLUGINS, when it is set, lists this device type."""
    allowed = os.environ.get("TENSORGRAD_PLUGINS")
    return allowed is None or name in [x.strip() for x in allowed.split(",")]


def find_backend(str name):
    """The backend of device type `name`, loading its plugin if need be.

    Raises
    ------
    RuntimeError
        When no plugin offers the type, several do, or the one that does fails to load (its error is the cause).
    """
    backend = _backends.get(name)
    if backend is not None:
        return backend
    with _loading:
        backend = _backends.get(name)
        return _load_plugin(name) if backend is None else backend


cdef object _load_plugin(str name):
    if not plugin_is_allowed(name):
        raise RuntimeError(f"the device type '{name}' is not among TENSORGRAD_PLUGINS={os.environ['TENSORGRAD_PLUGINS']!r}")
    entries = plugin_entry_points().get(name, [])
    if not entries:
        raise RuntimeError(
            f"tensorgrad has no device type '{name}': no installed distribution offers it. Install a plugin that does "
            f"(for example tensorgrad-{name}); `python -m tensorgrad.devices` lists what there is")
    if len(entries) > 1:
        names = ", ".join(sorted(f"{e.dist.name} {e.dist.version}" for e in entries))
        raise RuntimeError(f"several distributions offer the device type '{name}': {names}; uninstall all but one")
    entry = entries[0]
    try:
        backend = entry.load()()
        register_backend(name, backend)
    except Exception as error:
        failure = RuntimeError(
            f"the plugin {entry.dist.name} {entry.dist.version} for device type '{name}' could not be loaded "
            f"({entry.value}): {type(error).__name__}: {error}")
        _failures[name] = failure
        raise failure from error
    return backend
