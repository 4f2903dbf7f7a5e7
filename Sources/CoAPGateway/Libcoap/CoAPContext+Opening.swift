import BrokerCore
import CCoAPShim
import CLibcoap

extension CoAPContext {
    struct Opened: @unchecked Sendable {
        // Sendable: made under the lock and handed out to the one who will own it.
        let shards: [Shard]
        let idleContext: OpaquePointer
        let wakeUp: WakeUp
        let epoll: Int32
    }

    struct OpenFailed: Error {
        let reason: String
    }

    /// Sockets the peers of a DTLS listener are spread over.
    private static let shardCount = 16

    static func open(_ configuration: CoAPListener.Configuration) -> Result<Opened, OpenFailed> {
        _ = hooksWork
        var contexts: [OpaquePointer] = []
        do throws(OpenFailed) {
            return .success(try open(configuration, &contexts))
        } catch {
            for context in contexts { coap_free_context(context) }
            return .failure(error)
        }
    }

    private static func open(
        _ configuration: CoAPListener.Configuration,
        _ contexts: inout [OpaquePointer]
    ) throws(OpenFailed) -> Opened {
        guard let asked = UInt16(exactly: configuration.port) else { throw OpenFailed(reason: "no such port") }
        let idleContext = try newContext(&contexts)
        var shards: [Shard] = []
        switch configuration.transport {
        case .udp:
            // Sockets that share a port would also share it with another process, which must be told instead.
            var port: UInt16 = 0
            try check(coap_shim_free_port(configuration.host, asked, &port))
            for _ in 0..<shardCount {
                let shard = try openShard(configuration, &contexts) { context, socket in
                    coap_shim_open_datagrams(
                        context,
                        configuration.security != nil,
                        configuration.host,
                        port,
                        true,
                        socketBuffer,
                        &socket
                    )
                }
                shards.append(shard)
            }
        case .tcp:
            let shard = try openShard(configuration, &contexts) { context, socket in
                coap_shim_open_connections(context, configuration.security != nil, configuration.host, asked, &socket)
            }
            shards.append(shard)
        }
        guard let wakeUp = WakeUp() else { throw OpenFailed(reason: "too many open files") }
        let epoll = coap_shim_epoll(shards.map(\.socket.descriptor), Int32(shards.count), wakeUp.descriptor)
        guard epoll >= 0 else { throw OpenFailed(reason: "too many open files") }
        return Opened(shards: shards, idleContext: idleContext, wakeUp: wakeUp, epoll: epoll)
    }

    private static func openShard(
        _ configuration: CoAPListener.Configuration,
        _ contexts: inout [OpaquePointer],
        _ open: (OpaquePointer, inout coap_shim_socket_t) -> Int32
    ) throws(OpenFailed) -> Shard {
        let context = try newContext(&contexts)
        if let security = configuration.security { try secure(context, security) }
        var socket = coap_shim_socket_t()
        try check(open(context, &socket))
        return Shard(context: context, socket: socket)
    }

    private static func newContext(_ contexts: inout [OpaquePointer]) throws(OpenFailed) -> OpaquePointer {
        guard let context = coap_new_context(nil) else { throw OpenFailed(reason: "libcoap is out of memory") }
        contexts.append(context)
        return context
    }

    private static func check(_ result: Int32) throws(OpenFailed) {
        guard result != 0 else { return }
        // Below 0 they are the resolver's.
        throw OpenFailed(
            reason: result < 0 ? String(cString: coap_shim_error_text(result)) : bindingWords(errno: result)
        )
    }
}
