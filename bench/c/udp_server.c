// The lower bound of `month` in practice: sessions in a small table, and replies.
//
//     udp_server BATCH [ADDRESS]
//
// With a BATCH of 1 it uses recvfrom and sendto, one datagram per call; with more, recvmmsg and sendmmsg for up to
// BATCH datagrams. Sessions never end, and their table is never full, since the driver has few sockets. The receive
// blocks; there is no poll. It is bound to ADDRESS, by default 127.0.0.1; with 0.0.0.0, an answer comes from the
// address that the route to its peer selects, and not from the one that was asked.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH_MAX = 64, DATAGRAM = 1025, SESSIONS = 1 << 16 };

static const char *const answers[] = {
    "Goodbye", "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December", "Error: expected an integer from 1 to 12, or 0 to end\n",
    "\nHey there I am going to provide you the month, if you Provide me an integer from 1-12\n",
};
static size_t lengths[sizeof answers / sizeof *answers];
static uint64_t sessions[SESSIONS];
static char in[BATCH_MAX][DATAGRAM];

// The position of the session of a peer, or of a free entry.
static uint64_t *session(uint64_t peer) {
    uint64_t *place = sessions + (peer * 0x9e3779b97f4a7c15 >> 48);
    while (*place && *place != peer) if (++place == sessions + SESSIONS) place = sessions;
    return place;
}

static int answer_to(const struct sockaddr_in *from, const char *text, size_t length) {
    uint64_t peer = (uint64_t)from->sin_addr.s_addr << 16 | from->sin_port, *place = session(peer);
    if (!*place) return *place = peer, 14;
    size_t at = 0, number = 0;
    while (at < length && (text[at] == ' ' || (text[at] >= '\t' && text[at] <= '\r'))) at++;
    size_t digits = at;
    for (; at < length && text[at] >= '0' && text[at] <= '9' && number < 100; at++) number = number * 10 + (text[at] - '0');
    if (at == digits) return 13;
    while (at < length && (text[at] == ' ' || (text[at] >= '\t' && text[at] <= '\r'))) at++;
    return at < length || number > 12 ? 13 : number;
}

int main(int argc, char **argv) {
    int batch = argc > 1 ? atoi(argv[1]) : 1;
    if (batch < 1 || batch > BATCH_MAX) return fprintf(stderr, "BATCH is 1 to %d\n", BATCH_MAX), 2;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) lengths[i] = strlen(answers[i]);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    if (!inet_aton(argc > 2 ? argv[2] : "127.0.0.1", &address.sin_addr)) return fprintf(stderr, "not an address: %s\n", argv[2]), 2;
    socklen_t size = sizeof address;
    if (bind(fd, (void *)&address, size) || getsockname(fd, (void *)&address, &size)) return perror("bind"), 1;
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);

    static struct sockaddr_in peers[BATCH_MAX];
    static struct mmsghdr received[BATCH_MAX], sent[BATCH_MAX];
    static struct iovec filled[BATCH_MAX], told[BATCH_MAX];
    while (batch == 1) {
        size = sizeof *peers;
        ssize_t got = recvfrom(fd, in[0], DATAGRAM, 0, (void *)peers, &size);
        if (got < 0) continue;
        int answer = answer_to(peers, in[0], got);
        sendto(fd, answers[answer], lengths[answer], 0, (void *)peers, size);
    }
    for (;;) {
        for (int i = 0; i < batch; i++) {
            filled[i] = (struct iovec){in[i], DATAGRAM};
            received[i].msg_hdr = (struct msghdr){.msg_name = &peers[i], .msg_namelen = sizeof *peers, .msg_iov = &filled[i], .msg_iovlen = 1};
        }
        int got = recvmmsg(fd, received, batch, MSG_WAITFORONE, 0), done = 0;
        for (int i = 0; i < got; i++) {
            int answer = answer_to(&peers[i], in[i], received[i].msg_len);
            told[i] = (struct iovec){(void *)answers[answer], lengths[answer]};
            sent[i].msg_hdr = (struct msghdr){.msg_name = &peers[i], .msg_namelen = sizeof *peers, .msg_iov = &told[i], .msg_iovlen = 1};
        }
        // A datagram that cannot be sent ends the call; the others are sent by the next.
        while (done < got) {
            int now = sendmmsg(fd, sent + done, got - done, 0);
            done += now > 0 ? now : 1;
        }
    }
}
