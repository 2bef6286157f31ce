"""Files of tensors: `save` and `load`.

A file is a zip archive without compression::

    version         "tensorgrad 1 little": the format's version and the order of the bytes
    data.pkl        a pickle of the structure, in which storages are references
    data/0, ...     the bytes of each storage

A pickle is a program. `load` runs it on an interpreter that knows only the instructions and functions which
build tensors and plain containers, unless the caller says that the file can be trusted.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from typing import IO, Any, ClassVar

from tensorgrad._core.device import device as Device
from tensorgrad._core.dtype import _by_name as rebuild_dtype
from tensorgrad._core.size import Size
from tensorgrad._core.tensor import Tensor
from tensorgrad._core.types import Storage
from tensorgrad.interop.numpy_bridge import copy_storage, make_storage, storage_bytes, storage_view
from tensorgrad.interop.pickling import rebuild_storage, rebuild_tensor

__all__ = ["add_safe_globals", "clear_safe_globals", "get_safe_globals", "load", "safe_globals", "save"]

_VERSION = f"tensorgrad 1 {sys.byteorder}"
_PROTOCOL = 5
# One date for every entry: the same object makes the same file.
_DATE = (1980, 1, 1, 0, 0, 0)


# ---- save ----------------------------------------------------------------------------------------
class _Pickler(pickle.Pickler):
    """Pickles the structure and collects the storages."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, protocol=_PROTOCOL)
        self.storages: dict[int, tuple[int, Storage]] = {}

    def persistent_id(self, obj: Any) -> Any:
        if not isinstance(obj, Storage):
            return None
        # The storage is kept in the dict, so that no other one gets its id.
        key, _ = self.storages.setdefault(id(obj), (len(self.storages), obj))
        return "storage", str(key), str(obj.device), obj.nbytes()


def _write(obj: Any, file: IO[bytes]) -> None:
    # Imported here and below because it takes 8 ms, which `import tensorgrad` need not.
    from zipfile import ZIP_STORED, ZipFile, ZipInfo

    structure = io.BytesIO()
    pickler = _Pickler(structure)
    pickler.dump(obj)
    with ZipFile(file, "w", ZIP_STORED, allowZip64=True) as archive:
        archive.writestr(ZipInfo("version", _DATE), _VERSION)
        archive.writestr(ZipInfo("data.pkl", _DATE), structure.getvalue())
        for key, storage in pickler.storages.values():
            contents = storage_view(storage) if storage.device.type == "cpu" else storage_bytes(storage)
            with archive.open(ZipInfo(f"data/{key}", _DATE), "w", force_zip64=True) as entry:
                entry.write(contents)


