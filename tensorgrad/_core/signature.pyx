"""Signatures of operators: parsed once from a declaration, then driving the parser of every call.

A signature reads like PyTorch's schemas::

    sum(Tensor self, Dims? dim=None, bool keepdim=False, *, DType? dtype=None)
    sort(Tensor self, Dim dim=-1, bool descending=False) -> (Tensor values, Tensor indices)

Types: Tensor, Tensor[] (a sequence), Tensor... (a sequence or loose tensors), Operand (a tensor or a
Python number), Number, int, float, bool, Dim (an
existing dimension), NewDim (a place to insert one), Dims, Size (ints, also given one by one),
DType, Device, Generator, str, Indices, Any. A ``?`` admits None; ``*`` starts the keyword-only part;
``Tensor!`` marks an argument that is written to.
"""
from cpython.ref cimport Py_INCREF, Py_XDECREF
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM

from tensorgrad._core.device cimport as_device
from tensorgrad._core.dtype cimport CAT_INT, as_dtype, dtype
from tensorgrad._core.types cimport TensorBase

import numbers
import operator
import sys

cdef extern from "Python.h":
    PyObject* PyTuple_GET_ITEM(object t, Py_ssize_t i)

cdef dict _types = {
    "Tensor": P_TENSOR, "Tensor[]": P_TENSORS, "Tensor...": P_TENSORS, "Operand": P_OPERAND, "Number": P_NUMBER, "int": P_INT,
    "float": P_FLOAT, "bool": P_BOOL, "Dim": P_DIM, "NewDim": P_NEW_DIM, "Dims": P_DIMS, "Size": P_SIZE,
    "DType": P_DTYPE, "Device": P_DEVICE, "Generator": P_GENERATOR, "str": P_STR, "Indices": P_INDICES, "Any": P_ANY,
}
# What PyTorch calls a parameter, or NumPy does, beside the name in our signatures.
cdef dict _aliases = {"input": "self", "axis": "dim", "keepdims": "keepdim", "x": "self", "a": "self", "x2": "other"}
cdef dict _spoken = {
    P_TENSOR: "Tensor", P_TENSORS: "tuple of Tensors", P_OPERAND: "Tensor", P_NUMBER: "Number", P_INT: "int",
    P_FLOAT: "float", P_BOOL: "bool", P_DIM: "int", P_NEW_DIM: "int", P_DIMS: "tuple of ints", P_SIZE: "tuple of ints",
    P_DTYPE: "tensorgrad.dtype", P_DEVICE: "tensorgrad.device", P_GENERATOR: "tensorgrad.Generator", P_STR: "str",
    P_INDICES: "tuple of Tensors", P_ANY: "object",
}
_literals = {"None": None, "True": True, "False": False, "()": ()}


cdef class Param:
    def __repr__(self):
        return f"{self.type_name} {self.name}" + (f"={self.default}" if self.has_default else "")


cdef object _literal(str text):
    if text in _literals:
        return _literals[text]
    if text[0] in "'\"":
        return text[1:-1]
    try:
        return int(text)
    except ValueError:
        return float(text)


cdef Param _parse_param(str text, bint keyword_only):
    cdef Param p = Param.__new__(Param)
    cdef str head, default
    head, has_default, default = text.partition("=")
    p.type_name, p.name = head.split()
    p.name = sys.intern(p.name)
    p.optional = "?" in p.type_name
    p.type = _types[p.type_name.rstrip("?!")]
    p.has_default = bool(has_default)
    if p.has_default:
        p.default = _literal(default)
    p.keyword_only = keyword_only
    return p


