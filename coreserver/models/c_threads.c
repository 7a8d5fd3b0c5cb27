/* One thread per client, in C: the article's first server, changed so that no client can end it.
 *
 *   acceptor:    wait for room - accept - start thread - accept - start thread ...
 *   client-N:    greet; recv, reply, send ...; end             blocking calls with deadlines (c_session.h)
 *   lifeline:    reads `drain SECONDS` from stdin; when stdin ends, the process exits at once
 *   reporter:    telemetry on stdout (c_telemetry.h)
 *   main:        waits for the drain command, stops accepting, waits for the clients, cuts off the rest
 *
 * c_threads.py compiles it, checks the settings and starts it. Arguments are `name=value`, all times in microseconds, 0
 * for no limit. To run it by hand: `(echo start; cat) | ./c_threads port=9000 > /dev/null`.
 */

#define _GNU_SOURCE
#include "c_session.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define STACK_BYTES ((size_t)64 << 10) /* 9,000 clients need 0.6 GB of address space and use 8 KB each */
#define SHORTAGE_PAUSE_NS 100000000    /* without descriptors: retrying without a pause would use a whole core */
#define CUT_OFF_NS 3000000000u

/* --- the clients' threads ----------------------------------------------------------------------------------------- */

static void *client_thread(void *argument) {
    struct client *client = argument;
    char name[32];
    snprintf(name, sizeof name, "client-%" PRIu64, client->number);
    pthread_mutex_lock(&lock);
    in_service++;
    client->started = true;
    pthread_mutex_unlock(&lock);
    if (client->reported)
        report_started(client->number, name);
    finish(client, serve(client));
    return NULL;
}

/* --- the acceptor ----------------------------------------------------------------------------------------------- */

static void report_trouble(const char *kind, const char *what, int error) {
    char detail[MAX_TEXT];
    snprintf(detail, sizeof detail, "%s: %s", what, strerror(error));
    report_event(kind, detail);
}

static void take_in(int fd, const struct sockaddr *peer, const pthread_attr_t *attributes) {
    char text[INET6_ADDRSTRLEN];
    uint16_t peer_port = name_of(peer, text);
    bool reported = report_accepted(++accepted, text, peer_port);
    struct client *client = malloc(sizeof *client + (size_t)read_bytes);
    if (!client) {
        report_event("spawn_failed", "not enough memory for another client");
        close(fd);
        report_end(reported, accepted, false, ERROR, 0, 0, 0);
        return;
    }
    memset(client, 0, sizeof *client);
    client->fd = fd;
    client->number = accepted;
    client->reported = reported;
    pthread_mutex_lock(&lock);
    open_count++;
    client->next = clients;
    if (clients)
        clients->previous = client;
    clients = client;
    pthread_mutex_unlock(&lock);
    pthread_t thread;
    int error = pthread_create(&thread, attributes, client_thread, client);
    if (error) {
        report_trouble("spawn_failed", "cannot start a client's thread", error);
        finish(client, ERROR);
    }
}

static bool wait_for_room(bool pausing) {
    pthread_mutex_lock(&lock);
    while (max_connections && open_count >= (uint64_t)max_connections && !closing)
        pthread_cond_wait(&room, &lock);
    if (pausing && !closing)
        wait_until(&room, now_ns() + SHORTAGE_PAUSE_NS);
    bool go_on = !closing;
    pthread_mutex_unlock(&lock);
    return go_on;
}

static void *accept_clients(void *attributes) {
    bool shortage = false;
    while (wait_for_room(shortage)) {
        struct sockaddr_storage peer;
        socklen_t size = sizeof peer;
        int fd = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);
        if (fd >= 0) {
            shortage = false;
            take_in(fd, (struct sockaddr *)&peer, attributes);
        } else if (is_shortage(errno)) {
            if (!shortage)
                report_trouble("accept_paused", "accept paused", errno);
            shortage = true;
        } else if (!is_transient(errno)) {
            int error = errno;
            if (wait_for_room(false)) /* otherwise the shutdown(2) in `drain` woke this thread */
                report_trouble("failed", "accept failed", error);
            break;
        }
    }
    return NULL;
}

/* --- listening, sampling and shutting down ----------------------------------------------------------------------- */

static bool open_listener(void) {
    char reason[MAX_TEXT];
    bool any = port == 0;
    listener = listen_at(host, &port, (int)backlog);
    if (listener >= 0)
        return true;
    snprintf(reason, sizeof reason, "cannot listen on %s port %lld: %s", host, port, strerror(errno));
    if (errno == EADDRINUSE && !any)
        report_refused("port_in_use", "port", reason);
    else if (errno == EADDRINUSE || is_shortage(errno))
        report_refused("cannot_start", "", reason);
    else
        report_refused("config", "host", reason);
    return false;
}

