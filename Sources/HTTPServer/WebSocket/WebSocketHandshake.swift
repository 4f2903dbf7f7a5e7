import HTTPTypes
package import NIOHTTP1

/// Decides whether a request becomes a WebSocket (RFC 6455 §4.2.1).
package struct WebSocketHandshake: Sendable {
    let path: String
    private let subprotocols: [String]
    private let requiresSubprotocol: Bool
    /// For people: `MQTT over WebSocket`.
    private let name: String

    /// - Parameters:
    ///   - path: where the WebSocket is.
    ///   - subprotocols: those that are served; of a client's, its first one among them is chosen.
    ///   - requiresSubprotocol: refuses clients that offer none of them.
    ///   - name: what it is, for people.
    package init(path: String, subprotocols: [String], requiresSubprotocol: Bool = true, name: String = "a WebSocket") {
        self.path = path
        self.subprotocols = subprotocols
        self.requiresSubprotocol = requiresSubprotocol
        self.name = name
    }

    /// Whether a request target names the WebSocket, whatever its query.
    func isWebSocket(target: String) -> Bool {
        RequestTarget(target).path == path
    }

    /// The answer to a request for the WebSocket.
    ///
    /// - Returns: the subprotocol to name, if any, or why there is no WebSocket.
    package func decide(_ head: HTTPRequestHead) -> Result<String?, Refusal> {
        let headers = head.headers
        guard head.method == .GET else {
            return .failure(Refusal(.methodNotAllowed, "this resource has GET", headers: [.allow: "GET"]))
        }
        guard headers[canonicalForm: "Upgrade"].contains(where: { $0.lowercased() == "websocket" }),
            headers[canonicalForm: "Connection"].contains(where: { $0.lowercased() == "upgrade" })
        else { return .failure(upgradeRequired) }
        guard headers["Sec-WebSocket-Version"] == ["13"] else { return .failure(.webSocketVersion) }
        // 16 bytes in base64 (RFC 6455 §4.1).
        guard let key = headers["Sec-WebSocket-Key"].first, headers["Sec-WebSocket-Key"].count == 1,
            key.utf8.count == 24, key.hasSuffix("==")
        else { return .failure(Refusal(.malformed, "Sec-WebSocket-Key is not 16 bytes in base64")) }
        guard !headers.contains(name: "Transfer-Encoding"), headers["Content-Length"].allSatisfy({ $0 == "0" }) else {
            return .failure(Refusal(.malformed, "a request to upgrade can't have a body"))
        }
        let offered = headers[canonicalForm: "Sec-WebSocket-Protocol"].map(String.init)
        let chosen = offered.first { subprotocols.contains($0) }
        guard chosen != nil || !requiresSubprotocol else {
            let words = "no subprotocol offered that is served: Sec-WebSocket-Protocol: \(subprotocols.first ?? "")"
            return .failure(Refusal(.malformed, words))
        }
        return .success(chosen)
    }

    /// The answer to a request that does not ask for a WebSocket where one is.
    package var upgradeRequired: Refusal {
        Refusal(
            .upgradeRequired,
            "this is \(name)",
            headers: [.upgrade: "websocket", .connection: "upgrade"]
        )
    }
}

extension Refusal {
    static let webSocketVersion = Refusal(
        .upgradeRequired,
        "this is WebSocket version 13",
        headers: [.upgrade: "websocket", .connection: "upgrade", .secWebSocketVersion: "13"]
    )

    static func noWebSocket(at path: String) -> Refusal { Refusal(.notFound, "WebSockets are at \(path)") }
}
