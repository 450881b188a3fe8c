// The lower bound of `message` with a journal: a bare epoll loop that writes each message to a file before it sends
// the answer, for peers that send whole frames.
//
//     journal_server FILE [--sync]
//
// A group is the events of up to GROUP connections. Its lines, `[ADDRESS:PORT] body`, leave in one write, with --sync
// followed by one fdatasync, and only then its answers, one send per connection. As loopline does, it checks header
// and body, and escapes what would end or disturb a line. It has no limits, no deadlines and no buffers for partial
// frames: a connection that sends one is closed.
//
// Why it does no more than necessary: system calls are those of the bare loop without a journal, and one write per
// group, which cannot be less, since the order of write and send is the point of the journal. The prefix of a line is
// formatted once, when its connection is accepted; a body is read once by the check and once by the copy to its line,
// while it is in the first-level cache; all answers are sent from one constant buffer, without a copy. The file is
// appended to, as a journal is. Space allocated in advance would make fdatasync cheaper, and would leave a file that
// does not end with its last line.
#include "message.h"
#include <arpa/inet.h>
#include <fcntl.h>

enum { EVENTS = 1024, GROUP = 64, BUFFER = 1 << 16, FRAMES = BUFFER / HEADER, LINES = 1 << 20, PREFIX = 31, ESCAPED = 8 };

static bytes in[BUFFER + 2 * VECTOR];
static char replies[FRAMES * REPLY], lines[LINES + PREFIX + FRAMES * PREFIX + BUFFER * ESCAPED];
static struct epoll_event events[EVENTS];

// `[ADDRESS:PORT] ` of each descriptor.
static struct { char text[PREFIX]; bytes length; } *prefixes;

// Whether text is printable ASCII without a backslash, which stands in its line as it is. It may read, and ignores,
// up to VECTOR - 1 bytes after the text.
static inline int is_plain(const bytes *text, size_t length) {
    static const bytes mask[2 * VECTOR] = {[0 ... VECTOR - 1] = 0xff};
    for (size_t at = 0; at < length; at += VECTOR) {
        vector block = vector_at(text + at);
        vector wrong = (vector)((block < ' ') | (block > '~') | (block == '\\'));
        size_t left = length - at;
        if (left < VECTOR) wrong &= vector_at(mask + VECTOR - left);
        if (!is_zero(wrong)) return 0;
    }
    return 1;
}

// Control characters and backslashes are escaped; other characters stand as they are.
static char *add_escaped(char *to, const bytes *text, size_t length) {
    for (size_t at = 0; at < length; at++) {
        bytes byte = text[at], next = at + 1 < length ? text[at + 1] : 0;
        if (byte == '\\') to = stpcpy(to, "\\\\");
        else if (byte == '\t') to = stpcpy(to, "\\t");
        else if (byte == '\n') to = stpcpy(to, "\\n");
        else if (byte == '\r') to = stpcpy(to, "\\r");
        else if (byte < ' ' || byte == 0x7f) to += sprintf(to, "\\u{%x}", byte);
        else if (byte == 0xc2 && next < 0xa0) to += sprintf(to, "\\u{%x}", next), at++;
        else *to++ = byte;
    }
    return to;
}

// Adds a line and returns its end; null if the body is not UTF-8.
static inline char *add_line(char *to, int fd, const bytes *body, size_t length) {
    memcpy(to, prefixes[fd].text, PREFIX);
    to += prefixes[fd].length;
    if (is_plain(body, length)) {
        if (length <= PREFIX) memcpy(to, body, PREFIX);
        else memcpy(to, body, length);
        to += length;
    } else if (is_utf8(body, length)) {
        to = add_escaped(to, body, length);
    } else {
        return 0;
    }
    *to++ = '\n';
    return to;
}

// Adds the lines of what a connection has sent to *end, and returns its messages; -1 if the connection is closed.
static int receive(int fd, char **end) {
    ssize_t got = recv(fd, in, BUFFER, 0);
    if (got <= 0) return got < 0 && errno == EAGAIN ? 0 : (close(fd), -1);
    const bytes *at = in, *last = in + got;
    int messages = 0;
    while (at < last) {
        long length = last - at < HEADER ? -1 : body_of(at);
        const bytes *body = at + HEADER;
        char *added = length < 0 || last - body < length ? 0 : add_line(*end, fd, body, length);
        if (!added) return close(fd), -1;
        *end = added;
        at = body + length;
        messages++;
    }
    return messages;
}

static void commit(int file, const char *end, int synced) {
    for (const char *at = lines; at < end;) {
        ssize_t wrote = write(file, at, end - at);
        if (wrote < 0) perror("write"), exit(1);
        at += wrote;
    }
    if (synced && fdatasync(file)) perror("fdatasync"), exit(1);
}

static void accept_all(int listener, int poller) {
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    for (int fd; (fd = accept4(listener, (void *)&peer, &size, SOCK_NONBLOCK)) >= 0;) {
        char address[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &peer.sin_addr, address, sizeof address);
        prefixes[fd].length = snprintf(prefixes[fd].text, PREFIX, "[%s:%d] ", address, ntohs(peer.sin_port));
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.fd = fd};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(int argc, char **argv) {
    if (argc < 2) return fprintf(stderr, "usage: journal_server FILE [--sync]\n"), 2;
    int file = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644), synced = argc > 2 && !strcmp(argv[2], "--sync");
    if (file < 0) return perror(argv[1]), 1;
    size_t descriptors;
    int listener = listen_on(0, &descriptors), poller = epoll_create1(0);
    prefixes = calloc(descriptors, sizeof *prefixes);
    if (!prefixes) return perror("calloc"), 1;
    for (int i = 0; i < FRAMES; i++) write_reply(replies + i * REPLY);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = listener};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, -1), i = 0;
        while (i < ready) {
            struct { int fd, messages; } answers[GROUP];
            char *end = lines;
            int visited = 0, answered = 0;
            for (; i < ready && visited < GROUP && end < lines + LINES; i++) {
                int fd = events[i].data.fd;
                if (fd == listener) { accept_all(listener, poller); continue; }
                if (!(events[i].events & EPOLLIN)) continue;
                visited++;
                int messages = receive(fd, &end);
                if (messages > 0) answers[answered].fd = fd, answers[answered++].messages = messages;
            }
            if (end > lines) commit(file, end, synced);
            for (int j = 0; j < answered; j++) send(answers[j].fd, replies, answers[j].messages * REPLY, MSG_NOSIGNAL);
        }
    }
}
