import BrokerCore
import CoreRuntime
import DequeModule
import JSONMessages
import MQTTCodec
import NIOCore

/// The last handler of a WebSocket that carries `sluice.json`: one text message is one operation, each way.
///
/// It is confined to the channel's event loop, and a virtual connection to the core. A client that does not read its
/// answers, or is ahead of the core, is not read any more; messages for it stay in its session's queue.
final class JSONHandler: ChannelDuplexHandler, @unchecked Sendable {
    // Sendable as a handle that the core's closures carry back to the event loop, where alone they touch it.

    typealias InboundIn = ByteBuffer
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    /// Operations that the core may have in hand for one client.
    private static let maximumInHand = 64

    enum State {
        case awaitingConnect
        case connecting
        case connected
        case closed
    }

    let gateway: Gateway
    private let encoder: MessageEncoder
    let address: ClientAddress
    let transportIdentity: String?
    var state = State.awaitingConnect
    var connection: VirtualConnection?
    /// Of the session's event identifiers.
    var epoch = ""
    /// Packet Identifiers of what the client has been sent and not acknowledged, by sequence; bounded by its Receive
    /// Maximum.
    var unacknowledged: [UInt64: PacketID] = [:]
    private(set) var context: ChannelHandlerContext?
    private var connectTimeout: Scheduled<Void>?
    /// Whether an operation is being read.
    var isReading = false
    /// Operations that are not begun.
    private var waiting: Deque<ByteBuffer> = []
    /// Bytes they take.
    private var waitingBytes = 0
    private let account: ConnectionBytes.Account
    /// Operations that the core has not answered.
    private var inHand = 0
    /// Messages that are not written.
    private var outgoing: Deque<Delivery> = []
    private var isReadWanted = false

    init(
        _ gateway: Gateway,
        _ encoder: MessageEncoder,
        address: ClientAddress,
        transportIdentity: String?
    ) {
        self.gateway = gateway
        self.encoder = encoder
        self.transportIdentity = transportIdentity
        self.address = address
        account = gateway.bytes.account(of: address)
    }

    var core: CoreLoop { gateway.core }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        let channel = context.channel
        connectTimeout = context.eventLoop.scheduleTask(in: .seconds(Int64(gateway.limits.connectTimeout))) {
            channel.close(promise: nil)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { end() }

    func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        context.fireUserInboundEventTriggered(event)
    }

    // MARK: In

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let text = unwrapInboundIn(data)
        waiting.append(text)
        waitingBytes += Self.cost(text)
        proceed()
        guard state != .closed, account.hold(waitingBytes) != nil else { return }
        write(JSONAnswer(.disconnect, nil, .quotaExceeded))
        close()
    }

    /// Bytes that an operation takes while it waits: many small ones may come at once.
    private static func cost(_ text: ByteBuffer) -> Int { text.storageCapacity + 96 }

    func read(context: ChannelHandlerContext) {
        guard canProceed else {
            isReadWanted = true
            return
        }
        context.read()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            writeOutgoing()
            proceed()
        }
        context.fireChannelWritabilityChanged()
    }

    private var canProceed: Bool {
        state != .connecting && !isReading && inHand < Self.maximumInHand && context?.channel.isWritable ?? false
    }

    func proceed() {
        while state != .closed, canProceed, let text = waiting.popFirst() {
            waitingBytes -= Self.cost(text)
            perform(text)
        }
        if waiting.isEmpty { _ = account.hold(0) }
        guard isReadWanted, canProceed, waiting.isEmpty, let context else { return }
        isReadWanted = false
        context.read()
    }

    // MARK: The core

    /// The client is let in.
    func connected() {
        state = .connected
        connectTimeout?.cancel()
        connectTimeout = nil
    }

    /// Asks the core, and answers when it has answered.
    func ask(_ work: @escaping @Sendable (Broker) -> JSONAnswer?) {
        guard let eventLoop = context?.eventLoop else { return }
        inHand += 1
        let connection = connection
        core.submit { broker in
            let answer = work(broker)
            guard let connection else { return eventLoop.execute { self.answered(answer) } }
            broker.whenStored(connection) { isStored in
                let told = isStored ? answer : answer.map { JSONAnswer($0.op, $0.id, .serverUnavailable) }
                eventLoop.execute { self.answered(told) }
            }
        }
    }

    private func answered(_ answer: JSONAnswer?) {
        inHand -= 1
        if let answer { write(answer) }
        proceed()
    }

    /// The core has messages.
    func deliver(_ batch: [Delivery]) {
        guard state != .closed else { return }
        outgoing.append(contentsOf: batch)
        writeOutgoing()
    }

    /// The core has ended the connection.
    func ended(_ reason: ReasonCode) {
        guard state != .closed else { return }
        write(JSONAnswer(.disconnect, nil, reason))
        close()
    }

    // MARK: Out

    func write(_ answer: JSONAnswer) {
        guard state != .closed, let context else { return }
        context.writeAndFlush(wrapOutboundOut(JSON.encode(answer)), promise: nil)
    }

    func writeOutgoing() {
        guard state == .connected, let context, let connection else { return }
        let now = NIODeadline.now()
        var count = 0
        while context.channel.isWritable, let delivery = outgoing.popFirst() {
            if let packetID = delivery.packetID { unacknowledged[delivery.sequence] = packetID }
            if delivery.lost > 0 {
                context.write(wrapOutboundOut(JSON.encode(JSONAnswer(dropped: delivery.lost))), promise: nil)
            }
            context.write(wrapOutboundOut(message(delivery, at: now)), promise: nil)
            count += 1
        }
        guard count > 0 else { return }
        context.flush()
        core.submit { [count] in $0.consumed(count, on: connection) }
    }

    /// `{"op":"message", …}`; only what is to be acknowledged has a name.
    private func message(_ delivery: Delivery, at now: NIODeadline) -> ByteBuffer {
        let members = encoder.members(of: delivery, at: now)
        var buffer = ByteBufferAllocator().buffer(capacity: members.readableBytes + 64)
        buffer.writeStaticString("{\"op\":\"message\",")
        if delivery.packetID != nil {
            buffer.writeString("\"id\":\"\(EventID(epoch: epoch, sequence: delivery.sequence))\",")
        }
        buffer.writeImmutableBuffer(members)
        buffer.writeStaticString("}")
        return buffer
    }

    /// Takes leave, after what was written.
    func close() {
        guard let channel = context?.channel else { return }
        end()
        channel.close(promise: nil)
    }

    /// Nothing more is said or heard.
    private func end() {
        guard state != .closed else { return }
        state = .closed
        connectTimeout?.cancel()
        connectTimeout = nil
        waiting = []
        waitingBytes = 0
        _ = account.hold(0)
        outgoing = []
        if let connection = connection.take() {
            core.submit { $0.disconnect(connection, reason: .unspecifiedError) }
        }
        context = nil
    }
}
