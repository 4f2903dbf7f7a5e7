import BrokerCore
import DequeModule
import MQTTCodec
import NIOCore

/// The message layer's name for an endpoint, a number of its choice; valid until it says that the endpoint is gone.
package struct EndpointID: Hashable, Sendable {
    package let rawValue: UInt

    package init(rawValue: UInt) { self.rawValue = rawValue }
}

/// The message layer's name for a confirmable message it has sent, until it says what became of it.
package struct ConfirmableID: Hashable, Sendable {
    package let rawValue: UInt

    package init(rawValue: UInt) { self.rawValue = rawValue }
}

/// All that is known of one CoAP endpoint: an address and port, or a DTLS session.
final class Endpoint {
    // First what each request looks at: it lies in a few lines of cache.
    let id: EndpointID
    let origin: Origin
    @exclusivity(unchecked) var duplicates: DuplicateFilter
    /// One for each client identifier and credentials it uses; few, so that looking through them costs least.
    @exclusivity(unchecked) var clients: [CoAPClient] = []
    /// When it last sent a request or an acknowledgement.
    @exclusivity(unchecked) var heardAt = NIODeadline.distantPast
    @exclusivity(unchecked) var requests = Requests()
    @exclusivity(unchecked) var observations: [Token: Observation] = [:]
    @exclusivity(unchecked) var sending = Sending()
    /// The message layer was asked not to forget it.
    @exclusivity(unchecked) var isHeld = false
    @exclusivity(unchecked) var isGone = false

    /// Clients with a session that are here now, by Client Identifier.
    var sessions: [ExactText: CoAPClient] = [:]
    var transfers = Transfers()

    /// Where it is, and who.
    struct Origin {
        let remoteAddress: String
        /// Who the transport says the peer is.
        let identity: String?
        /// Whose shares it uses: of its address, and of the user whom the transport has proven it to be.
        let holder: Holder

        init(remoteAddress: String, identity: String?) {
            self.remoteAddress = remoteAddress
            self.identity = identity
            holder = Holder(network: ClientNetwork(remoteAddress), userName: identity)
        }
    }

    /// Its requests without an answer.
    struct Requests {
        /// Those that the core has not answered yet.
        var pending = 0
        /// Those that wait for a message.
        var waiting = 0
        /// Registrations that the core has not answered yet.
        var registrations: [Token: Exchange] = [:]
    }

    /// What is sent to it beside answers, and what that waits for.
    struct Sending {
        /// On the list of endpoints with something to send.
        var isListed = false
        /// What is to be sent, in order.
        var outgoing: Deque<Outgoing> = []
        /// Confirmable messages that wait for their acknowledgement, in the order they were sent; NSTART of them at most
        /// (RFC 7252 §4.7).
        var outstanding: [Outstanding] = []
        var pace = MessageIDPace()
        /// Notifications wait while the client fetches the blocks of the last one.
        var pausedUntil: NIODeadline?
        /// Nothing is sent before that time: the network takes nothing more, or Message IDs have run out for the moment.
        var restsUntil: NIODeadline?
        /// Retained messages sent to it without a word from it since.
        var unconfirmedRetained = 0
    }

    /// Bodies that come or go in blocks (RFC 7959).
    struct Transfers {
        var uploads = BlockwiseUploads()
        var snapshots = BlockwiseSnapshots()
    }

    /// Something to be sent, in order.
    enum Outgoing {
        case notification(Observation, DeliveryTicket)
        /// The final notification of an observation.
        case finalNotification(Token, CoAPResponse)
        /// A response that comes after the acknowledgement of its request.
        case response(Token, CoAPResponse)
        /// Nobody is interested in what becomes of it any more.
        case abandoned
    }

    /// A confirmable message on its way.
    struct Outstanding {
        let id: ConfirmableID
        var item: Outgoing
        let sentAt: NIODeadline
    }

    init(id: EndpointID, origin: Origin, rememberedMessages: Int) {
        self.id = id
        self.origin = origin
        duplicates = DuplicateFilter(capacity: rememberedMessages)
    }

    /// It must not be forgotten now.
    var isBusy: Bool {
        !observations.isEmpty || requests.pending > 0 || requests.waiting > 0 || !sending.outgoing.isEmpty
            || !sending.outstanding.isEmpty
    }

    /// It has something that ends at a time.
    var hasTimers: Bool { !transfers.uploads.isEmpty || !transfers.snapshots.isEmpty || sending.pausedUntil != nil }
}

/// One delivery on its way to the observations it is for; the core hears of it when the last one is through.
final class DeliveryTicket {
    let client: CoAPClient
    let generation: UInt32
    let message: Message
    let qos: QoS
    let packetID: PacketID?
    /// One of the retained messages of a new subscription, of which there may be any number.
    let isRetained: Bool
    var remaining: Int
    /// The client has acknowledged it.
    var isHeard = false

    init(_ delivery: Delivery, client: CoAPClient, generation: UInt32, observations: Int) {
        self.client = client
        self.generation = generation
        message = delivery.message
        qos = delivery.qos
        packetID = delivery.packetID
        isRetained = delivery.retain
        remaining = observations
    }
}
