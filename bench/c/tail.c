// The latency of normal peers beside peers that are not.
//
//     tail PORT SECONDS none|pipeline|megabyte|silent|unfinished|header|announced COUNT
//
// 100 normal connections send a frame each 10 ms, unless the reply to the last is not there yet, and the time to each
// reply is measured. COUNT others are driven by a process of the lowest priority: `pipeline` sends frames as fast as
// they are taken, and reads the replies; `megabyte` sends messages of 1 MiB; `silent` sends frames and reads nothing.
// Others send once, and then nothing: `unfinished` most of a message of 1 MiB, `header` a part of its header,
// `announced` the header. Those that are closed connect again. The output is the number of replies, and percentiles
// in microseconds.
#include "driver.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { NORMAL = 100, PERIOD_US = 10000, EVENTS = 1024, BUFFER = 1 << 16, MEGABYTE = 1 << 20, SAMPLES = 1 << 22 };

static char frame[FRAME], frames[FRAME * 1024], message[64 + MEGABYTE], in[BUFFER];
static struct epoll_event events[EVENTS];

static int connect_one(int poller, int port, int number, unsigned interest) {
    int fd = open_socket(SOCK_STREAM, port, number);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    watch(poller, fd, number, interest);
    return fd;
}

static const struct kind { const char *name, *stream; size_t length; int repeats, reads; } kinds[] = {
    {"none", NULL, 0, 0, 0},
    {"pipeline", frames, sizeof frames, 1, 1},
    {"megabyte", message, sizeof message, 1, 1},
    {"silent", frames, sizeof frames, 1, 0},
    {"unfinished", message, 900000, 0, 0},
    {"header", message, 10, 0, 0},
    {"announced", message, 64, 0, 0},
};

static void disturb(int port, const struct kind *kind, int count, int ready) {
    int poller = epoll_create1(0), reads = kind->reads;
    const char *stream = kind->stream;
    size_t length = kind->length;
    struct { int fd; size_t sent; } *all = many(count, sizeof *all);
    for (int i = 0; i < count; i++) all[i].fd = connect_one(poller, port, NORMAL + i, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    if (write(ready, "r", 1) != 1) exit(1);
    for (;;) {
        int polled = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < polled; i++) {
            int number = events[i].data.u64 >> 32, fd = all[number - NORMAL].fd, ended = 0;
            size_t *sent = &all[number - NORMAL].sent;
            if (fd != (int)(events[i].data.u64 & 0xffffffff)) continue;
            if (events[i].events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) ended = 1;
            for (ssize_t got; reads && !ended && (got = recv(fd, in, sizeof in, 0)) != -1;) ended = got == 0;
            for (ssize_t took; !ended && (took = send(fd, stream + *sent, length - *sent, MSG_NOSIGNAL)) > 0;)
                if ((*sent += took) == length && kind->repeats) *sent = 0;
            if (ended) close(fd), *sent = 0, all[number - NORMAL].fd = connect_one(poller, port, number, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
        }
    }
}

static int ascending(const void *one, const void *other) {
    float a = *(const float *)one, b = *(const float *)other;
    return (a > b) - (a < b);
}

int main(int argc, char **argv) {
    const struct kind *kind = NULL;
    for (size_t i = 0; argc == 5 && i < sizeof kinds / sizeof *kinds; i++) if (!strcmp(argv[3], kinds[i].name)) kind = &kinds[i];
    if (!kind) return fprintf(stderr, "usage: tail PORT SECONDS KIND COUNT\n"), 2;
    int port = atoi(argv[1]), count = atoi(argv[4]), ready[2];
    double seconds = atof(argv[2]);
    lift_descriptor_limit();
    write_frame(frame);
    for (int i = 0; i < 1024; i++) write_frame(frames + i * FRAME);
    memset(message, ' ', 64);
    memcpy(message, "1048576", 7);
    memset(message + 64, 'x', MEGABYTE);

    int poller = epoll_create1(0), fds[NORMAL];
    double due[NORMAL], sent[NORMAL] = {0};
    int received[NORMAL] = {0};
    for (int i = 0; i < NORMAL; i++) fds[i] = connect_one(poller, port, i, EPOLLIN);
    pid_t child = 0;
    if (kind->stream) {
        if (pipe(ready)) return perror("pipe"), 1;
        if ((child = fork()) == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (nice(19) == -1) perror("nice");
            disturb(port, kind, count, ready[1]);
        }
        if (read(ready[0], in, 1) != 1) return fprintf(stderr, "the others could not connect\n"), 1;
    }
    float *latencies = many(SAMPLES, sizeof *latencies);
    long samples = 0;
    // The first half second is not measured: the others begin.
    double began = now(), measured = began + 0.5, end = measured + seconds;
    for (int i = 0; i < NORMAL; i++) due[i] = began + i * (PERIOD_US / 1e6 / NORMAL);
    for (double time = began; time < end; time = now()) {
        double next = end;
        for (int i = 0; i < NORMAL; i++) {
            if (sent[i]) continue;
            if (due[i] <= time) {
                sent[i] = now();
                if (send(fds[i], frame, FRAME, MSG_NOSIGNAL) != FRAME) return fprintf(stderr, "lost a connection\n"), 1;
            } else if (due[i] < next) next = due[i];
        }
        struct timespec wait = {.tv_nsec = next > time ? (long)((next - time) * 1e9) % 1000000000 : 0};
        int polled = epoll_pwait2(poller, events, EVENTS, &wait, NULL);
        time = now();
        for (int i = 0; i < polled; i++) {
            int number = events[i].data.u64 >> 32;
            ssize_t got = recv(fds[number], in, sizeof in, 0);
            if (got <= 0) return fprintf(stderr, "lost a connection\n"), 1;
            if ((received[number] += got) < REPLY) continue;
            if (sent[number] >= measured && samples < SAMPLES) latencies[samples++] = (time - sent[number]) * 1e6;
            received[number] = 0, sent[number] = 0, due[number] += PERIOD_US / 1e6;
            if (due[number] < time) due[number] = time;
        }
    }
    // A reply that is still not there counts with its age.
    for (int i = 0; i < NORMAL; i++) if (sent[i] >= measured && samples < SAMPLES) latencies[samples++] = (end - sent[i]) * 1e6;
    if (child) kill(child, SIGKILL), waitpid(child, NULL, 0);
    if (!samples) return fprintf(stderr, "no reply\n"), 1;
    qsort(latencies, samples, sizeof *latencies, ascending);
    printf("replies %ld p50 %.0f p99 %.0f max %.0f\n", samples, latencies[samples / 2], latencies[samples * 99 / 100], latencies[samples - 1]);
}
