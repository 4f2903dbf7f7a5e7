import BrokerCore
package import CoreRuntime
import MQTTProtocol
package import NIOCore

/// Carries messages between one I/O loop and the core loop: one batch and one wake-up for each tick and direction.
package final class LoopBridge: @unchecked Sendable {
    // Sendable: `inbound` is touched on `loop` only, `outbound` on the core loop only.

    /// A message from an I/O loop to the core.
    enum Inbound: Sendable {
        case began(MQTTDialogue)
        case bytes(MQTTDialogue, ByteBuffer)
        case writability(MQTTDialogue, Bool)
        case ended(MQTTDialogue)
        /// The given number of bytes of output have reached the channel.
        case written(MQTTDialogue, Int)
        /// A marker that the core sends back when it has read everything before it.
        case marker(MQTTDialogue, MQTTChannelHandler)
    }

    /// A message from the core to an I/O loop.
    enum Outbound: Sendable {
        case write(MQTTChannelHandler, ByteBuffer)
        case close(MQTTChannelHandler)
        case marker(MQTTChannelHandler)
        /// A request to confirm the given number of bytes when everything before it has been written.
        case receipt(MQTTChannelHandler, Int)
    }

    private let loop: any EventLoop
    private let core: CoreLoop
    private var inbound: [Inbound] = []
    private var outbound: [Outbound] = []

    /// Makes the bridge of an event loop other than the core's.
    package init(loop: any EventLoop, core: CoreLoop) {
        self.loop = loop
        self.core = core
    }

    /// Adds a message to this tick's batch; on the I/O loop.
    func toCore(_ item: Inbound) {
        inbound.append(item)
        if inbound.count == 1 { loop.execute { self.sendInbound() } }
    }

    /// Adds a message to this tick's batch; on the core loop.
    func toLoop(_ item: Outbound) {
        outbound.append(item)
        if outbound.count == 1 { core.eventLoop.execute { self.sendOutbound() } }
    }

    private func sendInbound() {
        let batch = inbound
        inbound = []
        core.submit { broker in
            for item in batch { self.handle(item, broker) }
        }
    }

    private func sendOutbound() {
        let batch = outbound
        outbound = []
        loop.execute {
            for item in batch { Self.handle(item) }
        }
    }

    private func handle(_ item: Inbound, _ broker: Broker) {
        switch item {
        case .began(let dialogue): dialogue.begin(broker)
        case .bytes(let dialogue, let bytes): dialogue.receive(bytes, broker)
        case .writability(let dialogue, let isWritable): dialogue.writabilityChanged(isWritable, broker)
        case .ended(let dialogue): dialogue.ended(broker)
        case .written(let dialogue, let bytes): dialogue.written(bytes, broker)
        case .marker(let dialogue, let handler): dialogue.whenRead { self.toLoop(.marker(handler)) }
        }
    }

    private static func handle(_ item: Outbound) {
        switch item {
        case .write(let handler, let bytes): _ = handler.write(bytes)
        case .close(let handler): handler.close()
        case .marker(let handler): handler.resumeReading()
        case .receipt(let handler, let bytes): handler.confirm(bytes)
        }
    }
}

/// The core's end of a network connection on another loop.
final class RemoteTransport: PacketStreamTransport {
    private let handler: MQTTChannelHandler
    private let bridge: LoopBridge
    /// Bytes written since the last request for a receipt.
    private var unconfirmed = 0

    /// Bytes after which a receipt is requested.
    private static let receiptMark = 128 * 1_024

    init(handler: MQTTChannelHandler, bridge: LoopBridge) {
        self.handler = handler
        self.bridge = bridge
    }

    func write(_ bytes: ByteBuffer) -> Int {
        bridge.toLoop(.write(handler, bytes))
        unconfirmed += bytes.readableBytes
        if unconfirmed >= Self.receiptMark {
            bridge.toLoop(.receipt(handler, unconfirmed))
            unconfirmed = 0
        }
        return bytes.readableBytes
    }

    func close() {
        bridge.toLoop(.close(handler))
    }
}
