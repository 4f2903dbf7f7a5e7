// What is sent to many is for nobody here.
//
// Each of the sockets that share one port gets its own copy of a broadcast, and of a multicast that anybody on this machine
// has asked for: one publish would be carried out once for each. Requests to groups (RFC 7252 §8) are not served.
#include "guard.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

bool coap_shim_is_for_us(const struct msghdr *message) {
    // CMSG_NXTHDR wants one that may be changed.
    struct msghdr header = *message;
    for (struct cmsghdr *control = CMSG_FIRSTHDR(&header); control; control = CMSG_NXTHDR(&header, control)) {
        if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo destination;
            memcpy(&destination, CMSG_DATA(control), sizeof destination);
            // The header's destination, and the address of ours that it came to.
            if (destination.ipi_addr.s_addr != destination.ipi_spec_dst.s_addr) return false;
        }
        if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo destination;
            memcpy(&destination, CMSG_DATA(control), sizeof destination);
            if (IN6_IS_ADDR_MULTICAST(&destination.ipi6_addr)) return false;
        }
    }
    return true;
}
