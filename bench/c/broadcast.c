// A driver of a chat room (`examples/chat.rs`): one member sends lines, and all members receive each of them.
//
//     broadcast PORT MEMBERS IN_FLIGHT for SECONDS [PID]...
//     broadcast PORT MEMBERS IN_FLIGHT rounds ROUNDS [PID]...
//     broadcast PORT MEMBERS IN_FLIGHT hold ROUNDS [PID]...
//
// The first member sends IN_FLIGHT lines with one write, and the next ones when each member, the first included, has received
// all of them. Copies are counted by their bytes and not checked; the number of messages is that of copies. `for`: the time
// begins after a round, and ends with a round. `hold`: the same as `rounds`, then the members stay until standard input ends,
// and read nothing more. PIDs are the servers whose processor time is printed.
#include "driver.h"

#define LINE "abcdefghijklmnopqrstuvwxyz\n"
#define COPY "x: " LINE
#define LAST "x: all\n"

enum { EVENTS = 1024, BUFFER = 1 << 16, JOINING = 500 };

static char lines[BUFFER], in[BUFFER];
static struct epoll_event events[EVENTS];

// Receives until `text` was received. Only announcements of others may follow it.
static void await(int fd, const char *text) {
    size_t held = 0;
    while (!memmem(in, held, text, strlen(text))) {
        ssize_t got = recv(fd, in + held, sizeof in - held, 0);
        if (got <= 0) fprintf(stderr, "no %s from the server\n", text), exit(1);
        held += got;
    }
}

int main(int argc, char **argv) {
    if (argc < 6) return fprintf(stderr, "usage: broadcast PORT MEMBERS IN_FLIGHT for|rounds|hold NUMBER [PID]...\n"), 2;
    int port = atoi(argv[1]), members = atoi(argv[2]), in_flight = atoi(argv[3]), timed = argv[4][0] == 'f';
    double seconds = timed ? atof(argv[5]) : 0;
    long rounds = timed ? -1 : atol(argv[5]), line = strlen(LINE), copies = in_flight * strlen(COPY);
    if (in_flight * line > BUFFER) return fprintf(stderr, "too many in flight\n"), 2;
    lift_descriptor_limit();
    for (int i = 0; i < in_flight; i++) memcpy(lines + i * line, LINE, line);
    int poller = epoll_create1(0);
    struct { int fd; long received; } *all = many(members, sizeof *all);
    struct timeval patience = {.tv_sec = 60};
    for (int i = 0, joining = 0; i < members; i++) {
        all[i].fd = open_socket(SOCK_STREAM, port, i);
        setsockopt(all[i].fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        send(all[i].fd, "x\n", 2, MSG_NOSIGNAL);
        // Not more at once than the queue of the listener takes.
        if ((i + 1) % JOINING == 0 || i + 1 == members)
            for (; joining <= i; joining++) await(all[joining].fd, " are here\n");
    }
    send(all[0].fd, "all\n", 4, MSG_NOSIGNAL);
    for (int i = 0; i < members; i++) {
        await(all[i].fd, LAST);
        watch(poller, all[i].fd, i, EPOLLIN);
    }
    double began = now(), end = 1e300, cpu = cpu_of(argv + 6);
    long messages = 0, unfinished = members;
    int warm = !timed;
    send(all[0].fd, lines, in_flight * line, MSG_NOSIGNAL);
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, 60000);
        if (ready == 0) return fprintf(stderr, "%ld members without a copy\n", unfinished), 1;
        for (int i = 0; i < ready; i++) {
            int number = events[i].data.u64 >> 32, fd = all[number].fd;
            ssize_t got = recv(fd, in, sizeof in, MSG_DONTWAIT);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) return fprintf(stderr, "lost a connection\n"), 1;
            if ((all[number].received += got) < copies) continue;
            all[number].received -= copies;
            unfinished--;
        }
        if (unfinished > 0) continue;
        messages += (long)members * in_flight;
        unfinished = members;
        if (timed ? warm && now() >= end : --rounds == 0) break;
        if (!warm) warm = 1, messages = 0, began = now(), end = began + seconds, cpu = cpu_of(argv + 6);
        send(all[0].fd, lines, in_flight * line, MSG_NOSIGNAL);
    }
    cpu = cpu_of(argv + 6) - cpu;
    report(messages, now() - began, cpu);
    if (argv[4][0] == 'h') while (read(0, in, sizeof in) > 0) continue;
}
