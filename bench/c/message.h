// Shared by the servers of `message`: frames, their checks, and the listener.
//
// They check what loopline checks: the grammar of the header, and that the body is UTF-8.
#ifndef MESSAGE_H
#define MESSAGE_H
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADER = 64, REPLY = HEADER + 33, VECTOR = 16, WIDE = 64 };

typedef unsigned char bytes;

// VECTOR bytes that the compiler compares with vector instructions.
typedef bytes vector __attribute__((vector_size(VECTOR)));
typedef bytes wide __attribute__((vector_size(WIDE)));

static inline vector vector_at(const bytes *from) {
    vector vector;
    memcpy(&vector, from, sizeof vector);
    return vector;
}

static inline int is_zero(vector vector) {
    uint64_t words[VECTOR / 8];
    memcpy(words, &vector, sizeof words);
    return (words[0] | words[1]) == 0;
}

// The number in a header; -1 if it does not match the grammar ( "0" | [1-9][0-9]* ) *SP, or has more than seven
// digits.
static inline long body_of(const bytes *header) {
    const uint64_t spaces = 0x2020202020202020;
    const vector padding = {' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '};
    long number = 0, digits = 0;
    while (digits < 8 && header[digits] >= '0' && header[digits] <= '9') number = number * 10 + (header[digits++] - '0');
    if (digits == 0 || digits == 8 || (header[0] == '0' && digits > 1)) return -1;
    uint64_t first;
    memcpy(&first, header, sizeof first);
    vector differs = (vector_at(header + 8) ^ padding) | (vector_at(header + 24) ^ padding) |
                     (vector_at(header + 40) ^ padding) | (vector_at(header + 48) ^ padding);
    return (first ^ spaces) >> 8 * digits || !is_zero(differs) ? -1 : number;
}

// The end of the longest prefix that is UTF-8. What follows it is either wrong or, if *is_incomplete, the beginning of
// a character that more bytes can complete.
static inline size_t valid_utf8(const bytes *text, size_t length, int *is_incomplete) {
    size_t at = 0;
    *is_incomplete = 0;
    while (at < length) {
        for (; length - at >= WIDE; at += WIDE) {
            wide block;
            memcpy(&block, text + at, WIDE);
            block &= 0x80;
            uint64_t words[WIDE / 8], any = 0;
            memcpy(words, &block, WIDE);
            for (int i = 0; i < WIDE / 8; i++) any |= words[i];
            if (any) break;
        }
        if (at == length) break;
        if (length - at >= VECTOR && is_zero(vector_at(text + at) & 0x80)) { at += VECTOR; continue; }
        bytes first = text[at];
        if (first < 0x80) { at++; continue; }
        size_t size = first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
        if (!size) return at;
        for (size_t i = 1; i < size; i++) {
            if (at + i == length) return *is_incomplete = 1, at;
            bytes next = text[at + i], low = 0x80, last = 0xbf;
            if (i == 1 && first == 0xe0) low = 0xa0;
            if (i == 1 && first == 0xed) last = 0x9f;
            if (i == 1 && first == 0xf0) low = 0x90;
            if (i == 1 && first == 0xf4) last = 0x8f;
            if (next < low || next > last) return at;
        }
        at += size;
    }
    return at;
}

static inline int is_utf8(const bytes *text, size_t length) {
    int is_incomplete;
    return valid_utf8(text, length, &is_incomplete) == length;
}

static inline void write_reply(char *reply) {
    memset(reply, ' ', HEADER);
    memcpy(reply, "33", 2);
    memcpy(reply + HEADER, "Message received successfully....", REPLY - HEADER);
}

// A listener on loopback whose port is printed. Lifts the descriptor limit, and returns it in *descriptors.
static inline int listen_on(int port, size_t *descriptors) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    *descriptors = limit.rlim_cur;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) perror("listen"), exit(1);
    socklen_t size = sizeof address;
    getsockname(listener, (void *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}
#endif
