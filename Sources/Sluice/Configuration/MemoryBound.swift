import BrokerCore
import CoreRuntime
import HTTPGateway
import HTTPServer

/// The most memory that clients can make a broker of this configuration use: what `sluice check` prints.
///
/// Whoever keeps something for clients adds its budget here.
package struct MemoryBound: Sendable {
    /// What is kept, and its limit in bytes.
    package struct Item: Sendable {
        package let name: String
        package let bytes: Int
    }

    package private(set) var items: [Item] = []

    /// Bytes of all of it.
    package var total: Int { items.reduce(0) { $0 + $1.bytes } }

    /// Adds what is kept under a limit of its own.
    mutating func add(_ name: String, _ bytes: Int) { items.append(Item(name: name, bytes: bytes)) }

    /// The sum, then a line for each item.
    package var lines: [String] {
        ["memory: at most \(Self.gibibytes(total)) GiB"]
            + items.map { "  \(Self.gibibytes($0.bytes).leftPadded(6)) GiB  \($0.name)" }
    }

    /// With two decimal places.
    private static func gibibytes(_ bytes: Int) -> String {
        let hundredths = (bytes / 1_024 * 100 + 1_048_575) / 1_048_576
        return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
    }
}

extension MemoryBound {
    /// The program itself, its libraries, and what it allocates once.
    private static let program = 100_663_296
    /// A network connection: the channel and its handlers, the core's end of it, and what is free of every limit.
    private static let connection = 8_192 + ConnectionBytes.free
    /// What TLS adds to it.
    private static let tlsConnection = 49_152

    /// Adds up the limits of a configuration.
    package init(_ configuration: SluiceConfiguration) {
        let limits = configuration.limits
        add("retained messages (limits.retained_bytes)", limits.retainedBytes)
        add("queued messages (limits.queued_bytes)", limits.queuedBytes)
        add("sessions and subscriptions (limits.session_bytes)", limits.sessionBytes)
        add("what clients have not taken (limits.buffer_bytes)", limits.bufferBytes)
        add("half packets and requests (limits.connection_bytes)", limits.connectionBytes)
        add("routes that are remembered", Limits.routeCacheBytes)
        let isSecure = configuration.listeners.contains { $0.security != nil }
        add(
            "connections (limits.connections)",
            (limits.connections + limits.connections / 10)
                * (Self.connection + limits.topicAliasMaximum * Limits.topicAliasBytes
                    + (isSecure ? Self.tlsConnection : 0))
        )
        if configuration.storage.backend == .rocksdb { add("store", Self.store) }
        for listener in configuration.listeners {
            switch listener.protocolName {
            case .mqtt: continue
            case .http:
                let server = Server.Configuration(host: listener.bind.host, port: listener.bind.port)
                let http = HTTPListener.Configuration(server: server)
                add("HTTP on \(listener.bind)", http.maximumIdempotencyBytes + http.maximumTokenBytes)
            case .coap:
                add("CoAP on \(listener.bind)", configuration.coap.memory)
                if listener.security != nil { add("DTLS or TLS on it", configuration.coap.secureMemory) }
            }
        }
        add(
            "passwords, tokens and handshakes that wait",
            Self.waiting * (1 + configuration.listeners.count { $0.security != nil })
        )
        add("the program", Self.program)
    }

    /// 1,024 passwords of 64 KiB that wait to be checked; as much for the TLS handshakes of a listener.
    private static let waiting = 67_108_864

    /// Two batches, one that gathers and one that is written, both once more as records; RocksDB's buffers and cache.
    private static let store = 4 * Limits.unwrittenBytes + 100_663_296
}

extension CoAPLimits {
    /// Bytes of a listener's sessions, and of its handshakes under way with what has come of their messages.
    fileprivate var secureMemory: Int { endpoints * 12_288 + handshakes * 24_576 }

    /// Bytes of all that a listener keeps: an endpoint has an address, options and what was answered last.
    fileprivate var memory: Int {
        // The last term is answers that are kept for repeats.
        let endpoint = 4_300 + 4_096
        let session = 1_024
        let observation = 1_024
        let request = 4_096
        let rememberedPublishBytes = 67_108_864
        let furtherMessages = 262_144 * 96
        return endpoints * endpoint + sessions * session + observations * observation + pendingRequests * request
            + uploadBytes + downloadBytes + rememberedPublishBytes + furtherMessages
    }
}

extension String {
    fileprivate func leftPadded(_ width: Int) -> String {
        String(repeating: " ", count: max(0, width - count)) + self
    }
}