cdef Signature parse_signature(str text):
    cdef Signature s = Signature.__new__(Signature)
    cdef str inside, result
    cdef bint keyword_only = False
    cdef Param p
    cdef list params = []
    head, _, result = text.partition("->")
    name, _, inside = head.strip().partition("(")
    for part in inside.strip()[:-1].split(","):
        part = part.strip()
        if part == "*":
            keyword_only = True
        elif part:
            params.append(_parse_param(part, keyword_only))
    s.name, s.text, s.params = name, text, tuple(params)
    result = result.strip() or "Tensor"
    s.returns_list = result == "Tensor[]"
    s.outputs = tuple(x.split()[1] for x in result.strip("()").split(",")) if result[0] == "(" else ("out",)
    s.mutates_self = bool(params) and params[0].type_name.endswith("!")
    s.n_params = len(params)
    s.n_positional = sum(not (<Param>p).keyword_only for p in params)
    s.n_required = sum(not (<Param>p).has_default for p in params)
    s.varargs = 0 if params and (<Param>params[0]).type_name == "Tensor..." else -1
    s.loose_tensors = s.varargs == 0
    for i, p in enumerate(params):
        if (p.type == P_SIZE or (p.type == P_DIMS and not p.has_default)) and not p.keyword_only:
            if all((<Param>q).has_default or (<Param>q).keyword_only for q in params[i + 1:]):
                s.varargs = i
    if s.n_params > MAX_PARAMS:
        raise ValueError(f"{name} has more than {MAX_PARAMS} parameters")
    for i, p in enumerate(params):
        s.types[i] = p.type
        s.takes_none[i] = p.optional or (p.has_default and p.default is None)
        s.defaults[i] = <PyObject*>p.default if p.has_default else NULL
    return s


cdef inline bint _is_int(object x):
    return type(x) is int or (isinstance(x, int) and not isinstance(x, bool)) or (
        not isinstance(x, (float, str, tuple, list, bool)) and hasattr(x, "__index__")
        and (not isinstance(x, TensorBase) or ((<TensorBase>x).ndim == 0 and (<TensorBase>x).dtype.category == CAT_INT)))


cdef inline bint _is_number(object x):
    if type(x) is float or type(x) is int or type(x) is bool or type(x) is complex:
        return True
    if isinstance(x, TensorBase):
        return (<TensorBase>x).ndim == 0 and not (<TensorBase>x).flags & 1
    return isinstance(x, numbers.Number)


cdef object _python_number(object x):
    """`x` as one of Python's own numbers: a conversion that a class defines runs here and never between a kernel's checks
    and the kernel."""
    if type(x) is float or type(x) is int or type(x) is bool or type(x) is complex:
        return x
    if hasattr(x, "item"):
        x = x.item()
        if type(x) is float or type(x) is int or type(x) is bool or type(x) is complex:
            return x
    if isinstance(x, numbers.Integral):
        return int(x)
    if isinstance(x, complex) or (isinstance(x, numbers.Complex) and not isinstance(x, numbers.Real)):
        return complex(x)
    return float(x)


cdef inline bint _all_exact_ints(object x) noexcept:
    cdef Py_ssize_t i
    for i in range(PyTuple_GET_SIZE(x)):
        if type(<object>PyTuple_GET_ITEM(x, i)) is not int:
            return False
    return True


cdef inline bint _fits(int t, object x) noexcept:
    """Whether `x` is already what a parameter of type `t` wants; anything else goes through `convert`."""
    if t == P_TENSOR:
        return isinstance(x, TensorBase)
    if t == P_OPERAND:
        return isinstance(x, TensorBase) or type(x) is float or type(x) is int
    if t == P_DIM or t == P_INT or t == P_NEW_DIM:
        return type(x) is int
    if t == P_BOOL:
        return type(x) is bool
    if t == P_DIMS or t == P_SIZE:
        return type(x) is tuple and _all_exact_ints(x)
    if t == P_NUMBER:
        return type(x) is float or type(x) is int
    if t == P_FLOAT:
        return type(x) is float
    if t == P_DTYPE:
        return type(x) is dtype
    return t == P_ANY


cdef inline bint _put(Signature s, int i, PyObject* x, Slots* slots) except -1:
    """Fill slot `i`: with `x` itself, borrowed from the caller, or with what it is converted to; False if it does not fit."""
    if s.takes_none[i] if <object>x is None else _fits(s.types[i], <object>x):
        slots.values[i] = x
        return True
    return _put_converted(s, i, <object>x, slots)


cdef bint _put_converted(Signature s, int i, object x, Slots* slots) except -1:
    converted = convert(<Param>s.params[i], x)
    if converted is NotImplemented:
        return False
    own(slots, i, converted)
    return True


