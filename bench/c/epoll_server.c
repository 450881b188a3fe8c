// The lower bound in practice: the protocol of `message` on a bare epoll loop, for peers that send whole frames.
//
//     epoll_server PORT
//
// Edge-triggered, registered once, one read and one write per event. No journal, no limits, no deadlines, no buffers
// for partial frames.
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADER = 64, REPLY = HEADER + 33, EVENTS = 1024, BUFFER = 1 << 16 };

static char reply[REPLY], in[BUFFER], out[BUFFER / HEADER * REPLY];
static struct epoll_event events[EVENTS];

static void serve(int fd) {
    ssize_t got = recv(fd, in, sizeof in, 0);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) close(fd);
        return;
    }
    size_t at = 0, answered = 0;
    while (at + HEADER <= (size_t)got) {
        size_t body = 0;
        for (const char *digit = in + at; *digit >= '0' && *digit <= '9'; digit++) body = body * 10 + (*digit - '0');
        if (at + HEADER + body > (size_t)got) break;
        at += HEADER + body;
        memcpy(out + answered, reply, REPLY);
        answered += REPLY;
    }
    if (answered) send(fd, out, answered, MSG_NOSIGNAL);
}

int main(int argc, char **argv) {
    memset(reply, ' ', HEADER);
    memcpy(reply, "33", 2);
    memcpy(reply + HEADER, "Message received successfully....", REPLY - HEADER);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons(argc > 1 ? atoi(argv[1]) : 0)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) return perror("listen"), 1;
    socklen_t size = sizeof address;
    getsockname(listener, (void *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);

    int poller = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = listener};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd != listener) {
                if (events[i].events & EPOLLIN) serve(events[i].data.fd);
                continue;
            }
            for (int fd; (fd = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0;) {
                event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
                event.data.fd = fd;
                epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
            }
        }
    }
}
