/* What generated code calls of <math.h>, for targets without a C library: the compiler has these itself. */
#ifndef SAMPAN_MATH_H
#define SAMPAN_MATH_H
float ceilf(float);
float floorf(float);
float logf(float);
float sqrtf(float);
#endif
