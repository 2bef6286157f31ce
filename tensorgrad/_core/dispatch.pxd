"""What happens around every operator call, once."""
from cpython.object cimport PyObject

from tensorgrad._core.declaration cimport Overload
from tensorgrad._core.grad_mode cimport tg_thread_state
from tensorgrad._core.operator cimport Operator

ctypedef object (*SlowPath)(Overload o, PyObject** a, tg_thread_state* st)

cdef object run(Overload o, PyObject** a)
cdef object run_at(Overload o, PyObject** a, tg_thread_state* st)
cdef object run_composite(Overload o, PyObject** a)
cdef object compute(Overload o, PyObject** a, tg_thread_state* st)
cdef object invoke(Operator op, PyObject** a)
cdef void set_slow_paths(SlowPath run_slowly, SlowPath compute_below)
