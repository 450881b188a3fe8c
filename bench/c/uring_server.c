// `message` on a bare io_uring, for peers that send whole frames: the same protocol work as epoll_server.c.
//
//     uring_server PORT
//     uring_server probe
//
// `probe` only reports whether the kernel has what is needed, with exit status 1 and a line on standard error if not.
//
// Why it does no more than necessary: one multishot accept and one multishot receive per connection, so nothing is
// submitted to wait; received bytes are in provided buffers, which a ring shared with the kernel gives back without a
// call; connections are direct descriptors, which the kernel finds without a reference
// count; answers are sent from one constant buffer, and a send that succeeds posts no completion. A turn is one system
// call, which submits the sends and the closes of the last turn and waits for the next completions. Task work is
// deferred to that call (IORING_SETUP_DEFER_TASKRUN), which is the cheapest mode for one thread.
#include "message.h"
#include <liburing.h>

enum { SUBMISSIONS = 4096, COMPLETIONS = 32768, BUFFER = 4096, BUFFERS = 1024, GROUP = 1, FRAMES = BUFFER / HEADER };

// What a completion is of; a receive has the number of its connection beside it.
enum { ACCEPT, RECEIVE, OTHER };

static struct io_uring ring;
static struct io_uring_buf_ring *provided;
static char replies[FRAMES * REPLY], *memory;

static struct io_uring_sqe *submission(void) {
    struct io_uring_sqe *it;
    while (!(it = io_uring_get_sqe(&ring))) io_uring_submit(&ring);
    return it;
}

static void provide(int number, int offset) {
    io_uring_buf_ring_add(provided, memory + (size_t)number * BUFFER, BUFFER, number, io_uring_buf_ring_mask(BUFFERS), offset);
}

static void accept_all(int listener) {
    struct io_uring_sqe *it = submission();
    io_uring_prep_multishot_accept_direct(it, listener, 0, 0, 0);
    it->user_data = ACCEPT;
}

static void receive(unsigned connection) {
    struct io_uring_sqe *it = submission();
    io_uring_prep_recv_multishot(it, connection, 0, 0, 0);
    it->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    it->buf_group = GROUP;
    it->user_data = (uint64_t)connection << 8 | RECEIVE;
}

static void end(unsigned connection) {
    struct io_uring_sqe *it = submission();
    io_uring_prep_close_direct(it, connection);
    it->flags |= IOSQE_CQE_SKIP_SUCCESS;
    it->user_data = OTHER;
}

static void answer(unsigned connection, const char *in, int got) {
    int at = 0, messages = 0;
    while (at + HEADER <= got) {
        int body = 0;
        for (const char *digit = in + at; *digit >= '0' && *digit <= '9'; digit++) body = body * 10 + (*digit - '0');
        if (at + HEADER + body > got) break;
        at += HEADER + body;
        messages++;
    }
    if (!messages) return;
    struct io_uring_sqe *it = submission();
    io_uring_prep_send(it, connection, replies, messages * REPLY, MSG_NOSIGNAL | MSG_WAITALL);
    it->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
    it->user_data = OTHER;
}

static void complete(const struct io_uring_cqe *it, int listener, int *returned) {
    unsigned connection = it->user_data >> 8;
    switch (it->user_data & 0xff) {
    case ACCEPT:
        if (it->res >= 0) receive(it->res);
        if (!(it->flags & IORING_CQE_F_MORE)) accept_all(listener);
        return;
    case RECEIVE:
        if (it->flags & IORING_CQE_F_BUFFER) {
            int number = it->flags >> IORING_CQE_BUFFER_SHIFT;
            if (it->res > 0) answer(connection, memory + (size_t)number * BUFFER, it->res);
            provide(number, (*returned)++);
        }
        // Without a free buffer, a receive ends, and begins again when the buffers of this turn are back.
        if (it->res > 0 || it->res == -ENOBUFS) {
            if (!(it->flags & IORING_CQE_F_MORE)) receive(connection);
        } else {
            end(connection);
        }
    }
}

static int fail(const char *what, int error) {
    fprintf(stderr, "%s: %s\n", what, strerror(-error));
    return 1;
}

static int set_up(size_t descriptors) {
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE, .cq_entries = COMPLETIONS};
    int error = io_uring_queue_init_params(SUBMISSIONS, &ring, &params);
    if (error < 0) return fail("io_uring_queue_init", error);
    io_uring_register_ring_fd(&ring);
    if ((error = io_uring_register_files_sparse(&ring, descriptors)) < 0) return fail("io_uring_register_files", error);
    size_t size = BUFFERS * sizeof(struct io_uring_buf);
    if (posix_memalign((void **)&provided, 4096, size) || posix_memalign((void **)&memory, 4096, (size_t)BUFFERS * BUFFER))
        return fail("posix_memalign", -ENOMEM);
    io_uring_buf_ring_init(provided);
    struct io_uring_buf_reg registration = {.ring_addr = (uintptr_t)provided, .ring_entries = BUFFERS, .bgid = GROUP};
    if ((error = io_uring_register_buf_ring(&ring, &registration, 0)) < 0) return fail("io_uring_register_buf_ring", error);
    for (int i = 0; i < BUFFERS; i++) provide(i, i);
    io_uring_buf_ring_advance(provided, BUFFERS);
    return 0;
}

int main(int argc, char **argv) {
    int is_probe = argc > 1 && !strcmp(argv[1], "probe");
    if (is_probe) return set_up(1);
    size_t descriptors;
    int listener = listen_on(argc > 1 ? atoi(argv[1]) : 0, &descriptors);
    if (set_up(descriptors)) return 1;
    for (int i = 0; i < FRAMES; i++) write_reply(replies + i * REPLY);
    accept_all(listener);
    for (;;) {
        int error = io_uring_submit_and_wait(&ring, 1), returned = 0;
        if (error < 0 && error != -EINTR) return fail("io_uring_enter", error);
        struct io_uring_cqe *it;
        unsigned head, seen = 0;
        io_uring_for_each_cqe(&ring, head, it) {
            complete(it, listener, &returned);
            seen++;
        }
        io_uring_cq_advance(&ring, seen);
        io_uring_buf_ring_advance(provided, returned);
    }
}
