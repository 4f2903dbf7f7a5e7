import JSONMessages
import NIOConcurrencyHelpers
import NIOCore

/// The encoder of each event loop, which writes a message for a thousand streams of the loop once.
final class LoopEncoders: Sendable {
    private let encoders = NIOLockedValueBox<[ObjectIdentifier: NIOLoopBound<MessageEncoder>]>([:])

    /// The one of an event loop; on that loop.
    func encoder(of eventLoop: any EventLoop) -> MessageEncoder {
        encoders.withLockedValue { encoders in
            let key = ObjectIdentifier(eventLoop)
            if let bound = encoders[key] { return bound }
            let bound = NIOLoopBound(MessageEncoder(), eventLoop: eventLoop)
            encoders[key] = bound
            return bound
        }
        .value
    }
}
