// The least that a client can do to exchange one message on each connection: the bound of what a load generator costs.
//
//     one_shot_minimum PORT IN_FLIGHT SECONDS [PID]...
//
// Five blocking system calls per connection: socket, connect, send, recv, close. There is no poller. IN_FLIGHT
// connections are opened and each is sent a frame; then the replies are read in the same order, when nearly all have
// come. The first tenth of the time is not measured. A PID of 0 is this process.
#include "driver.h"

static char frame[FRAME], in[4096];

int main(int argc, char **argv) {
    if (argc < 4) return fprintf(stderr, "usage: one_shot_minimum PORT IN_FLIGHT SECONDS [PID]...\n"), 2;
    int port = atoi(argv[1]), in_flight = atoi(argv[2]);
    double seconds = atof(argv[3]), began = now(), counted = began + seconds / 10, end = counted + seconds, time = began;
    double cpu = 0;
    long messages = 0, before = -1;
    lift_descriptor_limit();
    write_frame(frame);
    int *all = many(in_flight, sizeof *all);
    for (; time < end; time = now()) {
        if (before < 0 && time >= counted) began = time, before = messages, cpu = cpu_of(argv + 4);
        for (int i = 0; i < in_flight; i++) {
            all[i] = connect_any(SOCK_STREAM, port);
            if (send(all[i], frame, FRAME, MSG_NOSIGNAL) != FRAME) return perror("send"), 1;
        }
        for (int i = 0; i < in_flight; i++, messages++) {
            for (int received = 0; received < REPLY;) {
                ssize_t got = recv(all[i], in, sizeof in, 0);
                if (got <= 0) return fprintf(stderr, "lost a connection\n"), 1;
                received += got;
            }
            close(all[i]);
        }
    }
    report(messages - before, now() - began, cpu_of(argv + 4) - cpu);
}
