// A driver of `message` with large bodies.
//
//     large_driver PORT CONNECTIONS BODY SECONDS [PID]...
//
// Each connection sends a frame with BODY bytes, and the next one after the reply. The time begins when each has had
// its first reply. After SECONDS no frame is begun, and the time ends with the last reply: processor time is that of
// whole frames. All frames are sent from one buffer.
#include "driver.h"

enum { EVENTS = 1024, BODY_MAX = 1 << 26 };

static struct epoll_event events[EVENTS];
static const char *frame;
static size_t frame_bytes;

struct connection { int fd, received; size_t sent; };

// Sends what the kernel takes.
static void send_some(struct connection *it) {
    while (it->sent < frame_bytes) {
        ssize_t sent = send(it->fd, frame + it->sent, frame_bytes - it->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN) return;
        if (sent < 0) perror("send"), exit(1);
        it->sent += sent;
    }
}

// Receives some of the reply, and returns whether that completes it.
static int receive_some(struct connection *it) {
    static const char text[] = "Message received successfully....";
    static char in[REPLY];
    ssize_t got = recv(it->fd, in, REPLY - it->received, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) fprintf(stderr, "lost a connection\n"), exit(1);
    // A reply commonly arrives at once.
    if (got == REPLY && memcmp(in + REPLY - 33, text, 33)) fprintf(stderr, "not an acknowledgement: %.*s\n", REPLY, in), exit(1);
    return (it->received += got) == REPLY;
}

int main(int argc, char **argv) {
    if (argc < 5) return fprintf(stderr, "usage: large_driver PORT CONNECTIONS BODY SECONDS [PID]...\n"), 2;
    int port = atoi(argv[1]), connections = atoi(argv[2]), body = atoi(argv[3]), poller = epoll_create1(0);
    double seconds = atof(argv[4]), began = 0, end = 0, cpu = 0;
    if (body < 0 || body > BODY_MAX) return fprintf(stderr, "BODY is up to %d\n", BODY_MAX), 2;
    lift_descriptor_limit();
    char *buffer = many(64 + body, 1), header[64];
    memset(buffer, ' ', 64);
    memcpy(buffer, header, snprintf(header, sizeof header, "%d", body));
    for (int i = 0; i < body; i++) buffer[64 + i] = 'a' + i % 26;
    frame = buffer, frame_bytes = 64 + body;
    struct connection *all = many(connections, sizeof *all);
    for (int i = 0; i < connections; i++) {
        all[i].fd = open_socket(SOCK_STREAM, port, i);
        watch(poller, all[i].fd, i, EPOLLIN | EPOLLOUT);
    }
    // All send a frame, and then all begin at the same time.
    long messages = 0, in_flight = connections, is_warm = 0;
    for (int i = 0; i < connections; i++) send_some(&all[i]);
    while (in_flight > 0) {
        int ready = epoll_wait(poller, events, EVENTS, 10000);
        if (ready == 0) return fprintf(stderr, "no reply from the server\n"), 1;
        double time = now();
        for (int i = 0; i < ready; i++) {
            struct connection *it = &all[events[i].data.u64 >> 32];
            if (it->sent < frame_bytes) send_some(it);
            if (it->received == REPLY || !receive_some(it)) continue;
            messages++;
            if (!is_warm || time >= end) { in_flight--; continue; }
            it->sent = it->received = 0;
            send_some(it);
        }
        if (in_flight > 0 || is_warm) continue;
        is_warm = 1, messages = 0, in_flight = connections, cpu = cpu_of(argv + 5), began = now(), end = began + seconds;
        for (int i = 0; i < connections; i++) all[i].sent = all[i].received = 0, send_some(&all[i]);
    }
    cpu = cpu_of(argv + 5) - cpu;
    report(messages, now() - began, cpu);
}
