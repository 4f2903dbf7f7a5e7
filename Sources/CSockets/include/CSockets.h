#pragma once
// Sockets as far as Swift has no names for what they need: `datagrams.c` sends and receives many datagrams at a time,
// `streams.c` does for connections, `sockets.c` has what both need.
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// MARK: Any socket

/// Makes a descriptor that any thread may wake another one with; below 0 when there are too many.
int sockets_wake_open(void);
void sockets_wake(int descriptor);
/// Takes in what has come to a descriptor of that kind.
void sockets_wake_clear(int descriptor);
void sockets_close(int descriptor);
void sockets_name_thread(pthread_t thread, const char *name);
/// What an errno means, or else a negative `EAI_` code, in words.
const char *sockets_error_text(int result);

// MARK: Datagrams

/// Datagrams in a batch, and bytes of the longest one that is taken in whole or sent: what an Ethernet frame carries.
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
    bool is_whole;    // not longer than `datagrams_longest`
} datagram_t;

typedef struct datagrams datagrams_t;

/// Opens a socket at `host` (an address or a name); 0, or what `sockets_error_text` puts into words.
int datagrams_open(const char *host, uint16_t port, int buffer_bytes, datagrams_t **opened);
void datagrams_close(datagrams_t *datagrams);
/// The port that is bound, host byte order.
uint16_t datagrams_port(const datagrams_t *datagrams);

/// Waits until the socket is readable, somebody wakes us, or the time is over; milliseconds, -1 for ever.
bool datagrams_wait(const datagrams_t *datagrams, int wake_descriptor, int timeout);
/// Reads as many datagrams as there are and fit; they are good until the next time.
int datagrams_read(datagrams_t *datagrams);
datagram_t datagrams_at(datagrams_t *datagrams, int place);

/// Room for the next datagram to be sent, of `datagrams_longest` bytes; NULL when the network takes no more.
uint8_t *datagrams_room(datagrams_t *datagrams);
/// What was written there is `length` bytes for the other end of `path`.
void datagrams_add(datagrams_t *datagrams, size_t length, const datagram_path_t *path);
/// Sends what has gathered; false when the network does not take it all now.
bool datagrams_flush(datagrams_t *datagrams);

/// The peer as text, `192.0.2.7:50123` or `[2001:db8::1]:50123`; returns its length.
int datagrams_text(const datagram_path_t *path, char *text, size_t capacity);

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

/// Listens; wakes up when `wake`, an eventfd, is written to. Returns 0, an errno, or a negative EAI_ code.
int streams_open(const char *host, uint16_t port, int wake, streams_t *opened);
void streams_close(streams_t *streams);
/// The port that is listened on; 0 when nobody knows.
uint16_t streams_port(const streams_t *streams);

/// Waits until something is ready or the time is over; milliseconds, -1 for ever. Takes back wake-ups. Returns how many
/// events there are.
int streams_wait(const streams_t *streams, stream_event_t *events, int capacity, int timeout);
/// Whether `streams_wait` tells of connections to be accepted.
void streams_listen(const streams_t *streams, bool listens);

/// Why there is no result: there is nothing now, or no room; it has failed for good; the system has no descriptor left.
enum { stream_nothing = -1, stream_failed = -2, stream_no_descriptor = -3 };

/// Accepts a connection. Returns its descriptor, with the other end's address as text, or one of those.
int streams_accept(const streams_t *streams, char *text, size_t capacity);
/// What `streams_wait` tells of a connection from now on, the first time and later on.
bool streams_add(const streams_t *streams, int descriptor, uint64_t id, bool reads, bool writes);
void streams_change(const streams_t *streams, int descriptor, uint64_t id, bool reads, bool writes);

/// Returns bytes, 0 at the end of what the other side sends, or one of those.
ssize_t stream_read(int descriptor, void *bytes, size_t capacity);
/// Returns bytes that were taken, or one of those.
ssize_t stream_write(int descriptor, const void *bytes, size_t count);
/// Tells the other side that nothing more comes.
void stream_finish(int descriptor);