@contextlib.contextmanager
def _replacing(path: str) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` when everything has been written, or leaves it as it is."""
    target = os.path.realpath(path)
    directory = os.path.dirname(target)
    if not os.path.isdir(directory):
        raise RuntimeError(f"Parent directory {directory} does not exist.")
    # Beside the target: os.replace is atomic within one file system. Mode "x" obeys the umask.
    temporary = os.path.join(directory, f".{os.path.basename(target)}.{os.urandom(6).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(target):
            os.chmod(temporary, os.stat(target).st_mode & 0o7777)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def save(obj: Any, f: str | os.PathLike[str] | IO[bytes]) -> None:
    """Write an object that holds tensors to a file.

    Parameters
    ----------
    obj : object
        Anything that can be pickled; what `load` accepts by default is made of tensors, dicts, lists, tuples,
        sets, numbers, strings and bytes.
    f : path or file
        A file must have `write`. A file at a path is replaced when all has been written, and not before.

    Raises
    ------
    RuntimeError
        When the directory does not exist.
    AttributeError
        When `f` is neither a path nor a file.

    Notes
    -----
    Tensors that share memory share it when they are loaded. A view takes its whole storage along: save
    ``x.clone()`` to keep the file small.

    Examples
    --------
    >>> import io, tensorgrad
    >>> file = io.BytesIO()
    >>> tensorgrad.save({"weight": tensorgrad.ones(2)}, file)
    >>> _ = file.seek(0)
    >>> tensorgrad.load(file)
    {'weight': tensor([1., 1.])}
    """
    if isinstance(f, (str, os.PathLike)):
        with _replacing(os.fspath(f)) as file:
            _write(obj, file)
    elif hasattr(f, "write"):
        _write(obj, f)
    else:
        raise AttributeError(
            "expected 'f' to be string, path, or a file-like object with a 'write' attribute, got "
            f"{type(f).__name__}"
        )


# ---- what an untrusted file may name -------------------------------------------------------------
def _complex(real: float, imag: float) -> complex:
    return complex(float(real), float(imag))


def _by_name(*items: Any) -> dict[tuple[str, str], Any]:
    return {(item.__module__, item.__qualname__): item for item in items}


# What a file may name, and call: this makes values and does nothing else.
_ALLOWED = {
    **_by_name(rebuild_tensor, rebuild_storage, rebuild_dtype, Tensor, Size, Device, OrderedDict, Counter),
    ("builtins", "complex"): _complex,
}
# The same, by name: a floor above this one, and imported only when a file names it.
_ALLOWED_ABOVE = {("tensorgrad_nn.parameter", "Parameter"), ("tensorgrad_nn.parameter", "_rebuild_parameter")}
_added: dict[tuple[str, str], Any] = {}


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Let files name these classes and functions although they are not trusted.

    Parameters
    ----------
    safe_globals : list of type or function
        A class may be instantiated, a function called, with whatever arguments the file has.
    """
    for item in safe_globals:
        _added[item.__module__, item.__qualname__] = item


def get_safe_globals() -> list[Any]:
    """Return what was given to `add_safe_globals`."""
    return list(_added.values())


def clear_safe_globals() -> None:
    """Take back every `add_safe_globals`."""
    _added.clear()


@contextlib.contextmanager
def safe_globals(safe_globals: list[Any]) -> Iterator[None]:
    """Let files name these classes and functions within a ``with`` block."""
    before = dict(_added)
    add_safe_globals(safe_globals)
    try:
        yield
    finally:
        _added.clear()
        _added.update(before)


# ---- load ----------------------------------------------------------------------------------------
MapLocation = Callable[[Storage, str], Any] | dict[str, str] | str | Device | None


class _Loader:
    """Fetches the storages that a structure refers to."""

    def __init__(self, archive: Any, map_location: MapLocation) -> None:
        self.archive = archive
        self.map_location = map_location
        self.storages: dict[str, Storage] = {}

    def load(self, reference: Any) -> Storage:
        match reference:
            case ("storage", str(key), str(location), int(nbytes)) if nbytes >= 0:
                pass
            case _:
                raise pickle.UnpicklingError(f"the file refers to something unknown: {reference!r}")
        if key not in self.storages:
            self.storages[key] = self.place(self.read(key, nbytes), location)
        if len(self.storages[key]) != nbytes:
            raise pickle.UnpicklingError(f"storage {key} is said to have two sizes")
        return self.storages[key]

    def read(self, key: str, nbytes: int) -> Storage:
        try:
            info = self.archive.getinfo(f"data/{key}")
        except KeyError:
            raise pickle.UnpicklingError(f"storage {key} is missing") from None
        # Before memory is taken: without compression the archive is as long as what it holds.
        if info.compress_type != 0 or info.file_size != nbytes:
            raise pickle.UnpicklingError(f"storage {key} has {info.file_size} bytes in place of {nbytes}")
        storage = make_storage(nbytes)
        view, start = storage_view(storage), 0
        with self.archive.open(info) as entry:
            while start < nbytes:
                count = entry.readinto(view[start : start + (1 << 24)])
                if not count:
                    raise pickle.UnpicklingError(f"storage {key} ends after {start} of {nbytes} bytes")
                start += count
            entry.read(1)  # the end: here the checksum is compared
        return storage

    def place(self, storage: Storage, location: str) -> Storage:
        """Move a storage from the CPU to where it was saved, or where `map_location` says."""
        target: Any = self.map_location
        if isinstance(target, dict):
            target = target.get(location, location)
        elif target is not None and not isinstance(target, (str, Device)):
            target = target(storage, location)
        if isinstance(target, Storage):
            if len(target) != len(storage):
                raise RuntimeError(
                    f"map_location returned a storage of {len(target)} bytes for one of {len(storage)}"
                )
            return target
        target = location if target is None else target
        try:
            return copy_storage(storage, target)
        except RuntimeError as error:
            raise RuntimeError(
                f"Attempting to deserialize object on device '{target}', which cannot be used ({error}). "
                "Use map_location=tensorgrad.device('cpu') to map the storages to the CPU"
            ) from error


class _TrustingUnpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], loader: _Loader) -> None:
        super().__init__(file)
        self._loader = loader

    def persistent_load(self, pid: Any) -> Storage:
        return self._loader.load(pid)


def _refuse(self: Any) -> None:
    raise pickle.UnpicklingError("it has a pickle instruction that is not allowed")


# The interpreter in Python: of the one in C one can forbid names, but not instructions.
class _RestrictedUnpickler(pickle._Unpickler):  # type: ignore[name-defined, misc]
    """Builds tensors and plain containers, calls nothing else, and sets attributes of nothing else."""

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]

    def __init__(self, file: IO[bytes], loader: _Loader) -> None:
        super().__init__(file)
        self._loader = loader
        self._found: list[Any] = []

    def persistent_load(self, pid: Any) -> Storage:
        return self._loader.load(pid)

    def find_class(self, module: str, name: str) -> Any:
        found = _ALLOWED.get((module, name)) or _added.get((module, name))
        if found is None and (module, name) in _ALLOWED_ABOVE:
            found = super().find_class(module, name)
        if found is None:
            raise pickle.UnpicklingError(
                f"Unsupported global: GLOBAL {module}.{name} was not an allowed global by default. Use "
                "`tensorgrad.serialization.add_safe_globals` to allow it if you trust this class/function"
            )
        self._found.append(found)
        return found

    def load_reduce(self) -> None:
        function = self.stack[-2]
        if not any(function is item for item in self._found):
            raise pickle.UnpicklingError(f"it calls {function!r}, which is not an allowed global")
        super().load_reduce()

    def _check_class(self, cls: Any) -> None:
        # Without __init__ a Tensor would be left without memory: only classes that the user answers for.
        if not any(cls is item for item in _added.values()):
            raise pickle.UnpicklingError(f"it makes an instance of {cls!r}, which is not an allowed global")

    def load_newobj(self) -> None:
        self._check_class(self.stack[-2])
        super().load_newobj()

    def load_newobj_ex(self) -> None:
        self._check_class(self.stack[-3])
        super().load_newobj_ex()

    def load_build(self) -> None:
        owner, state = self.stack[-2:]
        if not any(type(owner) is item for item in _added.values()):
            # A state_dict is an OrderedDict with an attribute.
            settable = isinstance(owner, Tensor) or type(owner) is OrderedDict
            if not settable or not isinstance(state, dict):
                raise pickle.UnpicklingError(f"it sets attributes of {type(owner).__name__}")
        super().load_build()

    for _name, _method in (
        ("REDUCE", load_reduce),
        ("NEWOBJ", load_newobj),
        ("NEWOBJ_EX", load_newobj_ex),
        ("BUILD", load_build),
        # Old ways to call, the registry of copyreg, and memory from outside: what `save` never writes.
        ("INST", _refuse),
        ("OBJ", _refuse),
        ("EXT1", _refuse),
        ("EXT2", _refuse),
        ("EXT4", _refuse),
        ("PERSID", _refuse),
        ("NEXT_BUFFER", _refuse),
        ("READONLY_BUFFER", _refuse),
    ):
        dispatch[getattr(pickle, _name)[0]] = _method
    del _name, _method


def _entry(archive: Any, entry: str, name: str) -> bytes:
    try:
        return archive.read(entry)
    except KeyError:
        raise pickle.UnpicklingError(f"{name} is no file of tensorgrad.save: it has no '{entry}'") from None


def _read(file: IO[bytes], map_location: MapLocation, weights_only: bool, name: str) -> Any:
    from zipfile import BadZipFile, ZipFile

    try:
        with ZipFile(file) as archive:
            version = _entry(archive, "version", name).decode("ascii", "replace")
            if version != _VERSION:
                raise pickle.UnpicklingError(
                    f"{name} has the format '{version}', only '{_VERSION}' is understood"
                )
            structure = io.BytesIO(_entry(archive, "data.pkl", name))
            unpickler = _RestrictedUnpickler if weights_only else _TrustingUnpickler
            return unpickler(structure, _Loader(archive, map_location)).load()
    except BadZipFile as error:
        if file.seek(0, os.SEEK_END) == 0:
            raise EOFError(f"{name} is empty") from error
        raise pickle.UnpicklingError(f"{name} is no file of tensorgrad.save, or damaged: {error}") from error


def load(
    f: str | os.PathLike[str] | IO[bytes], map_location: MapLocation = None, weights_only: bool = True
) -> Any:
    """Read what `save` wrote.

    Parameters
    ----------
    f : path or file
        A file must have `read` and `seek`.
    map_location : device, str, dict or callable, optional
        Where tensors are to live in place of the device they were saved from: a device for all, a dict from
        one device's name to another's, or a function of a CPU storage and the device's name that returns a
        storage, a device or None.
    weights_only : bool
        Build nothing but tensors, parameters, dicts, lists, tuples, sets, numbers, strings, bytes, and what
        `add_safe_globals` allows. False lets the file run any code it likes: for files that you trust.

    Returns
    -------
    object

    Raises
    ------
    pickle.UnpicklingError
        When the file is not of this format, is damaged, or wants more than it may.
    RuntimeError
        When a device cannot be used.

    Examples
    --------
    >>> import io, tensorgrad
    >>> file = io.BytesIO()
    >>> tensorgrad.save([tensorgrad.arange(3), "text"], file)
    >>> tensorgrad.load(file, map_location="cpu")
    [tensor([0, 1, 2]), 'text']
    """
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file:
            return _guarded(file, map_location, weights_only, repr(os.fspath(f)))
    for method in ("read", "seek", "tell"):
        if not hasattr(f, method):
            raise AttributeError(
                f"'{type(f).__name__}' object has no attribute '{method}'. You can only load from a file "
                "that is seekable. Please pre-load the data into a buffer like io.BytesIO and try to load "
                "from it instead."
            )
    return _guarded(f, map_location, weights_only, "the file")


def _guarded(file: IO[bytes], map_location: MapLocation, weights_only: bool, name: str) -> Any:
    """Read, with errors that say what may be done about them."""
    if not weights_only:
        return _read(file, map_location, weights_only, name)
    try:
        return _read(file, map_location, weights_only, name)
    except pickle.UnpicklingError as error:
        raise pickle.UnpicklingError(
            f"Weights only load failed. {error}. With weights_only=False any object can be loaded, but the "
            "file can then run any code: do that only if you trust its source."
        ) from error
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
        # A damaged or forged structure: the arguments of a rebuild function, or the interpreter's own stack.
        raise pickle.UnpicklingError(
            f"Weights only load failed: the structure is damaged ({error})"
        ) from error
