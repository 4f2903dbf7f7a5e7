// Sends CoAP POSTs of 16 bytes from many loopback addresses at once and counts what a server's CPU second answers.
//
//     cc -O2 -o coapload coapload.c
//     ./coapload PORT PID PEERS SECONDS [con|non] [WINDOW]
//
// The server listens on 0.0.0.0 or 127.0.0.1. Every peer is an address of 127.0.0.0/8 with the same port; WINDOW requests
// are under way at any time. A request not answered within a second counts as lost and another one is sent.
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

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static double cpu_seconds(int pid) {
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, sizeof line, file)) exit(1);
    fclose(file);
    unsigned long user, system;
    if (sscanf(strrchr(line, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2) exit(1);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static long memory_kilobytes(int pid) {
    char path[64], line[256];
    long kilobytes = 0;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) sscanf(line, "VmRSS: %ld", &kilobytes);
    if (file) fclose(file);
    return kilobytes;
}

static uint32_t address_of(long peer) { return htonl(0x7f010000u + (uint32_t)peer + 1); }

int main(int count, char **arguments) {
    if (count < 5) return fprintf(stderr, "usage: coapload PORT PID PEERS SECONDS [con|non] [WINDOW]\n"), 2;
    int port = atoi(arguments[1]), pid = atoi(arguments[2]);
    long peers = atol(arguments[3]);
    double seconds = atof(arguments[4]);
    int confirmable = count < 6 || strcmp(arguments[5], "non") != 0;
    int window = count < 7 ? 64 : atoi(arguments[6]);
    int client = socket(AF_INET, SOCK_DGRAM, 0), on = 1, buffer = 1 << 22;
    setsockopt(client, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    setsockopt(client, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    struct sockaddr_in any = {.sin_family = AF_INET};
    if (bind(client, (struct sockaddr *)&any, sizeof any) != 0) return perror("bind"), 1;
    struct sockaddr_in server = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_usec = 20000};
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);

    static uint8_t requests[batch][64];
    static char controls[batch][CMSG_SPACE(sizeof(struct in_pktinfo))];
    static struct mmsghdr out[batch], in[batch];
    static struct iovec out_vectors[batch], in_vectors[batch];
    static uint8_t answers[batch][256];
    for (int place = 0; place < batch; place++) {
        in_vectors[place] = (struct iovec){answers[place], sizeof answers[place]};
        in[place].msg_hdr = (struct msghdr){.msg_iov = &in_vectors[place], .msg_iovlen = 1};
    }
    uint16_t *message_ids = calloc((size_t)peers, sizeof *message_ids);
    long peer = 0, answered = 0, lost = 0, under_way = 0, bad = 0;
    double begin = 0, end = 0, cpu = 0, last = now();
    long memory = memory_kilobytes(pid), warm = peers, sent_total = 0;
    for (;;) {
        int wanted = window - (int)under_way;
        if (wanted > batch) wanted = batch;
        for (int place = 0; place < wanted; place++) {
            uint16_t id = ++message_ids[peer];
            uint8_t *bytes = requests[place];
            const uint8_t head[] = {(uint8_t)(confirmable ? 0x42 : 0x52), 2, (uint8_t)(id >> 8), (uint8_t)id, 1, 2,
                0xb2, 'p', 's', 0x01, 'a', 0xff};
            memcpy(bytes, head, sizeof head);
            memset(bytes + sizeof head, 'x', 16);
            out_vectors[place] = (struct iovec){bytes, sizeof head + 16};
            out[place].msg_hdr = (struct msghdr){.msg_name = &server, .msg_namelen = sizeof server,
                .msg_iov = &out_vectors[place], .msg_iovlen = 1, .msg_control = controls[place],
                .msg_controllen = sizeof controls[place]};
            struct cmsghdr *control = CMSG_FIRSTHDR(&out[place].msg_hdr);
            control->cmsg_level = IPPROTO_IP, control->cmsg_type = IP_PKTINFO;
            control->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
            struct in_pktinfo info = {.ipi_spec_dst.s_addr = address_of(peer)};
            memcpy(CMSG_DATA(control), &info, sizeof info);
            peer = (peer + 1) % peers;
        }
        if (wanted > 0) {
            int done = sendmmsg(client, out, (unsigned)wanted, 0);
            if (done > 0) under_way += done, sent_total += done;
        }
        int got = recvmmsg(client, in, batch, MSG_WAITFORONE, NULL);
        if (got > 0) {
            last = now();
            for (int place = 0; place < got; place++) bad += answers[place][1] != 68;
            under_way -= got;
            if (under_way < 0) under_way = 0;
            answered += got;
        } else if (now() - last > 1) {
            lost += under_way, under_way = 0, last = now();
        }
        // Every peer has been heard once before the clock starts.
        if (begin == 0 && sent_total >= warm)
            begin = now(), cpu = cpu_seconds(pid), answered = lost = 0, end = begin + seconds;
        if (begin > 0 && now() > end) break;
    }
    double wall = now() - begin, used = cpu_seconds(pid) - cpu;
    printf("%ld peers %s: %.0f/s, %.0f a CPU second (%.0f%% of a core), %ld lost, %ld not 2.04, server %ld -> %ld kB\n",
        peers, confirmable ? "CON" : "NON", (double)answered / wall, (double)answered / used, 100 * used / wall, lost,
        bad, memory, memory_kilobytes(pid));
    return 0;
}
