"""The scalar types and the one promotion table."""

cdef extern from "array.h" nogil:
    ctypedef enum tg_dtype:
        TG_BOOL, TG_U8, TG_I8, TG_I16, TG_I32, TG_I64, TG_U16, TG_U32, TG_U64
        TG_F16, TG_BF16, TG_F32, TG_F64, TG_C64, TG_C128, TG_NDTYPES

cdef enum Category:
    CAT_BOOL, CAT_INT, CAT_FLOAT, CAT_COMPLEX

cdef class dtype:
    cdef readonly str name
    cdef int code
    cdef readonly int itemsize
    cdef int category
    cdef readonly bint is_signed
    cdef object numpy_type      # what NumPy stores it as; bfloat16 travels as its bits (uint16)

cdef dtype dtype_of(int code)
cdef int default_code() noexcept
cdef int promote(int a, int b) except -1
cdef int combine_categories(int higher, int lower) except -2
cdef int to_complex_code(int code) noexcept
cdef int to_real_code(int code) noexcept
cdef int category_of(int code) noexcept nogil
cdef dtype as_dtype(object x)
