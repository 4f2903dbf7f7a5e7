import BrokerCore
import MQTTCodec

// A schedule in words, for whoever has to find out why it fails.

extension Schedule.Setting: CustomStringConvertible {
    var description: String {
        let queue = queue.map { ", queue of \($0.messages) \($0.whenFull.rawValue)" } ?? ""
        return "\(inflightMessages) in flight\(queue)"
    }
}

extension Schedule.Step: CustomStringConvertible {
    var description: String {
        switch action {
        case .connect(let client, let wanted): "c\(client) CONNECT \(wanted)"
        case .drop(let client): "c\(client) loses its connection"
        case .disconnect(let client, let withWill, let expiry):
            "c\(client) DISCONNECT\(withWill ? " with will" : "")\(expiry.map { " expiry \($0)" } ?? "")"
        case .subscribe(let client, let subscriptions, let identifier):
            "c\(client) SUBSCRIBE \(subscriptions.map(\.words).joined(separator: ", "))"
                + (identifier.map { " identifier \($0)" } ?? "")
        case .unsubscribe(let client, let filters): "c\(client) UNSUBSCRIBE \(filters.joined(separator: ", "))"
        case .leave(let client, let filters, let wanted):
            "c\(client) in one segment\(wanted.map { " CONNECT \($0)," } ?? "") UNSUBSCRIBE "
                + "\(filters.joined(separator: ", ")), DISCONNECT expiry 0"
        case .publish(let client, let wanted): "c\(client) PUBLISH \(wanted.isEmpty ? "" : "m\(number) ")\(wanted)"
        case .publishAgain(let client, let pick): "c\(client) PUBLISH again (\(pick))"
        case .release(let client, let pick): "c\(client) PUBREL (\(pick))"
        case .acknowledge(let client, let pick): "c\(client) acknowledges (\(pick))"
        case .refuse(let client, let pick): "c\(client) PUBREC with an error (\(pick))"
        case .stray(let client, let type): "c\(client) stray \(type)"
        case .drain(let client): "c\(client) acknowledges everything"
        case .writable(let client, let isWritable): "c\(client) takes \(isWritable ? "bytes again" : "no bytes")"
        case .ping(let client): "c\(client) PINGREQ"
        case .wait(let tenths): "\(tenths.seconds) pass"
        case .restart(let tenths): "the broker starts again \(tenths.seconds) later"
        }
    }
}

extension Schedule.Connecting: CustomStringConvertible {
    var description: String {
        var words = [version == .v5 ? "5.0" : "3.1.1"]
        if cleanStart { words.append("clean") }
        if version == .v5 { words.append("expiry \(sessionExpiryInterval)") }
        if let receiveMaximum { words.append("Receive Maximum \(receiveMaximum)") }
        if let topicAliasMaximum { words.append("Topic Alias Maximum \(topicAliasMaximum)") }
        if takesSmallOnly { words.append("Maximum Packet Size \(Schedule.maximumPacketSize)") }
        if keepAlive > 0 { words.append("Keep Alive \(keepAlive)") }
        if let will {
            words.append("will QoS \(will.qos.rawValue) delay \(will.delayInterval)\(will.retain ? " RETAIN" : "")")
            if let expiry = will.messageExpiryInterval { words.append("Message Expiry Interval \(expiry)") }
        }
        return words.joined(separator: " ")
    }
}

extension Schedule.Publishing: CustomStringConvertible {
    var description: String {
        var words = [topic, "QoS \(qos.rawValue)"]
        if retain { words.append("RETAIN") }
        if isEmpty { words.append("empty") }
        if isLarge { words.append("large") }
        if let messageExpiryInterval { words.append("Message Expiry Interval \(messageExpiryInterval)") }
        if hasContentType { words.append("Content Type") }
        return words.joined(separator: " ")
    }
}

extension Subscribe.Subscription {
    fileprivate var words: String {
        var words = [filter, "QoS \(options.qos.rawValue)"]
        if options.noLocal { words.append("No Local") }
        if options.retainAsPublished { words.append("Retain As Published") }
        if options.retainHandling != .sendAtSubscribe { words.append("\(options.retainHandling)") }
        return words.joined(separator: " ")
    }
}

extension Int {
    fileprivate var seconds: String { "\(self / 10).\(self % 10) s" }
}
