import CCoAPShim

// How datagrams get from a socket to libcoap: past the door of DTLS, or one by one where there is none.
extension CoAPContext {
    /// Datagrams read in one turn, at most, when they are read one by one.
    private static var largestDepth: Int32 { 32 }

    func pump(_ place: Int) {
        guard !isReliable else { return coap_shim_pump_connections(idleContext, shards[place].context) }
        if let door {
            pump(place, through: door)
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
}
