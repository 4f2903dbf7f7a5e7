package import HTTPServer

extension HTTPListener {
    /// Where to listen, and what the gateway's routes have to bound.
    package struct Configuration: Sendable {
        /// The address, and the limits of connections and requests.
        package var server: Server.Configuration
        /// Where MQTT over WebSocket is served.
        package var websocketPath: String

        /// Messages of one JSON batch.
        package var maximumBatch = 1_000
        /// Messages on their way to one subscriber; beyond it QoS 0 is dropped, and QoS 1 and 2 stay in the queue.
        package var subscriberMessages = 256
        /// Bytes of topics and payloads on their way to one subscriber, likewise.
        package var subscriberBytes = 1_048_576
        /// QoS 1 and 2 messages of a persistent session that can be had again by `Last-Event-ID`.
        ///
        /// Older ones count as read. What the sockets' buffers at both ends hold has to find room in it.
        package var replayWindow: UInt16 = 16_384
        /// Bytes of them, likewise.
        package var replayBytes = 4_194_304
        /// How long they can be had again.
        package var replayTime = Duration.seconds(60)
        /// How often a stream with nothing to say says so.
        package var heartbeat = Duration.seconds(15)
        /// The longest a long-poll may wait.
        package var maximumWait = Duration.seconds(60)
        /// How long a subscription by long-poll lives without a poll.
        package var pollTimeout = Duration.seconds(60)

        /// How long an Idempotency-Key is remembered.
        package var idempotencyWindow = Duration.seconds(600)
        /// Idempotency-Keys at a time, of all clients; the oldest gives way.
        package var maximumIdempotencyKeys = 100_000
        /// Bytes of keys and answers, likewise.
        package var maximumIdempotencyBytes = 64 * 1_024 * 1_024
        /// Session tokens at a time.
        package var maximumTokens = 10_000
        /// Bytes of what they stand for: user names, passwords, Client Identifiers.
        package var maximumTokenBytes = 16 * 1_024 * 1_024
        /// The longest a session token may be asked for.
        package var maximumTokenLifetime = Duration.seconds(86_400)
        /// Whether `/` is the live page.
        package var hasLivePage = true
        /// Whether a WebSocket that offers no subprotocol is refused; else it is taken for MQTT.
        package var requiresSubprotocol = true
        /// How often a WebSocket is sent a ping, and closed when nothing came since the last one; nil is never.
        package var pingInterval: Duration? = .seconds(30)
        /// Whether a pong counts for MQTT's Keep Alive: browsers slow down the timers of hidden pages, and their MQTT
        /// libraries with them, but answer pings.
        package var pongKeepsAlive = false

        package init(server: Server.Configuration, websocketPath: String = "/mqtt") {
            self.server = server
            self.websocketPath = websocketPath
        }
    }
}
