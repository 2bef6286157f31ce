/* Runs the blocks of a kernel one after the other on the CPU, the threads of a block as fibres.
 *
 * A thread runs until it waits for its block (__syncthreads) or its warp (a shuffle), or is done. When no thread can go on
 * and no barrier is complete, some threads wait for others that are gone or wait elsewhere: on a GPU that would be
 * undefined, here it is an error. Odd runs go through the threads backwards, so that what depends on their order
 * shows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

struct tg_host_dim { unsigned x, y, z; };
extern "C" {
tg_host_dim threadIdx, blockIdx, blockDim, gridDim;
}

namespace {
enum State { READY, AT_BLOCK, AT_WARP, DONE };
const int MOST = 1024, STACK = 1 << 16;
struct Fibre {
    ucontext_t context;
    State state;
    char value[16];
};
Fibre *fibres = nullptr;
char *stacks = nullptr;
ucontext_t scheduler;
int current;
void (*thread_body)(const void *);
const void *thread_arguments;

void body() {
    thread_body(thread_arguments);
    fibres[current].state = DONE;
    swapcontext(&fibres[current].context, &scheduler);
}

void wait(State state) {
    fibres[current].state = state;
    swapcontext(&fibres[current].context, &scheduler);
}

/* Returns 0, or 1 when threads wait for each other in vain. */
int run_block(int threads, bool backwards) {
    for (int i = 0; i < threads; i++) {
        Fibre &f = fibres[i];
        getcontext(&f.context);
        f.context.uc_stack.ss_sp = stacks + (size_t)i * STACK;
        f.context.uc_stack.ss_size = STACK;
        f.context.uc_link = nullptr;
        makecontext(&f.context, body, 0);
        f.state = READY;
    }
    for (;;) {
        for (int j = 0; j < threads; j++) {
            const int i = backwards ? threads - 1 - j : j;
            if (fibres[i].state != READY) continue;
            current = i;
            threadIdx.x = i;
            swapcontext(&scheduler, &fibres[i].context);
        }
        bool released = false;
        int waiting = 0, done = 0;
        for (int i = 0; i < threads; i++) waiting += fibres[i].state == AT_BLOCK, done += fibres[i].state == DONE;
        if (done == threads) return 0;
        /* CUDA counts the threads of the block that are still there */
        if (waiting + done == threads) {
            for (int i = 0; i < threads; i++)
                if (fibres[i].state == AT_BLOCK) fibres[i].state = READY;
            released = true;
        }
        for (int warp = 0; warp < threads; warp += 32) { /* a shuffle of all lanes needs all of them */
            int at = 0;
            for (int i = warp; i < warp + 32 && i < threads; i++) at += fibres[i].state == AT_WARP;
            if (at != 32) continue;
            for (int i = warp; i < warp + 32; i++) fibres[i].state = READY;
            released = true;
        }
        if (!released) return 1;
    }
}
} // namespace

extern "C" {
void tg_host_syncthreads(void) { wait(AT_BLOCK); }
void tg_host_shuffle_down(void *value, int size, int by) {
    const int me = current, lane = me % 32;
    memcpy(fibres[me].value, value, size);
    wait(AT_WARP);
    char taken[16];
    memcpy(taken, fibres[lane + by < 32 ? me + by : me].value, size);
    wait(AT_WARP); /* before the next shuffle writes there */
    memcpy(value, taken, size);
}

int tg_host_run(void (*kernel)(const void *), const void *arguments, unsigned blocks, unsigned threads, int fibred,
                int backwards) {
    if (threads > MOST) return 2;
    gridDim = {blocks, 1, 1};
    blockDim = {threads, 1, 1};
    threadIdx = blockIdx = {0, 0, 0};
    if (fibred && !fibres) {
        fibres = (Fibre *)calloc(MOST, sizeof(Fibre));
        stacks = (char *)malloc((size_t)MOST * STACK);
    }
    thread_body = kernel;
    thread_arguments = arguments;
    for (unsigned b = 0; b < blocks; b++) {
        blockIdx.x = backwards ? blocks - 1 - b : b;
        if (fibred) {
            if (run_block((int)threads, backwards)) return 1;
        } else {
            for (unsigned t = 0; t < threads; t++) {
                threadIdx.x = backwards ? threads - 1 - t : t;
                kernel(arguments);
            }
        }
    }
    return 0;
}
}
