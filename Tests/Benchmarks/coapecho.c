// The floor: answers each CoAP request with 2.04 as cheaply as UDP allows, without looking into it.
//
//     cc -O2 -o coapecho coapecho.c
//     ./coapecho PORT single|batch
//
// `single` receives and sends one datagram a system call, `batch` up to 64.
#include "coapbench.h"

/// Confirmable: an acknowledgement; else non-confirmable; the token comes back.
static void answer(struct mmsghdr *header) {
    uint8_t *bytes = header->msg_hdr.msg_iov->iov_base;
    if ((bytes[0] & 0x30) == 0) bytes[0] |= 0x20;
    bytes[1] = 0x44;
    header->msg_hdr.msg_iov->iov_len = 4 + (bytes[0] & 15);
}

int main(int count, char **arguments) {
    if (count < 3) return fprintf(stderr, "usage: coapecho PORT single|batch\n"), 2;
    unsigned depth = strcmp(arguments[2], "batch") == 0 ? batch : 1;
    int server = socket(AF_INET, SOCK_DGRAM, 0), on = 1, buffer = 1 << 22;
    setsockopt(server, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    setsockopt(server, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    setsockopt(server, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    struct sockaddr_in own = loopback(atoi(arguments[1]));
    if (bind(server, (struct sockaddr *)&own, sizeof own) != 0) return perror("bind"), 1;
    static incoming_t in;
    static struct sockaddr_in peers[batch];
    static char controls[batch][CMSG_SPACE(sizeof(struct in_pktinfo))];
    prepare(&in);
    for (;;) {
        for (unsigned place = 0; place < depth; place++) {
            struct msghdr *header = &in.headers[place].msg_hdr;
            header->msg_name = &peers[place], header->msg_namelen = sizeof peers[place];
            header->msg_control = controls[place], header->msg_controllen = sizeof controls[place];
            header->msg_iov->iov_len = sizeof in.bytes[place];
        }
        if (depth == 1) {
            ssize_t length = recvmsg(server, &in.headers[0].msg_hdr, 0);
            if (length < 4) continue;
            answer(&in.headers[0]);
            sendmsg(server, &in.headers[0].msg_hdr, 0);
        } else {
            int got = recvmmsg(server, in.headers, depth, MSG_WAITFORONE, NULL);
            for (int place = 0; place < got; place++) answer(&in.headers[place]);
            if (got > 0) sendmmsg(server, in.headers, (unsigned)got, 0);
        }
    }
}
