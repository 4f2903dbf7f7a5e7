package import BrokerCore
package import CoreRuntime
import MQTTProtocol
package import NIOCore

/// The last handler of an MQTT channel: passes input to the dialogue on the core loop, and its output to the channel.
///
/// A channel on the core loop calls the dialogue directly; one on another loop goes through that loop's `LoopBridge`,
/// with one batch for each tick and direction. TLS and WebSocket are byte filters below this handler, which does not
/// depend on them.
package final class MQTTChannelHandler: ChannelDuplexHandler, @unchecked Sendable {
    // Sendable as a handle the bridge carries; its state is touched on its own event loop only.

    package typealias InboundIn = ByteBuffer
    package typealias OutboundIn = Never
    package typealias OutboundOut = ByteBuffer

    /// Bytes in transit to the core at which reading pauses until the core has caught up.
    private static let pauseMark = 256 * 1_024
    /// The time that a client has to read our final bytes before the connection is closed.
    private static let lingering = TimeAmount.milliseconds(500)

    private let core: CoreLoop
    private let bridge: LoopBridge?
    private let transportProtocol: VirtualConnection.TransportProtocol
    private let address: ClientAddress?
    private let transportIdentity: String?
    private let limits: Limits
    private let bytes: ConnectionBytes?
    private var dialogue: MQTTDialogue?
    private var context: ChannelHandlerContext?

    private var isClosing = false
    private var bytesSinceMarker = 0
    private var isPaused = false
    private var isReadWanted = false

    /// Makes a handler.
    ///
    /// - Parameters:
    ///   - bridge: nil when the channel is on the core loop.
    ///   - address: the client's address; nil is the channel's peer.
    ///   - transportIdentity: the client's identity according to its certificate.
    ///   - bytes: the limit of bytes for incomplete packets; nil is unlimited.
    package init(
        core: CoreLoop,
        bridge: LoopBridge?,
        transportProtocol: VirtualConnection.TransportProtocol,
        address: ClientAddress? = nil,
        transportIdentity: String? = nil,
        limits: Limits,
        bytes: ConnectionBytes? = nil
    ) {
        self.bytes = bytes
        self.core = core
        self.bridge = bridge
        self.transportProtocol = transportProtocol
        self.address = address
        self.transportIdentity = transportIdentity
        self.limits = limits
    }

    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { begin(context) }
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        end()
        self.context = nil
    }

    package func channelActive(context: ChannelHandlerContext) {
        begin(context)
        context.fireChannelActive()
    }

    package func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let dialogue, !isClosing else { return }
        let bytes = unwrapInboundIn(data)
        guard let bridge else { return receive(bytes, dialogue) }
        bytesSinceMarker += bytes.readableBytes
        bridge.toCore(.bytes(dialogue, bytes))
        if bytesSinceMarker > Self.pauseMark, !isPaused {
            isPaused = true
            bridge.toCore(.marker(dialogue, self))
        }
    }

    /// The same, on the core loop.
    private func receive(_ bytes: ByteBuffer, _ dialogue: MQTTDialogue) {
        core.run { dialogue.receive(bytes, $0) }
        guard dialogue.isWaiting, !isPaused else { return }
        isPaused = true
        dialogue.whenRead { self.resumeReading() }
    }

    package func read(context: ChannelHandlerContext) {
        guard !isPaused else {
            isReadWanted = true
            return
        }
        context.read()
    }

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        if let dialogue, !isClosing {
            let isWritable = context.channel.isWritable
            if let bridge {
                bridge.toCore(.writability(dialogue, isWritable))
            } else {
                core.run { dialogue.writabilityChanged(isWritable, $0) }
            }
        }
        context.fireChannelWritabilityChanged()
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // After a reset or a TLS alert the connection is gone; the dialogue needs no other information.
        context.close(promise: nil)
    }

    private func begin(_ context: ChannelHandlerContext) {
        guard dialogue == nil else { return }
        let made = MQTTDialogue(
            transport: bridge.map { RemoteTransport(handler: self, bridge: $0) } ?? self,
            transportProtocol: transportProtocol,
            address: address ?? ClientAddress(context.channel.remoteAddress),
            transportIdentity: transportIdentity,
            limits: limits,
            bytes: bytes
        )
        dialogue = made
        if let bridge { bridge.toCore(.began(made)) } else { core.run { made.begin($0) } }
    }

    private func end() {
        guard let ended = dialogue else { return }
        dialogue = nil
        if let bridge { bridge.toCore(.ended(ended)) } else { core.run { ended.ended($0) } }
    }

    /// Reads again, since the core has read everything up to the marker.
    func resumeReading() {
        isPaused = false
        bytesSinceMarker = 0
        guard isReadWanted, let context else { return }
        isReadWanted = false
        context.read()
    }
}

extension MQTTChannelHandler: PacketStreamTransport {
    package func write(_ bytes: ByteBuffer) -> Int {
        guard let context, !isClosing else { return 0 }
        context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
        return 0
    }

    /// Confirms that the given number of bytes are written; the channel's writability was reported before.
    func confirm(_ bytes: Int) {
        guard let dialogue, let bridge else { return }
        bridge.toCore(.written(dialogue, bytes))
    }

    /// Lets the peer read the pending output, then closes.
    ///
    /// Its further input is read and discarded until then: closing with unread bytes would reset the connection, and
    /// the peer might lose our last packet.
    package func close() {
        guard let context, !isClosing else { return }
        isClosing = true
        let channel = context.channel
        let flushed = context.eventLoop.makePromise(of: Void.self)
        context.writeAndFlush(wrapOutboundOut(ByteBuffer()), promise: flushed)
        let mode: CloseMode = transportProtocol == .mqtt ? .output : .all
        flushed.futureResult.whenComplete { _ in channel.close(mode: mode, promise: nil) }
        context.eventLoop.scheduleTask(in: Self.lingering) { channel.close(promise: nil) }
    }
}
