import BrokerCore
import HTTPTypes
import JSONMessages
import MQTTCodec
import NIOConcurrencyHelpers
import NIOCore

/// The subscriptions of clients that poll without a session of their own: their virtual connection is kept from one
/// poll to the next, and found again by an unguessable cursor.
final class Polls: Sendable {
    private let open = NIOLockedValueBox<[String: Poll]>([:])
    private let timeout: TimeAmount

    /// - Parameter timeout: how long one lives without a poll.
    init(timeout: TimeAmount) { self.timeout = timeout }

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
            let former = open.withLockedValue { $0[cursor.epoch] }
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
            poll = Poll(subscriber, owner: identity.owner(subscriber.userName))
            open.withLockedValue { $0[token] = poll }
        }
        poll.keep()
        defer { poll.expire(in: timeout, on: client.channel.eventLoop) { self.end(token) } }
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

    private func end(_ token: String) {
        open.withLockedValue { $0.removeValue(forKey: token) }?.subscriber.close()
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
    private let state = NIOLockedValueBox(State())

    init(_ subscriber: Subscriber, owner: RequestOwner) {
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
    func expire(in delay: TimeAmount, on eventLoop: any EventLoop, _ action: @escaping @Sendable () -> Void) {
        let expiry = eventLoop.scheduleTask(in: delay) {
            if self.state.withLockedValue({ $0.inProgress == 0 }) { action() }
        }
        let former = state.withLockedValue { state -> Scheduled<Void>? in
            state.inProgress -= 1
            let former = state.expiry
            state.expiry = expiry
            return former
        }
        former?.cancel()
    }
}
