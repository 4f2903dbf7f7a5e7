import BrokerCore
import DequeModule
import MQTTCodec
import NIOCore

extension CoAPServer {
    /// What follows from the configuration.
    struct Settings {
        let limits: Limits
        let uploadBounds: BlockwiseUploads.Bounds
        let blockwiseTimeout: TimeAmount

        init(_ configuration: CoAPListener.Configuration, _ limits: Limits) {
            self.limits = limits
            blockwiseTimeout = .seconds(Int64(configuration.blockwiseTimeout))
            uploadBounds = BlockwiseUploads.Bounds(
                body: limits.maximumPacketSize,
                uploads: configuration.transfersPerEndpoint,
                timeout: blockwiseTimeout
            )
        }
    }

    /// What gathers until the end of a turn, and how far the server has come.
    struct Turn {
        /// How many there were.
        var number: UInt64 = 0
        /// What the core is to do, in order.
        var coreRequests: [CoreRequest] = []
        /// Endpoints with something to send.
        var dirty: [Endpoint] = []
        var isShuttingDown = false
    }

    /// Requests without an answer.
    struct PendingExchanges {
        /// In the order in which their acknowledgements become due; answered ones are skipped.
        var unacknowledged: Deque<Exchange> = []
        /// Those that wait for a message.
        var waiters = Waiters()
    }

    /// Clients that are not at one endpoint alone.
    struct Clients {
        /// Clients that are connected for requests to come alone, and would lose nothing.
        var idle = IdleClients()
        /// Clients with a session, by Client Identifier.
        var sessions: [ExactText: CoAPClient] = [:]
        /// When ended sessions are looked for.
        var sessionsDueAt = NIODeadline.distantPast
    }

    /// Endpoints that wait for a time.
    struct Timers {
        /// They have something to send, but not before `restsEndAt`.
        var resting: [Endpoint] = []
        var restsEndAt = NIODeadline.distantFuture
        /// They have transfers that expire; `dueAt` is when these are looked at.
        var timed: [EndpointID: Endpoint] = [:]
        var dueAt = NIODeadline.distantFuture
    }
}
