"""Signatures of operators: parsed once from a declaration, then driving the parser of every call."""
from cpython.object cimport PyObject
from libc.stdint cimport int8_t, uint32_t

cdef enum ParamType:
    P_TENSOR, P_TENSORS, P_OPERAND, P_NUMBER, P_INT, P_FLOAT, P_BOOL, P_DIM, P_NEW_DIM, P_DIMS, P_SIZE
    P_DTYPE, P_DEVICE, P_GENERATOR, P_STR, P_INDICES, P_ANY

cdef enum:
    MAX_PARAMS = 24

cdef struct Slots:
    PyObject* values[24]            # one for each parameter
    uint32_t owned                  # bit i: values[i] is a reference of its own; the others are borrowed from the call

cdef class Param:
    cdef readonly str name
    cdef readonly str type_name
    cdef int type
    cdef readonly bint optional     # None is welcome
    cdef readonly bint has_default
    cdef readonly object default
    cdef readonly bint keyword_only

cdef class Signature:
    cdef readonly str name
    cdef readonly str text
    cdef readonly tuple params
    cdef readonly tuple outputs     # names of the results; ("out",) for a single one
    cdef readonly bint returns_list
    cdef readonly bint mutates_self
    cdef int n_params, n_positional, n_required
    cdef int varargs                # index of the parameter that takes loose ints, or -1
    cdef bint loose_tensors         # the first parameter takes loose tensors as well
    cdef int8_t types[24]           # of each parameter, so that a call looks into no Param
    cdef int8_t takes_none[24]
    cdef PyObject* defaults[24]     # borrowed from the parameters; NULL where one is required
    cdef int finish(self, PyObject* const* args, Py_ssize_t nargs, object kwnames, Slots* slots, bint explain) except -1
    cdef int parse_keyword(self, str name, PyObject* x, Slots* slots, bint explain) except -1
    cdef int position(self, str name) except -2
    cdef int parse(self, PyObject* const* args, Py_ssize_t nargs, object kwnames, Slots* slots, bint explain) except -1

cdef Signature parse_signature(str text)
cdef tuple tuple_of(PyObject* const* args, Py_ssize_t n)
cdef void own(Slots* slots, int i, object x) noexcept
cdef void release_owned(Slots* slots) noexcept

cdef inline void release(Slots* slots) noexcept:
    if slots.owned:
        release_owned(slots)
