// Sends CoAP requests of 16 bytes from many loopback addresses at once and counts what a server's CPU second answers.
//
//     cc -O2 -o coapload coapload.c
//     ./coapload PORT PID PEERS SECONDS [con|non] [WINDOW] [PATH] [post|put]
//
// The server listens on 0.0.0.0 or 127.0.0.1. WINDOW requests are under way at any time, 64 unless said, to PATH, `/ps/a`
// unless said. A request not answered within a second counts as lost and another one is sent. The clock starts when every
// peer has been answered once, or after 90 seconds. The last line is for programs: requests, CPU seconds, and seconds.
#include "coapbench.h"

int main(int count, char **arguments) {
    if (count < 5) return fprintf(stderr, "usage: coapload PORT PID PEERS SECONDS [con|non] [WINDOW] [PATH] [put]\n"), 2;
    int port = atoi(arguments[1]), pid = atoi(arguments[2]);
    long peers = atol(arguments[3]);
    double seconds = atof(arguments[4]);
    int confirmable = count < 6 || strcmp(arguments[5], "non") != 0;
    int window = count < 7 ? 64 : atoi(arguments[6]);
    const char *path = count < 8 ? "/ps/a" : arguments[7];
    uint8_t method = count > 8 && strcmp(arguments[8], "put") == 0 ? 3 : 2;
    int client = open_peers(port);
    struct sockaddr_in server = loopback(port);
    static outgoing_t out;
    static incoming_t in;
    prepare(&in);
    uint8_t options[64];
    size_t options_length = (size_t)(put_uri(options, path, 0) - options);
    uint16_t *message_ids = calloc((size_t)peers, sizeof *message_ids);
    for (long index = 0, first = first_message_id(); index < peers; index++) message_ids[index] = (uint16_t)first;
    uint8_t *is_known = calloc((size_t)peers, 1);
    long peer = 0, answered = 0, lost = 0, under_way = 0, bad = 0, known = 0, memory = memory_kilobytes(pid);
    double begin = 0, end = 0, cpu = 0, last = now(), patience = last + 90;
    for (;;) {
        int wanted = window - (int)under_way;
        for (int place = 0; place < wanted && place < batch; place++) {
            while (known < peers && begin == 0 && is_known[peer]) peer = (peer + 1) % peers;
            uint16_t id = ++message_ids[peer];
            uint8_t *bytes = out.bytes[out.count];
            const uint8_t head[] = {(uint8_t)(confirmable ? 0x44 : 0x54), method, (uint8_t)(id >> 8), (uint8_t)id,
                (uint8_t)(peer >> 24), (uint8_t)(peer >> 16), (uint8_t)(peer >> 8), (uint8_t)peer};
            memcpy(bytes, head, sizeof head);
            memcpy(bytes + sizeof head, options, options_length);
            bytes[sizeof head + options_length] = 0xff;
            memset(bytes + sizeof head + options_length + 1, 'x', 16);
            add_from(&out, peer, &server, sizeof head + options_length + 17);
            peer = (peer + 1) % peers;
        }
        under_way += send_all(&out, client);
        int got = recvmmsg(client, in.headers, batch, MSG_WAITFORONE, NULL);
        if (got > 0) {
            last = now();
            for (int place = 0; place < got; place++) {
                const uint8_t *bytes = in.bytes[place];
                long from = (long)bytes[4] << 24 | bytes[5] << 16 | bytes[6] << 8 | bytes[7];
                bad += bytes[1] >> 5 != 2;
                if (from < peers && !is_known[from]) is_known[from] = 1, known++;
            }
            under_way -= got;
            if (under_way < 0) under_way = 0;
            answered += got;
        } else if (now() - last > 1) {
            lost += under_way, under_way = 0, last = now();
        }
        if (begin == 0 && (known == peers || now() > patience)) {
            if (known < peers) printf("only %ld peers were answered\n", known);
            begin = now(), cpu = cpu_seconds(pid), answered = lost = 0, end = begin + seconds;
        }
        if (begin > 0 && now() > end) break;
    }
    double wall = now() - begin, used = cpu_seconds(pid) - cpu;
    printf("%ld peers %s: %.0f/s, %.0f a CPU second (%.0f%% of a core), %ld lost, %ld not 2.xx, server %ld -> %ld kB\n",
        peers, confirmable ? "CON" : "NON", (double)answered / wall, (double)answered / used, 100 * used / wall, lost,
        bad, memory, memory_kilobytes(pid));
    printf("%ld %.2f %.2f\n", answered, used, wall);
    return 0;
}
