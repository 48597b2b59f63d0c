/* Runs generated code on a board in emulation and tells what it answered and took, through semihosting.

   Output, as lines of hexadecimal words: "a" row's answer bits, "t" ticks of each row, "s" bytes of stack, "n" ticks of all rows together,
   "e" ticks of as many calls of an empty function. */
#include <stdint.h>

#include "rows.h"

void MODEL_SCORES(const float *x, float *y);
uint32_t board_ticks(void);
uint32_t board_ticks_since(uint32_t before);
void board_write(const char *text);
void board_exit(int status) __attribute__((noreturn));

#ifdef __riscv
#define COPY "mv"
#else
#define COPY "mov"
#endif
#define PAINT 0xA5C3A5C3u

extern uint32_t board_stack_low[];

static float answers[N_ROWS][N_OUTPUTS];
static uint32_t ticks[N_ROWS];

static void tell(char what, uint32_t word)
{
    static char line[] = "? 00000000\n";
    int i;
    line[0] = what;
    for (i = 0; i < 8; ++i) line[2 + i] = "0123456789abcdef"[word >> (28 - 4 * i) & 15];
    board_write(line);
}

static void __attribute__((noinline)) nothing(const float *x, float *y)
{
    __asm__ volatile("" : : "r"(x), "r"(y) : "memory");
}

static uint32_t __attribute__((noinline)) time_all(void (*scores)(const float *, float *))
{
    uint32_t sum = 0;
    int i;
    for (i = 0; i < N_ROWS; ++i) {
        const uint32_t before = board_ticks();
        scores(rows[i], answers[i]);
        ticks[i] = board_ticks_since(before);
        sum += ticks[i];
    }
    return sum;
}

/* Counts without reading the clock at each row: exact to one tick in all. Ticks may wrap, so rows are taken in runs. */
static uint32_t __attribute__((noinline)) time_runs(void (*scores)(const float *, float *), int run)
{
    uint32_t sum = 0;
    int i, j;
    for (i = 0; i < N_ROWS; i += run) {
        const uint32_t before = board_ticks();
        for (j = i; j < i + run && j < N_ROWS; ++j) scores(rows[j], answers[j]);
        sum += board_ticks_since(before);
    }
    return sum;
}

/* Paints all memory below the stack, runs all rows, and looks how far down the paint is gone. */
static uint32_t __attribute__((noinline)) stack_used(void (*scores)(const float *, float *))
{
    uint32_t *volatile at;
    uint32_t *here;
    int i;
    __asm__ volatile(COPY " %0, sp" : "=r"(here));
    for (at = board_stack_low; at < here; ++at) *at = PAINT;
    for (i = 0; i < N_ROWS; ++i) scores(rows[i], answers[i]);
    for (at = board_stack_low; at < here && *at == PAINT; ++at) {
    }
    return (uint32_t)((char *)here - (char *)at);
}

int main(void)
{
    uint32_t stack, all, empty;
    int i, j;
    stack = stack_used(MODEL_SCORES);
    empty = time_runs(nothing, RUN);
    all = time_runs(MODEL_SCORES, RUN);
    time_all(MODEL_SCORES);
    for (i = 0; i < N_ROWS; ++i) {
        for (j = 0; j < N_OUTPUTS; ++j) {
            union { float f; uint32_t i; } bits;
            bits.f = answers[i][j];
            tell('a', bits.i);
        }
        tell('t', ticks[i]);
    }
    tell('s', stack);
    tell('n', all);
    tell('e', empty);
    board_exit(0);
}
