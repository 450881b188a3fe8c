// The lower bound of a chat room in practice: the protocol of `examples/chat.rs` on a bare epoll loop, for peers that send
// whole lines.
//
//     broadcast_server PORT [--joined]
//
// Edge-triggered, registered once, one read per event. Each line is sent to each member with one write; with --joined, all
// lines of a read are. No limits, no deadlines, no buffers: a member that does not take a copy at once is disconnected.
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

enum { EVENTS = 1024, BUFFER = 1 << 16, FDS = 1 << 20, NAME = 28, ANNOUNCED = 100 };

static struct peer { char name[NAME]; int place; } peers[FDS];
static int members[FDS], count, joined;
static char in[BUFFER], out[2 * BUFFER];
static struct epoll_event events[EVENTS];

static void leave(int fd);

static void publish(const char *bytes, size_t length) {
    // Backwards: the last member takes the place of one that leaves.
    for (int place = count - 1; place >= 0; place--) {
        int fd = members[place];
        if (send(fd, bytes, length, MSG_NOSIGNAL) != (ssize_t)length) leave(fd);
    }
}

static void announce(const char *name, const char *what) {
    char text[2 * NAME];
    if (count < ANNOUNCED) publish(text, snprintf(text, sizeof text, "%s has %s\n", name, what));
}

static void leave(int fd) {
    int place = peers[fd].place;
    char *name = peers[fd].name;
    close(fd);
    if (!name[0]) return;
    members[place] = members[--count];
    peers[members[place]].place = place;
    announce(name, "left");
    name[0] = 0;
}

static void join(int fd, const char *name, size_t length) {
    char text[2 * NAME];
    struct peer *peer = &peers[fd];
    if (length == 0) return;
    if (length >= NAME) length = NAME - 1;
    memcpy(peer->name, name, length);
    peer->name[length] = 0;
    announce(peer->name, "come");
    peer->place = count;
    members[count++] = fd;
    int size = snprintf(text, sizeof text, "Welcome, %s: %d are here\n", peer->name, count);
    if (send(fd, text, size, MSG_NOSIGNAL) != size) leave(fd);
}

static void serve(int fd) {
    ssize_t got = recv(fd, in, sizeof in, 0);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) leave(fd);
        return;
    }
    size_t length = 0;
    for (char *line = in, *end; (end = memchr(line, '\n', in + got - line)); line = end + 1) {
        const char *name = peers[fd].name;
        if (!name[0]) {
            join(fd, line, end - line);
            continue;
        }
        if (end - line == 5 && !memcmp(line, "/quit", 5)) return leave(fd);
        size_t name_length = strlen(name);
        if (length + name_length + 2 + (end + 1 - line) > sizeof out) break;
        memcpy(out + length, name, name_length);
        memcpy(out + length + name_length, ": ", 2);
        memcpy(out + length + name_length + 2, line, end + 1 - line);
        length += name_length + 2 + (end + 1 - line);
        if (!joined) publish(out, length), length = 0;
    }
    if (length) publish(out, length);
}

int main(int argc, char **argv) {
    joined = argc > 2 && !strcmp(argv[2], "--joined");
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max < FDS ? limit.rlim_max : FDS;
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
                send(fd, "Your name?\n", 11, MSG_NOSIGNAL);
            }
        }
    }
}
