// The latency of normal peers beside peers that are not.
//
//     tail PORT SECONDS none|idle|drip|pipeline|megabyte|silent|unfinished|header|announced COUNT
//
// 100 normal connections send 1,000 frames a second in all, each when it is due, whether or not replies are
// outstanding. The time from when a frame was due to its reply is measured, and how late it was sent: that is the lag
// of this driver. COUNT others are driven by a process that has the processor only when this one does not want it:
// `idle` send one frame and then nothing; `drip` send a byte of a frame each second; `pipeline` send frames as fast as
// they are taken, and read the replies; `megabyte` send messages of 1 MiB; `silent` send frames and read nothing.
// Others send once, and then nothing: `unfinished` most of a message of 1 MiB, `header` a part of its header,
// `announced` the header. Those that are closed connect again. The output is the number of replies, and percentiles
// in microseconds.
#include "driver.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { NORMAL = 100, RATE = 1000, EVENTS = 1024, BUFFER = 1 << 16, MEGABYTE = 1 << 20 };

static char frame[FRAME], frames[FRAME * 1024], message[64 + MEGABYTE], in[BUFFER];
static struct epoll_event events[EVENTS];

static int connect_one(int poller, int port, int number, unsigned interest) {
    int fd = open_socket(SOCK_STREAM, port, number);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    watch(poller, fd, number, interest);
    return fd;
}

// What the others send: `length` bytes of `stream`, again and again if it `repeats`; `drips`: a byte each second.
static const struct kind { const char *name, *stream; size_t length; int repeats, reads, drips; } kinds[] = {
    {"none", NULL, 0, 0, 0, 0},
    {"idle", frame, sizeof frame, 0, 1, 0},
    {"drip", frame, sizeof frame, 1, 1, 1},
    {"pipeline", frames, sizeof frames, 1, 1, 0},
    {"megabyte", message, sizeof message, 1, 1, 0},
    {"silent", frames, sizeof frames, 1, 0, 0},
    {"unfinished", message, 900000, 0, 0, 0},
    {"header", message, 10, 0, 0, 0},
    {"announced", message, 64, 0, 0, 0},
};

// Waits for events until `time`, which is the monotonic clock in seconds.
static int wait_until(int poller, double time) {
    double left = time - now();
    struct timespec wait = {0};
    if (left > 0) wait.tv_sec = (time_t)left, wait.tv_nsec = (long)((left - (time_t)left) * 1e9);
    return epoll_pwait2(poller, events, EVENTS, &wait, NULL);
}

struct other { int fd; size_t sent; };

// Sends up to `most` bytes, as far as they are taken.
static void send_some(struct other *it, const struct kind *kind, size_t most) {
    while (most && it->sent < kind->length) {
        size_t left = kind->length - it->sent;
        ssize_t took = send(it->fd, kind->stream + it->sent, left < most ? left : most, MSG_NOSIGNAL);
        if (took <= 0) return;
        most -= took;
        if ((it->sent += took) == kind->length && kind->repeats) it->sent = 0;
    }
}

static void disturb(int port, const struct kind *kind, int count, int ready) {
    int poller = epoll_create1(0);
    unsigned interest = EPOLLIN | EPOLLRDHUP | (kind->drips ? 0 : EPOLLOUT);
    struct other *all = many(count, sizeof *all);
    for (int i = 0; i < count; i++) all[i].fd = connect_one(poller, port, NORMAL + i, interest);
    if (write(ready, "r", 1) != 1) exit(1);
    double began = now();
    for (long dripped = 0;;) {
        for (; kind->drips && began + (double)dripped / count <= now(); dripped++) send_some(&all[dripped % count], kind, 1);
        int polled = wait_until(poller, kind->drips ? began + (double)dripped / count : now() + 1000);
        for (int i = 0; i < polled; i++) {
            int number = events[i].data.u64 >> 32, ended = 0;
            struct other *it = &all[number - NORMAL];
            if (it->fd != (int)(events[i].data.u64 & 0xffffffff)) continue;
            if (events[i].events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) ended = 1;
            for (ssize_t got; kind->reads && !ended && (got = recv(it->fd, in, sizeof in, 0)) != -1;) ended = got == 0;
            if (ended) close(it->fd), it->sent = 0, it->fd = connect_one(poller, port, number, interest);
            else if (!kind->drips) send_some(it, kind, SIZE_MAX);
        }
    }
}

