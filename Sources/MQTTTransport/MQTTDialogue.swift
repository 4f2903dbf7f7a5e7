package import BrokerCore
import MQTTCodec
package import NIOCore

/// The MQTT dialogue of one network connection: bytes in, calls on the broker, bytes out into the packet stream.
///
/// Sans I/O and confined to the core loop. Whatever carries the bytes (TCP, TLS, WebSocket) is below it; the protocol
/// version ends here and in the codec.
///
/// What a peer can do wrong is answered as the version says: MQTT 5.0 with CONNACK or DISCONNECT and a Reason Code,
/// MQTT 3.1.1 by closing, or a CONNACK return code before the session stands.
package final class MQTTDialogue: @unchecked Sendable {
    // Sendable as a handle for the I/O side; only the core loop looks inside.

    enum State {
        /// CONNECT must be the first packet [MQTT-3.1.0-1].
        case awaitingConnect
        /// The answer to CONNECT takes its time; what the client sends meanwhile waits.
        case awaitingAnswer
        /// Enhanced authentication goes on (MQTT 5.0 §4.12).
        case authenticating
        case connected
        /// Nothing is read any more.
        case closed
    }

    let stream: PacketStream
    let connection: VirtualConnection
    @exclusivity(unchecked) var state = State.awaitingConnect
    /// Whether the client is another broker, by its own word.
    var isBridge = false
    @exclusivity(unchecked) var decoder: PacketDecoder
    @exclusivity(unchecked) var topicAliases = TopicAliases(maximum: 0)
    /// nil without an Authentication Method in CONNECT.
    var authentication: EnhancedAuthentication?
    /// Bytes of a packet that has not wholly arrived, and what waits for the answer to CONNECT or for its turn.
    private var partial: ByteBuffer?
    /// Whether packets wait because the core has to see to others first.
    private var isBehind = false
    /// Whether a SUBSCRIBE is being carried out, before anything behind it is read.
    var isSubscribing = false
    /// Whether the broker goes on with them by itself.
    private var isCatchingUp = false
    /// To be called when none wait any more.
    private var whenRead: [() -> Void] = []
    /// Whether the network connection has ended meanwhile.
    private var isEnding = false
    /// Bytes of the CONNECT that waits for its answer.
    private var pendingConnectBytes = 0
    private let bytes: ConnectionBytes?
    private let address: ClientAddress
    /// What is kept for the client, once it is more than a little.
    private var account: ConnectionBytes.Account?

    /// Begins a dialogue.
    ///
    /// - Parameters:
    ///   - transport: carries the bytes; held until `ended`.
    ///   - address: where the client is.
    ///   - transportIdentity: who the client's certificate says it is.
    ///   - limits: what the broker grants.
    ///   - bytes: what connections may keep of packets that are not whole; nil is any number.
    package init(
        transport: any PacketStreamTransport,
        transportProtocol: VirtualConnection.TransportProtocol,
        address: ClientAddress,
        transportIdentity: String? = nil,
        limits: Limits,
        bytes: ConnectionBytes? = nil
    ) {
        self.bytes = bytes
        self.address = address
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

    /// The network connection is open.
    package func begin(_ broker: Broker) { broker.expectConnect(on: connection) }

    /// Bytes have arrived, cut anywhere.
    package func receive(_ bytes: ByteBuffer, _ broker: Broker) {
        // The broker may have closed the connection meanwhile: timeout, takeover, shutdown.
        guard state != .closed, !stream.isClosed else { return }
        broker.heard(from: connection, bytes: bytes.readableBytes)
        guard var joined = partial.take() else { return read(bytes, broker) }
        joined.writeImmutableBuffer(bytes)
        if isBehind { partial = joined } else { read(joined, broker) }
    }

    /// Calls back when everything that has arrived so far has been read; at once, unless that takes several turns.
    func whenRead(_ done: @escaping () -> Void) {
        if isWaiting { whenRead.append(done) } else { done() }
    }

    /// Whether something that has arrived will be read later.
    var isWaiting: Bool { isBehind || isSubscribing }

    /// A SUBSCRIBE has been carried out: goes on with what came behind it.
    func subscribed(_ broker: Broker) {
        if isBehind || !whenRead.isEmpty { putOff(broker) }
    }

    /// Goes on with packets that others were served before.
    ///
    /// - Returns: whether none wait any more.
    private func catchUp(_ broker: Broker) -> Bool {
        isBehind = false
        isCatchingUp = true
        readOn(broker)
        isCatchingUp = isBehind && !isSubscribing
        guard !isWaiting else { return !isCatchingUp }
        for done in whenRead { done() }
        whenRead = []
        if isEnding { end(broker) }
        return true
    }

    /// The answer to CONNECT has come at last: reads what has waited for it.
    func readOn(_ broker: Broker) {
        guard state != .closed, !stream.isClosed else { return }
        pendingConnectBytes = 0
        read(partial.take() ?? ByteBuffer(), broker)
    }

    private func read(_ bytes: ByteBuffer, _ broker: Broker) {
        var buffer = bytes
        do throws(MalformedPacket) {
            try readPackets(&buffer, broker)
            // A client may go on without waiting for CONNACK; no more is kept for it than for a packet in parts.
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

    /// What is left of the bytes is a packet that is not whole, or packets whose turn it is later.
    private func waitForTurn(_ broker: Broker) {
        guard !isSubscribing else {
            isBehind = true
            return
        }
        guard broker.isTurnOver, state != .awaitingAnswer else { return }
        putOff(broker)
    }

    private func putOff(_ broker: Broker) {
        isBehind = true
        guard !isCatchingUp else { return }
        isCatchingUp = true
        broker.goOn { self.catchUp($0) }
    }

    /// Keeps what remains of the bytes that came, and counts it by the memory it takes.
    private func keep(_ rest: consuming ByteBuffer) throws(MalformedPacket) {
        var kept = pendingConnectBytes
        if rest.readableBytes > 0 {
            // Only the tail is copied; the bytes read are given back to whoever lent them.
            rest.discardReadBytes()
            // What a large packet took is not kept for the beginning of a small one.
            if rest.storageCapacity > ConnectionBytes.free, rest.storageCapacity / 4 > rest.readableBytes {
                rest = ByteBuffer(buffer: rest)
            }
            kept += rest.storageCapacity
            partial = rest
        }
        guard kept > ConnectionBytes.free || account != nil else { return }
        if account == nil { account = bytes?.account(of: address) }
        guard account?.hold(kept) == nil else {
            throw MalformedPacket(.quotaExceeded, "too much is kept of packets that are not whole, or not answered")
        }
        if kept <= ConnectionBytes.free { account = nil }
    }

    /// Nothing is kept any more.
    private func forgetInput() {
        partial = nil
        pendingConnectBytes = 0
        account = nil
    }

    /// The network connection has ended, without or after a DISCONNECT.
    package func ended(_ broker: Broker) {
        // What came before that counts, and what the end brings about takes its turn, too: a will may be for very many, and
        // the event loop looks at a few sockets at a time only, so that many ends would come before others are heard.
        guard !isWaiting, !broker.isTurnOver, !broker.hasBacklog else {
            isEnding = true
            isBehind = true
            broker.putOffEnd()
            return isSubscribing ? () : putOff(broker)
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

    /// Whether the network connection takes more bytes.
    package func writabilityChanged(_ isWritable: Bool, _ broker: Broker) {
        broker.writabilityChanged(isWritable, of: stream, on: connection)
    }

    /// So many bytes have reached the network connection.
    package func written(_ bytes: Int, _ broker: Broker) { broker.written(bytes, of: stream, on: connection) }

    private func readPackets(_ buffer: inout ByteBuffer, _ broker: Broker) throws(MalformedPacket) {
        var packets = 0
        defer { broker.received(packets: packets) }
        if state == .awaitingConnect, let other = Self.otherProtocol(of: buffer.readableBytesView) {
            throw MalformedPacket(.malformedPacket, "the client speaks \(other), which this listener does not")
        }
        while state != .closed, state != .awaitingAnswer, !isSubscribing, !broker.isTurnOver {
            guard
                let header = try FixedHeader.parse(
                    buffer.readableBytesSpan,
                    maximumPacketSize: decoder.maximumPacketSize,
                    version: decoder.version
                )
            else { return }
            if (header.type == .connect) != (state == .awaitingConnect) { throw connectMisplaced }
            if state == .authenticating, header.type != .auth, header.type != .disconnect {
                throw MalformedPacket(.protocolError, "only AUTH and DISCONNECT come before CONNACK [MQTT-3.1.2-30]")
            }
            guard header.packetLength <= buffer.readableBytes else { return }
            packets &+= 1
            broker.count(effort: 4)
            if header.type == .publish, state == .connected {
                try publishReceived(buffer.readableBytesSpan.extracting(first: header.packetLength), header, broker)
                buffer.moveReaderIndex(forwardBy: header.packetLength)
            } else {
                // Properties, filters and the like are parsed one by one.
                broker.count(effort: 2 + header.packetLength >> 1)
                try packetReceived(try decoder.decode(header, from: &buffer), broker)
                if header.type == .connect || pendingConnectBytes > 0 {
                    // The answer, or the exchange that it waits for, takes its time.
                    pendingConnectBytes =
                        state == .awaitingAnswer || state == .authenticating
                        ? max(header.packetLength, pendingConnectBytes) : 0
                }
            }
        }
    }

    /// What is spoken that begins like that, where it is well known and nothing that begins with CONNECT.
    private static func otherProtocol(of bytes: ByteBufferView) -> String? {
        guard let first = bytes.first, first != 0x10 else { return nil }
        // The handshake of TLS (RFC 8446 §5.1).
        if bytes.starts(with: [0x16, 0x03]) { return "TLS" }
        return ["GET ", "HEAD ", "POST ", "PUT ", "OPTIONS "].contains { bytes.starts(with: $0.utf8) } ? "HTTP" : nil
    }

    /// Known from the fixed header: nothing is gathered for a client that begins with something else, and what a second
    /// CONNECT says changes nothing.
    private var connectMisplaced: MalformedPacket {
        state == .awaitingConnect
            ? MalformedPacket(.protocolError, "the first packet is not CONNECT [MQTT-3.1.0-1]")
            : MalformedPacket(.protocolError, "a second CONNECT [MQTT-3.1.0-2]")
    }

    private func packetReceived(_ packet: Packet, _ broker: Broker) throws(MalformedPacket) {
        switch (state, packet) {
        case (_, .connect(let connect)): connectReceived(connect, broker)
        case (.connected, .puback(let ack)): try check(broker.puback(ack.packetID, on: connection), of: .puback)
        case (.connected, .pubrec(let ack)): try pubrecReceived(ack, broker)
        case (.connected, .pubrel(let ack)): pubrelReceived(ack, broker)
        case (.connected, .pubcomp(let ack)): try check(broker.pubcomp(ack.packetID, on: connection), of: .pubcomp)
        case (.connected, .subscribe(let subscribe)): subscribeReceived(subscribe, broker)
        case (.connected, .unsubscribe(let unsubscribe)): unsubscribeReceived(unsubscribe, broker)
        case (.connected, .pingreq):
            // An answer that asks for nothing else, so that they can be very many.
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

    /// The client broke the protocol: it is told, if its version has words for it, and the connection ends.
    ///
    /// - Parameter connect: the CONNECT that is refused, if it is whole.
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
    /// Bytes in memory of long topics; short ones are part of what a connection takes anyway.
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
