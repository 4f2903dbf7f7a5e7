import BrokerCore

extension ConnectionLayer: ServedLayer {
    var isReliable: Bool { true }
    /// The system has exchanged a handshake with it.
    func allowance(to endpoint: EndpointID) -> Int? { nil }

    func echo(for endpoint: EndpointID) -> [UInt8] { [] }

    func ping(_ endpoint: EndpointID) throws(SendFailure) -> ConfirmableID { throw .impossible }

    func remoteAddress(of endpoint: EndpointID) -> String { table.links[endpoint]?.address.description ?? "" }

    func identity(of endpoint: EndpointID) -> String? { table.links[endpoint]?.security.identity?.name }

    func largestMessage(to endpoint: EndpointID) -> Int {
        table.links[endpoint]?.connection.largestMessage ?? SignallingMessage.baseSize
    }

    func acknowledge(_ messageID: UInt16, token: Token, response: CoAPResponse?, to endpoint: EndpointID) {
        guard let link = open(endpoint) else { return }
        link.connection.answer(messageID, token, response, now: now)
        list(link)
    }

    func sendNonConfirmable(_ response: CoAPResponse, token: Token, to endpoint: EndpointID) -> UInt16? {
        guard let link = open(endpoint), link.connection.send(response, token) else { return nil }
        list(link)
        return 0
    }

    func sendConfirmable(
        _ response: CoAPResponse,
        token: Token,
        to endpoint: EndpointID
    ) throws(SendFailure) -> ConfirmableID {
        guard let link = open(endpoint), link.connection.send(response, token) else { throw .unreachable }
        let id = nextPing()
        link.connection.ping(id, now: now)
        list(link)
        return id
    }

    func hasRoom(for endpoint: EndpointID) -> Bool { open(endpoint)?.connection.hasRoom() ?? true }

    func hold(_ endpoint: EndpointID) { table.links[endpoint]?.connection.holds += 1 }

    func release(_ endpoint: EndpointID) {
        guard let link = table.links[endpoint] else { return }
        link.connection.holds -= 1
        if link.isClosed, link.connection.holds <= 0 { table.links[endpoint] = nil }
    }

    func disconnect(_ endpoint: EndpointID) {
        guard let link = open(endpoint) else { return }
        link.connection.abort("the connection is not wanted any more", now: now)
        list(link)
    }

    /// A connection that has not been closed.
    private func open(_ endpoint: EndpointID) -> Link? {
        guard let link = table.links[endpoint], !link.isClosed else { return nil }
        return link
    }
}
