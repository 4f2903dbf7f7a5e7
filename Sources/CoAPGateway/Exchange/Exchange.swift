import BrokerCore
import MQTTCodec
import NIOCore

/// A request that has come and its response on the way.
final class Exchange: @unchecked Sendable {
    // Sendable as a handle that travels through the core; only the CoAP thread looks inside, but for `client`, which
    // does not change once the request is on its way.

    enum State {
        case open
        /// Acknowledged without a response, which follows separately (RFC 7252 §5.2.2).
        case acknowledged
        case answered
    }

    let endpoint: Endpoint
    /// The request without its payload.
    let request: CoAPRequest
    /// When it is acknowledged, answer or not.
    let acknowledgeAt: NIODeadline
    var state = State.open
    var client: CoAPClient?
    /// It asks for `/.well-known/core`.
    var isLook = false
    var downlink = Downlink()
    var publish = Publish()
    /// What it asks for, while it waits for the first of those with the same idempotency key.
    var waitingPublish: PublishOperation? {
        get { if case .some(let publish) = ownWaitingPublish { publish } else { nil } }
        set { ownWaitingPublish = newValue.map(Box.some) ?? .none }
    }
    var registration: Registration? {
        get { if case .some(let registration) = ownRegistration { registration } else { nil } }
        set { ownRegistration = newValue.map(Box.some) ?? .none }
    }
    /// The client deregistered before the core had answered.
    var isDeregistered = false

    private var ownWaitingPublish = Box<PublishOperation>.none
    private var ownRegistration = Box<Registration>.none

    /// What is large, and most requests have none of.
    private indirect enum Box<Value> {
        case none
        case some(Value)
    }

    /// The message that is wanted with the answer.
    struct Downlink {
        var isWanted = false
        /// How long it may be waited for.
        var patience = TimeAmount.zero
        /// Whether the request waits for one; see `Waiters`.
        var isWaiting = false
    }

    /// How a publish is answered.
    struct Publish {
        /// Its idempotency key, while it is the first of those with the same.
        var key: PublishKey?
        /// The response, unless no retained message stood before and that is to be told.
        var done = CoAPCode.changed
        var tellsCreated = false
    }

    /// A registration under way.
    struct Registration {
        let operation: ObserveOperation
        let identifier: UInt32
    }

    init(endpoint: Endpoint, request: CoAPRequest, acknowledgeAt: NIODeadline) {
        self.endpoint = endpoint
        self.request = request
        self.acknowledgeAt = acknowledgeAt
    }

    /// The response to a publish that was carried out.
    func published(stoodBefore: Bool) -> CoAPCode {
        publish.tellsCreated && !stoodBefore ? .created : publish.done
    }
}
