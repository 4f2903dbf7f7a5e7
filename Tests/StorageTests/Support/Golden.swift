import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Storage
import Testing

/// One record as bytes, as they are on somebody's disk: if a test wants them changed, old data would not be readable any
/// more, and a new version of the record is due.
struct Golden: Sendable, CustomTestStringConvertible {
    let name: String
    let batch: StoreBatch
    let key: [UInt8]
    let value: [UInt8]
    /// What must be there already.
    let before: [(key: [UInt8], value: [UInt8])]
    /// What recovery says.
    let recovered: [String]

    var testDescription: String { name }

    init(
        _ name: String,
        _ key: String,
        _ value: String,
        before: [Golden] = [],
        recovered: [String],
        _ make: (inout StoreBatch) throws -> Void
    ) rethrows {
        var batch = StoreBatch(number: 1)
        try make(&batch)
        self.name = name
        self.batch = batch
        self.key = wireBytes(key)
        self.value = wireBytes(value)
        self.before = before.map { ($0.key, $0.value) }
        self.recovered = recovered
    }

    /// A store with this record and what must be there already.
    func store() throws -> MemoryKeyValueStore {
        let store = MemoryKeyValueStore()
        let batch = KeyValueBatch()
        for record in [Golden.format] + before + [(key, value)] { batch.put(record.key, record.value) }
        try store.write(batch, synced: true)
        return store
    }

    /// What every store begins with.
    static let format = (key: wireBytes("'!'"), value: wireBytes("01 'Sluice'"))
}

// The records, version by version. Written by hand after docs/STORAGE.md, not by the code that they test.
extension Golden {
    static func all() throws -> [Golden] {
        try [session, formerSession, ownSession, fullSession(), subscription, sharedSubscription, received]
            + [message(), fullMessage(), published(), released(), done(), retained(), fullRetained()]
    }

    static let session = Golden(
        "session, version 2",
        "'sc1'",
        "02 00 0000000000000005 ffffffff ffffffffffffffff",
        recovered: ["session c1 5 user - expiry 4294967295 at never will - due - read 0"]
    ) { $0.add(.session(SessionRecord("c1", 5))) }

    static let ownSession = Golden(
        "session of the broker's own, version 2",
        "'s' 00 'c1'",
        "02 00 0000000000000005 ffffffff ffffffffffffffff",
        recovered: ["session own c1 5 user - expiry 4294967295 at never will - due - read 0"]
    ) { $0.add(.session(SessionRecord(.own("c1"), 5))) }

    static let formerSession = Golden(
        "session, version 1",
        "'sc1'",
        "01 01 0000000000000005 ffffffff ffffffffffffffff 03 'ann'",
        recovered: ["session c1 5 user ann of old expiry 4294967295 at never will - due - read 0"]
    ) { batch in
        batch.add(
            .session(
                SessionRecord(
                    name: .client("c1"),
                    number: SessionNumber(rawValue: 5),
                    userName: "ann",
                    isUserProven: nil,
                    expiryInterval: .max,
                    expiresAt: .distantFuture,
                    will: nil,
                    willDueAt: nil,
                    takenForRead: 0
                )
            )
        )
    }

    static func fullSession() throws -> Golden {
        var properties = PublishProperties()
        properties.payloadFormatIndicator = true
        properties.messageExpiryInterval = 10
        properties.contentType = "text"
        let will = Will(
            topic: try TopicName("w/gone"),
            payload: ByteBuffer(string: "bye"),
            qos: .exactlyOnce,
            retain: true,
            delayInterval: 30,
            properties: properties
        )
        let session = SessionRecord(
            name: .client("c2"),
            number: SessionNumber(rawValue: 0x0102_0304_0506_0708),
            userName: "ann",
            isUserProven: true,
            expiryInterval: 60,
            expiresAt: after(milliseconds: 5_000),
            will: will,
            willDueAt: after(milliseconds: 1),
            takenForRead: 0x0a
        )
        return Golden(
            "session with everything, version 2",
            "'sc2'",
            """
            02 1f 0102030405060708 0000003c 0000018bcfe57b88 03 'ann'
            06 0000001e 06 'w/gone' { 01 01 02 0000000a 03 "text" } 03 'bye'
            0000018bcfe56801 000000000000000a
            """,
            recovered: [
                "session c2 72623859790382856 user ann proven expiry 60 at 6000000000 "
                    + "will w/gone 627965 exactlyOnce true 30 true 10 - - text [] due 1001000000 read 10"
            ]
        ) { $0.add(.session(session)) }
    }

    static let subscription = Golden(
        "subscription, version 1",
        "'f' 0000000000000005 'a/+'",
        "01 2e 00",
        before: [session],
        recovered: session.recovered + [
            "subscription 5 a/+ SubscriptionOptions(qos: MQTTCodec.QoS.exactlyOnce, noLocal: true, "
                + "retainAsPublished: true, retainHandling: MQTTCodec.SubscriptionOptions.RetainHandling.doNotSend) 0"
        ]
    ) { batch in
        let options = SubscriptionOptions(
            qos: .exactlyOnce,
            noLocal: true,
            retainAsPublished: true,
            retainHandling: .doNotSend
        )
        let subscription = SubscriptionRecord(filter: "a/+", options: options, identifier: 0)
        batch.add(.subscription(subscription, of: SessionNumber(rawValue: 5)))
    }

    static let sharedSubscription = Golden(
        "shared subscription with an identifier, version 1",
        "'f' 0000000000000005 '$share/g/#'",
        "01 01 ffffff7f",
        before: [session],
        recovered: session.recovered + [
            "subscription 5 $share/g/# SubscriptionOptions(qos: MQTTCodec.QoS.atLeastOnce, noLocal: false, "
                + "retainAsPublished: false, retainHandling: MQTTCodec.SubscriptionOptions.RetainHandling"
                + ".sendAtSubscribe) 268435455"
        ]
    ) { batch in
        let options = SubscriptionOptions(qos: .atLeastOnce)
        let subscription = SubscriptionRecord(filter: "$share/g/#", options: options, identifier: 268_435_455)
        batch.add(.subscription(subscription, of: SessionNumber(rawValue: 5)))
    }

    static let received = Golden(
        "received Packet Identifier, version 1",
        "'r' 0000000000000005 fffe",
        "01",
        before: [session],
        recovered: session.recovered + ["received 5 65534"]
    ) { $0.add(.received(65_534, of: SessionNumber(rawValue: 5))) }
}
