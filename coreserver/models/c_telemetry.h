/* Telemetry of a child program: the frames of coreserver/telemetry/frames.py on stdout, written by a separate thread.
 *
 *   serving threads:  append a frame to `pending` under the lock, nothing else
 *   reporter:         waits for frames or for the next sample, collects them for FLUSH_NS, swaps buffers, writes
 *
 * A reader that stalls blocks only the reporter. Room for the three frames of a connection is reserved when it is
 * accepted. Without room the connection is only counted, and reported as lost when the pipe is read again.
 */

#ifndef C_TELEMETRY_H
#define C_TELEMETRY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef ROOM
#define ROOM ((size_t)16 << 20)        /* for unsent frames; unused pages cost nothing */
#endif
#define FLUSH_NS 3000000               /* frames are collected for this long before a write */
#define SAMPLE_NS 100000000
#define CONNECTION_ROOM 224            /* maximum size of the three frames of one connection */
#define MAX_TEXT 256

enum frame_kind { ACCEPTED, STARTED, FINISHED, LOST, LISTENING, REFUSED, ENDED, EVENT, SAMPLE };

/* In the order of coreserver.records.server.ServerOutcome. TURNED_AWAY is its REFUSED, a name that frames use. */
enum outcome {
    COMPLETED, RESET, IDLE_TIMEOUT, SESSION_TIMEOUT, WRITE_TIMEOUT, TURNED_AWAY, CUT_OFF, ERROR, OUTCOMES
};

struct figures {
    uint64_t waiting, in_service;
    int64_t threads_alive, threads_busy, queue_depth, accept_queue; /* -1: not available */
    double cpu_s;
    uint64_t rss_bytes, vms_bytes, voluntary_switches, involuntary_switches;
    int64_t listen_overflows; /* of the whole network namespace, since boot; -1: not available */
};

struct frame {
    size_t size;
    uint8_t bytes[1024];
};

static struct {
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t wake;
    uint8_t *pending, *spare;
    size_t used, set_aside;
    uint64_t lost[OUTCOMES];
    bool ending;
    pthread_t thread;
    void (*measure)(struct figures *);
} reporter = {.lock = PTHREAD_MUTEX_INITIALIZER};

static inline uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline struct timespec timespec_of(uint64_t ns) {
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
}

/* --- building a frame: u16 payload length, u8 kind, payload, all in this machine's byte order --- */

static inline void put(struct frame *frame, const void *value, size_t size) {
    memcpy(frame->bytes + frame->size, value, size);
    frame->size += size;
}

static inline void put_u8(struct frame *frame, uint8_t value) { put(frame, &value, sizeof value); }
static inline void put_u16(struct frame *frame, uint16_t value) { put(frame, &value, sizeof value); }
static inline void put_u64(struct frame *frame, uint64_t value) { put(frame, &value, sizeof value); }

static inline void put_text(struct frame *frame, const char *text) {
    size_t length = strlen(text);
    if (length > MAX_TEXT)
        length = MAX_TEXT;
    put_u16(frame, (uint16_t)length);
    put(frame, text, length);
}

static inline struct frame new_frame(enum frame_kind kind) {
    struct frame frame;
    frame.size = sizeof(uint16_t);
    put_u8(&frame, (uint8_t)kind);
    return frame;
}

/* Append under the lock; return false without room. `claims` is the room reserved for later frames, `claimed` the room
 * that was reserved for this one. */
static inline bool append(struct frame *frame, size_t claims, size_t claimed) {
    uint16_t payload = (uint16_t)(frame->size - sizeof(uint16_t) - 1);
    memcpy(frame->bytes, &payload, sizeof payload);
    reporter.set_aside -= claimed;
    if (reporter.used + frame->size + reporter.set_aside + claims > ROOM)
        return false;
    reporter.set_aside += claims;
    memcpy(reporter.pending + reporter.used, frame->bytes, frame->size);
    reporter.used += frame->size;
    pthread_cond_signal(&reporter.wake);
    return true;
}

static inline bool send_frame(struct frame *frame, size_t claims, size_t claimed) {
    pthread_mutex_lock(&reporter.lock);
    bool sent = append(frame, claims, claimed);
    pthread_mutex_unlock(&reporter.lock);
    return sent;
}

/* --- reports --- */

/* Report an accepted connection; return whether there was room. Without room, only report_end may be called for it. */
static inline bool report_accepted(uint64_t number, const char *host, uint16_t port) {
    struct frame frame = new_frame(ACCEPTED);
    put_u64(&frame, number);
    put_u64(&frame, now_ns());
    put_u16(&frame, port);
    put_text(&frame, host);
    return send_frame(&frame, CONNECTION_ROOM, 0);
}

static inline void report_started(uint64_t number, const char *worker) {
    struct frame frame = new_frame(STARTED);
    put_u64(&frame, number);
    put_u64(&frame, now_ns());
    put_text(&frame, worker);
    send_frame(&frame, CONNECTION_ROOM / 2, CONNECTION_ROOM);
}

