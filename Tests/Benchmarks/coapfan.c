// Observes a resource from many loopback addresses, changes it, and counts the CPU time of a notification.
//
//     cc -O2 -o coapfan coapfan.c
//     ./coapfan PORT PID OBSERVERS MESSAGES URI [post|put]
//
// URI, with its query, is what is observed; the path alone is what is changed, from one more address, with a confirmable
// request. A change waits until all observers have had the one before, or for ten seconds. Confirmable notifications are
// acknowledged at once. The last line is for programs: notifications, CPU seconds, and seconds.
#include "coapbench.h"

static int client;
static struct sockaddr_in server;
static outgoing_t out;
static incoming_t in;
/// What each observer has had last.
static uint32_t *had;
static long observers, notified, registered;

/// A request whose token is the peer's number.
static void ask(long peer, uint8_t method, uint16_t id, const char *uri, int observes, const char *payload) {
    uint8_t *bytes = out.bytes[out.count], *end = bytes;
    const uint8_t head[] = {0x44, method, (uint8_t)(id >> 8), (uint8_t)id, (uint8_t)(peer >> 24), (uint8_t)(peer >> 16),
        (uint8_t)(peer >> 8), (uint8_t)peer};
    memcpy(end, head, sizeof head), end += sizeof head;
    if (observes) *end++ = 0x60;
    end = put_uri(end, uri, observes ? 6 : 0);
    if (*payload) *end++ = 0xff;
    memcpy(end, payload, strlen(payload));
    add_from(&out, peer, &server, (size_t)(end - bytes) + strlen(payload));
    if (out.count == batch) send_all(&out, client);
}

/// Takes in what has come; returns whether anything has.
static int take(int change) {
    int got = recvmmsg(client, in.headers, batch, MSG_WAITFORONE, NULL);
    for (int place = 0; place < got; place++) {
        const uint8_t *bytes = in.bytes[place];
        long peer = (long)bytes[4] << 24 | bytes[5] << 16 | bytes[6] << 8 | bytes[7];
        if (in.headers[place].msg_len < 8 || (bytes[0] & 15) != 4 || peer >= observers || bytes[1] >> 5 != 2) continue;
        int kind = bytes[0] >> 4 & 3;
        if (kind == 2) {
            registered += had[peer] == 0, had[peer] |= 1;
            continue;
        }
        notified += (had[peer] >> 1) < (uint32_t)change, had[peer] = (uint32_t)change << 1 | 1;
        if (kind != 0) continue;
        const uint8_t acknowledgement[] = {0x60, 0, bytes[2], bytes[3]};
        memcpy(out.bytes[out.count], acknowledgement, sizeof acknowledgement);
        add_from(&out, peer, &server, sizeof acknowledgement);
        if (out.count == batch) send_all(&out, client);
    }
    if (got > 0) send_all(&out, client);
    return got > 0;
}

static void observe_all(const char *uri) {
    double begin = now();
    while (registered < observers && now() < begin + 60) {
        int asked = 0;
        for (long peer = 0; peer < observers; peer++) {
            if (had[peer]) continue;
            ask(peer, 1, (uint16_t)(peer & 0x3fff), uri, 1, "");
            if (++asked % batch == 0)
                for (long before = registered; registered < before + batch && take(0);) {}
        }
        send_all(&out, client);
        while (take(0)) {}
    }
}

int main(int count, char **arguments) {
    if (count < 6) return fprintf(stderr, "usage: coapfan PORT PID OBSERVERS MESSAGES URI [put]\n"), 2;
    int pid = atoi(arguments[2]), messages = atoi(arguments[4]);
    uint8_t method = count > 6 && strcmp(arguments[6], "put") == 0 ? 3 : 2;
    observers = atol(arguments[3]);
    client = open_peers(atoi(arguments[1])), server = loopback(atoi(arguments[1])), had = calloc((size_t)observers, sizeof *had);
    prepare(&in);
    observe_all(arguments[5]);
    long memory = memory_kilobytes(pid);
    char *path = strdup(arguments[5]);
    path[strcspn(path, "?")] = 0;
    double cpu = cpu_seconds(pid), begin = now(), slowest = 0;
    for (int change = 1; change <= messages; change++) {
        char payload[32];
        snprintf(payload, sizeof payload, "%016d", change);
        double asked = now();
        ask(observers, method, (uint16_t)(0x4000 + change), path, 0, payload);
        send_all(&out, client);
        while (notified < (long)change * observers && now() < asked + 10) take(change);
        if (now() - asked > slowest) slowest = now() - asked;
    }
    double wall = now() - begin;
    while (take(messages)) {}
    double used = cpu_seconds(pid) - cpu;
    printf("%ld observers, %d messages: %ld of %ld notifications, %.2f CPU seconds a million, slowest message %.0f ms, %ld kB\n",
        registered, messages, notified, observers * messages, 1e6 * used / (double)notified, 1000 * slowest, memory);
    printf("%ld %.2f %.2f\n", notified, used, wall);
    return 0;
}
