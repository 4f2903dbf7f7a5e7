import MQTTCodec
import NIOCore

// Recovery from the store: at the start, and when a client returns.
extension Broker {
    /// Restores sessions and retained messages from the store; queued messages stay there.
    ///
    /// To be called once, before any other call.
    ///
    /// - Throws: when the store can't be read.
    package func recover() throws {
        guard let store = commits.store else { return }
        var recovered: [SessionNumber: Session] = [:]
        var left: [SessionNumber: LeftInStore] = [:]
        try store.recover(now: now) { record in
            switch record {
            case .session(let record): recovered[record.number] = restore(record)
            case .subscription(let record, let number):
                if let session = recovered[number] { restore(record, to: session) }
            case .received(let packetID, let number): recovered[number]?.inbound.received.insert(packetID)
            case .retained(let message): message.withBytes { topic, _ in keepRetained(message, topic, for: .nobody) }
            case .message(let message): restore(message, recovered, &left)
            }
        }
        scheduleRetainedExpiry()
        for session in recovered.values {
            guard session.isPersistent else {
                // A session that is not persistent has ended with the former process.
                session.life.will = nil
                endSession(session)
                continue
            }
            session.order.nextSequence = max(session.order.nextSequence, commits.epoch)
            resumeClocks(of: session)
            restoreRetainedDeliveries(session)
        }
        // All members are restored now.
        for left in left.values { passOn(left) }
    }

    private func restore(_ record: SessionRecord) -> Session {
        let session = Session(
            name: record.name,
            number: record.number,
            publisherID: PublisherID(clientID: record.clientID)
        )
        session.storage.isStored = true
        session.names.userName = record.userName
        session.life.expiryInterval = record.expiryInterval
        session.life.expiresAt = record.expiresAt
        session.life.will = record.will
        session.life.willDueAt = record.willDueAt
        session.order.takenForRead = record.takenForRead
        session.names.isFromSharedNames = record.isUserProven == nil
        // The owner is known from now on, and no other user may use the session.
        session.counted.holder = Holder(
            network: nil,
            userName: record.isUserProven ?? access.authenticator.knowsUsers ? record.userName : nil
        )
        registry.restore(session)
        return session
    }

    private func restore(_ record: SubscriptionRecord, to session: Session) {
        guard let filter = try? TopicFilter(record.filter) else { return }
        let subscription = Subscription(
            session: session,
            filter: filter,
            options: record.options,
            identifier: record.identifier
        )
        subscription.isOwedRetained = record.isOwedRetained
        session.interest.subscriptions[record.filter] = subscription
        session.counted.subscriptionBytes += Subscription.cost(filter)
        router.insert(subscription)
    }

    /// - Parameter left: takes messages of shared subscriptions whose session does not exist any more.
    private func restore(
        _ message: RecoveredMessage,
        _ recovered: [SessionNumber: Session],
        _ left: inout [SessionNumber: LeftInStore]
    ) {
        journal?.recover(message)
        for (index, destination) in message.destinations.enumerated() where destination.state != .done {
            let place = StoredPlace(message: message.number, destination: UInt32(index))
            let filter = destination.share.flatMap { try? TopicFilter($0) }
            let cost = message.cost + OutboundMessage.overhead + MemoryCost.identifiers(destination.identifiers)
            guard let session = recovered[destination.session] else {
                if let filter, destination.isForOthers {
                    left[destination.session, default: LeftInStore(of: SessionShares())]
                        .append(destination, of: filter, at: place, cost: cost)
                } else {
                    journal?.finish(place)
                }
                continue
            }
            session.order.nextSequence = max(session.order.nextSequence, destination.sequence)
            let share = filter.map { session.interest.shares.number(of: $0) } ?? .none
            switch destination.state {
            case .published(let packetID):
                session.storage.inflight.append(
                    StoredInflight(place, destination.sequence, packetID, .published, share, cost: cost)
                )
                session.storage.inflightBytes += cost
            case .released(let packetID):
                session.storage.inflight.append(
                    StoredInflight(place, destination.sequence, packetID, .released, share, cost: cost)
                )
            case .queued, .done:
                session.queue.append(
                    StoredOutbound(
                        place: place,
                        sequence: destination.sequence,
                        cost: cost,
                        share: share,
                        expiresAt: message.expiresAt
                    )
                )
            }
        }
    }

    /// Starts the expiry and the will delay of a session that was connected when the broker stopped.
    ///
    /// Both are stored, so that they do not start again at the next start.
    private func resumeClocks(of session: Session) {
        let expires = session.expiresAt == .distantFuture && session.expiryInterval != .max
        if expires { session.life.expiresAt = now + .seconds(Int64(session.expiryInterval)) }
        scheduleExpiry(session)
        var isWillDue = false
        if let will = session.will {
            isWillDue = session.life.willDueAt == nil
            scheduleWill(session, at: session.life.willDueAt ?? now + .seconds(Int64(will.delayInterval)))
        }
        if expires || isWillDue { save(session) }
        scheduleMessageExpiry(session)
        recount(session)
        noteQueued(session)
        noteIdle(session)
    }

    // MARK: Reading back

