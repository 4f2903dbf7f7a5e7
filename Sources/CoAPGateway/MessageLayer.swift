/// What the server needs of CoAP's message layer: types, Message IDs, retransmission (RFC 7252 §4).
///
/// A `ServedLayer` does it with sockets; tests do it with an array.
package protocol MessageLayer: AnyObject {
    /// Whether connections carry the messages: no Message IDs, no duplicates, and a confirmable message is one whose
    /// arrival the peer is asked to confirm in some other way (RFC 8323).
    var isReliable: Bool { get }

    /// The peer as text, for example `192.0.2.7:50123`.
    func remoteAddress(of endpoint: EndpointID) -> String
    /// Who the transport says the peer is; nil when it says nothing.
    func identity(of endpoint: EndpointID) -> String?
    /// Bytes the largest message to the peer may have.
    func largestMessage(to endpoint: EndpointID) -> Int
    /// Bytes that may be sent to the peer now, for its address may be another's: three times those that came from it, less
    /// those that were sent (RFC 7252 §11.3, RFC 9175 §2.4); nil once it is proven.
    func allowance(to endpoint: EndpointID) -> Int?
    /// What proves the peer's address when a request of its shows it (RFC 9175 §2.2).
    func echo(for endpoint: EndpointID) -> [UInt8]
    /// Asks the peer for a sign of life (RFC 7252 §4.3), which proves its address.
    ///
    /// - Returns: what is acknowledged when it comes.
    func ping(_ endpoint: EndpointID) throws(SendFailure) -> ConfirmableID
    /// Sends an acknowledgement, with the response in it unless that is nil.
    func acknowledge(_ messageID: UInt16, token: Token, response: CoAPResponse?, to endpoint: EndpointID)
    /// Sends a response without asking for an acknowledgement.
    ///
    /// - Returns: its Message ID; nil when it could not be sent.
    func sendNonConfirmable(_ response: CoAPResponse, token: Token, to endpoint: EndpointID) -> UInt16?
    /// Sends a response until it is acknowledged.
    ///
    /// - Throws: `SendFailure`; nothing was sent then, and nothing will be.
    func sendConfirmable(
        _ response: CoAPResponse,
        token: Token,
        to endpoint: EndpointID
    ) throws(SendFailure) -> ConfirmableID
    /// Whether the endpoint takes what nobody has asked for just now. Where it does not, the server is told when it does.
    func hasRoom(for endpoint: EndpointID) -> Bool
    /// Keeps the endpoint from being forgotten when idle, until released.
    func hold(_ endpoint: EndpointID)
    func release(_ endpoint: EndpointID)
    /// Ends a secure session or a connection; the peer has to begin anew.
    func disconnect(_ endpoint: EndpointID)
}

/// Why a confirmable message came to nothing.
package enum DeliveryFailure: Sendable {
    /// The endpoint answered with Reset: it does not know what this is about.
    case reset
    /// The endpoint did not answer.
    case unreachable
    /// Nobody knows whether the endpoint has it, and it is not sent again by itself.
    case forgotten
}

/// Why a confirmable message could not be sent at all.
package enum SendFailure: Error {
    /// The network takes no more for the moment.
    case busy
    /// The endpoint's address may be another's, which has got as much as it may.
    case unproven
    /// There is no way to the endpoint.
    case unreachable
    /// No message can be made of it.
    case impossible
}

extension MessageLayer {
    /// The network says so of datagrams, for all of them.
    package func hasRoom(for endpoint: EndpointID) -> Bool { true }
}
