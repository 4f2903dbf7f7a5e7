import BrokerCore
import MQTTCodec
import NIOCore

private struct SessionFlags: OptionSet {
    let rawValue: UInt8

    static let userName = SessionFlags(rawValue: 0x01)
    static let will = SessionFlags(rawValue: 0x02)
    static let willDueAt = SessionFlags(rawValue: 0x04)
    static let takenForRead = SessionFlags(rawValue: 0x08)
    /// Since version 2.
    static let isUserProven = SessionFlags(rawValue: 0x10)
    static func all(_ version: UInt8) -> SessionFlags {
        let first: SessionFlags = [.userName, .will, .willDueAt, .takenForRead]
        return version < 2 ? first : first.union(.isUserProven)
    }
}

private struct WillFlags {
    static let qos: UInt8 = 0x03
    static let retain: UInt8 = 0x04
    static let all = qos | retain
}

extension RecordWriter {
    mutating func value(_ session: SessionRecord, _ clock: ClockReading) {
        var flags: SessionFlags = []
        if session.userName != nil { flags.insert(.userName) }
        if session.will != nil { flags.insert(.will) }
        if session.willDueAt != nil { flags.insert(.willDueAt) }
        if session.takenForRead != 0 { flags.insert(.takenForRead) }
        if session.isUserProven ?? false { flags.insert(.isUserProven) }
        // What is not known is not made up.
        byte(session.isUserProven == nil ? 1 : RecordVersion.session)
        byte(flags.rawValue)
        fixed(session.number.rawValue)
        fixed(session.expiryInterval)
        fixed(clock.stored(session.expiresAt))
        if let userName = session.userName { sizedText(userName) }
        if let will = session.will { value(will) }
        if let willDueAt = session.willDueAt { fixed(clock.stored(willDueAt)) }
        if session.takenForRead != 0 { fixed(session.takenForRead) }
    }

    private mutating func value(_ will: Will) {
        byte(will.qos.rawValue | (will.retain ? WillFlags.retain : 0))
        fixed(will.delayInterval)
        sizedText(will.topic.string)
        sized(will.properties.encoded.readableBytesSpan)
        sized(will.payload.readableBytesSpan)
    }
}

extension SessionRecord {
    /// - Parameter key: without the byte that names the kind.
    init(_ key: inout RecordReader, _ value: inout RecordReader, _ clock: ClockReading) throws(RecordProblem) {
        let version = try value.version(upTo: RecordVersion.session)
        let flags = SessionFlags(rawValue: try value.byte())
        guard flags.isSubset(of: .all(version)) else { throw .damaged("unknown flags") }
        let name = try SessionName(&key)
        let number = SessionNumber(rawValue: try value.fixed(UInt64.self))
        guard number != .none else { throw .damaged("session number 0") }
        let expiryInterval = try value.fixed(UInt32.self)
        let expiresAt = clock.deadline(try value.fixed(UInt64.self))
        let userName = flags.contains(.userName) ? try value.sizedText() : nil
        let will = flags.contains(.will) ? try Will(&value) : nil
        let willDueAt = flags.contains(.willDueAt) ? clock.deadline(try value.fixed(UInt64.self)) : nil
        let takenForRead = flags.contains(.takenForRead) ? try value.fixed(UInt64.self) : 0
        try value.expectEnd()
        self.init(
            name: name,
            number: number,
            userName: userName,
            isUserProven: version < 2 ? nil : flags.contains(.isUserProven),
            expiryInterval: expiryInterval,
            expiresAt: expiresAt,
            will: will,
            willDueAt: willDueAt,
            takenForRead: takenForRead
        )
    }
}

extension SessionName {
    fileprivate init(_ key: inout RecordReader) throws(RecordProblem) {
        let text = try key.restText()
        self = text.utf8.first == 0 ? .own(String(text.dropFirst())) : .client(text)
    }
}

extension Will {
    fileprivate init(_ value: inout RecordReader) throws(RecordProblem) {
        let flags = try value.byte()
        guard flags & ~WillFlags.all == 0, let qos = QoS(rawValue: flags & WillFlags.qos) else {
            throw .damaged("unknown flags of a will")
        }
        let delayInterval = try value.fixed(UInt32.self)
        let name = try value.sizedText()
        guard let topic = try? TopicName(name) else { throw .damaged("the will's topic is no Topic Name") }
        let properties = try PublishProperties(record: try value.sized())
        let payload = try value.sized()
        self.init(
            topic: topic,
            payload: ByteBuffer(bytes: payload),
            qos: qos,
            retain: flags & WillFlags.retain != 0,
            delayInterval: delayInterval,
            properties: properties
        )
    }
}

extension PublishProperties {
    /// Reads a property list as MQTT 5.0 writes it.
    init(record bytes: UnsafeRawBufferPointer) throws(RecordProblem) {
        do throws(MalformedPacket) {
            self = try PublishProperties.decode(bytes.bytes, fromClient: true)
        } catch {
            throw .damaged("properties: \(error.detail)")
        }
    }
}
