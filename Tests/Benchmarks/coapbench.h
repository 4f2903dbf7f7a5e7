// What the CoAP load generators share: clocks, a server's CPU time, and datagrams of many addresses through one socket.
#pragma once
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { batch = 64 };

static inline double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/// User and system time of a process, seconds.
static inline double cpu_seconds(int pid) {
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, sizeof line, file)) exit(1);
    fclose(file);
    unsigned long user, system;
    if (sscanf(strrchr(line, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2) exit(1);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static inline long memory_kilobytes(int pid) {
    char path[64], line[256];
    long kilobytes = 0;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) sscanf(line, "VmRSS: %ld", &kilobytes);
    if (file) fclose(file);
    return kilobytes;
}

/// Message IDs begin elsewhere each time, so that a run's requests are no duplicates of the last one's.
static inline uint16_t first_message_id(void) { return (uint16_t)(now() * 1000); }

/// Every peer is an address of 127.0.0.0/8.
static inline uint32_t address_of(long peer) { return htonl(0x7f010000u + (uint32_t)peer + 1); }

/// The socket all peers share, with a port that is the same for each run against a server, so that its peers are, too.
static inline int open_peers(int server_port) {
    int client = socket(AF_INET, SOCK_DGRAM, 0), on = 1, buffer = 1 << 22;
    setsockopt(client, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    setsockopt(client, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    setsockopt(client, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(server_port + 2))};
    if (bind(client, (struct sockaddr *)&any, sizeof any) != 0) perror("bind"), exit(1);
    struct timeval patience = {.tv_usec = 20000};
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return client;
}

static inline struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/// Datagrams to one server, each from a peer of its own.
typedef struct {
    uint8_t bytes[batch][128];
    char controls[batch][CMSG_SPACE(sizeof(struct in_pktinfo))];
    struct iovec vectors[batch];
    struct mmsghdr headers[batch];
    unsigned count;
} outgoing_t;

/// Adds one whose bytes are in `bytes[count]`.
static inline void add_from(outgoing_t *out, long peer, struct sockaddr_in *server, size_t length) {
    unsigned place = out->count++;
    out->vectors[place] = (struct iovec){out->bytes[place], length};
    struct msghdr *header = &out->headers[place].msg_hdr;
    *header = (struct msghdr){.msg_name = server, .msg_namelen = sizeof *server, .msg_iov = &out->vectors[place],
        .msg_iovlen = 1, .msg_control = out->controls[place], .msg_controllen = sizeof out->controls[place]};
    struct cmsghdr *control = CMSG_FIRSTHDR(header);
    control->cmsg_level = IPPROTO_IP, control->cmsg_type = IP_PKTINFO;
    control->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
    struct in_pktinfo info = {.ipi_spec_dst.s_addr = address_of(peer)};
    memcpy(CMSG_DATA(control), &info, sizeof info);
}

/// Sends them all; returns how many there were.
static inline unsigned send_all(outgoing_t *out, int client) {
    unsigned sent = 0, count = out->count;
    while (sent < count) {
        int done = sendmmsg(client, out->headers + sent, count - sent, 0);
        if (done <= 0) break;
        sent += (unsigned)done;
    }
    out->count = 0;
    return sent;
}

typedef struct {
    uint8_t bytes[batch][256];
    struct iovec vectors[batch];
    struct mmsghdr headers[batch];
} incoming_t;

static inline void prepare(incoming_t *in) {
    for (int place = 0; place < batch; place++) {
        in->vectors[place] = (struct iovec){in->bytes[place], sizeof in->bytes[place]};
        in->headers[place].msg_hdr = (struct msghdr){.msg_iov = &in->vectors[place], .msg_iovlen = 1};
    }
}

/// Appends a path and query as options, in order; returns where they end. No segment has more than 12 bytes.
static inline uint8_t *put_uri(uint8_t *end, const char *uri, int last_option) {
    for (const char *part = uri; *part;) {
        int option = *part == '/' ? 11 : 15;
        size_t length = strcspn(part + 1, "/?&");
        *end++ = (uint8_t)((option - last_option) << 4 | (int)length);
        memcpy(end, part + 1, length);
        end += length, part += 1 + length, last_option = option;
    }
    return end;
}
