#pragma once
// Sockets as far as Swift has no names for what they need. Times are milliseconds, -1 for ever; what opens something returns 0,
// an errno, or a negative EAI_ code.
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// MARK: Any socket

/// A descriptor that any thread may wake another one with; below 0 when there are too many.
int sockets_wake_open(void);
void sockets_name_thread(pthread_t thread, const char *name);
/// `host` is an address or a name.
int sockets_bind(const char *host, uint16_t port, int type, int *bound);
uint16_t sockets_port(int descriptor);
/// `192.0.2.7:50123` or `[2001:db8::1]:50123`; returns its length.
int sockets_text(const struct sockaddr_in6 *address, char *text, size_t capacity);

// MARK: Datagrams

/// Datagrams in a batch, and bytes of the longest one that is sent: what an Ethernet frame carries.
enum { datagrams_batch = 64, datagrams_longest = 1472 };

/// Where a datagram came from, and which of our addresses it came to; its answer goes back the same way.
typedef struct {
    struct sockaddr_in6 peer;   // a sockaddr_in if its family says so
    struct in6_addr local;      // an in_addr then
    uint32_t interface;         // of a link-local address; else 0
} datagram_path_t;

typedef struct {
    const uint8_t *bytes;
    size_t length;
    const datagram_path_t *path;
    bool is_for_us;   // not sent to a group or to everybody
    bool is_whole;    // not longer than what is taken in
} datagram_t;

typedef struct datagrams datagrams_t;

/// `port` becomes the one that is bound; `longest` bytes of a datagram are taken in.
int datagrams_open(const char *host, uint16_t *port, int buffer_bytes, size_t longest, datagrams_t **opened);
void datagrams_close(datagrams_t *datagrams);
/// Waits until the socket is readable or somebody wakes us; which of them it was.
enum { datagrams_readable = 1, datagrams_woken = 2 };
int datagrams_wait(const datagrams_t *datagrams, int wake_descriptor, int timeout);
/// Reads as many datagrams as there are and fit; they are good until the next time.
int datagrams_read(datagrams_t *datagrams);
datagram_t datagrams_at(datagrams_t *datagrams, int place);
/// Room for the next datagram to be sent; NULL when the network takes no more.
uint8_t *datagrams_room(datagrams_t *datagrams);
/// What was written there is `length` bytes for the other end of `path`.
void datagrams_add(datagrams_t *datagrams, size_t length, const datagram_path_t *path);
/// Sends what has gathered; false when the network does not take it all now.
bool datagrams_flush(datagrams_t *datagrams);

// MARK: Connections

/// A socket that listens, and what waits for it and for its connections.
typedef struct {
    int listening, epoll;
} streams_t;

/// What became ready: a connection by the number it was added with, or one of these.
enum { stream_wake = 0, stream_listening = 1 };
typedef struct {
    uint64_t id;
    bool is_readable, is_writable, is_broken;
} stream_event_t;

int streams_open(const char *host, uint16_t port, int wake, streams_t *opened);
void streams_close(streams_t *streams);
/// Returns how many events there are.
int streams_wait(const streams_t *streams, stream_event_t *events, int capacity, int timeout);
/// What `streams_wait` tells of a descriptor: that it is readable, and later what it is to tell.
bool streams_add(const streams_t *streams, int descriptor, uint64_t id);
void streams_change(const streams_t *streams, int descriptor, uint64_t id, bool reads, bool writes);

/// Why there is no result: there is nothing now, or no room; it has failed for good; the system has no descriptor left.
enum { stream_nothing = -1, stream_failed = -2, stream_no_descriptor = -3 };

/// Returns a connection's descriptor, with the other end's address as text, or one of those.
int streams_accept(const streams_t *streams, char *text, size_t capacity);
/// Return bytes, 0 at the end of what the other side sends, or one of those.
ssize_t stream_read(int descriptor, void *bytes, size_t capacity);
ssize_t stream_write(int descriptor, const void *bytes, size_t count);
