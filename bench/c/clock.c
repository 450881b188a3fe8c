// The lag of a schedule on this processor, in a loop that only reads the clock.
//
//     clock RATE SECONDS     prints the lag of the schedule: p50, p99, p99.9 and max, in us
//
// The lag is caused by the machine; a program that also sends cannot have less.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

static int by_size(const void *a, const void *b) {
    long x = *(const long *)a, y = *(const long *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc < 3) return fprintf(stderr, "usage: clock RATE SECONDS\n"), 2;
    double rate = atof(argv[1]);
    long moments = rate * atof(argv[2]), *late = malloc((moments + 1) * sizeof *late);
    for (long i = 0; i < moments; i++) late[i] = 0; // so that no page comes into being on the way
    long start = now();
    for (long i = 0; i < moments;) {
        long due = start + i * 1e9 / rate, time = now();
        if (time >= due) late[i++] = time - due;
    }
    qsort(late, moments, sizeof *late, by_size);
    double shares[] = {0.5, 0.99, 0.999, 1};
    for (int i = 0; i < 4; i++) printf("%.3f%s", late[(long)(shares[i] * (moments - 1))] / 1e3, i < 3 ? " " : "\n");
}
