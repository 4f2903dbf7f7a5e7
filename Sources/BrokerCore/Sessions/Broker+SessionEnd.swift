import MQTTCodec

// The end of a session, in slices if it has much to remove.
extension Broker {
    /// Ends a session: publishes its will without delay, and removes its subscriptions and messages [MQTT-4.1.0-2].
    ///
    /// Messages of shared subscriptions go to other members. From now on nothing is delivered to the session, though
    /// its subscriptions may be in the index for a while.
    func endSession(_ session: Session) {
        session.life.hasEnded = true
        forgetCount(of: session)
        forgetTimers(of: session)
        let will = session.will
        session.life.will = nil
        registry.remove(session)
        removeSubscriptions(of: session)
        forgetRetainedDeliveries(session)
        let left = session.messagesOfShares
        let leftInStore = leftInStore(by: session)
        forgetStored(session, except: leftInStore.places.union(left.lazy.map(\.place)))
        // Cached routes may keep the session in memory for a while.
        session.queue = OutboundQueue()
        session.window = InflightWindow()
        passOn(left, of: session.interest.shares, andThen: leftInStore)
        if let will { publishWill(will, of: session) }
    }

    private func removeSubscriptions(of session: Session) {
        guard session.interest.subscriptions.count > 0 else { return }
        var subscriptions = Array(session.interest.subscriptions.values)
        session.interest.subscriptions = ByteExactDictionary()
        session.counted.subscriptionBytes = 0
        begin { broker, steps in
            while steps > 0, let subscription = subscriptions.popLast() {
                broker.router.remove(subscription)
                steps -= Backlog.effort(of: subscription.filter.filter) / Backlog.step
            }
            return subscriptions.isEmpty
        }
    }

    /// Passes on the messages of an ended session in slices, and then those that are in the store alone.
    ///
    /// Each message is removed from the store in the batch that stores it for another member, so that a crash neither
    /// loses nor duplicates it: the next start passes the remaining messages on.
    private func passOn(_ left: [OutboundMessage], of numbers: SessionShares, andThen leftInStore: LeftInStore) {
        guard !left.isEmpty else { return passOn(leftInStore) }
        var rest = left[...]
        begin { broker, steps in
            let slice = rest.prefix(max(steps, 1))
            broker.passOn(Array(slice), of: numbers)
            for outbound in slice { broker.finish(outbound) }
            rest = rest.dropFirst(slice.count)
            steps -= slice.count
            if rest.isEmpty { broker.passOn(leftInStore) }
            return rest.isEmpty
        }
    }

    /// Removes an ended session from the store, and all its deliveries except those that go to other members.
    private func forgetStored(_ session: Session, except kept: Set<StoredPlace>) {
        guard session.isStored, let journal else { return }
        for delivery in session.storage.inflight where !kept.contains(delivery.place) { journal.finish(delivery.place) }
        session.window.forEach { _, entry in
            if !kept.contains(entry.outbound.place) { journal.finish(entry.outbound.place) }
        }
        session.storage.inflight = []
        session.storage.inflightBytes = 0
        session.storage.isStored = false
        journal.append(.removeSession(session.name, session.number))
        commits.noteEnd(of: session.name)
        // The next start continues with the deliveries that are left when the broker stops: they belong to no session.
        var queue = session.queue
        begin { broker, steps in
            while steps > 0, let first = queue.dropFirst() {
                if !kept.contains(first.place) { broker.journal?.finish(first.place) }
                steps -= 1
            }
            return queue.isEmpty
        }
    }
}
