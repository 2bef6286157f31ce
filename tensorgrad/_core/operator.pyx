"""Operators as callables: one small C-level type for functions, methods and handles.

`tensorgrad.sin`, `Tensor.sin` and the `sin` in a derivative's formula are one object. Whoever needs
an operator asks for its handle by name, possibly before it is declared; a handle that is still
empty when the library has been imported is an import error (`check_handles`).
"""
cdef extern from *:
    """
    #include <stddef.h>
    static void tg_make_callable(PyObject *t, Py_ssize_t offset) {
        PyTypeObject *type = (PyTypeObject *)t;
        type->tp_vectorcall_offset = offset;
        type->tp_call = PyVectorcall_Call;
        type->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR;
        PyType_Modified(type);
    }
    """
    void tg_make_callable(object type, Py_ssize_t offset)
    object PyMethod_New(object f, object self)

cdef dict _handles = {}
cdef VectorCall _dispatcher = NULL
cdef Invoker _invoke = NULL


cdef object _call_empty(object callable, PyObject* const* args, size_t nargsf, PyObject* kwnames):
    raise ImportError(f"the operator '{callable.__name__}' was called before it was declared")


cdef class Operator:
    """A differentiable operator, as a function and as a method."""

    def __cinit__(self):
        self.vectorcall = _call_empty
        self.overloads = []

    def __init__(self, *args, **kwargs):
        raise TypeError("operators are made by declarations")

    def __get__(self, instance, owner):
        if instance is None:
            return self
        return PyMethod_New(self, instance)

    def __repr__(self):
        return f"<operator tensorgrad.{self.__name__}>"

    def __reduce__(self):
        return _by_name, (self.__name__,)

    @property
    def __qualname__(self):
        return self.__name__

    @property
    def __doc__(self):
        from tensorgrad._core.docstrings import compose     # only when somebody asks
        return compose(self) if self.overloads else None

    @property
    def __text_signature__(self):
        from tensorgrad._core.docstrings import text_signature
        return text_signature(self) if self.overloads else None

    @property
    def __module__(self):
        return "tensorgrad"


cdef Operator _sample = Operator.__new__(Operator)
tg_make_callable(Operator, <char*>&_sample.vectorcall - <char*><PyObject*>_sample)


def _by_name(str name):
    return _handles[name]


cdef void set_dispatcher(VectorCall call, Invoker invoke):
    global _dispatcher, _invoke
    _dispatcher, _invoke = call, invoke


cdef Operator handle(str name):
    """The operator of this name, declared or yet to be."""
    cdef Operator op = _handles.get(name)
    if op is None:
        op = Operator.__new__(Operator)
        op.__name__ = name
        op.overloads = []
        op.vectorcall = _call_empty
        _handles[name] = op
    return op


def fill(str name, overload):
    """Add a declaration to the operator it names."""
    cdef Operator op = handle(name)
    op.overloads.append(overload)
    op.first = op.overloads[0]
    op.vectorcall = _dispatcher
    return op


def set_fast(Operator op, int operands):
    op.fast = operands


def check_handles():
    """Raise ImportError when an operator that somebody holds a handle of was never declared."""
    missing = sorted(name for name, op in _handles.items() if not (<Operator>op).overloads)
    if missing:
        raise ImportError(f"operators without a declaration: {', '.join(missing)}")


def all_operators():
    """Every operator by name."""
    return dict(_handles)


cdef object combine(Operator op, object a, object b):
    """An operator of two tensors, which need no parsing if they are all that it takes."""
    cdef PyObject* args[2]
    args[0], args[1] = <PyObject*>a, <PyObject*>b
    return _invoke(op, args) if op.fast == 2 else op.vectorcall(op, args, 2, NULL)


cdef object call1(Operator op, object a):
    cdef PyObject* args[1]
    args[0] = <PyObject*>a
    return op.vectorcall(op, args, 1, NULL)


cdef object call2(Operator op, object a, object b):
    cdef PyObject* args[2]
    args[0] = <PyObject*>a
    args[1] = <PyObject*>b
    return op.vectorcall(op, args, 2, NULL)


cdef object call3(Operator op, object a, object b, object c):
    cdef PyObject* args[3]
    args[0] = <PyObject*>a
    args[1] = <PyObject*>b
    args[2] = <PyObject*>c
    return op.vectorcall(op, args, 3, NULL)