static void measure(struct figures *figures) {
    static int statm = -1; /* kept open, so that a sample needs no new descriptor */
    struct rusage usage;
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    char text[128] = "";
    unsigned long long vms_pages = 0, rss_pages = 0;
    if (statm < 0)
        statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (pread(statm, text, sizeof text - 1, 0) > 0)
        sscanf(text, "%llu %llu", &vms_pages, &rss_pages);
    getrusage(RUSAGE_SELF, &usage);
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    int64_t overflows = listen_overflows();
    pthread_mutex_lock(&lock);
    bool listens = !closing && getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &size) == 0;
    *figures = (struct figures){
        .waiting = open_count - in_service,
        .in_service = in_service,
        .threads_alive = (int64_t)open_count + !closing,
        .threads_busy = (int64_t)in_service,
        .queue_depth = -1,
        .accept_queue = listens ? (int64_t)info.tcpi_unacked : -1, /* for a listener: connections in the backlog */
        .cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
            + 1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec),
        .rss_bytes = rss_pages * page,
        .vms_bytes = vms_pages * page,
        .voluntary_switches = (uint64_t)usage.ru_nvcsw,
        .involuntary_switches = (uint64_t)usage.ru_nivcsw,
        .listen_overflows = overflows,
    };
    pthread_mutex_unlock(&lock);
}

static void *follow_lifeline(void *unused) {
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        pthread_mutex_lock(&lock);
        is_drain_requested = is_drain_requested || sscanf(line, "drain %lf", &drain_s) == 1;
        pthread_cond_signal(&drain_requested);
        pthread_mutex_unlock(&lock);
    }
    _exit(1); /* the parent has exited, so the end is not reported; the kernel closes every socket */
    return unused;
}

static void wait_for_drain(void) {
    pthread_mutex_lock(&lock);
    while (!is_drain_requested)
        pthread_cond_wait(&drain_requested, &lock);
    pthread_mutex_unlock(&lock);
}

static void wait_empty(uint64_t span_ns) {
    uint64_t deadline_ns = now_ns() + span_ns;
    pthread_mutex_lock(&lock);
    while (open_count && wait_until(&empty, deadline_ns))
        ;
    pthread_mutex_unlock(&lock);
}

static void drain(pthread_t acceptor) {
    pthread_mutex_lock(&lock);
    closing = true;
    pthread_cond_broadcast(&room);
    pthread_mutex_unlock(&lock);
    shutdown(listener, SHUT_RDWR); /* refuses new connections, and wakes accept(2), which close(2) does not */
    pthread_join(acceptor, NULL);
    close(listener);
    wait_empty((uint64_t)(drain_s * 1e9));
    unsigned left = 0;
    pthread_mutex_lock(&lock);
    cutting_off = true;
    pthread_cond_broadcast(&ending);
    for (struct client *client = clients; client; client = client->next, left++) {
        client->cut_off = true;
        shutdown(client->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&lock);
    if (left) {
        char detail[MAX_TEXT];
        snprintf(detail, sizeof detail, "connections still open: %u", left);
        report_event("cut_off", detail);
    }
    wait_empty(CUT_OFF_NS);
}

static void open_conditions(void) {
    pthread_cond_t *conditions[] = {&room, &empty, &ending, &drain_requested};
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++)
        pthread_cond_init(conditions[i], &monotonic);
}

static void raise_descriptor_limit(void) {
    struct rlimit descriptors;
    getrlimit(RLIMIT_NOFILE, &descriptors);
    descriptors.rlim_cur = descriptors.rlim_max;
    setrlimit(RLIMIT_NOFILE, &descriptors);
}

int main(int count, char **arguments) {
    for (int i = 1; i < count; i++) {
        if (!take_setting(arguments[i])) {
            fprintf(stderr, "c_threads: invalid argument %s\n", arguments[i]);
            return 2;
        }
    }
    pthread_t lifeline, acceptor;
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&detached, STACK_BYTES);
    open_conditions();
    char line[64];
    if (!fgets(line, sizeof line, stdin)) /* before any thread: the parent first sets the CPUs */
        return 1;
    raise_descriptor_limit();
    if (!reporter_open())
        return 1;
    if (!open_listener()) {
        reporter_close(false);
        return 1;
    }
    if (pthread_create(&lifeline, NULL, follow_lifeline, NULL) != 0 || !reporter_start(measure)
        || pthread_create(&acceptor, NULL, accept_clients, &detached) != 0) {
        fprintf(stderr, "c_threads: cannot start a thread\n");
        return 1;
    }
    report_listening(host, (uint16_t)port);
    wait_for_drain();
    drain(acceptor);
    reporter_close(true);
    _exit(0); /* not exit(3), which would wait for the lock of stdin that the lifeline holds */
}
