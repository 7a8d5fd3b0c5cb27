/* Load client in C, so that the cost of Python load does not limit the server: N connections, each a closed loop.
 *
 *   load_client PORT CONNECTIONS MESSAGE_BYTES SECONDS      round trips: `^` payload `$` out, the payload + 1 back
 *   load_client PORT CONNECTIONS 0 SECONDS                  idle: connect, receive the greeting, hold
 *
 * One thread, epoll. Every reply byte is checked. Prints one JSON line: connected, greeted, round_trips, errors,
 * seconds, p50_us, p99_us, cpu_s. Prints "held" on its own line once all idle connections are greeted.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define PER_SOURCE 9000         /* connections per source address; beyond about 14,000 the kernel's port search is slow */
#define SUB_BUCKETS 32          /* latency histogram: 32 steps per power of two, so 3 % wide */
#define BUCKETS (64 * SUB_BUCKETS)

struct connection {
    int fd;
    int greeted;
    size_t sent, received;
    uint64_t sent_ns;
};

static char *message, *reply;
static size_t payload_bytes;
static uint64_t histogram[BUCKETS], round_trips, errors, greeted;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static void record(uint64_t ns)
{
    int power = 63 - __builtin_clzll(ns | SUB_BUCKETS);
    int shift = power - 5;
    histogram[shift * SUB_BUCKETS + (int)(ns >> shift)]++;
    round_trips++;
}

static double percentile_us(double q)
{
    uint64_t rank = (uint64_t)(q * (double)round_trips + 0.5), seen = 0;
    for (int i = 0; i < BUCKETS; i++) {
        seen += histogram[i];
        if (seen >= rank && seen) {
            int shift = i / SUB_BUCKETS ? i / SUB_BUCKETS - 1 : 0;
            uint64_t low = (uint64_t)(i - shift * SUB_BUCKETS) << shift;
            return ((double)low + (double)(1ULL << shift) / 2) / 1000.0;
        }
    }
    return 0;
}

static int open_connection(int port, int number)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (fd < 0)
        return -1;
    from.sin_addr.s_addr = htonl(0x7f000001u + (uint32_t)(number / PER_SOURCE));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) || connect(fd, (struct sockaddr *)&to, sizeof to)) {
        close(fd);
        return -1;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static int push(struct connection *c)       /* send the rest of the message; 0 or -1 */
{
    while (c->sent < payload_bytes + 2) {
        ssize_t n = send(c->fd, message + c->sent, payload_bytes + 2 - c->sent, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        c->sent += (size_t)n;
    }
    return 0;
}

static int begin(struct connection *c)
{
    c->sent = c->received = 0;
    c->sent_ns = now_ns();
    return push(c);
}

static int turn(struct connection *c)       /* read what has arrived; 0, or -1 if the connection is unusable */
{
    char buffer[65536];
    for (;;) {
        ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
        if (n < 0)
            return errno == EAGAIN ? push(c) : -1;
        if (n == 0)
            return -1;
        char *at = buffer;
        if (!c->greeted) {
            if (*at != '*')
                return -1;
            c->greeted = 1;
            greeted++;
            at++;
            n--;
            if (payload_bytes && begin(c))
                return -1;
        }
        if (c->received + (size_t)n > payload_bytes || memcmp(at, reply + c->received, (size_t)n))
            return -1;
        c->received += (size_t)n;
        if (payload_bytes && c->received == payload_bytes) {
            record(now_ns() - c->sent_ns);
            if (begin(c))
                return -1;
        }
        if ((size_t)n < sizeof buffer)
            return c->sent < payload_bytes + 2 ? push(c) : 0;
    }
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    int port = atoi(argv[1]), count = atoi(argv[2]), opened = 0, held = 0;
    payload_bytes = (size_t)atol(argv[3]);
    double seconds = atof(argv[4]);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    message = malloc(payload_bytes + 2);
    reply = malloc(payload_bytes + 1);
    message[0] = '^';
    message[payload_bytes + 1] = '$';
    for (size_t i = 0; i < payload_bytes; i++) {
        message[i + 1] = (char)('a' + i % 25);
        reply[i] = (char)(message[i + 1] + 1);
    }

    struct connection *connections = calloc((size_t)count, sizeof *connections);
    int epoll = epoll_create1(0);
    struct epoll_event events[256];
    for (int i = 0; i < count; i++) {
        connections[i].fd = open_connection(port, i);
        if (connections[i].fd < 0) {
            errors++;
            continue;
        }
        opened++;
        connections[i].sent = payload_bytes + 2;    /* nothing to push before the greeting */
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u32 = (uint32_t)i};
        epoll_ctl(epoll, EPOLL_CTL_ADD, connections[i].fd, &e);
    }
    uint64_t started = now_ns(), end = started + (uint64_t)(seconds * 1e9);
    while (now_ns() < end) {
        int n = epoll_wait(epoll, events, 256, 50);
        for (int i = 0; i < n; i++) {
            struct connection *c = &connections[events[i].data.u32];
            if (c->fd >= 0 && turn(c)) {
                errors++;
                close(c->fd);
                c->fd = -1;
            }
        }
        if (!payload_bytes && !held && greeted == (uint64_t)opened) {
            puts("held");
            fflush(stdout);
            held = 1;
        }
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"connected\": %d, \"greeted\": %llu, \"round_trips\": %llu, \"errors\": %llu, \"seconds\": %.4f, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f, \"cpu_s\": %.3f}\n",
           opened, (unsigned long long)greeted, (unsigned long long)round_trips, (unsigned long long)errors,
           (double)(now_ns() - started) / 1e9, percentile_us(0.50), percentile_us(0.99),
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    return 0;
}
