// coapload over DTLS: sessions with a pre-shared key, each with a socket of its own, take turns in sending POSTs.
//
//     cc -O2 -o coapload_dtls coapload_dtls.c -lgnutls
//     ./coapload_dtls PORT PID PEERS SECONDS IDENTITY KEY [con|non] [PATH] [post|put]
//
// 64 requests are under way at any time. The last line is for programs: requests, CPU seconds, and seconds.
#include "coapbench.h"

#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>
#include <sys/epoll.h>

typedef struct {
    int descriptor;
    gnutls_session_t tls;
    uint16_t message_id;
    int is_ready, is_waiting;
} peer_t;

static peer_t *peers;
static long peer_count, ready, answered, under_way;
static int poller, port;
static gnutls_psk_client_credentials_t credentials;

static void check(int result, const char *what) {
    if (result < 0) fprintf(stderr, "%s: %s\n", what, gnutls_strerror(result)), exit(1);
}

static void open_peer(peer_t *peer) {
    // What every device has: TLS_PSK_WITH_AES_128_CCM_8 (RFC 7252 §9.1.3.1).
    const char *suites = "NONE:+VERS-DTLS1.2:+PSK:+AES-128-CCM-8:+AEAD:+SHA256:+COMP-NULL:+SIGN-ALL:+GROUP-ALL";
    struct sockaddr_in server = loopback(port);
    peer->descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (connect(peer->descriptor, (struct sockaddr *)&server, sizeof server) != 0) exit(1);
    check(gnutls_init(&peer->tls, GNUTLS_CLIENT | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK), "init");
    check(gnutls_priority_set_direct(peer->tls, suites, NULL), "priority");
    check(gnutls_credentials_set(peer->tls, GNUTLS_CRD_PSK, credentials), "credentials");
    gnutls_transport_set_int(peer->tls, peer->descriptor);
    gnutls_dtls_set_mtu(peer->tls, 1200);
    gnutls_dtls_set_timeouts(peer->tls, 500, 5000);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    epoll_ctl(poller, EPOLL_CTL_ADD, peer->descriptor, &event);
}

static void shake_hands(peer_t *peer) {
    static int failures;
    int result = gnutls_handshake(peer->tls);
    if (result == 0) peer->is_ready = 1, ready++;
    if (result == 0 || !gnutls_error_is_fatal(result)) return;
    if (failures++ == 100) check(result, "handshake");
    // Begins anew from another port.
    gnutls_deinit(peer->tls);
    close(peer->descriptor);
    open_peer(peer);
}

static void take(peer_t *peer) {
    uint8_t bytes[256];
    while (gnutls_record_recv(peer->tls, bytes, sizeof bytes) > 0) {
        answered++;
        if (peer->is_waiting) peer->is_waiting = 0, under_way--;
    }
}

/// Waits for what comes; returns whether anything has.
static int turn(void) {
    struct epoll_event events[64];
    int got = epoll_wait(poller, events, 64, 20);
    for (int index = 0; index < got; index++) {
        peer_t *peer = events[index].data.ptr;
        if (peer->is_ready) take(peer);
        else shake_hands(peer);
    }
    return got > 0;
}

/// No more than 32 handshakes at a time.
static void begin_all(void) {
    for (long next = 0; ready < peer_count;) {
        while (next < peer_count && next - ready < 32) {
            open_peer(&peers[next]);
            shake_hands(&peers[next++]);
        }
        if (turn()) continue;
        for (long index = 0; index < next; index++)
            if (!peers[index].is_ready) shake_hands(&peers[index]);
    }
}

int main(int count, char **arguments) {
    if (count < 7) return fprintf(stderr, "usage: coapload_dtls PORT PID PEERS SECONDS IDENTITY KEY [con|non] [PATH] [put]\n"), 2;
    port = atoi(arguments[1]);
    int pid = atoi(arguments[2]);
    peer_count = atol(arguments[3]), peers = calloc((size_t)peer_count, sizeof *peers), poller = epoll_create1(0);
    double seconds = atof(arguments[4]);
    int confirmable = count < 8 || strcmp(arguments[7], "non") != 0;
    const char *path = count < 9 ? "/ps/a" : arguments[8];
    uint8_t method = count > 9 && strcmp(arguments[9], "put") == 0 ? 3 : 2;
    gnutls_datum_t key = {(unsigned char *)arguments[6], (unsigned)strlen(arguments[6])};
    check(gnutls_psk_allocate_client_credentials(&credentials), "credentials");
    check(gnutls_psk_set_client_credentials(credentials, arguments[5], &key, GNUTLS_PSK_KEY_RAW), "key");
    long memory = memory_kilobytes(pid);
    double begin = now(), cpu = cpu_seconds(pid);
    begin_all();
    printf("%ld handshakes: %.0f us of CPU each, %.1f kB each\n", peer_count,
        1e6 * (cpu_seconds(pid) - cpu) / (double)peer_count, (double)(memory_kilobytes(pid) - memory) / (double)peer_count);
    begin = now(), cpu = cpu_seconds(pid);
    double last = begin;
    long next = 0, lost = 0;
    while (now() < begin + seconds) {
        for (; under_way < 64 && !peers[next].is_waiting; next = (next + 1) % peer_count) {
            peer_t *peer = &peers[next];
            uint16_t id = ++peer->message_id;
            uint8_t bytes[64] = {(uint8_t)(confirmable ? 0x42 : 0x52), method, (uint8_t)(id >> 8), (uint8_t)id, 1, 2};
            uint8_t *end = put_uri(bytes + 6, path, 0);
            *end++ = 0xff;
            memset(end, 'x', 16);
            if (gnutls_record_send(peer->tls, bytes, (size_t)(end + 16 - bytes)) > 0) peer->is_waiting = 1, under_way++;
        }
        if (turn()) last = now();
        else if (now() > last + 1) {
            for (long index = 0; index < peer_count; index++) peers[index].is_waiting = 0;
            lost += under_way, under_way = 0, last = now();
        }
    }
    double wall = now() - begin, used = cpu_seconds(pid) - cpu;
    printf("%ld DTLS peers %s: %.0f/s, %.0f a CPU second, %ld lost\n", peer_count, confirmable ? "CON" : "NON",
        (double)answered / wall, (double)answered / used, lost);
    printf("%ld %.2f %.2f\n", answered, used, wall);
    return 0;
}
