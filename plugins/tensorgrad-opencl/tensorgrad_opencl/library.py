"""The functions that expressions call, in OpenCL C: what kernels/cpu/scalar_math.h is for the CPU.

A program contains those functions only that it calls, for compiling all of them takes longer than most kernels do.
"""

from __future__ import annotations

import re

from tensorgrad.devices.reference import c_source

# {T} the type, {S} its suffix
_INTEGER = """
{T} tg_abs_{S}({T} x) {{ return {NEGATIVE} ? ({T})(0 - x) : x; }}
{T} tg_sign_{S}({T} x) {{ return ({T})((x > 0) - ({NEGATIVE})); }}
{T} tg_max_{S}({T} x, {T} y) {{ return x > y ? x : y; }}
{T} tg_min_{S}({T} x, {T} y) {{ return x < y ? x : y; }}
int tg_isnan_{S}({T} x) {{ return 0; }}
{T} tg_truncdiv_{S}({T} x, {T} y) {{
    return y == 0 ? ({T})0 : {SIGNED} && y == ({T})-1 ? ({T})(0 - (ulong)x) : ({T})(x / y); }}
{T} tg_fmod_{S}({T} x, {T} y) {{ return y == 0 || ({SIGNED} && y == ({T})-1) ? ({T})0 : ({T})(x % y); }}
{T} tg_remainder_{S}({T} x, {T} y) {{
    {T} r = tg_fmod_{S}(x, y); return {SIGNED} && r != 0 && ((r < 0) != (y < 0)) ? ({T})(r + y) : r; }}
{T} tg_floordiv_{S}({T} x, {T} y) {{
    {T} q = tg_truncdiv_{S}(x, y);
    return {SIGNED} && y != 0 && tg_fmod_{S}(x, y) != 0 && ((x < 0) != (y < 0)) ? ({T})(q - 1) : q; }}
{T} tg_pow_{S}({T} x, {T} y) {{
    if ({SIGNED} && y < 0) return x == 1 ? ({T})1 : x == ({T})-1 ? ((y & 1) ? ({T})-1 : ({T})1) : ({T})0;
    ulong r = 1, b = (ulong)x;
    for (ulong e = (ulong)y; e; e >>= 1) {{ if (e & 1) r *= b; b *= b; }}
    return ({T})r; }}
ulong tg_magnitude_{S}({T} x) {{ return {NEGATIVE} ? 0 - (ulong)x : (ulong)x; }}
{T} tg_gcd_{S}({T} x, {T} y) {{
    ulong a = tg_magnitude_{S}(x), b = tg_magnitude_{S}(y);
    while (b) {{ ulong r = a % b; a = b; b = r; }}
    return ({T})a; }}
{T} tg_lcm_{S}({T} x, {T} y) {{
    return x == 0 || y == 0 ? ({T})0
        : ({T})(tg_magnitude_{S}(x) / tg_magnitude_{S}(tg_gcd_{S}(x, y)) * tg_magnitude_{S}(y)); }}
"""
_BUILT_IN = [
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
    "hypot",
    "atan2",
    "isnan",
    "copysign",
    "signbit",
    "nextafter",
]
_FLOAT = (
    "".join([f"#define tg_{name}_{{S}} {name}\n" for name in _BUILT_IN])
    + """
#define tg_abs_{S} fabs
{T} tg_real_{S}({T} x) {{ return x; }}
{T} tg_sign_{S}({T} x) {{ return ({T})((x > 0) - (x < 0)); }}
{T} tg_max_{S}({T} x, {T} y) {{ return x > y || x != x ? x : y; }}
{T} tg_min_{S}({T} x, {T} y) {{ return x < y || x != x ? x : y; }}
{T} tg_truncdiv_{S}({T} x, {T} y) {{ return trunc(x / y); }}
#define tg_fmod_{S} fmod
{T} tg_remainder_{S}({T} x, {T} y) {{ {T} r = fmod(x, y); return r != 0 && ((r < 0) != (y < 0)) ? r + y : r; }}
{T} tg_floordiv_{S}({T} x, {T} y) {{
    if (y == 0) return x / y;
    {T} m = fmod(x, y), q = (x - m) / y;
    if (m != 0 && ((y < 0) != (m < 0))) q -= 1;
    if (q == 0) return copysign(({T})0, x / y);
    {T} f = floor(q); return q - f > ({T})0.5f ? f + 1 : f; }}
{T} tg_pow_{S}({T} x, {T} y) {{ return y == 2 ? x * x : pow(x, y); }}
{T} tg_sigmoid_{S}({T} x) {{ return 1 / (1 + exp(-x)); }}
long tg_i64_of_{S}({T} x) {{ return x >= -9223372036854775808.0f && x < 9223372036854775808.0f ? (long)x : LONG_MIN; }}
int tg_i32_of_{S}({T} x) {{ return x > {BELOW_INT} && x < 2147483648.0f ? (int)x : INT_MIN; }}
ulong tg_u64_of_{S}({T} x) {{
    return x >= 9223372036854775808.0f && x < 18446744073709551616.0f
        ? (ulong)(x - 9223372036854775808.0f) + ((ulong)1 << 63) : (ulong)tg_i64_of_{S}(x); }}
"""
)
# Kahan, "Branch cuts for complex elementary functions" (1987), for the inverse functions.
_COMPLEX = """
int tg_nonzero_{S}({T} z) {{ return z.x != 0 || z.y != 0; }}
int tg_eq_{S}({T} a, {T} b) {{ return a.x == b.x && a.y == b.y; }}
int tg_ne_{S}({T} a, {T} b) {{ return a.x != b.x || a.y != b.y; }}
int tg_isnan_{S}({T} z) {{ return isnan(z.x) || isnan(z.y); }}
{T} tg_mul_{S}({T} a, {T} b) {{ return ({T})(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x); }}
{T} tg_div_{S}({T} a, {T} b) {{   /* Smith's algorithm */
    if (b.x == 0 && b.y == 0) return ({T})(a.x / fabs(b.x), a.y / fabs(b.x));
    if (fabs(b.x) >= fabs(b.y)) {{
        {R} r = b.y / b.x, d = b.x + b.y * r; return ({T})((a.x + a.y * r) / d, (a.y - a.x * r) / d); }}
    {R} r = b.x / b.y, d = b.x * r + b.y; return ({T})((a.x * r + a.y) / d, (a.y * r - a.x) / d); }}
{R} tg_real_{S}({T} z) {{ return z.x; }}
{R} tg_imag_{S}({T} z) {{ return z.y; }}
{T} tg_conj_{S}({T} z) {{ return ({T})(z.x, -z.y); }}
{R} tg_arg_{S}({T} z) {{ return atan2(z.y, z.x); }}
{R} tg_abs_{S}({T} z) {{ return hypot(z.x, z.y); }}
{T} tg_sign_{S}({T} z) {{ {R} m = hypot(z.x, z.y); return m == 0 ? ({T})0 : z / m; }}
{T} tg_exp_{S}({T} z) {{
    {R} e = exp(z.x); return z.y == 0 ? ({T})(e, z.y) : ({T})(e * cos(z.y), e * sin(z.y)); }}
{T} tg_log_{S}({T} z) {{
    {R} a = fmax(fabs(z.x), fabs(z.y)), b = fmin(fabs(z.x), fabs(z.y)), m = hypot(a, b);
    {R} l = m > ({R})0.5f && m < 2 ? ({R})0.5f * log1p((a - 1) * (a + 1) + b * b) : log(m);
    return ({T})(l, atan2(z.y, z.x)); }}
{T} tg_exp2_{S}({T} z) {{ return tg_exp_{S}(z * ({R})0.69314718055994530942{F}); }}
{T} tg_expm1_{S}({T} z) {{
    {R} s = sin(z.y / 2);
    return ({T})(expm1(z.x) * cos(z.y) - 2 * s * s, exp(z.x) * sin(z.y)); }}
{T} tg_log1p_{S}({T} z) {{
    if (fabs(z.x) > ({R})0.5f || fabs(z.y) > ({R})0.5f) return tg_log_{S}(({T})(1 + z.x, z.y));
    return ({T})(({R})0.5f * log1p(z.x * (2 + z.x) + z.y * z.y), atan2(z.y, 1 + z.x)); }}
{T} tg_log2_{S}({T} z) {{ return tg_log_{S}(z) * ({R})1.44269504088896340736{F}; }}
{T} tg_log10_{S}({T} z) {{ return tg_log_{S}(z) * ({R})0.43429448190325182765{F}; }}
{T} tg_sqrt_{S}({T} z) {{
    if (z.x == 0 && z.y == 0) return ({T})(0, z.y);
    if (isinf(z.y)) return ({T})(INFINITY, z.y);
    {R} s = sqrt((fabs(z.x) + hypot(z.x, z.y)) / 2), d = fabs(z.y) / (2 * s);
    return z.x >= 0 ? ({T})(s, copysign(d, z.y)) : ({T})(d, copysign(s, z.y)); }}
{T} tg_sinh_{S}({T} z) {{ return ({T})(sinh(z.x) * cos(z.y), cosh(z.x) * sin(z.y)); }}
{T} tg_cosh_{S}({T} z) {{ return ({T})(cosh(z.x) * cos(z.y), sinh(z.x) * sin(z.y)); }}
{T} tg_tanh_{S}({T} z) {{
    if (fabs(z.x) > 20) return ({T})(copysign(({R})1, z.x), 4 * sin(z.y) * cos(z.y) * exp(-2 * fabs(z.x)));
    {R} t = tan(z.y), c = 1 / (1 + t * t), s = sinh(z.x), d = c + s * s;   /* with the square of the cosine */
    return ({T})(s * cosh(z.x) / d, t * c / d); }}
{T} tg_sin_{S}({T} z) {{ {T} w = tg_sinh_{S}(({T})(-z.y, z.x)); return ({T})(w.y, -w.x); }}
{T} tg_cos_{S}({T} z) {{ return tg_cosh_{S}(({T})(-z.y, z.x)); }}
{T} tg_tan_{S}({T} z) {{ {T} w = tg_tanh_{S}(({T})(-z.y, z.x)); return ({T})(w.y, -w.x); }}
{T} tg_asin_{S}({T} z) {{
    {T} a = tg_sqrt_{S}(({T})(1 - z.x, -z.y)), b = tg_sqrt_{S}(({T})(1 + z.x, z.y));
    return ({T})(atan2(z.x, a.x * b.x - a.y * b.y), asinh(a.x * b.y - a.y * b.x)); }}
{T} tg_acos_{S}({T} z) {{
    {T} a = tg_sqrt_{S}(({T})(1 - z.x, -z.y)), b = tg_sqrt_{S}(({T})(1 + z.x, z.y));
    return ({T})(2 * atan2(a.x, b.x), asinh(b.x * a.y - b.y * a.x)); }}
{T} tg_asinh_{S}({T} z) {{ {T} w = tg_asin_{S}(({T})(-z.y, z.x)); return ({T})(w.y, -w.x); }}
{T} tg_acosh_{S}({T} z) {{
    {T} a = tg_sqrt_{S}(({T})(z.x - 1, z.y)), b = tg_sqrt_{S}(({T})(z.x + 1, z.y));
    return ({T})(asinh(a.x * b.x + a.y * b.y), 2 * atan2(a.y, b.x)); }}
{T} tg_atanh_{S}({T} z) {{
    return ({T})(({R})0.25f * log1p(4 * z.x / ((1 - z.x) * (1 - z.x) + z.y * z.y)),
                 ({R})0.5f * atan2(2 * z.y, (1 - z.x) * (1 + z.x) - z.y * z.y)); }}
{T} tg_atan_{S}({T} z) {{ {T} w = tg_atanh_{S}(({T})(-z.y, z.x)); return ({T})(w.y, -w.x); }}
{T} tg_pow_{S}({T} x, {T} y) {{
    if (y.x == 2 && y.y == 0) return tg_mul_{S}(x, x);
    if (y.x == 0 && y.y == 0) return ({T})(1, 0);
    if (x.x == 0 && x.y == 0 && y.x > 0) return ({T})0;
    return tg_exp_{S}(tg_mul_{S}(y, tg_log_{S}(x))); }}
{T} tg_sigmoid_{S}({T} z) {{ {T} e = tg_exp_{S}(-z); return tg_div_{S}(({T})(1, 0), ({T})(1 + e.x, e.y)); }}
"""
_BFLOAT16 = """
ushort tg_bfloat16_f32(float x) {
    uint b = as_uint(x);
    return x != x ? (ushort)(b >> 16 | 0x40) : (ushort)((b + 0x7FFF + (b >> 16 & 1)) >> 16); }
"""
PHILOX = """
/* Philox4x32-10 as kernels/cpu/random.h draws it */
uint4 tg_philox(ulong seed, ulong counter) {
    uint4 c = (uint4)((uint)counter, (uint)(counter >> 32), 0, 0);
    uint k0 = (uint)seed, k1 = (uint)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        ulong p0 = (ulong)0xD2511F53u * c.x, p1 = (ulong)0xCD9E8D57u * c.z;
        c = (uint4)((uint)(p1 >> 32) ^ c.y ^ k0, (uint)p1, (uint)(p0 >> 32) ^ c.w ^ k1, (uint)p0);
        k0 += 0x9E3779B9u; k1 += 0xBB67AE85u; }
    return c; }
uint tg_word(ulong seed, ulong offset, ulong k) {
    uint4 c = tg_philox(seed, offset + k / 4);
    switch (k % 4) { case 0: return c.x; case 1: return c.y; case 2: return c.z; default: return c.w; } }
ulong tg_pair(ulong seed, ulong offset, ulong k) {
    uint4 c = tg_philox(seed, offset + k / 2);
    return k % 2 ? (ulong)c.z | (ulong)c.w << 32 : (ulong)c.x | (ulong)c.y << 32; }
"""


