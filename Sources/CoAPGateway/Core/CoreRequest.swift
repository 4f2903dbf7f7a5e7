import BrokerCore
import MQTTCodec

/// What a turn of the CoAP thread asks of the core, in order.
package struct CoreBatch: Sendable {
    let requests: [CoreRequest]
}

/// What the core has for the CoAP thread, in order.
package struct CoreEvents: Sendable {
    let events: [CoreEvent]

    package var isEmpty: Bool { events.isEmpty }

    /// Whether the thread is to end.
    var askForShutdown: Bool { events.contains { if case .shutdown = $0 { true } else { false } } }

    /// Whether nobody is to be accepted any more.
    var stopAccepting: Bool { events.contains { if case .stopAccepting = $0 { true } else { false } } }

    /// Whether other pre-shared keys are in use from now on.
    var tellOfKeys: Bool { events.contains { if case .keysReplaced = $0 { true } else { false } } }
}

/// What the CoAP thread asks of the core; many go over in one batch, so what is large is not in it.
enum CoreRequest: Sendable {
    /// Makes a session.
    case connect(Exchange)
    /// The client of a session was heard of.
    case heartbeat(Exchange)
    indirect case publish(Exchange, PublishOperation)
    /// A publish that was carried out and answered so; the answer is for those only whom the core lets in.
    case `repeat`(Exchange, CoAPCode)
    case read(Exchange, TopicName)
    /// `/.well-known/core`.
    case look(Exchange)
    indirect case observe(Exchange, ObserveOperation, identifier: UInt32, isRefresh: Bool)
    /// Ends the subscription, if a filter says which, and reads the topic, if it is one.
    case endObservation(Exchange, TopicName?, unsubscribing: String?)
    case unsubscribe(CoAPClient, generation: UInt32, filter: String)
    /// A client was heard of that asks for nothing.
    case hear(CoAPClient)
    /// A delivery has left, or never will; with its Packet Identifier at QoS 1 and 2. `isHeard` when the client has
    /// acknowledged it.
    case settle(CoAPClient, generation: UInt32, packetID: PacketID?, isHeard: Bool)
    case disconnect(CoAPClient)
}

/// What the core tells the CoAP thread.
enum CoreEvent: Sendable {
    case answer(Exchange, CoreAnswer)
    case deliveries(CoAPClient, generation: UInt32, [Delivery])
    /// The client may not have these messages any more.
    case withdrawn(CoAPClient, generation: UInt32, Set<PacketID>)
    /// The core ended the client's virtual connection.
    case closed(CoAPClient, generation: UInt32, ReasonCode)
    /// Nobody is to be accepted any more.
    case stopAccepting
    /// The thread is to end.
    case shutdown
    case keysReplaced
}

/// The core's answer to one request.
enum CoreAnswer: Sendable {
    case connected(generation: UInt32, sessionPresent: Bool)
    case alive(generation: UInt32)
    case published(stoodBefore: Bool)
    /// A publish with the same idempotency key was answered so.
    case repeated(CoAPCode)
    case preconditionFailed
    case retained(Message?)
    /// What is retained, or some of it.
    case found([Message])
    case subscribed(generation: UInt32, retained: Message?)
    case refused(ReasonCode)
}
