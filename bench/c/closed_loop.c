// A bare closed-loop driver of `message`: a load generator that measures only the rate.
//
//     closed_loop PORT CONNECTIONS IN_FLIGHT for SECONDS [PID]...
//     closed_loop PORT CONNECTIONS IN_FLIGHT rounds ROUNDS [PID]...
//     closed_loop PORT CONNECTIONS IN_FLIGHT hold ROUNDS [PID]...
//
// Each connection sends IN_FLIGHT frames, and the next ones after all replies. Replies are counted by their bytes and
// not checked; no latency is measured; the clock is read once per poll. `for`: the time begins after a tenth of it,
// and after IN_FLIGHT replies on each connection. `rounds`: until each connection has completed ROUNDS rounds. `hold`:
// the same, then the connections stay open until standard input ends. PIDs are the servers whose processor time is
// printed.
#include "driver.h"

enum { EVENTS = 1024, BUFFER = 1 << 16 };

static char frames[BUFFER], in[BUFFER];
static struct epoll_event events[EVENTS];

int main(int argc, char **argv) {
    if (argc < 6) return fprintf(stderr, "usage: closed_loop PORT CONNECTIONS IN_FLIGHT for|rounds|hold NUMBER [PID]...\n"), 2;
    int port = atoi(argv[1]), connections = atoi(argv[2]), in_flight = atoi(argv[3]), timed = argv[4][0] == 'f';
    double seconds = timed ? atof(argv[5]) : 0;
    long rounds = timed ? -1 : atol(argv[5]), unfinished = connections;
    if (in_flight * FRAME > BUFFER) return fprintf(stderr, "too many in flight\n"), 2;
    lift_descriptor_limit();
    for (int i = 0; i < in_flight; i++) write_frame(frames + i * FRAME);
    int poller = epoll_create1(0);
    struct { int fd, received; long left; } *all = many(connections, sizeof *all);
    for (int i = 0; i < connections; i++) {
        all[i].fd = open_socket(SOCK_STREAM, port, i);
        all[i].left = rounds;
        watch(poller, all[i].fd, i, EPOLLIN);
    }
    double began = now(), warm_up = began + seconds / 10, end = 1e300, time = began;
    double cpu = cpu_of(argv + 6);
    long messages = 0, before = 0;
    int warm = !timed;
    for (int i = 0; i < connections; i++) send(all[i].fd, frames, in_flight * FRAME, MSG_NOSIGNAL);
    while (timed ? time < end : unfinished > 0) {
        int ready = epoll_wait(poller, events, EVENTS, 10000);
        if (ready == 0) return fprintf(stderr, "no reply from the server\n"), 1;
        time = now();
        if (!warm && time >= warm_up && messages >= (long)connections * in_flight)
            warm = 1, began = time, end = time + seconds, before = messages, cpu = cpu_of(argv + 6);
        for (int i = 0; i < ready; i++) {
            int number = events[i].data.u64 >> 32, fd = all[number].fd;
            ssize_t got = recv(fd, in, sizeof in, MSG_DONTWAIT);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) return fprintf(stderr, "lost a connection\n"), 1;
            if ((all[number].received += got) < in_flight * REPLY) continue;
            all[number].received -= in_flight * REPLY;
            messages += in_flight;
            if (--all[number].left == 0) unfinished--;
            else send(fd, frames, in_flight * FRAME, MSG_NOSIGNAL);
        }
    }
    cpu = cpu_of(argv + 6) - cpu;
    report(messages - before, now() - began, cpu);
    if (argv[4][0] == 'h') while (read(0, in, sizeof in) > 0) continue;
}
