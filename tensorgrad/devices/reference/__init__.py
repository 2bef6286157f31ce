"""What kernels must compute, in NumPy: for authors of plugins, to translate, to start from and to test against.

`syntax`
    The C expressions of elementwise operators, parsed into trees that a generator of kernels walks.
`typed`
    The same trees with the dtype that each part has in C, and the functions that an expression calls.
`expression`
    Their values over NumPy arrays.
`c_functions`
    C's conversions between dtypes (bfloat16 by bits), its arithmetic, and the ``tg_NAME`` functions that
    expressions call; `special` has the special ones.
`c_source`
    The special functions as text for languages that are like C.
`philox`
    The random numbers of `Backend.random`.

Clarity goes before speed here, and the library itself uses no more of these modules than `typed`, to tell which
functions a device lacks.
"""
