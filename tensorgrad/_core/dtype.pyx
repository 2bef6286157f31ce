"""The scalar types and the one promotion table.

Promotion is PyTorch's: operands fall into categories (bool < int < float < complex), and an
operand of a lower priority (a zero-dimensional tensor, a Python number) changes the result only
when its category is higher.  See https://pytorch.org/docs/stable/tensor_attributes.html.
"""
from cpython.object cimport PyObject

import numpy as np

cdef class dtype:
    """A scalar type, such as ``tensorgrad.float32``."""

    def __init__(self, *args, **kwargs):
        raise TypeError("cannot create 'tensorgrad.dtype' instances")

    @property
    def is_floating_point(self):
        return self.category == CAT_FLOAT

    @property
    def is_complex(self):
        return self.category == CAT_COMPLEX

    def to_real(self):
        """The real type whose pairs make this complex type; a real type is returned as it is."""
        return dtype_of(to_real_code(self.code))

    def to_complex(self):
        """The complex type made of pairs of this type."""
        return dtype_of(to_complex_code(self.code))

    @property
    def numpy(self):
        """The NumPy type with the same bytes, or None where NumPy has none (bfloat16)."""
        return None if self.code == TG_BF16 else self.numpy_type

    def __repr__(self):
        return "tensorgrad." + self.name

    def __reduce__(self):
        return _by_name, (self.name,)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self


cdef list _dtypes = []
cdef dict _names = {}
cdef dict _from_numpy = {}


def _by_name(str name):
    return _names[name]


cdef _define(str name, int code, int itemsize, int category, bint is_signed, str numpy_name, tuple aliases):
    cdef dtype d = dtype.__new__(dtype)
    d.name, d.code, d.itemsize, d.category, d.is_signed = name, code, itemsize, category, is_signed
    d.numpy_type = np.dtype(numpy_name)
    _dtypes.append(d)
    for alias in (name, *aliases):
        _names[alias] = d
    if code != TG_BF16:
        _from_numpy[d.numpy_type] = d


_define("bool", TG_BOOL, 1, CAT_BOOL, False, "bool", ())
_define("uint8", TG_U8, 1, CAT_INT, False, "uint8", ())
_define("int8", TG_I8, 1, CAT_INT, True, "int8", ())
_define("int16", TG_I16, 2, CAT_INT, True, "int16", ("short",))
_define("int32", TG_I32, 4, CAT_INT, True, "int32", ("int",))
_define("int64", TG_I64, 8, CAT_INT, True, "int64", ("long",))
_define("uint16", TG_U16, 2, CAT_INT, False, "uint16", ())
_define("uint32", TG_U32, 4, CAT_INT, False, "uint32", ())
_define("uint64", TG_U64, 8, CAT_INT, False, "uint64", ())
_define("float16", TG_F16, 2, CAT_FLOAT, True, "float16", ("half",))
_define("bfloat16", TG_BF16, 2, CAT_FLOAT, True, "uint16", ())
_define("float32", TG_F32, 4, CAT_FLOAT, True, "float32", ("float",))
_define("float64", TG_F64, 8, CAT_FLOAT, True, "float64", ("double",))
_define("complex64", TG_C64, 8, CAT_COMPLEX, True, "complex64", ("cfloat",))
_define("complex128", TG_C128, 16, CAT_COMPLEX, True, "complex128", ("cdouble",))

cdef PyObject* _table[15]        # borrowed from _dtypes, which lives for ever
cdef int _category[15]
for _d in _dtypes:
    _table[(<dtype>_d).code] = <PyObject*>_d
    _category[(<dtype>_d).code] = (<dtype>_d).category

cdef int _default = TG_F32


cdef dtype dtype_of(int code):
    return <dtype>_table[code]


cdef int default_code() noexcept:
    return _default


cdef int category_of(int code) noexcept nogil:
    return _category[code]


def names():
    """Every public name of a dtype, aliases included, with its dtype."""
    return dict(_names)


def from_numpy(numpy_dtype):
    """The dtype that stores `numpy_dtype`; TypeError with PyTorch's phrase when there is none."""
    found = _from_numpy.get(np.dtype(numpy_dtype).newbyteorder("="))
    if found is None:
        raise TypeError(
            f"can't convert np.ndarray of type {np.dtype(numpy_dtype)}. The only supported types are: float64, float32, "
            "float16, complex64, complex128, int64, int32, int16, int8, uint64, uint32, uint16, uint8, and bool.")
    return found


def get_default_dtype():
    """The dtype of floating point tensors made from Python floats.

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.get_default_dtype()
    tensorgrad.float32
    """
    return dtype_of(_default)


