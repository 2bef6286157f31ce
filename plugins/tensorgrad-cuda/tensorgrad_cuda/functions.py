"""The functions that expressions may call on CUDA: what there is of each, and the text of all that no hand has written.

The others are in ``kernels/math.cuh``, which relies on these.
"""

from __future__ import annotations

from tensorgrad.devices.reference import c_source

#: CUDA's own, of float and of double.
OF_ONE = [
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "exp",
    "log",
    "sqrt",
    "exp2",
    "expm1",
    "log1p",
    "floor",
    "ceil",
    "trunc",
    "rint",
    "erf",
    "erfc",
    "lgamma",
    "log2",
    "log10",
]
OF_TWO = ["hypot", "atan2", "copysign", "pow", "fmod", "nextafter"]
#: What ``kernels/math.cuh`` adds, with the kinds of `tensorgrad.devices.Backend.functions`.
WRITTEN = {
    **dict.fromkeys(["max", "min", "truncdiv", "floordiv", "remainder"], "if"),
    **dict.fromkeys(["abs", "sign", "isnan"], "ifc"),
    **dict.fromkeys(["gcd", "lcm"], "i"),
    **dict.fromkeys(["signbit", "make_c64", "make_c128"], "f"),
    **dict.fromkeys(["imag", "conj", "arg"], "c"),
    **dict.fromkeys(["real", "sigmoid"], "fc"),
    **dict.fromkeys(
        [
            "exp",
            "exp2",
            "expm1",
            "log",
            "log1p",
            "log2",
            "log10",
            "sqrt",
            "sin",
            "cos",
            "tan",
            "asin",
            "acos",
            "atan",
            "sinh",
            "cosh",
            "tanh",
            "asinh",
            "acosh",
            "atanh",
        ],
        "fc",
    ),
    "fmod": "if",
    "pow": "ifc",
}
FUNCTIONS = {**dict.fromkeys((*OF_ONE, *OF_TWO, *c_source.names()), "f"), **WRITTEN}


def real_functions() -> str:
    """CUDA's functions under the names that expressions use, chosen by overloading."""
    lines = []
    for name in OF_ONE:
        lines += [
            f"TG_D float tg_{name}(float x) {{ return {name}f(x); }}",
            f"TG_D double tg_{name}(double x) {{ return {name}(x); }}",
            f"TG_D double tg_{name}(int x) {{ return {name}((double)x); }}",
        ]
    for name in OF_TWO:
        lines += [
            f"TG_D float tg_{name}(float x, float y) {{ return {name}f(x, y); }}",
            f"TG_D double tg_{name}(double x, double y) {{ return {name}(x, y); }}",
        ]
    return "\n".join(lines)


def special_functions() -> str:
    """Those that devices share with the CPU, in double."""
    return "\n".join(
        [text if text.startswith("#") else f"static __device__ {text}" for text in c_source.definitions().values()]
    )
