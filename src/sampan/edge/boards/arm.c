/* Cortex-M: vectors, SysTick as the clock, semihosting by BKPT 0xAB. */
#include <stdint.h>

extern uint32_t board_stack_top[], board_data_start[], board_data_end[], board_data_load[], board_bss_start[], board_bss_end[];
int main(void);
void board_exit(int status) __attribute__((noreturn));

#define SYST_CSR (*(volatile uint32_t *)0xE000E010u)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014u)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018u)
#define CPACR (*(volatile uint32_t *)0xE000ED88u)

static int semihost(int what, const void *argument)
{
    register int r0 __asm__("r0") = what;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void board_write(const char *text)
{
    semihost(0x04, text);
}

void board_exit(int status)
{
    uint32_t block[2] = {0x20026u, 0};
    block[1] = (uint32_t)status;
    semihost(0x20, block);
    for (;;) {
    }
}

uint32_t board_ticks(void)
{
    return SYST_CVR;
}

uint32_t board_ticks_since(uint32_t before)
{
    return (before - SYST_CVR) & 0xFFFFFFu; /* it counts down */
}

void board_reset(void)
{
    uint32_t *from = board_data_load, *to;
    for (to = board_data_start; to < board_data_end;) *to++ = *from++;
    for (to = board_bss_start; to < board_bss_end;) *to++ = 0;
#ifdef __ARM_FP
    CPACR |= 0xFu << 20;
    __asm__ volatile("dsb\n isb");
#endif
    SYST_RVR = 0xFFFFFFu;
    SYST_CVR = 0;
    SYST_CSR = 5;
    main();
    board_exit(0);
}

static void board_fault(void)
{
    board_write("f fault\n");
    board_exit(1);
}

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    board_stack_top, (const void *)board_reset, (const void *)board_fault, (const void *)board_fault, (const void *)board_fault,
    (const void *)board_fault, (const void *)board_fault,
};
