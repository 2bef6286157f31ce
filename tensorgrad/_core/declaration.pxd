"""Declarations of operators, as everything above reads them."""
from cpython.object cimport PyObject
from libc.stdint cimport int8_t, uint32_t

from tensorgrad._core.device cimport tg_kernel
from tensorgrad._core.operator cimport Operator
from tensorgrad._core.signature cimport Signature

cdef enum OverloadKind:
    ELEMENTWISE     # a kernel and partial derivatives
    GENERAL         # a forward function, with vjp and jvp
    COMPOSITE       # a forward function made of operators that differentiate themselves

cdef enum DtypeRule:
    RULE_PROMOTE    # compute and return in the promoted type
    RULE_FLOAT      # integers are computed in the default floating point type

cdef enum:
    MAX_SAVED = 12
    MAX_FORMULA = 12

cdef enum SavedWhat:
    SAVE_PARAM, SAVE_OUT, SAVE_SHAPE, SAVE_DTYPE

cdef enum Source:
    FROM_GRAD, FROM_GRADS, FROM_SAVED, FROM_NEEDS, FROM_TANGENT

# A forward computation in C: takes all parameters in order, as they were parsed.
ctypedef object (*Forward)(PyObject** a)

cdef class NativeForward:
    """A `Forward` as the Python object that `operator` and `composite` take."""
    cdef Forward function

cdef class Formula:
    """A derivative as a function, and where each of its arguments comes from."""
    cdef object function
    cdef object constant
    cdef bint is_value          # the named value itself
    cdef int n
    cdef int8_t source[12]
    cdef int8_t index[12]

cdef class Overload:
    cdef readonly str name
    cdef readonly Operator op
    cdef readonly str signature_text
    cdef readonly object doc
    cdef readonly object samples
    cdef readonly object reference
    cdef readonly dict options
    cdef int kind
    cdef int rule
    cdef int untouched_below            # elementwise: an argument of a lower category is returned as it is
    cdef object check                   # raises on arguments that are refused, before anything is computed
    cdef bint checks_integers           # and has nothing to say of floating point tensors
    cdef bint plain                     # tensors of one dtype and shape need no more than a loop over their elements
    cdef readonly bint is_view
    cdef readonly bint inplace
    cdef readonly bint is_random
    cdef const tg_kernel* kernel
    cdef readonly object forward
    cdef Forward native                 # `forward` without a Python call, where it is a NativeForward
    cdef readonly object partials, vjp, jvp, batch
    cdef readonly Overload functional   # of an in-place form: the overload it writes the result of
    cdef readonly Overload inplace_form
    cdef Signature signature
    cdef object node_type
    cdef str node_name
    # compiled on first use
    cdef bint compiled
    cdef int n_inputs
    cdef int8_t input_params[24]        # the differentiable tensor parameters, in order
    cdef bint variadic                  # the first of them is a list of tensors
    cdef bint has_dims
    cdef bint alone                     # a call with one tensor needs no parsing: the defaults stand for the rest
    cdef bint tensors_only              # nor does one with a tensor, or None where it may stand, for each parameter
    cdef bint loose_sizes               # nor does one with a tensor and ints, which are the sizes that it takes
    cdef bint wraps_defaults            # negative dimensions among them must be made positive
    cdef int n_tensors
    cdef int8_t tensor_params[24]       # those that may hold tensors
    cdef bint one_tensor                # no other argument could live on another device
    cdef int n_saved
    cdef int8_t saved_kind[12]
    cdef int8_t saved_index[12]
    cdef uint32_t saved_for[12]         # bit i: needed by the gradient of input i
    cdef bint saves_output
    cdef list saved_names
    cdef list formulas                  # Formula or None for each input; or one Formula for all
    cdef bint joint                     # the vjp returns the gradients of all inputs together
    cdef Formula jvp_formula
    cdef tuple differentiable_outputs   # flags
    cdef bint always_recorded

ctypedef object (*Runner)(Overload o, PyObject** a)

cdef Overload overload_of(object op)
cdef int compile_overload(Overload o) except -1
cdef int bind(Overload o, Formula f, object function, uint32_t bit) except -1
cdef NativeForward native(Forward function)
cdef void set_runner(Runner run)
