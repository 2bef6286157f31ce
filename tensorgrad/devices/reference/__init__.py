"""What kernels must compute, in NumPy: for authors of plugins, to translate, to start from and to test against.

`syntax`
    The C expressions of elementwise operators, parsed into trees that a generator of kernels walks.
`expression`
    Their values over NumPy arrays.
`c_functions`
    C's conversions between dtypes (bfloat16 by bits), its arithmetic, and the ``tg_NAME`` functions that
    expressions call.
`philox`
    The random numbers of `Backend.random`.

Clarity goes before speed here, and nothing of the library itself uses these modules.
"""
