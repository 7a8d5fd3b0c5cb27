/* Minimal fast server of the protocol: one thread, epoll, no timeouts, no telemetry. Upper bound of the benchmark.
 * Prints its port and exits at the end of its standard input. If the kernel does not accept a whole reply at once, the
 * connection is closed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_FD 65536
static char inside[MAX_FD];

int main(void)
{
    static char buffer[65536], out[65536];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 4096))
        return 1;
    getsockname(listener, (struct sockaddr *)&at, &length);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, events[256];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
    e.data.fd = 0;
    epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &e);
    for (;;) {
        int n = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == 0)
                return 0;
            if (fd == listener) {
                int peer = accept(listener, NULL, NULL);
                if (peer < 0 || peer >= MAX_FD)
                    continue;
                setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                inside[peer] = 0;
                e.data.fd = peer;
                epoll_ctl(epoll, EPOLL_CTL_ADD, peer, &e);
                if (send(peer, "*", 1, MSG_NOSIGNAL) == 1)
                    continue;
                close(peer);
                continue;
            }
            ssize_t got = recv(fd, buffer, sizeof buffer, 0), owed = 0;
            for (ssize_t k = 0; k < got; k++) {
                if (!inside[fd])
                    inside[fd] = buffer[k] == '^';
                else if (buffer[k] == '$')
                    inside[fd] = 0;
                else
                    out[owed++] = (char)(buffer[k] + 1);
            }
            if (got <= 0 || (owed && send(fd, out, (size_t)owed, MSG_NOSIGNAL) != owed))
                close(fd);
        }
    }
}
