/* Listening sockets on loopback, the kinds of accept(2) errors, and figures of the kernel's queues. */

#ifndef C_SOCKETS_H
#define C_SOCKETS_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define LOWEST_PORT 10240

static inline unsigned first_ephemeral_port(void) {
    unsigned first = 32768;
    FILE *range = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    if (range) {
        if (fscanf(range, "%u", &first) != 1)
            first = 32768;
        fclose(range);
    }
    return first > LOWEST_PORT ? first : LOWEST_PORT + 1;
}

static inline bool is_loopback(const struct sockaddr *address) {
    if (address->sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
    return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
}

/* Return the port of `address` and write its host to `text`, which has room for INET6_ADDRSTRLEN. */
static inline uint16_t name_of(const struct sockaddr *address, char *text) {
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &six->sin6_addr, text, INET6_ADDRSTRLEN);
        return ntohs(six->sin6_port);
    }
    const struct sockaddr_in *four = (const struct sockaddr_in *)address;
    inet_ntop(AF_INET, &four->sin_addr, text, INET6_ADDRSTRLEN);
    return ntohs(four->sin_port);
}

static inline int listen_on(struct addrinfo *where, uint16_t port, int backlog) {
    const int yes = 1;
    if (where->ai_family == AF_INET6)
        ((struct sockaddr_in6 *)where->ai_addr)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)where->ai_addr)->sin_port = htons(port);
    int fd = socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes); /* connections left over must not prevent a restart */
    if (bind(fd, where->ai_addr, where->ai_addrlen) == 0 && listen(fd, backlog) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* Open a listener on a numeric loopback address, or return -1 and set errno. Port 0 takes a free port below the
 * ephemeral range, so that a client that retries a stopped server cannot connect to itself. */
static inline int listen_at(const char *host, long long *port, int backlog) {
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *where;
    if (getaddrinfo(host, NULL, &hints, &where) != 0) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    int fd = -1, error = EADDRNOTAVAIL;
    bool any = *port == 0;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    unsigned random = (unsigned)now.tv_nsec ^ (unsigned)getpid() << 16;
    for (int tries = any ? 1000 : 1; tries > 0 && fd < 0 && is_loopback(where->ai_addr); tries--) {
        if (any)
            *port = LOWEST_PORT + rand_r(&random) % (long long)(first_ephemeral_port() - LOWEST_PORT);
        fd = listen_on(where, (uint16_t)*port, backlog);
        error = errno;
        if (fd < 0 && error != EADDRINUSE)
            break;
    }
    freeaddrinfo(where);
    errno = error;
    return fd;
}

/* Limit the duration of one receive or send call; 0 for no limit. */
static inline void limit(int fd, int option, uint64_t us) {
    struct timeval timeout = {.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};
    setsockopt(fd, SOL_SOCKET, option, &timeout, sizeof timeout);
}

/* Return the number of bytes that the kernel has taken and the peer has not acknowledged. */
static inline int unacknowledged(int fd) {
    int count = 0;
    ioctl(fd, SIOCOUTQ, &count);
    return count;
}

static inline bool is_shortage(int error) {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* accept(2) reports pending network errors of the new connection and says to treat them like EAGAIN. */
static inline bool is_transient(int error) {
    static const int transient[] = {
        EAGAIN, ECONNABORTED, EHOSTDOWN, EHOSTUNREACH, EINTR, ENETDOWN, ENETUNREACH, ENONET, ENOPROTOOPT, EOPNOTSUPP,
        EPERM, EPROTO,
    };
    for (size_t i = 0; i < sizeof transient / sizeof *transient; i++)
        if (transient[i] == error)
            return true;
    return false;
}

/* Return the number of handshakes since boot that found a full backlog, in this network namespace; -1 if unknown. */
static inline int64_t listen_overflows(void) {
    static int netstat = -1; /* kept open, so that reading it needs no new descriptor; used by one thread only */
    char text[16384], *names, *values, *rest_of_names, *rest_of_values;
    if (netstat < 0)
        netstat = open("/proc/self/net/netstat", O_RDONLY | O_CLOEXEC);
    ssize_t size = pread(netstat, text, sizeof text - 1, 0);
    if (size <= 0)
        return -1;
    text[size] = '\0';
    names = strstr(text, "TcpExt:"); /* a line of names, followed by a line of as many values */
    values = names ? strstr(names + 1, "\nTcpExt:") : NULL;
    if (!values)
        return -1;
    *values++ = '\0';
    char *name = strtok_r(names, " ", &rest_of_names), *value = strtok_r(values, " \n", &rest_of_values);
    while (name && value && strcmp(name, "ListenOverflows") != 0) {
        name = strtok_r(NULL, " ", &rest_of_names);
        value = strtok_r(NULL, " \n", &rest_of_values);
    }
    return name && value ? atoll(value) : -1;
}

#endif
