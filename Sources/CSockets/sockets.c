#include "CSockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

int sockets_wake_open(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

void sockets_name_thread(pthread_t thread, const char *name) { pthread_setname_np(thread, name); }

static int bind_to(const struct addrinfo *where, int *bound) {
    int made = socket(where->ai_family, where->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, off = 0;
    if (made < 0) return errno;
    if (where->ai_family == AF_INET6) setsockopt(made, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    // The port of a process that has just ended can be had at once.
    if (where->ai_socktype == SOCK_STREAM) setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(made, where->ai_addr, where->ai_addrlen) != 0) {
        int reason = errno;
        close(made);
        return reason;
    }
    *bound = made;
    return 0;
}

int sockets_bind(const char *host, uint16_t port, int type, int *bound) {
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = type}, *where = NULL;
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    int failed = getaddrinfo(host, service, &hints, &where);
    if (failed) return failed > 0 ? -failed : failed;
    int reason = bind_to(where, bound);
    freeaddrinfo(where);
    return reason;
}

uint16_t sockets_port(int descriptor) {
    struct sockaddr_in6 bound = {0};
    socklen_t length = sizeof bound;
    getsockname(descriptor, (struct sockaddr *)&bound, &length);
    return ntohs(bound.sin6_port);  // at the same place in both families
}

int sockets_text(const struct sockaddr_in6 *address, char *text, size_t capacity) {
    char host[INET6_ADDRSTRLEN] = "";
    const void *in4 = &((const struct sockaddr_in *)address)->sin_addr;
    bool is_ipv6 = address->sin6_family == AF_INET6;
    if (is_ipv6 && IN6_IS_ADDR_V4MAPPED(&address->sin6_addr)) {
        in4 = &address->sin6_addr.s6_addr[12];
        is_ipv6 = false;
    }
    inet_ntop(is_ipv6 ? AF_INET6 : AF_INET, is_ipv6 ? &address->sin6_addr : in4, host, sizeof host);
    return snprintf(text, capacity, is_ipv6 ? "[%s]:%u" : "%s:%u", host, ntohs(address->sin6_port));
}
