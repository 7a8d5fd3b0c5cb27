/* One client's session: the settings, the list of connected clients, and each client's greeting, replies and end.
 *
 * Service times come from one SplitMix64 generator per connection (Steele, Lea, Flood, OOPSLA 2014). Its state is mixed
 * from the seed and the connection's number, so the work of a connection does not depend on the order of service. The
 * numbers differ from those of Python's generator for the same seed.
 */

#ifndef C_SESSION_H
#define C_SESSION_H

#include "c_sockets.h"
#include "c_telemetry.h"

#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>

#define SEND_SLICE_US 1000000 /* longest interval between two checks of the limits during a blocked send */

/* --- settings --------------------------------------------------------------------------------------------------- */

enum distribution { FIXED, EXPONENTIAL, UNIFORM };

static char host[64] = "127.0.0.1";
static long long port, backlog = 64, nodelay = 1, per_byte, read_bytes = 65536, max_connections;
static long long idle_us = 30000000, write_us = 10000000, session_us;
static long long sleep_us, distribution, per_connection, seed;

static const struct { const char *name; long long *value; } settings[] = {
    {"port", &port}, {"backlog", &backlog}, {"nodelay", &nodelay}, {"per_byte", &per_byte},
    {"read_bytes", &read_bytes}, {"max_connections", &max_connections}, {"idle_us", &idle_us}, {"write_us", &write_us},
    {"session_us", &session_us}, {"sleep_us", &sleep_us}, {"distribution", &distribution},
    {"per_connection", &per_connection}, {"seed", &seed},
};

static bool take_setting(const char *argument) {
    const char *value = strchr(argument, '=');
    if (!value++)
        return false;
    if (strncmp(argument, "host=", 5) == 0)
        return snprintf(host, sizeof host, "%s", value) < (int)sizeof host;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        const char *name = settings[i].name;
        if (strlen(name) == (size_t)(value - 1 - argument) && strncmp(argument, name, strlen(name)) == 0) {
            char *end;
            errno = 0;
            *settings[i].value = strtoll(value, &end, 10);
            return *value && !*end && !errno && *settings[i].value >= 0;
        }
    }
    return false;
}

/* --- connections ------------------------------------------------------------------------------------------------ */

