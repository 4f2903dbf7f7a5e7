import BrokerCore
import CoreRuntime
import Glibc
import NIOCore

/// Stands in a listener's pipeline: accepts no connections while there are no places, or the system has no descriptor
/// for them, and closes those of an address that has its share.
///
/// Those that are not accepted wait in the system's queue.
final class AcceptGate: ChannelInboundHandler, @unchecked Sendable {
    // Sendable as a handle that a connection's end carries back to the listener's event loop, where alone it is touched.

    typealias InboundIn = any Channel
    typealias InboundOut = any Channel

    /// How long no connection is accepted after one for which there was no descriptor, if none is given back before.
    private static let pause = TimeAmount.milliseconds(500)

    private let places: SocketPlaces
    private let isProxy: @Sendable (SocketAddress?) -> Bool
    private var isPaused = false
    /// Whether it is to be told when a connection leaves.
    private var isWaiting = false

    /// - Parameter isProxy: whether a peer is a trusted proxy.
    init(_ places: SocketPlaces, isProxy: @escaping @Sendable (SocketAddress?) -> Bool) {
        self.places = places
        self.isProxy = isProxy
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let accepted = unwrapInboundIn(data)
        let peer = accepted.remoteAddress
        guard places.take(accepted, ClientAddress(peer, isProxy: isProxy(peer))) else {
            return accepted.close(promise: nil)
        }
        if !places.hasPlace {
            pause(context.channel)
            resume(context.channel)
        }
        context.fireChannelRead(data)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Else the channel would try again at once, and so for ever: a connection that waits makes it readable.
        guard let error = error as? IOError, [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(error.errnoCode) else {
            return context.fireErrorCaught(error)
        }
        places.refusals.note(.descriptors, "")
        let channel = context.channel
        pause(channel)
        context.eventLoop.scheduleTask(in: Self.pause) { self.resume(channel) }
    }

    private func pause(_ listener: any Channel) {
        guard !isPaused else { return }
        isPaused = true
        try? listener.syncOptions?.setOption(.autoRead, value: false)
        waitForPlace(listener)
    }

    private func waitForPlace(_ listener: any Channel) {
        guard !isWaiting else { return }
        isWaiting = true
        let eventLoop = listener.eventLoop
        places.whenLeft {
            eventLoop.execute {
                self.isWaiting = false
                self.resume(listener)
            }
        }
    }

    private func resume(_ listener: any Channel) {
        guard isPaused else { return }
        if !places.hasPlace {
            waitForPlace(listener)
            // One may have left before that.
            guard places.hasPlace else { return }
        }
        isPaused = false
        try? listener.syncOptions?.setOption(.autoRead, value: true)
    }
}
