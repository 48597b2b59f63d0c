/* Rows of 32-bit words on standard input, answers on standard output. */
#include <stdio.h>

#include "@name@.h"

void @function@(const float *row, float *answer);

int main(void)
{
    static union { double aligned; float words[@words@]; } given;
    static float answer_row[@upper@_N_OUTPUTS];
    while (fread(given.words, sizeof given.words, 1, stdin) == 1) {
        @function@(given.words, answer_row);
        if (fwrite(answer_row, sizeof answer_row, 1, stdout) != 1) return 1;
    }
    return 0;
}
