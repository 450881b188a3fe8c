// A driver that opens a connection for each message: a load generator that measures only the rate.
//
//     one_shot PORT IN_FLIGHT SECONDS [PID]...
//
// IN_FLIGHT connections are open at a time. Each sends one frame, reads the reply and closes, and the next is opened.
// The first tenth of the time is not measured. A PID of 0 is this process.
//
// Six system calls per connection, and a part of a poll: socket, connect, send, epoll_ctl, recv, close. On loopback
// the connection is established when connect returns, so the frame is sent without waiting for an event.
#include "driver.h"

enum { EVENTS = 1024 };

static struct epoll_event events[EVENTS];
static char frame[FRAME], in[4096];
static int *received;

static void open_one(int poller, int port, int number) {
    int fd = connect_any(SOCK_STREAM | SOCK_NONBLOCK, port);
    received[number] = send(fd, frame, FRAME, MSG_NOSIGNAL) == FRAME ? 0 : -1;
    if (received[number] < 0 && errno != EAGAIN) perror("send"), exit(1);
    watch(poller, fd, number, EPOLLIN | (received[number] < 0 ? EPOLLOUT : 0));
}

int main(int argc, char **argv) {
    if (argc < 4) return fprintf(stderr, "usage: one_shot PORT IN_FLIGHT SECONDS [PID]...\n"), 2;
    int port = atoi(argv[1]), in_flight = atoi(argv[2]), poller = epoll_create1(0);
    double seconds = atof(argv[3]), began = now(), counted = began + seconds / 10, end = counted + seconds, time = began;
    double cpu = 0;
    long messages = 0, before = -1;
    lift_descriptor_limit();
    write_frame(frame);
    received = many(in_flight, sizeof *received);
    for (int i = 0; i < in_flight; i++) open_one(poller, port, i);
    while (time < end) {
        int ready = epoll_wait(poller, events, EVENTS, 10000);
        if (ready == 0) return fprintf(stderr, "no reply from the server\n"), 1;
        time = now();
        if (before < 0 && time >= counted) began = time, before = messages, cpu = cpu_of(argv + 4);
        for (int i = 0; i < ready; i++) {
            int number = events[i].data.u64 >> 32, fd = (int)events[i].data.u64;
            if (received[number] < 0) {
                if (send(fd, frame, FRAME, MSG_NOSIGNAL) != FRAME) return perror("a connection failed"), 1;
                received[number] = 0;
            }
            if (!(events[i].events & EPOLLIN)) continue;
            ssize_t got = recv(fd, in, sizeof in, 0);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) return fprintf(stderr, "lost a connection\n"), 1;
            if ((received[number] += got) < REPLY) continue;
            close(fd);
            messages++;
            open_one(poller, port, number);
        }
    }
    report(messages - before, now() - began, cpu_of(argv + 4) - cpu);
}
