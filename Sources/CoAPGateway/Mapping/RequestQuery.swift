import BrokerCore
package import MQTTCodec

/// What the Uri-Query options of a request say; sans I/O.
package struct RequestQuery: Sendable, Equatable {
    /// `topic`: a topic that does not fit the path.
    package var topic: String?
    /// `qos`, `q`.
    package var qos: QoS?
    /// `retain`, `r`.
    package var retain: Bool?
    /// `expiry`: Message Expiry Interval, seconds.
    package var expiry: UInt32?
    /// `nl`: No Local.
    package var noLocal = false
    /// `rh`: Retain Handling.
    package var retainHandling = SubscriptionOptions.RetainHandling.sendAtSubscribe
    /// `clientid`, `c`; `username`, `u`; `password`, `p`.
    package var credentials = ClientCredentials()
    /// `token`, `t`: of the session that `clientid` names.
    package var token: String?
    /// `id`: the same in a publish that is sent again.
    package var publishID: String?
    /// `dl`: the oldest message that waits for the client goes into the response.
    package var wantsDownlink = false
    /// `wait`: seconds to wait for it.
    package var wait: UInt16 = 0
    /// `obs=state`: of messages that wait, only the latest of each topic is sent.
    package var coalesces = false
    /// `unsub`: the end of an observation is the end of its subscription, in a persistent session, too.
    package var unsubscribes = false
    /// What POST to `/mqtt/connection` says.
    package var connection = ConnectionQuery()
    /// An argument that is no topic's, and no argument at all if `connection` has none of that name: a typing error.
    private var foreign: Substring?

    private static let known: KnownNames = [
        "topic", "qos", "q", "retain", "r", "expiry", "nl", "rh", "clientid", "c", "username", "u", "password", "p",
        "token", "t", "id", "dl", "wait", "obs", "unsub",
    ]

    package init() {}

    /// Refuses arguments that the resource has not.
    ///
    /// - Throws: 4.00 with what was meant.
    func check(isConnection: Bool) throws(CoAPFailure) {
        guard let foreign, !isConnection || !ConnectionQuery.known.contains(String(foreign)) else { return }
        let known = isConnection ? Self.known + ConnectionQuery.known : Self.known
        let words =
            ConnectionQuery.known.contains(String(foreign))
            ? "is for /mqtt/connection"
            // An answer to a small request is small: not the list of all.
            : known.nearest(to: String(foreign)).map { "unknown argument; did you mean \($0)?" } ?? "unknown argument"
        throw CoAPFailure(.malformedPacket, "\(foreign.prefix(64)): \(words)")
    }

    /// Reads arguments of the form `name=value`; a name alone is a flag that is set.
    ///
    /// - Throws: 4.00 when a value is none its name can have.
    package init(_ arguments: [String]) throws(CoAPFailure) {
        for argument in arguments {
            let (name, value) = argument.parted(at: UInt8(ascii: "="))
            try take(String(name), value.map(String.init), argument)
        }
    }

    /// Reads who asks, and nothing else: other arguments are the resource's own.
    package init(credentialsOf arguments: [String]) throws(CoAPFailure) {
        for argument in arguments {
            let (name, value) = argument.parted(at: UInt8(ascii: "="))
            switch name {
            case "clientid", "c", "username", "u", "password", "p", "token", "t":
                try take(String(name), value.map(String.init), argument)
            default: continue
            }
        }
    }

    private mutating func take(_ name: String, _ value: String?, _ argument: String) throws(CoAPFailure) {
        switch name {
        case "topic": topic = value ?? ""
        case "qos", "q":
            guard let value, let level = UInt8(value), let qos = QoS(rawValue: level) else {
                throw .bad(argument, "a number from 0 to 2")
            }
            self.qos = qos
        case "retain", "r": retain = try Self.flag(value, argument)
        case "expiry": expiry = try Self.number(value, argument) as UInt32
        case "nl": noLocal = try Self.flag(value, argument)
        case "rh":
            guard let value, let number = UInt8(value),
                let handling = SubscriptionOptions.RetainHandling(rawValue: number)
            else { throw .bad(argument, "a number from 0 to 2") }
            retainHandling = handling
        case "clientid", "c":
            // [MQTT-1.5.4-2]
            guard value?.utf8.contains(0) != true else { throw .bad(argument, "without U+0000") }
            credentials.clientID = value ?? ""
        case "username", "u": credentials.userName = value ?? ""
        case "password", "p": credentials.password = value ?? ""
        case "token", "t": token = value ?? ""
        case "id": publishID = value ?? ""
        case "dl": wantsDownlink = try Self.flag(value, argument)
        case "wait": wait = try Self.number(value, argument)
        case "obs":
            guard value == "state" || value == "all" else { throw .bad(argument, "state or all") }
            coalesces = value == "state"
        case "unsub": unsubscribes = try Self.flag(value, argument)
        default:
            if try !connection.take(name, value, argument) || foreign == nil { foreign = name[...] }
        }
    }

    static func number<Value: FixedWidthInteger>(_ value: String?, _ argument: String) throws(CoAPFailure) -> Value {
        guard let value, let number = Value(value) else { throw .bad(argument, "a number from 0 to \(Value.max)") }
        return number
    }

    static func flag(_ value: String?, _ argument: String) throws(CoAPFailure) -> Bool {
        switch value {
        case nil, "", "1", "true": true
        case "0", "false": false
        default: throw .bad(argument, "0 or 1")
        }
    }
}

/// Whom a request says it comes from; requests of one endpoint with the same share a virtual connection.
package struct ClientCredentials: Sendable {
    /// Empty: the broker assigns one.
    package var clientID = ""
    package var userName: String?
    package var password: String?

    package init() {}

    var clientName: ExactText { ExactText(clientID) }

    /// Whether it says nothing at all.
    package var isAnonymous: Bool { userName == nil && password == nil }
}

extension ClientCredentials: Equatable {
    package static func == (left: ClientCredentials, right: ClientCredentials) -> Bool {
        left.clientID.isSame(as: right.clientID) && left.userName.isSame(as: right.userName)
            && left.password.isSame(as: right.password)
    }
}

extension CoAPFailure {
    /// A value that its argument can't have.
    static func bad(_ argument: String, _ range: String) -> CoAPFailure {
        // The value may be a password that was put into the wrong argument: name the argument only.
        CoAPFailure(.malformedPacket, "\(argument.parted(at: UInt8(ascii: "=")).before) must be \(range)")
    }
}
