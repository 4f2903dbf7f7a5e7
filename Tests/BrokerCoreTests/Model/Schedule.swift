import BrokerCore
import MQTTCodec

/// What clients, the network and time do, one step after the other.
///
/// It names things by number and says nothing of what is there at the time: a step that finds its client away does
/// nothing. So any part of a schedule is a schedule, and shrinking is leaving steps out.
struct Schedule: Sendable {
    /// What the broker is set to.
    struct Setting: Sendable {
        /// QoS 1 and 2 messages sent to one client unacknowledged; what bounds a client of 3.1.1.
        var inflightMessages = 1_000
        /// nil: more than a schedule can fill.
        var queue: (messages: Int, whenFull: QueueLimits.Policy)?
    }

    /// Its number is the same in a shrunk schedule, and names the message it publishes.
    struct Step: Sendable {
        let number: Int
        var action: Action
    }

    enum Action: Sendable {
        /// On top of a connection that may still stand.
        case connect(Int, Connecting)
        /// The network connection breaks.
        case drop(Int)
        case disconnect(Int, withWill: Bool, sessionExpiryInterval: UInt32?)
        case subscribe(Int, [Subscribe.Subscription], identifier: UInt32?)
        case unsubscribe(Int, [String])
        /// UNSUBSCRIBE and a DISCONNECT that ends the session in one segment, so that the store reads while the session ends;
        /// with a CONNECT before them, of a client that was away.
        case leave(Int, [String], after: Connecting?)
        case publish(Int, Publishing)
        /// PUBLISH at QoS 2 again, under an identifier that was not released.
        case publishAgain(Int, pick: Int)
        /// PUBREL for a message published at QoS 2.
        case release(Int, pick: Int)
        /// What comes next for a message in flight: PUBACK, PUBREC or PUBCOMP.
        case acknowledge(Int, pick: Int)
        /// PUBREC with an error.
        case refuse(Int, pick: Int)
        /// An acknowledgement that fits nothing.
        case stray(Int, PacketType)
        /// Acknowledges all there is and all that comes.
        case drain(Int)
        case writable(Int, Bool)
        case ping(Int)
        case wait(tenths: Int)
        /// The broker crashes, and starts again so much later.
        case restart(tenths: Int)
    }

    struct Connecting: Sendable {
        var version = ProtocolVersion.v5
        var cleanStart = false
        /// Seconds; counts in MQTT 5.0 only.
        var sessionExpiryInterval: UInt32 = 0
        var receiveMaximum: UInt16?
        var topicAliasMaximum: UInt16?
        /// Maximum Packet Size lies between small messages and large ones.
        var takesSmallOnly = false
        var keepAlive: UInt16 = 0
        var will: WillWanted?
    }

    struct WillWanted: Sendable {
        var qos = QoS.atMostOnce
        var retain = false
        var delayInterval: UInt32 = 0
        var messageExpiryInterval: UInt32?
    }

    struct Publishing: Sendable {
        var topic: String
        var qos = QoS.atMostOnce
        var retain = false
        var isEmpty = false
        var isLarge = false
        var messageExpiryInterval: UInt32?
        var hasContentType = false
    }

    let seed: UInt64
    var setting = Setting()
    var steps: [Step] = []

    /// Clients that do things; one more looks at the retained messages in the end.
    static let clients = 4
    static let auditor = 4
    static let topics = ["t/a", "t/b", "t", "t/deep/er/topic", "t/deep/er/other", "r/a", "r/b", "$x/a"]
    static let filters = [
        "t/a", "t/b", "t/+", "t/#", "#", "+/a", "r/+", "r/a", "w/#", "w/+", "$x/#", "+", "t/deep/er/topic", "+/+/er/#",
    ]
    static let sharedFilters = ["$share/g/t/+", "$share/g/t/a", "$share/h/t/#", "$share/h/t/b"]
    /// More than any packet with a small message has.
    static let maximumPacketSize: UInt32 = 200
    /// Where a client's will goes: no two clients' wills meet in one topic, since those that are due at the same moment
    /// come in no order.
    static func willTopic(_ client: Int) -> String { "w/c\(client)" }
}