def _integers(T: str, S: str) -> str:
    signed = S[0] == "i"
    return _INTEGER.format(T=T, S=S, SIGNED=int(signed), NEGATIVE="x < 0" if signed else "0")


_REALS = {"f32": ("float", "f"), "f64": ("double", "")}


def _functions(text: str) -> dict[str, str]:
    """The definitions of a section by name; each begins at the start of a line."""
    found: dict[str, str] = {}
    for part in re.split(r"\n(?=\S)", text):
        names = re.findall(r"\b(tg_\w+)", part)
        if names:
            found[names[0]] = part + "\n"
    return found


_INTEGERS = {
    "u8": "uchar",
    "i8": "char",
    "i16": "short",
    "i32": "int",
    "i64": "long",
    "u16": "ushort",
    "u32": "uint",
    "u64": "ulong",
}
_LIBRARY: dict[str, str] = _functions(_BFLOAT16) | _functions(PHILOX)
for S, T in _INTEGERS.items():
    _LIBRARY |= _functions(_integers(T, S))
for S, (T, F) in _REALS.items():
    _LIBRARY |= _functions(_FLOAT.format(T=T, S=S, BELOW_INT="-2147483904.0f" if F else "-2147483649.0"))
_LIBRARY |= _functions(_COMPLEX.format(T="float2", R="float", S="c64", F="f"))
_LIBRARY |= _functions(_COMPLEX.format(T="double2", R="double", S="c128", F=""))


