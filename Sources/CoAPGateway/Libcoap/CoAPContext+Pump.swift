import CCoAPShim

// How datagrams get from a socket to libcoap: in batches; one by one where batches don't work; past the door of DTLS; or
// guarded: from known peers only while a flood goes on, from others by their Echo if that is asked for.
extension CoAPContext {
    /// Datagrams read in one turn, at most, when they are read one by one.
    private static var largestDepth: Int32 { 32 }
    /// Datagrams looked at in one turn of a flooded socket: enough to empty it faster than it fills.
    private static var floodDepth: Int32 { 512 }

    func pump(_ place: Int) {
        guard !isReliable else { return coap_shim_pump_connections(idleContext, shards[place].context) }
        if let door {
            pump(place, through: door)
        } else if let crowd, crowd.isTooMuch || guardian.has_echo {
            guardian.drops_strangers = crowd.isTooMuch
            pumpGuarded(place)
        } else if batchesDatagrams {
            _ = coap_shim_pump_batch(idleContext, &shards[place].socket, nil)
        } else {
            pumpOneByOne(place)
        }
    }

    private func pumpOneByOne(_ place: Int) {
        datagrams = 0
        coap_shim_pump(idleContext, &shards[place].socket, shards[place].depth)
        // As many as there were, twice: reads that find nothing cost a system call each.
        shards[place].depth =
            tellsAcknowledgements ? min(max(datagrams * 2, 2), Self.largestDepth) : Self.largestDepth / 4
    }

    private func pump(_ place: Int, through door: Door) {
        door.context = shards[place].context
        _ = coap_shim_pump_dtls(idleContext, &shards[place].socket, &door.door, Self.largestDepth)
    }

    private func pumpGuarded(_ place: Int) {
        guard batchesDatagrams else {
            _ = coap_shim_pump_guarded(idleContext, &shards[place].socket, Self.floodDepth, &guardian)
            return
        }
        var left = Self.floodDepth
        while left > 0 {
            let count = coap_shim_pump_batch(idleContext, &shards[place].socket, &guardian)
            guard count > 0 else { return }
            left -= count
        }
    }

    /// Admits whom the crowd knows, and others by their Echo if that is asked for.
    static func guardian(_ crowd: Crowd, asksForEcho: Bool) -> coap_shim_guard_t {
        var guardian = coap_shim_guard_t()
        guardian.app = Unmanaged.passUnretained(crowd).toOpaque()
        guardian.known = { app, peer in
            guard let app else { return true }
            return Unmanaged<Crowd>.fromOpaque(app).takeUnretainedValue().knows(PeerAddress(peer))
        }
        guardian.has_echo = asksForEcho && coap_shim_echo_init(&guardian.echo)
        return guardian
    }
}