static int ascending(const void *one, const void *other) {
    float a = *(const float *)one, b = *(const float *)other;
    return (a > b) - (a < b);
}

static double percentile(const float *sorted, long count, double share) {
    long index = count * share;
    return sorted[index < count ? index : count - 1];
}

// A normal connection: the bytes that are due, and those of them that were sent; the replies, and the bytes of the
// next one. `number` is that of the frame whose reply is next.
static struct peer { int fd; size_t due, sent, received; long number; } peers[NORMAL];

// Sends what is due. What is not taken is sent at the next event; it is late, and so is its reply.
static void send_due(struct peer *it) {
    while (it->sent < it->due) {
        size_t left = it->due - it->sent, from = it->sent % FRAME;
        ssize_t took = send(it->fd, frames + from, left < sizeof frames - from ? left : sizeof frames - from, MSG_NOSIGNAL);
        if (took < 0 && errno == EAGAIN) return;
        if (took < 0) fprintf(stderr, "lost a connection\n"), exit(1);
        it->sent += took;
    }
}

static double due_at(double began, long number) { return began + (double)number / RATE; }

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

    // A timer ends when it is due, and not 50 microseconds later.
    prctl(PR_SET_TIMERSLACK, 1);
    int poller = epoll_create1(0);
    for (int i = 0; i < NORMAL; i++) peers[i].fd = connect_one(poller, port, i, EPOLLIN | EPOLLOUT);
    pid_t child = 0;
    if (kind->stream) {
        if (pipe(ready)) return perror("pipe"), 1;
        if ((child = fork()) == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            struct sched_param none = {0};
            if (sched_setscheduler(0, SCHED_IDLE, &none)) perror("sched_setscheduler");
            disturb(port, kind, count, ready[1]);
        }
        close(ready[1]);
        if (read(ready[0], in, 1) != 1) return fprintf(stderr, "the others could not connect\n"), 1;
    }
    // The number-th frame is due at `began + number / RATE`, on the connection `number % NORMAL`. Those of the first
    // half second are not measured: the others begin.
    double began = now() + 0.01;
    long first = RATE / 2, end = first + (long)(seconds * RATE), issued = 0, samples = 0, replies = 0;
    float *latencies = many(end, sizeof *latencies), *lags = many(end, sizeof *lags);
    if (end <= first) return fprintf(stderr, "nothing is measured in %f seconds\n", seconds), 2;
    for (int i = 0; i < NORMAL; i++) peers[i].number = i;
    for (double time = now(); time < began + (double)end / RATE; time = now()) {
        for (; issued < end && due_at(began, issued) <= time; issued++) {
            if (issued >= first) lags[issued - first] = (now() - due_at(began, issued)) * 1e6;
            peers[issued % NORMAL].due += FRAME;
            send_due(&peers[issued % NORMAL]);
        }
        int polled = wait_until(poller, due_at(began, issued));
        time = now();
        for (int i = 0; i < polled; i++) {
            struct peer *it = &peers[events[i].data.u64 >> 32];
            send_due(it);
            ssize_t got = recv(it->fd, in, sizeof in, 0);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) return fprintf(stderr, "lost a connection\n"), 1;
            for (it->received += got; it->received >= REPLY; it->received -= REPLY, it->number += NORMAL)
                if (it->number >= first) latencies[samples++] = (time - due_at(began, it->number)) * 1e6, replies++;
        }
    }
    // A reply that is still not there counts with its age.
    double time = now();
    for (int i = 0; i < NORMAL; i++)
        for (long number = peers[i].number; number < issued; number += NORMAL)
            if (number >= first) latencies[samples++] = (time - due_at(began, number)) * 1e6;
    if (child) kill(child, SIGKILL), waitpid(child, NULL, 0);
    if (!replies) return fprintf(stderr, "no reply\n"), 1;
    qsort(latencies, samples, sizeof *latencies, ascending);
    qsort(lags, issued - first, sizeof *lags, ascending);
    printf("replies %ld p50 %.0f p99 %.0f p999 %.0f max %.0f lag99 %.0f\n", replies,
           percentile(latencies, samples, 0.5), percentile(latencies, samples, 0.99), percentile(latencies, samples, 0.999),
           latencies[samples - 1], percentile(lags, issued - first, 0.99));
}
