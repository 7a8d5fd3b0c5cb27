/*
 * Measure the timer lateness of this machine: a thread that only wakes, RATE times per second for SECONDS seconds.
 *
 *     pace RATE SECONDS     prints {"p50_us", "p99_us", "max_us"} of its lateness
 *
 * No load generator on this machine can be more punctual.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

static int by_size(const void *a, const void *b) {
    int64_t one = *(const int64_t *)a, other = *(const int64_t *)b;
    return (one > other) - (one < other);
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int main(int argc, char **argv) {
    double rate = argc > 1 ? atof(argv[1]) : 0, seconds = argc > 2 ? atof(argv[2]) : 0;
    size_t count = (size_t)(rate * seconds);
    int64_t *late = count ? malloc(count * sizeof *late) : NULL;
    if (!late) {
        fprintf(stderr, "usage: pace RATE SECONDS\n");
        return 2;
    }
    prctl(PR_SET_TIMERSLACK, 1); /* a generator would use a timerfd, which has no slack */
    int64_t start = now_ns();
    for (size_t i = 0; i < count; i++) {
        int64_t due = start + (int64_t)((double)(i + 1) * 1e9 / rate);
        struct timespec until = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL))
            ;
        late[i] = now_ns() - due;
    }
    qsort(late, count, sizeof *late, by_size);
    printf("{\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n", (double)late[count / 2] / 1e3,
           (double)late[(size_t)((double)count * 0.99)] / 1e3, (double)late[count - 1] / 1e3);
    free(late);
    return 0;
}
