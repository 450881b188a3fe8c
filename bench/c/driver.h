// Shared by the drivers: the clock, the processor time of servers, sockets.
#ifndef DRIVER_H
#define DRIVER_H
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

enum { BODY = 26, FRAME = 64 + BODY, REPLY = 64 + 33, PER_SOURCE = 10000, SOURCES = 64 };

static double seconds_of(clockid_t clock) {
    struct timespec time;
    if (clock_gettime(clock, &time)) perror("clock_gettime"), exit(1);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static double now(void) { return seconds_of(CLOCK_MONOTONIC); }

// Processor time of the processes in the arguments, including threads that have ended.
static inline double cpu_of(char **pids) {
    double sum = 0;
    for (; *pids; pids++) {
        clockid_t clock;
        if (clock_getcpuclockid(atoi(*pids), &clock)) fprintf(stderr, "no process %s\n", *pids), exit(1);
        sum += seconds_of(clock);
    }
    return sum;
}

static inline void lift_descriptor_limit(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static inline void *many(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (!memory) perror("calloc"), exit(1);
    return memory;
}

static inline void write_frame(char *frame) {
    memset(frame, ' ', 64);
    memcpy(frame, "26", 2);
    memcpy(frame + 64, "abcdefghijklmnopqrstuvwxyz", BODY);
}

// The number-th socket to a port on loopback. Every PER_SOURCE sockets use another source address, so that ports
// suffice. With a non-blocking type, the connect is still in progress.
static int open_socket(int type, int port, int number) {
    int fd = socket(AF_INET, type, 0), on = 1;
    struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000101 + number / PER_SOURCE)};
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if ((type & 0xf) == SOCK_STREAM) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(fd, (void *)&source, sizeof source) ||
        (connect(fd, (void *)&server, sizeof server) && errno != EINPROGRESS)) perror("connect"), exit(1);
    return fd;
}

// A socket to a port on loopback. The kernel selects the source; only where it has no free port, since those of closed
// connections are in use for a while, other sources take turns, which costs two more calls.
static inline int connect_any(int type, int port) {
    static int others;
    int fd = socket(AF_INET, type, 0);
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (!connect(fd, (void *)&server, sizeof server) || errno == EINPROGRESS) return fd;
    if (errno != EADDRNOTAVAIL) perror("connect"), exit(1);
    close(fd);
    return open_socket(type, port, others++ % SOURCES * PER_SOURCE);
}

static inline void watch(int poller, int fd, unsigned number, unsigned interest) {
    struct epoll_event event = {.events = interest | EPOLLET, .data.u64 = (unsigned long)number << 32 | fd};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event)) perror("epoll_ctl"), exit(1);
}

// The output for the runner: messages answered, seconds, processor time of the servers.
static inline void report(long messages, double seconds, double cpu) {
    printf("messages %ld seconds %.9f cpu %.9f\n", messages, seconds, cpu);
    fflush(stdout);
}
#endif
