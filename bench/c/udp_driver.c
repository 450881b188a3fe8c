// A driver of `month`: SOCKETS sockets with IN_FLIGHT requests in flight each.
//
//     udp_driver PORT SOCKETS IN_FLIGHT SECONDS [PID]...
//
// Each socket sends a hello, then requests for months; one system call sends as many requests as replies were
// received. The first tenth of the time is not measured. Datagrams can be lost: after 50 ms without a reply, each
// socket sends IN_FLIGHT requests again, and a line on standard error reports it.
#include "driver.h"

enum { IN_FLIGHT_MAX = 256, ANSWER = 128 };

// Beyond loopback, loopline shortens an introduction to three times the bytes that it answers.
static const char hello[] = "Hello, please introduce yourself in full.";

static struct mmsghdr questions[IN_FLIGHT_MAX], answers[IN_FLIGHT_MAX];
static struct iovec question = {.iov_base = "7", .iov_len = 1}, places[IN_FLIGHT_MAX];
static char in[IN_FLIGHT_MAX][ANSWER];
static struct epoll_event events[IN_FLIGHT_MAX];

int main(int argc, char **argv) {
    if (argc < 5) return fprintf(stderr, "usage: udp_driver PORT SOCKETS IN_FLIGHT SECONDS [PID]...\n"), 2;
    int port = atoi(argv[1]), sockets = atoi(argv[2]), in_flight = atoi(argv[3]), poller = epoll_create1(0);
    double seconds = atof(argv[4]);
    if (in_flight > IN_FLIGHT_MAX) return fprintf(stderr, "too many in flight\n"), 2;
    int *all = many(sockets, sizeof *all);
    for (int i = 0; i < in_flight; i++) {
        places[i] = (struct iovec){in[i], ANSWER};
        questions[i].msg_hdr = (struct msghdr){.msg_iov = &question, .msg_iovlen = 1};
        answers[i].msg_hdr = (struct msghdr){.msg_iov = &places[i], .msg_iovlen = 1};
    }
    for (int i = 0; i < sockets; i++) {
        all[i] = open_socket(SOCK_DGRAM, port, i);
        setsockopt(all[i], SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 5}, sizeof(struct timeval));
        send(all[i], hello, strlen(hello), 0);
        if (recv(all[i], in[0], ANSWER, 0) < 20) return fprintf(stderr, "no introduction\n"), 1;
        watch(poller, all[i], i, EPOLLIN);
    }
    double began = now(), counted = began + seconds / 10, end = counted + seconds, time = began, cpu = 0;
    long answered = 0, before = -1, silences = 0;
    for (int i = 0; i < sockets; i++) sendmmsg(all[i], questions, in_flight, 0);
    while (time < end) {
        int ready = epoll_wait(poller, events, IN_FLIGHT_MAX, 50);
        time = now();
        if (before < 0 && time >= counted) began = time, before = answered, cpu = cpu_of(argv + 5);
        if (ready == 0) {
            silences++;
            for (int i = 0; i < sockets; i++) sendmmsg(all[i], questions, in_flight, 0);
        }
        for (int i = 0; i < ready; i++) {
            int fd = (int)events[i].data.u64, got;
            while ((got = recvmmsg(fd, answers, in_flight, MSG_DONTWAIT, 0)) > 0) {
                if (answers[0].msg_len != 4 || memcmp(in[0], "July", 4)) return fprintf(stderr, "wrong reply\n"), 1;
                answered += got;
                sendmmsg(fd, questions, got, 0);
                if (got < in_flight) break;
            }
        }
    }
    report(answered - before, now() - began, cpu_of(argv + 5) - cpu);
    if (silences) fprintf(stderr, "%ld times no reply for 50 ms\n", silences);
}
