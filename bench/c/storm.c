// A driver that opens all connections at the same time, from one thread.
//
//     storm PORT CONNECTIONS [PID]...
//
// Every connect is started before any is completed. Each connection sends one frame, reads the reply and closes. The
// number of messages is that of connections, and the time is from the first connect to the last reply.
#include "driver.h"

enum { EVENTS = 1024 };

static struct epoll_event events[EVENTS];

int main(int argc, char **argv) {
    if (argc < 3) return fprintf(stderr, "usage: storm PORT CONNECTIONS [PID]...\n"), 2;
    int port = atoi(argv[1]), connections = atoi(argv[2]), poller = epoll_create1(0), left = connections;
    char frame[FRAME], in[4096];
    lift_descriptor_limit();
    write_frame(frame);
    struct { int fd, sent, received; } *all = many(connections, sizeof *all);
    double began = now(), cpu = cpu_of(argv + 3);
    for (int i = 0; i < connections; i++) {
        all[i].fd = open_socket(SOCK_STREAM | SOCK_NONBLOCK, port, i);
        watch(poller, all[i].fd, i, EPOLLIN | EPOLLOUT);
    }
    while (left > 0) {
        int ready = epoll_wait(poller, events, EVENTS, 30000);
        if (ready == 0) return fprintf(stderr, "%d connections without a reply\n", left), 1;
        for (int i = 0; i < ready; i++) {
            int number = events[i].data.u64 >> 32, fd = all[number].fd;
            if (!all[number].sent) {
                if (send(fd, frame, FRAME, MSG_NOSIGNAL) != FRAME) return perror("a connection failed"), 1;
                all[number].sent = 1;
            }
            if (!(events[i].events & EPOLLIN)) continue;
            ssize_t got = recv(fd, in, sizeof in, 0);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) return fprintf(stderr, "lost a connection\n"), 1;
            if ((all[number].received += got) < REPLY) continue;
            close(fd);
            left--;
        }
    }
    report(connections, now() - began, cpu_of(argv + 3) - cpu);
}