struct client {
    struct client *next, *previous;
    int fd;
    bool reported, started, cut_off;
    uint64_t number, ends_ns; /* ends_ns: of the session; 0 for no limit */
    uint64_t bytes_in, bytes_out, messages;
    bool in_message, owes_work;
    uint64_t random;
    uint8_t buffer[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards everything below, and each client's links, cut_off */
static pthread_cond_t room;   /* a client ended, or the server stops accepting */
static pthread_cond_t empty;  /* the last client ended */
static pthread_cond_t ending; /* the deadline has passed: wakes the threads whose work sleeps */
static pthread_cond_t drain_requested; /* the lifeline has read the drain command */
static struct client *clients;
static uint64_t open_count, in_service, accepted;
static bool closing, cutting_off, is_drain_requested;
static double drain_s;
static int listener;

static bool wait_until(pthread_cond_t *condition, uint64_t deadline_ns) {
    struct timespec deadline = timespec_of(deadline_ns);
    return pthread_cond_timedwait(condition, &lock, &deadline) != ETIMEDOUT;
}

/* Close the socket and complete the record; the outcome is CUT_OFF if the client was cut off. Frees `client`. */
static void finish(struct client *client, enum outcome outcome) {
    pthread_mutex_lock(&lock);
    if (client->previous)
        client->previous->next = client->next;
    else
        clients = client->next;
    if (client->next)
        client->next->previous = client->previous;
    if (client->cut_off)
        outcome = CUT_OFF;
    pthread_mutex_unlock(&lock);
    close(client->fd); /* no longer in the list, so no other thread can shut down a reused descriptor */
    report_end(
        client->reported, client->number, client->started, outcome, client->bytes_in, client->bytes_out,
        client->messages
    );
    pthread_mutex_lock(&lock);
    in_service -= client->started;
    if (--open_count == 0)
        pthread_cond_broadcast(&empty);
    pthread_cond_signal(&room);
    pthread_mutex_unlock(&lock);
    free(client);
}

/* --- serving one client; each function returns GOING or the session's outcome ---------------------------------- */

enum { GOING = -1 };

static uint64_t mix(uint64_t value) {
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

static double draw(struct client *client) { /* with mean 1 */
    if (distribution == FIXED)
        return 1.0;
    uint64_t bits = mix(client->random += 0x9e3779b97f4a7c15u);
    double unit = (double)((bits >> 11) + 1) * 0x1p-53; /* above 0, at most 1 */
    return distribution == EXPONENTIAL ? -log(unit) : 2.0 * unit;
}

static bool session_is_over(const struct client *client) { return client->ends_ns && now_ns() >= client->ends_ns; }

static int work(struct client *client) {
    uint64_t wakes_ns = now_ns() + (uint64_t)((double)sleep_us * 1000.0 * draw(client));
    if (client->ends_ns && client->ends_ns < wakes_ns)
        wakes_ns = client->ends_ns;
    pthread_mutex_lock(&lock);
    while (!cutting_off && wait_until(&ending, wakes_ns))
        ;
    bool cut = cutting_off;
    pthread_mutex_unlock(&lock);
    return cut ? CUT_OFF : session_is_over(client) ? SESSION_TIMEOUT : GOING;
}

/* Limit the next blocking calls of one direction to `us` (0 for no limit) and to the time left of the session; return
 * false if none is left. */
static bool limit_to_session(struct client *client, int option, uint64_t us) {
    uint64_t now = now_ns();
    if (now >= client->ends_ns)
        return false;
    uint64_t left_us = (client->ends_ns - now) / 1000 + 1;
    limit(client->fd, option, us && us < left_us ? us : left_us);
    return true;
}

static uint64_t send_slice_us(void) {
    return write_us && write_us / 8 < SEND_SLICE_US ? (uint64_t)write_us / 8 + 1 : SEND_SLICE_US;
}

static int send_all(struct client *client, const uint8_t *data, size_t size) {
    uint64_t progress_ns = 0;
    int left = 0;
    while (size > 0) {
        ssize_t sent = send(client->fd, data, size, MSG_NOSIGNAL);
        if (sent >= 0) {
            client->bytes_out += (uint64_t)sent;
            data += sent;
            size -= (size_t)sent;
            progress_ns = 0;
            if (!size)
                break;
        } else if (errno == EAGAIN) {
            /* No room in the send buffer for a slice of the timeout. The buffer is freed in large steps, so progress of
             * a slow reader shows in the bytes that it acknowledges. */
            uint64_t now = now_ns();
            int still = unacknowledged(client->fd);
            if (!progress_ns || still < left) {
                progress_ns = progress_ns ? now : now - 1000 * send_slice_us();
                left = still;
            } else if (write_us && now - progress_ns >= 1000 * (uint64_t)write_us) {
                return WRITE_TIMEOUT;
            }
        } else if (errno != EINTR) {
            return RESET;
        }
        if (client->ends_ns && !limit_to_session(client, SO_SNDTIMEO, send_slice_us()))
            return SESSION_TIMEOUT; /* checked in each turn, because a peer may read a few bytes at a time */
    }
    return GOING;
}

static int send_reply(struct client *client, const uint8_t *reply, size_t size) {
    int end = GOING;
    if (size && client->owes_work) {
        client->owes_work = false;
        end = work(client);
    }
    if (end == GOING && client->ends_ns && !limit_to_session(client, SO_SNDTIMEO, send_slice_us()))
        return SESSION_TIMEOUT;
    if (!per_byte)
        return end == GOING ? send_all(client, reply, size) : end;
    for (size_t i = 0; i < size && end == GOING; i++)
        end = send_all(client, reply + i, 1);
    return end;
}

static void add_one(uint8_t *data, size_t size) {
    for (; size >= 32; size -= 32, data += 32)
        for (int i = 0; i < 32; i++) /* a fixed count, which compilers turn into vector instructions */
            data[i]++;
    while (size--)
        (*data++)++;
}

/* Reply to `size` bytes of the stream. The reply is built at the front of `data`: it is never longer than the input. */
static int answer(struct client *client, uint8_t *data, size_t size) {
    uint8_t *next = data, *end = data + size;
    size_t reply_size = 0;
    while (next < end) {
        if (!client->in_message) {
            next = memchr(next, '^', (size_t)(end - next));
            if (!next)
                break;
            next++;
            client->in_message = true;
            if (sleep_us && !per_connection) { /* send earlier replies before this message's work */
                int ended = send_reply(client, data, reply_size);
                if (ended == GOING)
                    ended = work(client);
                if (ended != GOING)
                    return ended;
                reply_size = 0;
            }
            continue;
        }
        uint8_t *dollar = memchr(next, '$', (size_t)(end - next));
        size_t length = (size_t)((dollar ? dollar : end) - next);
        add_one(next, length);
        memmove(data + reply_size, next, length);
        reply_size += length;
        next += length;
        if (dollar) {
            next++;
            client->in_message = false;
            client->messages++;
        }
    }
    return send_reply(client, data, reply_size);
}

static enum outcome serve(struct client *client) {
    const int yes = 1;
    if (nodelay)
        setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (session_us)
        client->ends_ns = now_ns() + 1000 * (uint64_t)session_us;
    limit(client->fd, SO_RCVTIMEO, (uint64_t)idle_us);
    limit(client->fd, SO_SNDTIMEO, send_slice_us());
    client->owes_work = sleep_us && per_connection;
    client->random = mix(mix((uint64_t)seed) ^ client->number);
    int end = send_all(client, (const uint8_t *)"*", 1);
    while (end == GOING) {
        if (session_us && !limit_to_session(client, SO_RCVTIMEO, (uint64_t)idle_us))
            return SESSION_TIMEOUT;
        ssize_t size = recv(client->fd, client->buffer, (size_t)read_bytes, 0);
        if (size == 0)
            return COMPLETED;
        if (size > 0) {
            client->bytes_in += (uint64_t)size;
            end = answer(client, client->buffer, (size_t)size);
        } else if (errno == EAGAIN) {
            return session_is_over(client) ? SESSION_TIMEOUT : IDLE_TIMEOUT;
        } else if (errno != EINTR) {
            return RESET;
        }
    }
    return (enum outcome)end;
}

#endif