cdef object _ints(object x):
    """A tuple of ints, or NotImplemented."""
    if type(x) is tuple and _all_exact_ints(x):
        return x
    if isinstance(x, (tuple, list)):
        if type(x) is list:
            x = tuple(<list>x)
            if _all_exact_ints(x):
                return x
        for item in x:
            if type(item) is not int and not _is_int(item):
                return NotImplemented
        return tuple([operator.index(item) for item in x])
    return NotImplemented


cdef object convert(Param p, object x):
    """`x` as the parameter wants it, or NotImplemented."""
    cdef int t = p.type
    if x is None:
        return None if p.optional or (p.has_default and p.default is None) else NotImplemented
    if t == P_TENSOR:
        return x if isinstance(x, TensorBase) else NotImplemented
    if t == P_OPERAND:
        if isinstance(x, TensorBase):
            return x
        return _python_number(x) if _is_number(x) else NotImplemented
    if t == P_ANY:
        return x
    if t == P_DIM or t == P_NEW_DIM or t == P_INT:
        if type(x) is int:
            return x
        return operator.index(x) if _is_int(x) else NotImplemented
    if t == P_BOOL:
        if type(x) is bool:
            return x
        return bool(x) if type(x).__name__ in ("bool_", "bool") else NotImplemented
    if t == P_DIMS or t == P_SIZE:
        if type(x) is int:
            return (x,)
        if _is_int(x):
            return (operator.index(x),)
        return _ints(x)
    if t == P_NUMBER:
        return _python_number(x) if _is_number(x) else NotImplemented
    if t == P_FLOAT:
        return float(_python_number(x)) if _is_number(x) and not isinstance(x, complex) else NotImplemented
    if t == P_TENSORS:
        if isinstance(x, (tuple, list)):
            for item in x:
                if not isinstance(item, TensorBase):
                    return NotImplemented
            return tuple(x)
        return NotImplemented
    if t == P_INDICES:
        if not isinstance(x, (tuple, list)):
            return NotImplemented
        x = tuple(x)
        for item in x:
            if item is not None and not isinstance(item, TensorBase):
                return NotImplemented
        return x
    if t == P_DTYPE:
        if type(x) is dtype or x is float or x is int or x is bool or x is complex:
            return as_dtype(x)
        return NotImplemented
    if t == P_DEVICE:
        try:
            return as_device(x)
        except TypeError:
            return NotImplemented
    if t == P_STR:
        return x if isinstance(x, str) else NotImplemented
    return x if hasattr(x, "initial_seed") else NotImplemented     # P_GENERATOR


cdef void own(Slots* slots, int i, object x) noexcept:
    """Put a reference of the slots' own in the place of what is there."""
    cdef PyObject* before = slots.values[i] if slots.owned >> i & 1 else NULL
    Py_INCREF(x)
    slots.values[i] = <PyObject*>x
    slots.owned |= <uint32_t>1 << i
    Py_XDECREF(before)


cdef void release_owned(Slots* slots) noexcept:
    cdef uint32_t owned = slots.owned
    cdef int i = 0
    slots.owned = 0
    while owned:
        if owned & 1:
            Py_XDECREF(slots.values[i])
        owned >>= 1
        i += 1


cdef tuple tuple_of(PyObject* const* items, Py_ssize_t n):
    cdef tuple result = PyTuple_New(n)
    cdef Py_ssize_t i
    for i in range(n):
        Py_INCREF(<object>items[i])
        PyTuple_SET_ITEM(result, i, <object>items[i])
    return result


cdef str _position(Signature s, int i):
    cdef Param p = s.params[i]
    shown = "input" if p.name == "self" else p.name
    return f"argument '{shown}'" + ("" if p.keyword_only else f" (position {i + 1})")


