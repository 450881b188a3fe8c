// A bare closed-loop driver of `message`: what is left of a load generator when nothing is measured but the
// rate.
//
//     closed_loop PORT CONNECTIONS IN_FLIGHT SECONDS     prints messages a second
//
// Each connection sends IN_FLIGHT frames at once, and again when all their replies are in. Replies are
// counted by their bytes and not looked at; no latency is taken; one clock read a turn.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FRAME = 64 + 26, REPLY = 64 + 33, EVENTS = 1024, BUFFER = 1 << 16, PER_SOURCE = 10000 };

static char frames[BUFFER], in[BUFFER];
static struct epoll_event events[EVENTS];

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc < 5) return fprintf(stderr, "usage: closed_loop PORT CONNECTIONS IN_FLIGHT SECONDS\n"), 2;
    int port = atoi(argv[1]), connections = atoi(argv[2]), in_flight = atoi(argv[3]), on = 1;
    double seconds = atof(argv[4]);
    if (in_flight * FRAME > BUFFER) return fprintf(stderr, "too many in flight\n"), 2;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (int i = 0; i < in_flight; i++) {
        memset(frames + i * FRAME, ' ', 64);
        memcpy(frames + i * FRAME, "26", 2);
        memcpy(frames + i * FRAME + 64, "abcdefghijklmnopqrstuvwxyz", 26);
    }
    int poller = epoll_create1(0);
    int *received = calloc(limit.rlim_max, sizeof *received), *sockets = calloc(connections, sizeof *sockets);
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < connections; i++) {
        int fd = sockets[i] = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000101 + i / PER_SOURCE)};
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (bind(fd, (void *)&source, sizeof source) || connect(fd, (void *)&server, sizeof server)) return perror("connect"), 1;
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = fd};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
    for (int i = 0; i < connections; i++) send(sockets[i], frames, in_flight * FRAME, 0);
    double start = now(), end = start + seconds, time = start;
    long messages = 0;
    while (time < end) {
        int ready = epoll_wait(poller, events, EVENTS, 1000);
        time = now();
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            ssize_t got = recv(fd, in, sizeof in, MSG_DONTWAIT);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) return fprintf(stderr, "a connection is lost\n"), 1;
            if ((received[fd] += got) < in_flight * REPLY) continue;
            received[fd] -= in_flight * REPLY;
            messages += in_flight;
            send(fd, frames, in_flight * FRAME, MSG_NOSIGNAL);
        }
    }
    printf("%.0f\n", messages / (now() - start));
}
