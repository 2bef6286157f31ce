/* Vectorised elementary functions of float and double, at most 2 ULP from the exact value over the whole range of each
 * (tests/kernels/test_vector_math.py): tg_vNAME_f32(x), tg_vNAME_f64(x). */
#ifndef TG_VECTOR_MATH_H
#define TG_VECTOR_MATH_H

#include "vector_erf.h"
#include "vector_exp.h"
#include "vector_log.h"
#include "vector_pow.h"
#include "vector_trig.h"

#endif