cdef class Signature:
    def __repr__(self):
        return self.text

    def describe(self):
        """The parameters as an error message lists them."""
        parts, star = [], False
        for p in self.params:
            if p.keyword_only and not star:
                parts.append("*")
                star = True
            shown = "input" if p.name == "self" else p.name
            parts.append(f"{p.type_name.rstrip('?!')} {shown}" + (f" = {p.default}" if p.has_default else ""))
        return "(" + ", ".join(parts) + ")"

    cdef int parse(self, PyObject* const* args, Py_ssize_t nargs, object kwnames, Slots* slots, bint explain) except -1:
        """Fill `slots` from a vectorcall, whose caller holds the arguments meanwhile; 1 when they fit, else 0 or, to `explain`,
        TypeError. Whatever happens, the caller calls `release` afterwards."""
        cdef int i, used, n = self.n_params
        cdef Py_ssize_t k
        cdef object converted
        cdef bint loose = False
        slots.owned = 0
        for i in range(n):
            slots.values[i] = NULL
        used = <int>nargs
        if self.loose_tensors and nargs and isinstance(<object>args[0], TensorBase):
            converted = convert(<Param>self.params[0], tuple([<object>args[k] for k in range(nargs)]))
            if converted is NotImplemented:
                if explain:
                    raise TypeError(f"{self.name}(): {_position(self, 0)} must be tuple of Tensors")
                return 0
            own(slots, 0, converted)
            return self.finish(args, nargs, kwnames, slots, explain)
        if nargs > self.n_positional or (self.varargs >= 0 and not self.loose_tensors and nargs == self.varargs + 1):
            # view(2, 3): loose ints take the place of a tuple
            if self.varargs >= 0 and nargs > self.varargs and _is_int(<object>args[self.varargs]):
                loose = True
            elif nargs > self.n_positional:
                if explain:
                    raise TypeError(f"{self.name}() takes {self.n_positional} positional argument"
                                    f"{'s' if self.n_positional != 1 else ''} but {nargs} were given")
                return 0
        elif self.varargs >= 0 and not self.loose_tensors and nargs > self.varargs + 1 and _is_int(<object>args[self.varargs]) \
                and _is_int(<object>args[self.varargs + 1]):
            loose = True
        if loose:
            converted = _ints(tuple_of(args + self.varargs, nargs - self.varargs))
            if converted is NotImplemented:
                if explain:
                    raise TypeError(f"{self.name}(): {_position(self, self.varargs)} must be tuple of ints, but found element "
                                    "of another type")
                return 0
            own(slots, self.varargs, converted)
            used = self.varargs
        for i in range(used):
            if not _put(self, i, args[i], slots):
                if explain:
                    raise TypeError(f"{self.name}(): {_position(self, i)} must be "
                                    f"{_spoken[(<Param>self.params[i]).type]}, not {type(<object>args[i]).__name__}")
                return 0
        return self.finish(args, nargs, kwnames, slots, explain)

    cdef int finish(self, PyObject* const* args, Py_ssize_t nargs, object kwnames, Slots* slots, bint explain) except -1:
        """The second half of `parse`: keywords, then defaults."""
        cdef int i, n = self.n_params
        cdef Py_ssize_t k
        cdef Param p
        if kwnames is not None:
            for k in range(PyTuple_GET_SIZE(kwnames)):
                if not self.parse_keyword(<str><object>PyTuple_GET_ITEM(kwnames, k), args[nargs + k], slots, explain):
                    return 0
        for i in range(n):
            if slots.values[i] == NULL:
                if self.defaults[i] == NULL:
                    if explain:
                        p = <Param>self.params[i]
                        shown = "input" if p.name == "self" else p.name
                        raise TypeError(f"{self.name}() missing 1 required positional arguments: \"{shown}\"")
                    return 0
                slots.values[i] = self.defaults[i]
        return 1

    cdef int parse_keyword(self, str name, PyObject* x, Slots* slots, bint explain) except -1:
        cdef int i = self.position(name)
        if i < 0 and name in _aliases:
            i = self.position(<str>_aliases[name])
        if i < 0:
            if explain:
                raise TypeError(f"{self.name}() got an unexpected keyword argument '{name}'")
            return False
        if slots.values[i] != NULL:
            if explain:
                raise TypeError(f"{self.name}() got multiple values for argument '{name}'")
            return False
        if not _put(self, i, x, slots):
            if explain:
                raise TypeError(f"{self.name}(): argument '{name}' must be {_spoken[(<Param>self.params[i]).type]}, not "
                                f"{type(<object>x).__name__}")
            return False
        return True

    cdef int position(self, str name) except -2:
        """Where the parameter of that name is, or -1."""
        cdef int i
        for i in range(self.n_params):      # names are interned, as a rule
            if (<Param>self.params[i]).name is name:
                return i
        for i in range(self.n_params):
            if (<Param>self.params[i]).name == name:
                return i
        return -1
