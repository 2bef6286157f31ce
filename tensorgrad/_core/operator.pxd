"""Operators as callables: one small C-level type for functions, methods and handles."""
from cpython.object cimport PyObject

ctypedef object (*VectorCall)(object callable, PyObject* const* args, size_t nargsf, PyObject* kwnames)

cdef class Operator:
    cdef VectorCall vectorcall      # where CPython finds it; empty handles raise
    cdef readonly str __name__
    cdef readonly list overloads    # Overload, in the order in which their signatures are tried
    cdef int fast                   # 1, 2: the first overload takes so many operands, nothing else, elementwise
    cdef object first               # overloads[0]
    cdef object __weakref__

ctypedef object (*Invoker)(Operator op, PyObject** a)

cdef Operator handle(str name)
cdef void set_dispatcher(VectorCall call, Invoker invoke)
cdef object combine(Operator op, object a, object b)
cdef object call1(Operator op, object a)
cdef object call2(Operator op, object a, object b)
cdef object call3(Operator op, object a, object b, object c)
