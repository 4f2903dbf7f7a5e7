#pragma once
// Sockets as far as Swift has no names for what they need: `datagrams.c` sends and receives many datagrams at a time,
// `streams.c` does for connections, `sockets.c` has what both need.
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
