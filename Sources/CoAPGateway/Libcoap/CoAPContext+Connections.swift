import CCoAPShim
import CLibcoap
import DequeModule
import NIOCore

/// What has gone out on a connection and is not confirmed yet.
///
/// TCP says nothing of what the peer has taken in. A Ping with the Custody Option does (RFC 8323 §5.4.1): its Pong comes
/// when all that was sent before it has been processed.
struct LibcoapFlow {
    struct Ping {
        /// Who waits for it, if it is not for the flow's own sake.
        let id: ConfirmableID?
        let bytes: Int
        let sentAt: NIODeadline
    }

    var pings: Deque<Ping> = []
    /// Bytes since the last Ping.
    var bytes = 0
    /// Bytes before that whose Pong has not come.
    var unconfirmed = 0
    /// Nothing more is sent: the connection is about to be closed.
    var isGivenUp = false
}

extension CoAPContext {
    /// Bytes after which a Pong is asked for.
    private static let bytesPerPing = 32_768
    /// Bytes a peer may leave unread: libcoap keeps them.
    ///
    /// Its Pongs come after all that it sent before it read our Pings, so there must be room for the answers to many requests
    /// at once.
    private static let mostUnconfirmed = 16_777_216
    /// What libcoap keeps of a message besides its payload, bytes.
    private static let bytesPerMessage = 512
    /// MAX_TRANSMIT_WAIT (RFC 7252 §4.8.2), as long as a datagram peer would have been given.
    private static let patience = TimeAmount.seconds(93)

    /// Counts a message; asks for a Pong now and then, and gives up on who does not read.
    func hasSent(_ response: CoAPResponse, to endpoint: EndpointID) {
        flows[endpoint, default: LibcoapFlow()].bytes += Self.bytesPerMessage + response.payloadLength
        guard let flow = flows[endpoint], flow.bytes >= Self.bytesPerPing else { return }
        guard flow.unconfirmed < Self.mostUnconfirmed else {
            flows[endpoint]?.isGivenUp = true
            return unwanted.append(endpoint)
        }
        _ = ping(endpoint, isAwaited: false)
    }

    /// Asks for a Pong.
    ///
    /// - Returns: what `finished` will name when it comes; nil when nothing could be sent.
    func ping(_ endpoint: EndpointID, isAwaited: Bool) -> ConfirmableID? {
        var sent: UnsafeRawPointer?
        var custody = coap_shim_option_t(value: nil, length: 0, number: UInt16(COAP_SIGNALING_OPTION_CUSTODY))
        isSending = true
        let result = coap_shim_send(
            session(endpoint),
            UInt8(COAP_MESSAGE_CON.rawValue),
            UInt8(COAP_SIGNALING_CODE_PING.rawValue),
            0,
            nil,
            0,
            &custody,
            1,
            nil,
            0,
            &sent
        )
        isSending = false
        guard result >= 0 else { return nil }
        lastPing += 1
        let id = ConfirmableID(rawValue: lastPing)
        var flow = flows.removeValue(forKey: endpoint) ?? LibcoapFlow()
        flow.pings.append(.init(id: isAwaited ? id : nil, bytes: flow.bytes, sentAt: .now()))
        flow.unconfirmed += flow.bytes
        flow.bytes = 0
        flows[endpoint] = flow
        return id
    }

    /// A Pong has come: for the oldest Ping, since connections keep the order.
    func pongCame(_ endpoint: EndpointID) {
        guard let ping = flows[endpoint]?.pings.popFirst() else { return }
        flows[endpoint]?.unconfirmed -= ping.bytes
        if let id = ping.id { events.append(.finished(id)) }
    }

    func connected(_ endpoint: EndpointID) {
        connections.insert(endpoint)
        if connections.count > mostConnections { unwanted.append(endpoint) }
    }

    func forgetConnection(_ endpoint: EndpointID) {
        connections.remove(endpoint)
        flows[endpoint] = nil
    }

    /// Closes who has not answered a Ping in time.
    func closeSilent() {
        let now = NIODeadline.now()
        for (endpoint, flow) in flows {
            if let oldest = flow.pings.first, oldest.sentAt + Self.patience <= now { unwanted.append(endpoint) }
        }
        closeUnwanted()
    }

    func closeUnwanted() {
        guard !unwanted.isEmpty else { return }
        let closing = Set(unwanted)
        unwanted = []
        for endpoint in closing where connections.contains(endpoint) { disconnect(endpoint) }
    }
}