/* Report the end of a connection; count it as lost if its accept was not reported. */
static inline void report_end(
    bool reported, uint64_t number, bool started, enum outcome outcome,
    uint64_t bytes_in, uint64_t bytes_out, uint64_t messages
) {
    if (!reported) {
        pthread_mutex_lock(&reporter.lock);
        reporter.lost[outcome]++;
        pthread_mutex_unlock(&reporter.lock);
        return;
    }
    struct frame frame = new_frame(FINISHED);
    put_u64(&frame, number);
    put_u64(&frame, now_ns());
    put_u8(&frame, (uint8_t)outcome);
    put_u64(&frame, bytes_in);
    put_u64(&frame, bytes_out);
    put_u64(&frame, messages);
    send_frame(&frame, 0, started ? CONNECTION_ROOM / 2 : CONNECTION_ROOM);
}

static inline void report_event(const char *kind, const char *detail) {
    struct frame frame = new_frame(EVENT);
    put_u64(&frame, now_ns());
    put_text(&frame, kind);
    put_text(&frame, detail);
    send_frame(&frame, 0, 0);
}

static inline void report_listening(const char *host, uint16_t port) {
    struct frame frame = new_frame(LISTENING);
    put_u16(&frame, port);
    put_text(&frame, host);
    send_frame(&frame, 0, 0);
}

static inline void report_refused(const char *code, const char *field, const char *reason) {
    struct frame frame = new_frame(REFUSED);
    put_text(&frame, code);
    put_text(&frame, field);
    put_text(&frame, reason);
    send_frame(&frame, 0, 0);
}

static inline void report_sample(void) {
    struct figures figures;
    struct frame frame = new_frame(SAMPLE);
    put_u64(&frame, now_ns());
    reporter.measure(&figures);
    put(&frame, &figures, sizeof figures); /* twelve fields of eight bytes, in the order of the frame */
    send_frame(&frame, 0, 0);
}

/* --- the reporter's thread --- */

static inline void write_all(const uint8_t *bytes, size_t size) {
    while (size > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, size);
        if (written < 0)
            _exit(1); /* the parent has closed the pipe or exited */
        bytes += written;
        size -= (size_t)written;
    }
}

static inline void append_losses(void) {
    for (int outcome = 0; outcome < OUTCOMES; outcome++) {
        struct frame frame = new_frame(LOST);
        put_u8(&frame, (uint8_t)outcome);
        put_u64(&frame, reporter.lost[outcome]);
        if (reporter.lost[outcome] && append(&frame, 0, 0))
            reporter.lost[outcome] = 0;
    }
}

static inline void flush(void) {
    pthread_mutex_lock(&reporter.lock);
    append_losses();
    uint8_t *full = reporter.pending;
    size_t size = reporter.used;
    reporter.pending = reporter.spare;
    reporter.spare = full;
    reporter.used = 0;
    pthread_mutex_unlock(&reporter.lock);
    write_all(full, size);
}

static inline void *report(void *unused) {
    uint64_t next_sample = now_ns() + SAMPLE_NS;
    bool ending = false;
    while (!ending) {
        pthread_mutex_lock(&reporter.lock);
        struct timespec until = timespec_of(next_sample);
        while (!reporter.used && !reporter.ending && now_ns() < next_sample)
            pthread_cond_timedwait(&reporter.wake, &reporter.lock, &until);
        ending = reporter.ending;
        pthread_mutex_unlock(&reporter.lock);
        if (!ending)
            nanosleep(&(struct timespec){.tv_nsec = FLUSH_NS}, NULL);
        if (now_ns() >= next_sample) {
            report_sample();
            next_sample = now_ns() + SAMPLE_NS;
        }
        flush();
    }
    return unused;
}

/* Allocate the buffers, before any other call; return whether there was enough memory. */
static inline bool reporter_open(void) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&reporter.wake, &monotonic);
    reporter.pending = malloc(ROOM);
    reporter.spare = malloc(ROOM);
    return reporter.pending && reporter.spare;
}

/* Start the reporter thread, which samples with `measure`; the first sample is sent before any later report. */
static inline bool reporter_start(void (*measure)(struct figures *)) {
    reporter.measure = measure;
    report_sample();
    return pthread_create(&reporter.thread, NULL, report, NULL) == 0;
}

/* Write the remaining frames and the frame ENDED. */
static inline void reporter_close(bool was_started) {
    pthread_mutex_lock(&reporter.lock);
    reporter.ending = true;
    pthread_cond_signal(&reporter.wake);
    pthread_mutex_unlock(&reporter.lock);
    if (was_started)
        pthread_join(reporter.thread, NULL);
    struct frame frame = new_frame(ENDED);
    send_frame(&frame, 0, 0);
    flush();
}

#endif
