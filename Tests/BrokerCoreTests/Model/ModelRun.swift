import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore

/// Runs a schedule on the broker and on the model, and compares them after each step and at each deadline.
final class ModelRun {
    private let schedule: Schedule
    let model: ModelBroker
    private(set) var test: TestBroker
    /// The connection of each client.
    private var links: [Link?]
    /// What happened, in words; kept only when asked for.
    private var transcript: [String] = []
    private let isRecording: Bool

    init(_ schedule: Schedule, isRecording: Bool = false) {
        self.schedule = schedule
        self.isRecording = isRecording
        model = ModelBroker(setting: schedule.setting)
        links = Array(repeating: nil, count: Schedule.clients + 1)
        test = Self.broker(schedule.setting, TestStore(), at: 0)
    }

    /// - Throws: the first difference.
    static func check(_ schedule: Schedule) throws { try ModelRun(schedule).run() }

    /// What happens, in words, as far as the first difference.
    static func transcript(of schedule: Schedule) -> [String] {
        let run = ModelRun(schedule, isRecording: true)
        do {
            try run.run()
            return run.transcript
        } catch {
            return run.transcript + ["\(error)"]
        }
    }

    func run() throws {
        for step in schedule.steps {
            record(step)
            // No two steps happen at the same moment, so that what comes of them later comes in an order, too.
            try pass(to: model.now + 1)
            model.nextBatch()
            try perform(step)
            model.endTick()
            try compare()
        }
        try compareRetained()
    }

    private static func broker(
        _ setting: Schedule.Setting,
        _ store: TestStore,
        at time: Int64
    ) -> TestBroker {
        TestBroker(
            store: store,
            // Who is disconnected does not get the answers that wait for the store; the model's clients get all.
            durability: setting.queue?.whenFull == .disconnect ? .none : .strict,
            time: deadline(time),
            queue: {
                guard let queue = setting.queue else { return }
                $0.messages = queue.messages
                $0.whenFull = queue.whenFull
            },
            limits: { $0.inflightMessages = setting.inflightMessages }
        )
    }

    private static func deadline(_ time: Int64) -> NIODeadline { TestBroker.start + .milliseconds(time) }

    // MARK: Steps

    private func perform(_ step: Schedule.Step) throws {
        switch step.action {
        case .connect(let client, let wanted): connect(client, wanted, "w\(step.number)")
        case .wait(let tenths): try pass(to: model.now + Int64(tenths) * 100)
        case .restart(let tenths): restart(tenths)
        case .drop(let client): withLink(client) { $0.drop(model) }
        case .disconnect(let client, let withWill, let expiry):
            withLink(client) { $0.disconnect(model, withWill: withWill, expiry: expiry) }
        case .subscribe(let client, let wanted, let identifier):
            try withLink(client) { try $0.subscribe(model, wanted, identifier) }
        case .unsubscribe(let client, let filters): withLink(client) { $0.unsubscribe(model, filters) }
        case .leave(let client, let filters, let wanted): leave(client, filters, after: wanted)
        case .publish(let client, let wanted): try withLink(client) { try $0.publish(model, wanted, step.number) }
        case .publishAgain(let client, let pick): try withLink(client) { try $0.publishAgain(model, pick) }
        case .release(let client, let pick): withLink(client) { $0.release(model, pick) }
        case .acknowledge(let client, let pick): withLink(client) { $0.acknowledge(model, pick) }
        case .refuse(let client, let pick): withLink(client) { $0.refuse(model, pick) }
        case .stray(let client, let type): withLink(client) { $0.stray(model, type) }
        case .ping(let client): withLink(client) { $0.ping(model) }
        case .writable(let client, let isWritable): withLink(client) { $0.setWritable(model, isWritable) }
        case .drain(let client): try drain(client)
        }
    }

    private func withLink(_ client: Int, _ body: (Link) throws -> Void) rethrows {
        if let link = links[client] { try body(link) }
    }

    private func connect(_ client: Int, _ wanted: Schedule.Connecting, _ text: String) {
        let link = Link(test.open(wanted.version), model.connect(client, wanted, text: text))
        link.former = links[client]
        links[client] = link
        link.connect(client, wanted, text)
    }

    private func leave(_ client: Int, _ filters: [String], after wanted: Schedule.Connecting?) {
        if let wanted {
            guard links[client] == nil else { return }
            let link = Link(test.open(wanted.version), model.connect(client, wanted, text: ""))
            links[client] = link
            link.beginSegment()
            link.connect(client, wanted, "")
        }
        withLink(client) { $0.leave(model, filters) }
    }

    private func restart(_ tenths: Int) {
        let time = model.now + Int64(tenths) * 100
        links = links.map { _ in nil }
        test.storeAll()
        test = Self.broker(schedule.setting, test.store, at: time)
        test.advance(to: Self.deadline(time))
        model.restart(at: time)
    }

    /// One acknowledgement after the other, until nothing is in flight.
    private func drain(_ client: Int) throws {
        for _ in 0..<200 {
            guard let link = links[client], let session = model.session(client), !session.inflight.isEmpty else {
                return
            }
            link.acknowledge(model, 0)
            try compare()
        }
    }

    // MARK: Time

    /// Moves the time on, as the loop does: with a stop at each deadline, the broker's and the model's.
    private func pass(to target: Int64) throws {
        while model.now < target {
            let broker = test.broker.nextDeadline.map { ($0 - TestBroker.start).nanoseconds / 1_000_000 } ?? target
            let next = min(target, max(broker, model.now + 1), max(model.nextDeadline ?? target, model.now + 1))
            model.nextBatch()
            test.advance(to: Self.deadline(next))
            model.advance(to: next)
            try compare()
        }
    }

    // MARK: Comparing

    private func compare() throws {
        for client in links.indices {
            guard let link = links[client] else { continue }
            if let former = link.former.take() { try compare(former, client) }
            try compare(link, client)
            if link.connection.isClosed { links[client] = nil }
        }
        for share in model.shares where share.isMissing {
            throw ModelMismatch("no member of \(share.filter) has got \(share.text.brief)")
        }
        model.shares.removeAll { $0.isTaken || $0.isMissing }
    }

    private func compare(_ link: Link, _ client: Int) throws {
        do {
            try link.compare(model) { if isRecording { transcript.append("        to c\(client): \($0)") } }
        } catch {
            throw ModelMismatch("c\(client): \(error)")
        }
    }

    private func compareRetained() throws {
        for topic in Schedule.topics + (0..<Schedule.clients).map(Schedule.willTopic) {
            // To look for a message that may have expired would make the broker remove it.
            guard model.retained[topic]?.expiresAt == nil else { continue }
            let isRetained = test.broker.isRetained(try TopicName(topic))
            guard isRetained != model.isRetained(topic) else { continue }
            throw ModelMismatch("\(topic) has \(isRetained ? "a" : "no") retained message")
        }
    }

    private func record(_ step: Schedule.Step) {
        guard isRecording else { return }
        transcript.append("[\(Double(model.now) / 1_000) s] \(step)")
    }
}
