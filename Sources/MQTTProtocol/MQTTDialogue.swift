package import BrokerCore
package import CoreRuntime
import MQTTCodec
package import NIOCore

/// The MQTT dialogue of one network connection: bytes in, calls on the broker, bytes out into the packet stream.
///
/// It does no I/O and is confined to the core loop. The transport is below it; no layer above it knows the version.
///
/// A peer's errors are answered as its version requires: in MQTT 5.0 by CONNACK or DISCONNECT with a Reason Code, in
/// MQTT 3.1.1 by closing, or by a CONNACK return code before the session is established.
package final class MQTTDialogue: @unchecked Sendable {
    // Sendable as a handle for the I/O side; only the core loop looks inside.

    enum State {
        /// CONNECT must be the first packet [MQTT-3.1.0-1].
        case awaitingConnect
        /// The answer to CONNECT is pending; further input waits.
        case awaitingAnswer
        /// Enhanced authentication is under way (MQTT 5.0 §4.12).
        case authenticating
        case connected
        /// No more input is read.
        case closed
    }

    let stream: PacketStream
    let connection: VirtualConnection
    @exclusivity(unchecked) var state = State.awaitingConnect
    /// Whether the client declares itself as a bridge.
    var isBridge = false
    @exclusivity(unchecked) var decoder: PacketDecoder
    @exclusivity(unchecked) var topicAliases = TopicAliases(maximum: 0)
    /// The state of enhanced authentication; nil without an Authentication Method in CONNECT.
    var authentication: EnhancedAuthentication?
    @exclusivity(unchecked) var waiting = WaitingInput()
    @exclusivity(unchecked) private var kept: KeptBytes

    /// Input that is not read yet.
    struct WaitingInput {
        /// An incomplete packet, packets before the answer to CONNECT, packets for a later turn.
        fileprivate var bytes: ByteBuffer?
        /// Whether packets wait for a later turn.
        fileprivate var isBehind = false
        /// Whether a SUBSCRIBE is under way; later packets wait for it.
        var isSubscribing = false
        /// Whether the broker's backlog will read the waiting packets.
        fileprivate var isCatchingUp = false
        /// Called when no packets wait any more.
        fileprivate var whenRead: [() -> Void] = []
        /// Whether the network connection has ended while packets wait.
        fileprivate var isEnding = false
    }

    /// The bytes of the input that waits, counted for the client's address.
    private struct KeptBytes {
        let bytes: ConnectionBytes?
        let address: ClientAddress
        /// Nil for a small number of bytes.
        var account: ConnectionBytes.Account?
        /// Bytes of the CONNECT whose answer is pending.
        var pendingConnect = 0
    }

    /// Begins a dialogue.
    ///
    /// - Parameters:
    ///   - transport: carries the bytes; held until `ended`.
    ///   - address: the client's address.
    ///   - transportIdentity: the client's identity according to its certificate.
    ///   - limits: the broker's limits.
    ///   - bytes: the limit of bytes for incomplete packets; nil is unlimited.
    package init(
        transport: any PacketStreamTransport,
        transportProtocol: VirtualConnection.TransportProtocol,
        address: ClientAddress,
        transportIdentity: String? = nil,
        limits: Limits,
        bytes: ConnectionBytes? = nil
    ) {
        kept = KeptBytes(bytes: bytes, address: address)
        stream = PacketStream(transport: transport)
        connection = VirtualConnection(
            transportProtocol: transportProtocol,
            address: address,
            transportIdentity: transportIdentity,
            outlet: .packets(stream)
        )
        decoder = PacketDecoder(
            role: .server,
            maximumPacketSize: limits.maximumPacketSize,
            maximumFilters: limits.filtersPerPacket
        )
    }

    /// Bytes encoded for the client that have not left yet.
    package var outputBytes: Int { stream.unwritten }

    /// Begins after the network connection has opened.
    package func begin(_ broker: Broker) { broker.expectConnect(on: connection) }

    /// Takes input, which may be cut anywhere.
    package func receive(_ bytes: ByteBuffer, _ broker: Broker) {
        // The broker may have closed the connection before: timeout, takeover, shutdown.
        guard state != .closed, !stream.isClosed else { return }
        broker.heard(from: connection, bytes: bytes.readableBytes)
        guard var joined = waiting.bytes.take() else { return read(bytes, broker) }
        joined.writeImmutableBuffer(bytes)
        if waiting.isBehind { waiting.bytes = joined } else { read(joined, broker) }
    }

    /// Calls back when all input so far has been read; at once, unless that takes several turns.
    package func whenRead(_ done: @escaping () -> Void) {
        if isWaiting { waiting.whenRead.append(done) } else { done() }
    }

    /// Whether some input will be read later.
    package var isWaiting: Bool { waiting.isBehind || waiting.isSubscribing }

    /// Continues with the packets after a finished SUBSCRIBE.
    func subscribed(_ broker: Broker) {
        if waiting.isBehind || !waiting.whenRead.isEmpty { putOff(broker) }
    }

    /// Continues with packets that were deferred to a later turn.
    ///
    /// - Returns: whether no more packets wait.
    private func catchUp(_ broker: Broker) -> Bool {
        waiting.isBehind = false
        waiting.isCatchingUp = true
        readOn(broker)
        waiting.isCatchingUp = waiting.isBehind && !waiting.isSubscribing
        guard !isWaiting else { return !waiting.isCatchingUp }
        for done in waiting.whenRead { done() }
        waiting.whenRead = []
        if waiting.isEnding { end(broker) }
        return true
    }

    /// Reads the input that has waited for the answer to CONNECT.
    func readOn(_ broker: Broker) {
        guard state != .closed, !stream.isClosed else { return }
        kept.pendingConnect = 0
        read(waiting.bytes.take() ?? ByteBuffer(), broker)
    }

    private func read(_ bytes: ByteBuffer, _ broker: Broker) {
        var buffer = bytes
        do throws(MalformedPacket) {
            try readPackets(&buffer, broker)
            // A client need not wait for CONNACK; its input until then is limited to the size of one packet.
            if state == .awaitingAnswer, buffer.readableBytes > decoder.maximumPacketSize {
                throw MalformedPacket(.quotaExceeded, "too much was sent before CONNACK")
            }
            if stream.isOverfull(maximumPacketSize: decoder.maximumPacketSize) {
                throw MalformedPacket(.quotaExceeded, "answers pile up that the client does not read")
            }
            guard state != .closed else { return }
            if buffer.readableBytes > 0 { waitForTurn(broker) }
            try keep(consume buffer)
        } catch {
            fail(error.reason, error.detail, broker)
        }
    }

    /// Defers the rest of the input if it has packets for a later turn; else it is an incomplete packet.
    private func waitForTurn(_ broker: Broker) {
        guard !waiting.isSubscribing else {
            waiting.isBehind = true
            return
        }
        guard broker.isTurnOver, state != .awaitingAnswer else { return }
        putOff(broker)
    }

    private func putOff(_ broker: Broker) {
        waiting.isBehind = true
        guard !waiting.isCatchingUp else { return }
        waiting.isCatchingUp = true
        broker.goOn { self.catchUp($0) }
    }

    /// Keeps the rest of the input, and counts its bytes in memory.
    private func keep(_ rest: consuming ByteBuffer) throws(MalformedPacket) {
        var bytes = kept.pendingConnect
        if rest.readableBytes > 0 {
            // Only the rest is copied; the memory of the bytes before it is released to its owner.
            rest.discardReadBytes()
            // The memory of a large packet is not kept for the beginning of a small one.
            if rest.storageCapacity > ConnectionBytes.free, rest.storageCapacity / 4 > rest.readableBytes {
                rest = ByteBuffer(buffer: rest)
            }
            bytes += rest.storageCapacity
            waiting.bytes = rest
        }
        guard bytes > ConnectionBytes.free || kept.account != nil else { return }
        if kept.account == nil { kept.account = kept.bytes?.account(of: kept.address) }
        guard kept.account?.hold(bytes) == nil else {
            throw MalformedPacket(.quotaExceeded, "too much is kept of packets that are not whole, or not answered")
        }
        if bytes <= ConnectionBytes.free { kept.account = nil }
    }

    /// Discards the kept input.
    private func forgetInput() {
        waiting.bytes = nil
        kept.pendingConnect = 0
        kept.account = nil
    }

    /// Handles the end of the network connection, with or without a DISCONNECT.
    package func ended(_ broker: Broker) {
        // Earlier packets are handled first. The end waits for its turn, too: a will may have very many subscribers,
        // and the event loop handles a few sockets at a time, so that many ends would delay the input of other
        // clients.
        guard !isWaiting, !broker.isTurnOver, !broker.hasBacklog else {
            waiting.isEnding = true
            waiting.isBehind = true
            broker.putOffEnd()
            return waiting.isSubscribing ? () : putOff(broker)
        }
        end(broker)
    }

    private func end(_ broker: Broker) {
        broker.count(effort: 128)
        state = .closed
        forgetInput()
        authentication = nil
        stream.detach()
        broker.disconnect(connection, reason: .unspecifiedError)
    }

    /// Passes on whether the network connection takes more bytes.
    package func writabilityChanged(_ isWritable: Bool, _ broker: Broker) {
        broker.writabilityChanged(isWritable, of: stream, on: connection)
    }

    /// Passes on that the given number of bytes have reached the network connection.
    package func written(_ bytes: Int, _ broker: Broker) { broker.written(bytes, of: stream, on: connection) }

    private func readPackets(_ buffer: inout ByteBuffer, _ broker: Broker) throws(MalformedPacket) {
        var packets = 0
        defer { broker.received(packets: packets) }
        if state == .awaitingConnect, let other = Self.otherProtocol(of: buffer.readableBytesView) {
            throw MalformedPacket(.malformedPacket, "the client speaks \(other), which this listener does not")
        }
        while state != .closed, state != .awaitingAnswer, !waiting.isSubscribing, !broker.isTurnOver {
            guard
                let header = try FixedHeader.parse(
                    buffer.readableBytesSpan,
                    maximumPacketSize: decoder.maximumPacketSize,
                    version: decoder.version
                )
            else { return }
            try checkOrder(of: header.type)
            guard header.packetLength <= buffer.readableBytes else { return }
            packets &+= 1
            broker.count(effort: 4)
            switch (state, header.type) {
            case (.connected, .publish):
                try publishReceived(buffer.readableBytesSpan.extracting(first: header.packetLength), header, broker)
                buffer.moveReaderIndex(forwardBy: header.packetLength)
            case (.connected, .puback), (.connected, .pubrec), (.connected, .pubrel), (.connected, .pubcomp):
                broker.count(effort: 2 + header.packetLength >> 1)
                let ack = try decoder.acknowledgement(header, from: &buffer)
                try acknowledgementReceived(header.type, ack.packetID, ack.reasonCode, broker)
            default:
                // Properties and Topic Filters are parsed one by one.
                broker.count(effort: 2 + header.packetLength >> 1)
                try packetReceived(try decoder.decode(header, from: &buffer), broker)
                countPendingConnect(header)
            }
        }
    }

    /// Counts the bytes of a CONNECT, or of the exchange after it, while its answer is pending.
    private func countPendingConnect(_ header: FixedHeader) {
        switch state {
        case .awaitingAnswer, .authenticating: kept.pendingConnect = max(header.packetLength, kept.pendingConnect)
        default: kept.pendingConnect = 0
        }
    }

    /// The name of a well-known protocol that begins with these bytes; nil for other input, and for CONNECT.
    private static func otherProtocol(of bytes: ByteBufferView) -> String? {
        guard let first = bytes.first, first != 0x10 else { return nil }
        // A TLS handshake record (RFC 8446 §5.1).
        if bytes.starts(with: [0x16, 0x03]) { return "TLS" }
        return ["GET ", "HEAD ", "POST ", "PUT ", "OPTIONS "].contains { bytes.starts(with: $0.utf8) } ? "HTTP" : nil
    }

    /// Checks by the fixed header alone that a packet of that type may come now.
    ///
    /// A client that begins with another packet needs no buffer, and the contents of a second CONNECT do not matter.
    @inline(__always)
    private func checkOrder(of type: PacketType) throws(MalformedPacket) {
        switch (state, type) {
        case (.awaitingConnect, .connect), (.authenticating, .auth), (.authenticating, .disconnect): break
        case (.awaitingConnect, _):
            throw MalformedPacket(.protocolError, "the first packet is not CONNECT [MQTT-3.1.0-1]")
        case (_, .connect): throw MalformedPacket(.protocolError, "a second CONNECT [MQTT-3.1.0-2]")
        case (.authenticating, _):
            throw MalformedPacket(.protocolError, "only AUTH and DISCONNECT come before CONNACK [MQTT-3.1.2-30]")
        default: break
        }
    }

    @inline(__always)
    private func acknowledgementReceived(
        _ type: PacketType,
        _ packetID: PacketID,
        _ reason: ReasonCode,
        _ broker: Broker
    ) throws(MalformedPacket) {
        switch type {
        case .puback: try check(broker.puback(packetID, on: connection), of: type)
        case .pubrec: try pubrecReceived(packetID, reason, broker)
        case .pubrel: pubrelReceived(packetID, broker)
        default: try check(broker.pubcomp(packetID, on: connection), of: type)
        }
    }

    private func packetReceived(_ packet: Packet, _ broker: Broker) throws(MalformedPacket) {
        switch (state, packet) {
        case (_, .connect(let connect)): connectReceived(connect, broker)
        case (.connected, .subscribe(let subscribe)): subscribeReceived(subscribe, broker)
        case (.connected, .unsubscribe(let unsubscribe)): unsubscribeReceived(unsubscribe, broker)
        case (.connected, .pingreq):
            // A PINGRESP causes no other work, so a client may send very many PINGREQ.
            broker.count(effort: 24)
            send(.pingresp, broker)
        case (_, .disconnect(let disconnect)): try disconnectReceived(disconnect, broker)
        case (_, .auth(let auth)): try authReceived(auth, broker)
        default:
            throw MalformedPacket(.protocolError, "a packet that only a server sends")
        }
    }

    // MARK: Out

    func send(_ packet: Packet, _ broker: Broker) {
        stream.append(packet)
        broker.sentPacket(on: connection)
    }

    func acknowledge(_ type: PacketType, _ packetID: PacketID, _ reason: ReasonCode, _ broker: Broker) {
        broker.acknowledge(type, packetID, reason, on: connection, stream)
    }

    /// Ends the connection after a protocol violation, with its reason if the protocol version has a packet for it.
    ///
    /// - Parameter connect: the CONNECT that is refused, if it is complete.
    func fail(_ reason: ReasonCode, _ detail: String, _ broker: Broker, _ connect: Connect? = nil) {
        let wasConnected = state == .connected
        let connect = connect ?? authentication?.connect
        state = .closed
        forgetInput()
        authentication = nil
        guard !wasConnected else { return broker.end(connection, reason: reason, detail: detail) }
        stream.version = decoder.version
        // 3.1.1 has no return code for a protocol error: the connection is closed [MQTT-4.8.0-1 of 3.1.1].
        if stream.version == .v5 || reason.connectReturnCode != nil {
            var connack = Connack(sessionPresent: false, reasonCode: reason)
            let shorter = connack
            connack.properties.reasonString = detail
            stream.append(.connack(connack), otherwise: .connack(shorter))
        }
        broker.refuse(
            connection,
            reason: reason,
            detail: detail,
            clientID: connect?.clientID,
            userName: connect?.userName
        )
    }
}

/// The Topic Aliases a client has set on this network connection (MQTT 5.0 §3.3.2.3.4).
struct TopicAliases {
    let maximum: Int
    private var topics: [UInt16: TopicName] = [:]
    /// Bytes in memory of long topics; short ones are included in the cost of a connection.
    private(set) var bytes = 0

    init(maximum: Int) { self.maximum = maximum }

    subscript(alias: UInt16) -> TopicName? {
        get { topics[alias] }
        set {
            bytes += Self.cost(of: newValue) - Self.cost(of: topics[alias])
            topics[alias] = newValue
        }
    }

    private static func cost(of topic: TopicName?) -> Int {
        guard let count = topic?.string.utf8.count, count > 128 else { return 0 }
        return MemoryCost.block + count
    }
}
