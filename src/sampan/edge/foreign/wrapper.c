/* The ends of a model in WebAssembly: where a row is put, what computes, where the answer lies. */
#include "@name@.h"

static float given_row[@upper@_N_FEATURES], answer_row[@upper@_N_OUTPUTS];

__attribute__((export_name("given"))) float *given(void) { return given_row; }
__attribute__((export_name("answer"))) float *answer(void) { return answer_row; }
__attribute__((export_name("run"))) void run(void) { @name@_scores(given_row, answer_row); }
