import BrokerCore
import CoreRuntime
import HTTPServer
import HTTPTypes
import JSONMessages
import MQTTCodec
import NIOConcurrencyHelpers
import NIOCore

/// The subscriptions of clients that poll without a session of their own: their virtual connection is kept from one
/// poll to the next, and found again by an unguessable cursor.
///
/// So many are open in all, and of one address and user; of these the one that nobody asks for longest gives way.
final class Polls: Sendable {
    fileprivate struct State {
        var open: [String: Poll] = [:]
        var quota: Quota
        /// Those between two polls.
        var idle: [Holder: UseOrder<String>] = [:]
    }

    private let state: NIOLockedValueBox<State>
    private let timeout: TimeAmount
    private let refusals: Refusals

    /// - Parameters:
    ///   - timeout: how long one lives without a poll.
    ///   - limit: how many may be open.
    init(timeout: TimeAmount, _ limit: Quota.Limit, refusals: Refusals) {
        self.timeout = timeout
        self.refusals = refusals
        state = NIOLockedValueBox(State(quota: Quota(limit)))
    }

    /// Answers one poll.
    ///
    /// The cursor is the token and the number of the batch asked for, and acknowledges the one before. Asking for the
    /// same batch again gets the same one, as long as it is not acknowledged.
    func poll(
        _ request: SubscribeRequest,
        _ form: SubscribeRequest.LongPoll,
        _ identity: Identity,
        _ client: Client,
        _ gateway: Gateway
    ) async throws(Problem) -> Response {
        let token: String
        let poll: Poll
        if let cursor = form.cursor {
            let former = state.withLockedValue { $0.open[cursor.epoch] }
            let owner = try await gateway.core.transact(as: identity) { broker, connection in
                let owner = identity.owner(connection.userName)
                if let former, former.owner == owner { former.subscriber.prolong(byTokenOf: connection, broker) }
                return owner
            }
            guard let found = former, found.owner == owner else {
                throw Problem(
                    .notFound,
                    .packetIdentifierNotFound,
                    "the cursor is unknown, or nobody asked for too long"
                )
            }
            (token, poll) = (cursor.epoch, found)
        } else {
            token = Token.random()
            let subscriber = try await Subscriber(request, as: identity, gateway)
            let holder = Holder(network: identity.address.network, userName: subscriber.userName)
            poll = Poll(subscriber, owner: identity.owner(subscriber.userName), holder: holder)
            try add(poll, token, identity)
        }
        begin(poll, token)
        defer { rest(poll, token, client) }
        let number = form.cursor?.sequence ?? 1
        do throws(Problem) {
            let batch = try await poll.batch(number, form, client)
            let next = batch.isEmpty ? number : number + 1
            return .batch(batch, epoch: poll.subscriber.epoch, next: "\(token).\(next)")
        } catch {
            if poll.isOver { end(token) }
            throw error
        }
    }

    /// Finds a place for one more.
    private func add(_ poll: Poll, _ token: String, _ identity: Identity) throws(Problem) {
        let (refusal, former) = state.withLockedValue { state -> (Quota.Refusal?, Poll?) in
            var former: Poll?
            if state.quota.refusal(for: poll.holder) != nil, let oldest = state.idle[poll.holder]?.first() {
                former = state.remove(oldest)
            }
            let refusal = state.quota.take(for: poll.holder)
            if refusal == nil { state.open[token] = poll }
            return (refusal, former)
        }
        former?.subscriber.close()
        guard let refusal else { return }
        poll.subscriber.close()
        refusals.note(.polls, "\(identity.address)")
        throw refusal.isOwnShare
            ? Problem(.quotaExceeded, detail: "too many subscriptions by long-poll from this address or user")
            : Problem(.serverBusy, detail: "too many subscriptions by long-poll")
    }

    /// A poll is in progress: it does not give way.
    private func begin(_ poll: Poll, _ token: String) {
        poll.keep()
        state.withLockedValue { $0.idle[poll.holder]?.remove(token) }
    }

