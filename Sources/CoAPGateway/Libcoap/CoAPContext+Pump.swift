import CCoAPShim

// How datagrams get from a socket to libcoap: in batches; one by one where batches don't work; past the door of DTLS; or
// from known peers only, while a flood goes on.
extension CoAPContext {
    /// Datagrams read in one turn, at most, when they are read one by one.
    private static var largestDepth: Int32 { 32 }
    /// Datagrams looked at in one turn of a flooded socket: enough to empty it faster than it fills.
    private static var floodDepth: Int32 { 512 }

    func pump(_ place: Int) {
        guard !isReliable else { return coap_shim_pump_connections(idleContext, shards[place].context) }
        if let door {
            pump(place, through: door)
        } else if let crowd, crowd.isTooMuch {
            pump(place, past: crowd)
        } else if batchesDatagrams {
            _ = coap_shim_pump_batch(idleContext, &shards[place].socket, nil, nil)
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

    private func pump(_ place: Int, past crowd: Crowd) {
        let app = Unmanaged.passUnretained(crowd).toOpaque()
        let isKnown: coap_shim_known_fn = { app, peer in
            guard let app else { return true }
            return Unmanaged<Crowd>.fromOpaque(app).takeUnretainedValue().knows(PeerAddress(peer))
        }
        guard batchesDatagrams else {
            _ = coap_shim_pump_known(idleContext, &shards[place].socket, Self.floodDepth, app, isKnown)
            return
        }
        var left = Self.floodDepth
        while left > 0 {
            let count = coap_shim_pump_batch(idleContext, &shards[place].socket, app, isKnown)
            guard count > 0 else { return }
            left -= count
        }
    }
}
