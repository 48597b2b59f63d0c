/* What generated code calls of <math.h>, for targets without a C library: the compiler has these itself. */
#ifndef SAMPAN_MATH_H
#define SAMPAN_MATH_H
double ceil(double);
double cos(double);
double exp(double);
double floor(double);
double log(double);
double sin(double);
double sqrt(double);
float ceilf(float);
float cosf(float);
float expf(float);
float floorf(float);
float logf(float);
float sinf(float);
float sqrtf(float);
#endif