def set_default_dtype(d):
    """Set the default floating point dtype (and with it the default complex dtype).

    Parameters
    ----------
    d : dtype
        A floating point dtype.

    Raises
    ------
    TypeError
        When `d` is not a floating point dtype.
    """
    global _default
    cdef dtype x = as_dtype(d)
    if x.category != CAT_FLOAT:
        raise TypeError("only floating-point types are supported as the default type")
    _default = x.code


cdef dtype as_dtype(object x):
    """Accept what PyTorch accepts where a dtype is wanted: a dtype, or Python's bool, int, float, complex."""
    if type(x) is dtype:
        return x
    if x is float:
        return dtype_of(TG_F64)
    if x is int:
        return dtype_of(TG_I64)
    if x is bool:
        return dtype_of(TG_BOOL)
    if x is complex:
        return dtype_of(TG_C128)
    raise TypeError(f"expected a tensorgrad.dtype, but got {type(x).__name__}")


cdef int to_complex_code(int code) noexcept:
    return code if _category[code] == CAT_COMPLEX else (TG_C128 if code == TG_F64 else TG_C64)


cdef int to_real_code(int code) noexcept:
    return TG_F32 if code == TG_C64 else (TG_F64 if code == TG_C128 else code)


cdef bint _is_bare_unsigned(int code) noexcept:
    return TG_U16 <= code <= TG_U64


cdef int promote(int a, int b) except -1:
    """The smallest type that holds both, as `promote_types`; -1 stands for "undefined" in neither argument."""
    cdef int ca, cb
    if a == b:
        return a
    ca, cb = _category[a], _category[b]
    if ca > cb:
        a, b, ca, cb = b, a, cb, ca
    if cb == CAT_COMPLEX:
        return TG_C128 if (a == TG_F64 or a == TG_C128 or b == TG_C128) else TG_C64
    if cb == CAT_FLOAT:
        if ca < CAT_FLOAT:
            return b
        if a == TG_F64 or b == TG_F64:
            return TG_F64
        return TG_F32       # half with bfloat16, or either with float
    if ca == CAT_BOOL:
        return b
    if _is_bare_unsigned(a) or _is_bare_unsigned(b):
        raise RuntimeError(
            "Promotion for uint16, uint32, uint64 types is not supported, attempted to promote "
            f"{dtype_of(a).name} and {dtype_of(b).name}; convert one of them with .to(dtype) first")
    if a == TG_U8 or b == TG_U8:
        return TG_I16 if (a == TG_I8 or b == TG_I8) else (b if a == TG_U8 else a)
    return a if a > b else b   # signed integers are numbered by size


cdef int combine_categories(int higher, int lower) except -2:
    """The type of a higher-priority operand after one of lower priority has joined; -1 is "none yet"."""
    if higher < 0:
        return lower
    if lower < 0 or _category[higher] == CAT_COMPLEX:
        return higher
    if _category[higher] == CAT_FLOAT:
        return to_complex_code(higher) if _category[lower] == CAT_COMPLEX else higher
    if _category[higher] == CAT_BOOL or _category[lower] >= CAT_FLOAT:
        return promote(higher, lower)
    return higher


def promote_types(type1, type2):
    """The dtype with the smallest size and kind that holds both `type1` and `type2`.

    Examples
    --------
    >>> import tensorgrad
    >>> tensorgrad.promote_types(tensorgrad.int32, tensorgrad.float32)
    tensorgrad.float32
    """
    return dtype_of(promote(as_dtype(type1).code, as_dtype(type2).code))


class finfo:
    """Limits of a floating point dtype: bits, eps, max, min, tiny, smallest_normal, resolution."""

    def __init__(self, type=None):
        cdef dtype d = dtype_of(_default) if type is None else as_dtype(type)
        if d.category < CAT_FLOAT:
            raise TypeError(f"tensorgrad.finfo() requires a floating point input type. Use tensorgrad.iinfo to handle '{d}'")
        real = dtype_of(to_real_code(d.code))
        self.dtype = real.name
        self.bits = real.itemsize * 8
        if d.code == TG_BF16:
            self.eps, self.max, self.tiny, self.resolution = 2.0 ** -7, 3.3895313892515355e38, 2.0 ** -126, 0.01
        else:
            info = np.finfo(real.numpy_type)
            self.eps, self.max = float(info.eps), float(info.max)
            self.tiny, self.resolution = float(info.tiny), float(info.resolution)
        self.min = -self.max
        self.smallest_normal = self.tiny

    def __repr__(self):
        return (f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
                f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})")


class iinfo:
    """Limits of an integer dtype: bits, max, min."""

    def __init__(self, type):
        cdef dtype d = as_dtype(type)
        if d.category != CAT_INT:
            raise TypeError(f"tensorgrad.iinfo() requires an integer input type. Use tensorgrad.finfo to handle '{d}'")
        info = np.iinfo(d.numpy_type)
        self.dtype, self.bits, self.max, self.min = d.name, info.bits, int(info.max), int(info.min)

    def __repr__(self):
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
