// The lower bound of `message` for large bodies: a bare epoll loop that receives each frame into one buffer of its
// connection, without a journal.
//
//     large_server PORT [--low-water]
//
// It checks what loopline checks: the header, and that the body is UTF-8. It has no limits and no deadlines.
//
// Why it does no more than necessary: the buffer is that of the frame, 64 bytes and the body, and stays for the next
// frame; so header and body arrive in the same system call, a body is copied by the kernel only, and memory is
// allocated once per connection. A receive asks for the rest of the frame: less costs more calls (of 64 KiB, for
// bodies of 1 MiB, half as much again), and more would have to be moved. What has arrived is checked at once, while it
// is in the cache, and never again. A receive that brings less than it asked for has emptied the socket, so a small
// frame costs one receive and one send.
//
// With --low-water, the kernel reports a connection when the rest of its frame has arrived, or LOW_WATER bytes of it
// (SO_RCVLOWAT). That saves a quarter with one connection and bodies of 1 MiB, and nothing with ten connections, which
// collect bytes while others are served.
#include "message.h"

enum { EVENTS = 1024, FIRST = 4096, LOW_WATER = 1 << 18, LOW_WATER_MIN = 1 << 16 };

static char reply[REPLY];
static struct epoll_event events[EVENTS];
static int has_low_water;

// By descriptor. `checked` bytes of the body are known to be UTF-8; `size` is that of the frame, or 0 before its
// header is complete.
static struct connection { bytes *buffer; size_t capacity, size, received, checked; int low_water; } *connections;

static void end(int fd) {
    free(connections[fd].buffer);
    connections[fd] = (struct connection){0};
    close(fd);
}

// Whether the header is one, after which the buffer holds the whole frame. Only the beginning of a frame that is larger
// than all before is copied.
static int begin_body(struct connection *it) {
    long body = body_of(it->buffer);
    if (body < 0) return 0;
    it->size = HEADER + body;
    if (it->size <= it->capacity) return 1;
    it->capacity = it->size;
    return (it->buffer = realloc(it->buffer, it->capacity)) != 0;
}

// Answers the frames in the buffer, and checks what has arrived of the last. Returns whether all is well.
static int answer(int fd, struct connection *it) {
    while (it->size || it->received >= HEADER) {
        if (!it->size && !begin_body(it)) return 0;
        int is_incomplete, is_whole = it->received >= it->size;
        size_t arrived = is_whole ? it->size : it->received, left = arrived - HEADER - it->checked;
        size_t valid = valid_utf8(it->buffer + HEADER + it->checked, left, &is_incomplete);
        it->checked += valid;
        if (valid < left && (is_whole || !is_incomplete)) return 0;
        if (!is_whole) return 1;
        send(fd, reply, REPLY, MSG_NOSIGNAL);
        // Bytes of the next frame are here only if it is smaller than one before.
        it->received -= it->size;
        memmove(it->buffer, it->buffer + it->size, it->received);
        it->size = it->checked = 0;
    }
    return 1;
}

static void set_low_water(int fd, struct connection *it) {
    size_t left = it->size ? it->size - it->received : 0;
    int wanted = left < LOW_WATER_MIN ? 1 : left < LOW_WATER ? left : LOW_WATER;
    if (wanted == it->low_water) return;
    it->low_water = wanted;
    setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &wanted, sizeof wanted);
}

static void serve(int fd) {
    struct connection *it = &connections[fd];
    size_t wanted;
    ssize_t got;
    do {
        wanted = (it->size ? it->size : it->capacity) - it->received;
        got = recv(fd, it->buffer + it->received, wanted, 0);
        if (got < 0 && errno == EAGAIN) break;
        if (got > 0) it->received += got;
        if (got <= 0 || !answer(fd, it)) return end(fd);
        // A short receive has taken all; bytes that come later are an event of their own.
    } while ((size_t)got == wanted);
    if (has_low_water) set_low_water(fd, it);
}

static void accept_all(int listener, int poller) {
    for (int fd; (fd = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0;) {
        connections[fd] = (struct connection){.buffer = malloc(FIRST), .capacity = FIRST, .low_water = 1};
        if (!connections[fd].buffer) perror("malloc"), exit(1);
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.fd = fd};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(int argc, char **argv) {
    has_low_water = argc > 2 && !strcmp(argv[2], "--low-water");
    size_t descriptors;
    int listener = listen_on(argc > 1 ? atoi(argv[1]) : 0, &descriptors), poller = epoll_create1(0);
    connections = calloc(descriptors, sizeof *connections);
    if (!connections) return perror("calloc"), 1;
    write_reply(reply);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = listener};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listener) accept_all(listener, poller);
            else if (events[i].events & EPOLLIN) serve(events[i].data.fd);
        }
    }
}