_KINDS = {**dict.fromkeys(_INTEGERS, "i"), "f32": "f", "c64": "c"}


def _kinds() -> dict[str, str]:
    """What is defined here, as `tensorgrad.devices.Backend.functions` wants to know it."""
    found = {name: "f" for name in ("make_c64", "make_c128", *c_source.names())}
    for name in _LIBRARY:
        function, _, suffix = name.removeprefix("tg_").rpartition("_")
        kinds = found.setdefault(function, "")
        if suffix in _KINDS and _KINDS[suffix] not in kinds:
            found[function] = kinds + _KINDS[suffix]
    return found


FUNCTIONS = _kinds()


def _needed(text: str, definitions: dict[str, str], found: dict[str, None]) -> None:
    """Add the definitions that a text uses, each after those that it uses itself."""
    for name in re.findall(r"\b(?:tg|TG)_\w+", text):
        if name in definitions and name not in found:
            _needed(definitions[name].replace(name, ""), definitions, found)
            found[name] = None


def source(kernels: str, doubles: bool = True) -> str:
    """A program: kernels, after the functions of the library that they call."""
    definitions = _LIBRARY | {name: text + "\n" for name, text in c_source.definitions(doubles).items()}
    found: dict[str, None] = {}
    _needed(kernels, definitions, found)
    text = "".join([definitions[name] for name in found]) + kernels
    fp64 = "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n" if "double" in text else ""
    return fp64 + "#pragma OPENCL FP_CONTRACT OFF\n" + text