    /// Calls back once all messages that the client can take now have been read back, or could not be.
    func whenLoaded(_ session: Session, _ done: @escaping () -> Void) {
        if session.isLoading { session.loading.waiting.append(done) } else { done() }
    }

    /// Calls the callbacks after a read, unless another one follows.
    private func noteLoaded(_ session: Session) {
        if !session.isLoading { forgetWhenLoaded(session) }
    }

    /// Calls the callbacks, since no read is to be waited for any more.
    func forgetWhenLoaded(_ session: Session) {
        let waiting = session.loading.waiting
        session.loading.waiting = []
        for done in waiting { done() }
    }

    /// Reads the next messages of a session's queue.
    func loadPage(_ session: Session) {
        let places = session.queue.nextPage()
        session.loading.isLoading = true
        read(places) { broker, result in
            guard !session.hasEnded else { return }
            guard case .success(let messages) = result else { return broker.retryLoading(session) }
            session.loading.isLoading = false
            let missing = session.queue.fill(places, messages.map { $0.map(OutboundMessage.init) })
            broker.statistics.dropped &+= UInt64(missing)
            broker.sendQueued(session)
            broker.noteLoaded(session)
        }
    }

    /// Reads the unacknowledged messages of a former process for a client that has returned, and sends them again.
    ///
    /// - Parameter sequence: see `resume`.
    func loadInflight(_ session: Session, after sequence: UInt64?) {
        session.loading.acknowledgedSequence = sequence
        guard !session.isLoading else { return }
        session.loading.isLoading = true
        let places = session.storage.inflight.filter { $0.state == .published }.map(\.place)
        read(places) { broker, result in
            guard !session.hasEnded else { return }
            guard case .success(let messages) = result else { return broker.retryLoading(session) }
            session.loading.isLoading = false
            broker.restoreInflight(session, Dictionary(zip(places, messages)) { first, _ in first })
            broker.noteLoaded(session)
        }
    }

    private func restoreInflight(_ session: Session, _ messages: [StoredPlace: LoadedMessage?]) {
        for delivery in session.storage.inflight {
            var outbound: OutboundMessage
            if delivery.state == .released {
                outbound = .released(delivery)
            } else if let loaded = messages[delivery.place] ?? nil {
                outbound = OutboundMessage(loaded)
                outbound.place = delivery.place
                outbound.share = delivery.share
            } else {
                journal?.finish(delivery.place)
                statistics.dropped &+= 1
                continue
            }
            guard session.window.restore(outbound, id: delivery.packetID, state: delivery.state) else {
                finish(outbound)
                statistics.dropped &+= 1
                continue
            }
        }
        session.storage.inflight = []
        session.storage.inflightBytes = 0
        noteQueued(session)
        session.window.beginConnection()
        guard session.connection != nil else { return }
        if let sequence = session.loading.acknowledgedSequence { complete(through: sequence, session) }
        resumeReleased(session)
        sendQueued(session)
    }

    /// Reads again later; until then the session is still loading, since no message may overtake those that could not
    /// be read.
    private func retryLoading(_ session: Session) {
        forgetWhenLoaded(session)
        timers.cancel(session.loading.retryTimer)
        session.loading.retryTimer = timers.add(
            .loadRetry(session.name, session.number),
            at: now + .seconds(1)
        )
    }

    /// Reads again after a failure, if the session's client is connected.
    func loadAgain(_ session: Session) {
        session.loading.isLoading = false
        guard session.connection != nil else { return }
        if session.storage.inflight.isEmpty {
            sendQueued(session)
        } else {
            loadInflight(session, after: session.loading.acknowledgedSequence)
        }
    }

    /// Reads stored messages, from the store or from unwritten batches.
    ///
    /// - Parameter completion: called on the core loop, later.
    func read(
        _ places: [StoredPlace],
        _ completion: @escaping @Sendable (Broker, Result<[LoadedMessage?], StoreFailure>) -> Void
    ) {
        guard let journal, let submit = host.submit else { return }
        let unwritten = places.map { journal.unwritten($0) }
        let wanted = zip(places, unwritten).filter { $0.1 == nil }.map(\.0)
        guard !wanted.isEmpty else { return submit { completion($0, .success(unwritten)) } }
        journal.load(wanted) { result in
            submit { broker in
                completion(
                    broker,
                    result.map { loaded in
                        var rest = loaded.makeIterator()
                        return unwritten.map { $0 ?? (rest.next() ?? nil) }
                    }
                )
            }
        }
    }
}

extension OutboundMessage {
    /// A message that was read back; the reader sets its place.
    init(_ loaded: LoadedMessage) {
        self.init(
            message: loaded.message,
            qos: loaded.destination.qos,
            retain: loaded.destination.retain,
            identifiers: loaded.destination.identifiers,
            share: .none,
            sequence: loaded.destination.sequence
        )
    }

    /// A QoS 2 message that its client owns already: only its Packet Identifier is used.
    static func released(_ delivery: StoredInflight) -> OutboundMessage {
        var outbound = OutboundMessage(
            message: Message(topic: RawSpan(), payload: RawSpan(), qos: .exactlyOnce),
            qos: .exactlyOnce,
            retain: false,
            identifiers: [],
            share: delivery.share,
            sequence: delivery.sequence
        )
        outbound.place = delivery.place
        return outbound
    }
}