    /// A poll is over: another one has so much time to come.
    private func rest(_ poll: Poll, _ token: String, _ client: Client) {
        guard poll.expire(in: timeout, on: client.channel.eventLoop, { self.end(token) }) else { return }
        state.withLockedValue { state in
            if state.open[token] != nil { state.idle[poll.holder, default: UseOrder()].use(token) }
        }
    }

    private func end(_ token: String) {
        state.withLockedValue { $0.remove(token) }?.subscriber.close()
    }
}

extension Polls.State {
    fileprivate mutating func remove(_ token: String) -> Poll? {
        guard let poll = open.removeValue(forKey: token) else { return nil }
        quota.giveBack(for: poll.holder)
        idle[poll.holder]?.remove(token)
        if idle[poll.holder]?.isEmpty ?? false { idle[poll.holder] = nil }
        return poll
    }
}

/// One such subscription.
final class Poll: Sendable {
    private struct State {
        /// Of the batch that was answered last and is not acknowledged, or of the last one acknowledged.
        var number: UInt64 = 0
        /// Answered and not acknowledged.
        var batch: [Delivery] = []
        /// Polls in progress: the latest, and those that are about to notice that they are not.
        var inProgress = 0
        var expiry: Scheduled<Void>?
        var isOver = false
    }

    let subscriber: Subscriber
    /// Who may go on with it.
    let owner: RequestOwner
    /// Whose shares it uses.
    let holder: Holder
    private let state = NIOLockedValueBox(State())

    init(_ subscriber: Subscriber, owner: RequestOwner, holder: Holder) {
        self.holder = holder
        self.subscriber = subscriber
        self.owner = owner
    }

    /// Whether the broker has ended its connection.
    var isOver: Bool { state.withLockedValue { $0.isOver } }

    /// The batch of that number.
    ///
    /// - Throws: 409 when it is neither the next one nor the last, or what the broker says.
    func batch(
        _ number: UInt64,
        _ form: SubscribeRequest.LongPoll,
        _ client: Client
    ) async throws(Problem) -> [Delivery] {
        let found = state.withLockedValue { state -> (again: [Delivery]?, acknowledged: [Delivery])? in
            if number == state.number, !state.batch.isEmpty { return (state.batch, []) }
            guard number == state.number + 1 else { return nil }
            let acknowledged = state.batch
            state.batch = []
            return (nil, acknowledged)
        }
        guard let found else {
            throw Problem(.conflict, .packetIdentifierNotFound, "the cursor is not the latest one")
        }
        if let again = found.again { return again }
        subscriber.acknowledge(found.acknowledged)
        await subscriber.catchUp()
        do throws(Problem) {
            let batch = try await subscriber.inbox.batch(form, client)
            guard !batch.isEmpty else { return [] }
            state.withLockedValue { state in
                state.number = number
                state.batch = batch
            }
            return batch
        } catch {
            state.withLockedValue { $0.isOver = true }
            throw error
        }
    }

    /// A poll is in progress.
    func keep() {
        let expiry = state.withLockedValue { state in
            state.inProgress += 1
            return state.expiry.take()
        }
        expiry?.cancel()
    }

    /// A poll is over: another one has so much time to come.
    ///
    /// - Returns: whether no other one is in progress.
    func expire(
        in delay: TimeAmount,
        on eventLoop: any EventLoop,
        _ action: @escaping @Sendable () -> Void
    ) -> Bool {
        let expiry = eventLoop.scheduleTask(in: delay) {
            if self.state.withLockedValue({ $0.inProgress == 0 }) { action() }
        }
        let (former, isIdle) = state.withLockedValue { state -> (Scheduled<Void>?, Bool) in
            state.inProgress -= 1
            let former = state.expiry
            state.expiry = expiry
            return (former, state.inProgress == 0)
        }
        former?.cancel()
        return isIdle
    }
}
